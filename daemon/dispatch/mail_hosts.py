"""Looks up, beside the sending, which mail hosts serve the domains that a claim met: what limits by MX group rest on.

Only for providers that name a pattern of hosts. A few at a time; an answer is kept as long as it says, within bounds, a failure for a
while: the domain stands for itself until then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from daemon.clock import Clock
from daemon.dns import Dns
from daemon.model.delivery import HOUR, MINUTE, SECOND
from daemon.pacing.limits import Groups
from plugins.contract import Log

AT_ONCE = 16
LOOK_SECONDS = 0.2
SHORTEST, LONGEST, FAILED = 5 * MINUTE, 24 * HOUR, 5 * MINUTE


class MailHosts:
    """`groups`: those of all providers that name a pattern."""

    def __init__(self, groups: Sequence[Groups], dns: Dns, clock: Clock, log: Log) -> None:
        self._groups, self._dns, self._clock, self._log = groups, dns, clock, log

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if not await self.look():
                await self._clock.sleep(LOOK_SECONDS)

    async def look(self) -> bool:
        """A round of look-ups. False: nobody asked for one."""
        wanted = [(groups, domain) for groups in self._groups for domain in groups.wanted(AT_ONCE)]
        if wanted:
            await asyncio.gather(*(self._look_up(groups, domain) for groups, domain in wanted))
        return bool(wanted)

    async def _look_up(self, groups: Groups, domain: str) -> None:
        try:
            hosts, seconds = await self._dns.mail_hosts(domain)
        except OSError as error:
            self._log.debug("mail_hosts_unknown", domain=domain, error=str(error))
            groups.learn(domain, (), self._clock.instant() + FAILED)
            return
        kept = min(max(seconds * SECOND, SHORTEST), LONGEST)
        groups.learn(domain, hosts, self._clock.instant() + kept)
