"""GROUND, a port: names to addresses. Bounded, cached and coalescing, on threads of its own.

However many ask for one name, it is looked up once; slow names hold up only their own askers; more than `waiting` look-ups at
once are refused. Answers live for a short fixed time (the system's resolver tells no TTL). Raises OSError: `gaierror` for a name
that is not there, TimeoutError for one that is slow. Fulfils `plugins.contract.Dns`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from daemon.clock import Clock
from daemon.executor import Executor, ThreadExecutor

KEPT_SECONDS = 60.0
KEPT_FAILED_SECONDS = 5.0
DEADLINE_SECONDS = 10.0
_MOST_KEPT = 4096


class Dns(Protocol):
    """Where hosts are."""

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        """(address, port) in the order in which to try them; never empty. OSError when there is none."""
        ...

    async def mail_hosts(self, domain: str) -> tuple[Sequence[str], int]:
        """The hosts that take mail for a domain (MX), best first, and for how many seconds that holds. Empty: the domain takes no mail.
        OSError when nobody says."""
        ...


@dataclass(frozen=True, slots=True)
class _Answer:
    until: float
    addresses: tuple[str, ...]
    error: OSError | None = None


class SystemDns:
    """The machine's own resolver (`getaddrinfo`, so /etc/hosts counts too)."""

    def __init__(
        self,
        clock: Clock,
        *,
        executor: Executor | None = None,
        threads: int = 8,
        waiting: int = 1000,
        deadline_seconds: float = DEADLINE_SECONDS,
        servers: Sequence[tuple[str, int]] = (),
    ) -> None:
        """`servers`: name servers (address, port) that are asked for mail hosts; none: those of the machine."""
        self._servers = servers
        self._clock = clock
        self._executor = executor or ThreadExecutor(threads=threads, name="dns")
        self._waiting = waiting
        self._deadline = deadline_seconds
        self._kept: dict[str, _Answer] = {}
        self._asked: dict[str, asyncio.Task[_Answer]] = {}

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        if _is_address(host):
            return [(host, port)]
        answer = self._kept.get(host)
        if answer is None or answer.until <= self._clock.monotonic():
            answer = await self._ask(host)
        if answer.error is not None:
            raise answer.error
        return [(address, port) for address in answer.addresses]

    async def mail_hosts(self, domain: str) -> tuple[Sequence[str], int]:
        """Not kept here: who asks keeps the answer."""
        return await self._executor.run(_mail_hosts, domain, self._deadline, self._servers)

    async def close(self) -> None:
        """Forget all; who still waits gets an OSError. A second call does nothing."""
        asked = list(self._asked.values())
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        self._kept.clear()
        self._executor.close()

    async def _ask(self, host: str) -> _Answer:
        """One look-up for all who wait for this name; each waits no longer than the deadline."""
        task = self._asked.get(host)
        if task is None:
            if len(self._asked) >= self._waiting:
                raise TimeoutError(f"{len(self._asked)} look-ups wait already; {host} was not asked for")
            task = asyncio.create_task(self._look_up(host), name=f"dns {host}")
            self._asked[host] = task
            task.add_done_callback(lambda _: self._asked.pop(host, None))
        try:
            async with asyncio.timeout(self._deadline):
                return await asyncio.shield(task)
        except TimeoutError:
            raise TimeoutError(f"no answer for {host} in {self._deadline:g} s") from None
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if task.cancelled() and not (current and current.cancelling()):
                raise OSError(f"{host} was not looked up: the resolver is closed") from None
            raise

    async def _look_up(self, host: str) -> _Answer:
        try:
            addresses = await self._executor.run(_addresses, host)
            answer = _Answer(self._clock.monotonic() + KEPT_SECONDS, addresses)
        except (OSError, UnicodeError) as error:
            # an over-long label is a UnicodeError of the idna codec: such a name cannot exist
            shown = error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, f"{host} is no host name")
            answer = _Answer(self._clock.monotonic() + KEPT_FAILED_SECONDS, (), shown)
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[host] = answer
        return answer


def _addresses(host: str) -> tuple[str, ...]:
    """Distinct addresses in the system's order of preference. Blocks."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def _mail_hosts(domain: str, seconds: float, servers: Sequence[tuple[str, int]]) -> tuple[Sequence[str], int]:
    """Blocks. A domain without MX records takes its mail itself (RFC 5321 5.1), one with the null MX takes none (RFC 7505)."""
    import dns.exception  # only where a limit is named by mail hosts
    import dns.resolver

    try:
        resolver = dns.resolver.Resolver(configure=not servers)  # raises where the machine names no name server (now)
        if servers:
            resolver.nameservers, resolver.port = [address for address, _ in servers], servers[0][1]
        answer = resolver.resolve(domain, "MX", lifetime=seconds, raise_on_no_answer=False)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise OSError(f"no mail hosts of {domain}: {type(error).__name__}") from None
    if answer.rrset is None:
        return (domain,), int(answer.response.answer[0].ttl) if answer.response.answer else int(KEPT_SECONDS)
    found = sorted((record.preference, record.exchange.to_text().rstrip(".").lower()) for record in answer.rrset)
    return tuple(host for _, host in found if host), int(answer.rrset.ttl)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
