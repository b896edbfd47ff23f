"""Which hosts take mail for a domain: asked beside the sending, kept as long as the answer says, and what a name server answers."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from daemon.clock import SystemClock
from daemon.dispatch.mail_hosts import FAILED, LONGEST, SHORTEST, MailHosts
from daemon.dns import SystemDns
from daemon.log import get_log
from daemon.model.delivery import SECOND
from daemon.pacing.limits import Groups


class SetClock(SystemClock):
    now_at = 1_795_322_411 * SECOND

    def instant(self) -> int:
        return self.now_at


class Names:
    """A table of mail hosts; a domain that is not in it is unknown."""

    def __init__(self, table: dict[str, tuple[Sequence[str], int]]) -> None:
        self.table = table
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        raise AssertionError(host)

    async def mail_hosts(self, domain: str) -> tuple[Sequence[str], int]:
        self.asked.append(domain)
        await asyncio.sleep(0)
        if domain not in self.table:
            raise OSError("nobody says")
        return self.table[domain]


async def test_domains_that_a_claim_met_are_looked_up_and_kept() -> None:
    """A group as soon as the answer is there; within bounds as long as it says; a failure for some minutes."""
    clock, groups = SetClock(), Groups(["*.google.com"])
    names = Names({"a.example": (["aspmx.l.google.com"], 1), "b.example": (["mx.b.example"], 10**9)})
    hosts = MailHosts([groups], names, clock, get_log())
    for domain in ("a.example", "b.example", "c.example"):
        groups.of(domain, clock.now_at)
    assert await hosts.look()
    assert not await hosts.look()
    assert sorted(names.asked) == ["a.example", "b.example", "c.example"]
    assert [groups.of(domain, clock.now_at) for domain in ("a.example", "b.example", "c.example")] == ["*.google.com", None, None]
    for kept, domain in ((SHORTEST, "a.example"), (LONGEST, "b.example"), (FAILED, "c.example")):
        groups.of(domain, clock.now_at + kept - 1)
        assert groups.wanted(9) == []
        groups.of(domain, clock.now_at + kept)
        assert groups.wanted(9) == [domain]


async def test_the_look_ups_end_with_the_task() -> None:
    """It sleeps while nobody asks, and is cancelled at the end."""
    groups = Groups(["*.google.com"])
    names = Names({"a.example": (["x.google.com"], 60)})
    task = asyncio.create_task(MailHosts([groups], names, SystemClock(), get_log()).run())
    groups.of("a.example", 0)
    while not names.asked:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@contextmanager
def name_server(answer: Callable[[dns.message.Message], dns.message.Message | None]) -> Iterator[tuple[str, int]]:
    """Answers each question over UDP; None: says nothing."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            data, peer = server.recvfrom(4096)
            if data == b"end":
                return
            if (reply := answer(dns.message.from_wire(data))) is not None:
                server.sendto(reply.to_wire(), peer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stop:
            stop.sendto(b"end", server.getsockname())
        thread.join()
        server.close()


RECORDS = {
    "several.example.": ["20 backup.example.net.", "10 MX1.Example.Net."],
    "nobody.example.": ["0 ."],
}


def reply_to(question: dns.message.Message) -> dns.message.Message | None:
    name = question.question[0].name.to_text()
    reply = dns.message.make_response(question)
    if name == "silent.example.":
        return None
    if name == "missing.example.":
        reply.set_rcode(dns.rcode.NXDOMAIN)
    elif name in RECORDS:
        reply.answer.append(dns.rrset.from_text(name, 300, "IN", "MX", *RECORDS[name]))
    return reply


async def test_a_name_server_is_asked_for_mx_records() -> None:
    """Best first, in small letters; none: the domain itself; the null MX: nobody; no such name, no answer: an error."""
    with name_server(reply_to) as server:
        asked = SystemDns(SystemClock(), deadline_seconds=0.3, servers=[server])
        try:
            assert await asked.mail_hosts("several.example") == (("mx1.example.net", "backup.example.net"), 300)
            assert (await asked.mail_hosts("plain.example"))[0] == ("plain.example",)
            assert await asked.mail_hosts("nobody.example") == ((), 300)
            for name in ("missing.example", "silent.example", "x" * 80 + ".example"):
                with pytest.raises(OSError, match="no mail hosts"):
                    await asked.mail_hosts(name)
        finally:
            await asked.close()


async def test_a_machine_that_names_no_name_server_is_an_error_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty resolv.conf, for a moment: the domain stands for itself for a while, and the others are asked for all the same."""

    def unconfigured(**_: object) -> None:
        raise dns.resolver.NoResolverConfiguration("no nameservers")

    monkeypatch.setattr(dns.resolver, "Resolver", unconfigured)
    clock, groups, names = SetClock(), Groups(["*.google.com"]), SystemDns(SystemClock())
    groups.of("a.example", clock.now_at)
    try:
        with pytest.raises(OSError, match=r"no mail hosts of a\.example"):
            await names.mail_hosts("a.example")
        assert await MailHosts([groups], names, clock, get_log()).look()
    finally:
        await names.close()
    assert groups.of("a.example", clock.now_at) is None
