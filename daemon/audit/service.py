"""AUDIT, service: walks the send journal behind the sending, a bounded batch at a time, and tells what was broken.

Nothing is judged twice: the cursor is an instant of the journal and moves in the transaction that keeps the findings. It looks once
a minute; behind by more than a batch it goes on sooner, slowly while sending goes on, faster when nothing is sent. After a restart it
goes on where it was. It reads by the store's readers and judges in a thread of its own: no handover waits for it.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from daemon.audit.counting import Contact
from daemon.audit.judge import SETTLED, Finding, Send, Terms, judge
from daemon.audit.rulebook import Page, add_page, open_book, pages_at, turn_back
from daemon.clock import Clock
from daemon.config import Config
from daemon.errors import StoreUnavailableError
from daemon.executor import Executor
from daemon.ids import encode_id
from daemon.metrics import Metrics
from daemon.model.delivery import SECOND, Instant
from daemon.service import Service
from daemon.store import audit as kept
from daemon.store.writer import Lane, Writes
from plugins.contract import Log

BATCH = 500
LOOK_SECONDS = 60.0
BEHIND_SECONDS = 2.0
"""Between two batches while sending goes on: at most 250 handovers a second, about one hundredth of a core."""
QUIET_SECONDS = 0.2
"""The same when nothing was sent for a minute."""
LATE_BATCHES = 20
"""When a clock is accepted that was set back, so many batches of what is not judged yet are judged first, and no more."""
LOGGED = 20
"""Findings of one batch that are logged one by one; the store keeps more."""
TERMS = 500


class SentLog(Protocol):
    """The send journal."""

    @property
    def newest(self) -> Instant | None:
        """The instant of the last line that this process wrote."""
        ...

    def after(self, at: Instant, limit: int) -> Sequence[tuple[Instant, Sequence[int]]]: ...
    def set_back(self, now: Instant) -> None: ...


class Audit(Service):
    """`configure` before sending under a config, `run` beside it."""

    def __init__(
        self, *, store: Writes, sent: SentLog, clock: Clock, executor: Executor, log: Log, metrics: Metrics, config: Config,
        look_seconds: float = LOOK_SECONDS, trusted: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        """`trusted()`: the clock is held for right."""
        super().__init__("audit")
        self._store, self._sent, self._clock, self._executor = store, sent, clock, executor
        self._log, self._metrics, self._config, self._look_seconds = log, metrics, config, look_seconds
        self._book: Sequence[Page] = ()
        self._terms: OrderedDict[tuple[int, int], Terms] = OrderedDict()
        self._trusted = trusted
        self._at: Instant = 0
        self._turning = asyncio.Lock()

    async def run(self) -> None:
        await self.begin()
        self.mark_ready()
        while not self.stopping.is_set():
            try:
                more = await self.turn()
            except StoreUnavailableError as error:
                more = False
                self._log.warning("audit_put_off", error=str(error))
            await self.rest(self._pause(more=more))

    async def begin(self) -> None:
        """Where it was, and under which rules it is now."""
        now = self._clock.instant()
        progress = await self._store.write(Lane.BULK, kept.begin_audit, now)
        self._at = progress.at if progress.at is not None else now
        self._metrics.audit_open(progress.open)
        await self.configure(self._config)
        if self._at > now and self._trusted():  # accepted while no daemon ran
            await self.clock_accepted()

    async def configure(self, config: Config) -> None:
        """These are the rules from now on."""
        self._config = config
        book = await self._store.read(kept.read_rules)
        changed = add_page(book, config, self._clock.instant())
        if changed is not None:
            await self._store.write(Lane.BULK, kept.keep_rules, changed)
        self._book = open_book(changed or book)

    async def clock_accepted(self) -> None:
        """An operator takes the clock for right. If it was set back, what went out by the old one is judged first, and then instants are
        counted anew: else nothing would be looked at until the old time is reached again."""
        async with self._turning:
            for _ in range(LATE_BATCHES):
                if not await self._turn():
                    break
            now = self._clock.instant()
            if now >= self._at:
                return
            await self._executor.run(self._sent.set_back, now)
            book = turn_back(await self._store.read(kept.read_rules), now)
            book = add_page(book, self._config, now) or book
            if book is not None:
                await self._store.write(Lane.BULK, kept.keep_rules, book)
                self._book = open_book(book)
            await self._store.write(Lane.BULK, kept.keep_audit, now, 0, 0, ())
            self._at = now

    async def turn(self) -> bool:
        """Judge a batch. True when more waits."""
        async with self._turning:
            return await self._turn()

    async def _turn(self) -> bool:
        newest = self._sent.newest
        if newest is not None and newest <= self._at:
            self._metrics.audit_behind(0.0)
            return False
        lines = await self._executor.run(self._sent.after, self._at, BATCH)
        if not lines:
            self._metrics.audit_behind(0.0)
            return False
        at = lines[-1][0]
        sends = [(moment, delivery) for moment, deliveries in lines for delivery in deliveries]
        facts = await self._store.read(kept.read_sent, [delivery for _, delivery in sends], frozenset(self._terms))
        findings, unjudged = await self._executor.run(self._judge, sends, facts)
        told = [_plain(finding) for finding in findings]
        progress = await self._store.write(Lane.BULK, kept.keep_audit, at, len(sends), unjudged, told)
        self._at = at
        self._tell(findings)
        self._metrics.audited(len(sends), unjudged)
        self._metrics.audit_open(progress.open)
        more = len(sends) >= BATCH
        self._metrics.audit_behind((self._clock.instant() - at) / SECOND if more else 0.0)
        return more

    def _judge(self, sends: Sequence[tuple[Instant, int]], facts: kept.SentFacts) -> tuple[list[Finding], int]:
        for key, body in facts.bodies.items():
            self._terms[key] = Terms.of(body)
        findings: list[Finding] = []
        unjudged = 0
        contacts = {person: [self._contact(touch) for touch in touches] for person, touches in facts.touches.items()}
        for at, delivery in sends:
            row = facts.rows.get(delivery)
            if row is None:
                unjudged += 1  # planned after the copy that this store was put back from
                continue
            verdict = judge(self._send(row, at, facts, contacts.get(row.person, ())), pages_at(self._book, at))
            findings += verdict.findings
            unjudged += bool(verdict.unjudged)
        while len(self._terms) > TERMS:
            self._terms.popitem(last=False)
        return findings, unjudged

    def _send(self, row: kept.SentRow, at: Instant, facts: kept.SentFacts, contacts: Sequence[Contact]) -> Send:
        mine = next((contact for contact in contacts if contact.delivery == row.delivery and contact.at == at), None)
        counted = row.in_flight_at == at or (row.state in ("accepted", "in_doubt") and row.handed_over_at == at)
        traits = json.loads(row.traits) if row.traits and '"quiet_hours"' in row.traits else {}
        return Send(
            delivery=row.delivery, at=at, contact=mine, contacts=contacts, terms=self._terms[row.campaign, row.version],
            channel=row.channel, expires_at=row.expires_at, counted=counted, job_window=row.job_window, own_zone=row.zone,
            phone=row.phone, country=row.country, quiet_hours=traits.get("quiet_hours"),
            settled=row.updated_at == row.created_at or row.updated_at + SETTLED < at, told=row.delivery in facts.doubtful,
            held_out=bool(row.held_out), paused_until=row.paused_until,
            joined=row.person in facts.merged and facts.merged[row.person] + SETTLED >= at,
        )  # fmt: skip

    def _contact(self, touch: kept.TouchRow) -> Contact:
        terms = self._terms[touch.campaign, touch.version]
        return Contact(
            delivery=touch.delivery, at=touch.at, channel=touch.channel, campaign=touch.campaign_name, topic=touch.topic,
            zones=tuple(touch.zone.split(",")) if touch.zone else (), transactional=terms.transactional,
        )  # fmt: skip

    def _tell(self, findings: Sequence[Finding]) -> None:
        for finding in findings:
            self._metrics.audit_finding(finding.kind)
        for finding in findings[:LOGGED]:
            self._log.error(
                "audit_finding", kind=finding.kind, rule=finding.rule, delivery=encode_id(finding.delivery), facts=dict(finding.facts)
            )
        if len(findings) > LOGGED:
            self._log.error("audit_findings", more=len(findings) - LOGGED)

    def _pause(self, *, more: bool) -> float:
        if not more:
            return self._look_seconds
        newest = self._sent.newest
        sending = newest is not None and self._clock.instant() - newest < self._look_seconds * SECOND
        return BEHIND_SECONDS if sending else QUIET_SECONDS


def _plain(finding: Finding) -> Mapping[str, Any]:
    """As the store keeps it."""
    return {
        "kind": finding.kind, "rule": finding.rule, "delivery": finding.delivery, "at": finding.at, "facts": dict(finding.facts),
    }  # fmt: skip
