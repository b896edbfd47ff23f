"""What happens is told to `[[notify]]`: signed, in order, at least once under the same id, whatever becomes of other targets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from sqlalchemy import Connection

from daemon.app.noticing import Noticing
from daemon.app.sending import World
from daemon.clock import iso
from daemon.config.notices import TYPES, NotifyTable
from daemon.dns import SystemDns
from daemon.ids import SystemIds, encode_id
from daemon.metrics import Metrics
from daemon.model.delivery import DAY, HOUR, SECOND
from daemon.net import SystemNet
from daemon.store import notices
from daemon.store.notices import prune_notices, watched
from daemon.store.recover import begin
from daemon.store.writer import Lane, Store
from plugins.contract import Secret
from plugins.http import open_http
from tests.stages.intake_world import NOW, NoLog, SetClock
from tests.store.conftest import add_job

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = Secret("whsec_" + base64.b64encode(KEY).decode())


class Told(NamedTuple):
    """One request, its signature proven as the standard says it: by a text of its own, not by ours."""

    id: str
    type: str
    body: dict[str, Any]


class Receiver:
    """A server that proves each request; `answers`: the next statuses, then 200 for good. `gate`: it answers only when this is set."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.answers: list[int] = []
        self.refused: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._news = asyncio.Event()

    async def start(self) -> Receiver:
        app = web.Application()
        app.router.add_post("/{name}", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        return self

    async def stop(self) -> None:
        self.gate.set()
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        await self.gate.wait()
        body = await request.read()
        id, stamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        expected = base64.b64encode(hmac.new(KEY, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()).decode()
        assert f"v1,{expected}" in request.headers["webhook-signature"].split(" ")
        assert int(stamp) == NOW // SECOND or int(stamp) > NOW // SECOND
        found = json.loads(body)
        assert found["id"] == id
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            self.told.append(Told(id, found["type"], found))
        else:
            self.refused.append(id)
        self._news.set()
        return web.Response(status=status)

    async def until(self, wanted: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not wanted():
                self._news.clear()
                await self._news.wait()

    @property
    def types(self) -> list[str]:
        return [each.type for each in self.told]


class Daemon:
    """The store with a job of people 1.., and the service that tells."""

    def __init__(self, store: Store) -> None:
        self.clock, self.log, self.store = SetClock(), NoLog(), store
        self.metrics = Metrics(self.clock)
        dns = SystemDns(self.clock)
        self.world = World(
            store=store, clock=self.clock, ids=SystemIds(), dns=dns, net=SystemNet(dns), log=self.log, metrics=self.metrics, open_http=open_http
        )
        self._dns = dns
        self.tables: Sequence[NotifyTable] = ()
        self.service: Noticing | None = None

    async def start(self, *tables: NotifyTable) -> Noticing:
        self.tables = tables
        self.service = Noticing(self.world, lambda: self.tables, round_seconds=lambda: 0.01)
        await self.service.start()
        await self.service.ready()
        return self.service

    async def stop(self) -> None:
        if self.service is not None:
            await self.service.stop()
            self.service = None

    async def close(self) -> None:
        await self.stop()
        await self._dns.close()
        await self.store.close()

    async def do(self, *statements: str) -> None:
        """Statements, in one transaction."""

        def act(conn: Connection) -> None:
            for statement in statements:
                conn.exec_driver_sql(statement)

        await self.store.write(Lane.BULK, act)

    async def ask(self, statement: str) -> list[tuple[Any, ...]]:
        return await self.store.write(Lane.BULK, lambda conn: [tuple(row) for row in conn.exec_driver_sql(statement)])


def table(receiver: Receiver, *events: str, name: str = "hook", **more: Any) -> NotifyTable:
    return NotifyTable(url=receiver.url.replace("hook", name), secret=SECRET, events=events or ("*",), **more)


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    made = Daemon(Store.open(tmp_path / "homing.db"))
    await made.store.write(Lane.BULK, begin, NOW, "node", "nonce")
    await made.store.write(Lane.BULK, lambda conn: add_job(conn, 1, people=range(1, 6)))
    yield made
    await made.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = await Receiver().start()
    yield made
    await made.stop()


async def until(wanted: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not wanted():
            await asyncio.sleep(0.01)


def ends(person: int, state: str, reason: str | None = None) -> str:
    said = "NULL" if reason is None else f"'{reason}'"
    return f"UPDATE delivery SET state = '{state}', reason = {said}, ended_at = {NOW - person}, provider = 'relay' WHERE id = {person}"


WALK = "INSERT INTO walk (id, campaign, person, occurrence, version, state, entered_at, since_at, anchor_at) VALUES ({0}, 1, {0}, 1, 4, '{1}', 77, 0, 0)"
EACH = (
    ends(1, "accepted"),
    "UPDATE delivery SET state = 'in_doubt' WHERE id = 2",
    ends(2, "rejected", "rejected_by_provider"),
    ends(3, "dropped", "suppressed"),
    "UPDATE delivery SET state = 'held', reason = 'no_code' WHERE id = 4",
    ends(5, "expired", "late"),
    *(
        "INSERT INTO feedback (person, delivery, hash, kind, provider, event, human, channel, at) "
        f"VALUES (1, 1, x'', '{kind}', 'relay', '', 1, 'email', {NOW - 3 * DAY * 2})"
        for kind in ("delivered", "opened", "clicked", "bounced", "complained", "replied")
    ),
    WALK.format(1, "open"),
    WALK.format(2, "planned"),
    "UPDATE walk SET state = 'open' WHERE id = 2",
    "UPDATE walk SET state = 'exited', end_reason = 'Order Completed', ended_at = 88 WHERE id = 1",
    "UPDATE walk SET state = 'converted', ended_at = 99 WHERE id = 2",
    "INSERT INTO consent (person, channel, topic, state, at, source) VALUES (1, 'email', '*', 'granted', 5, 'x'), (2, 'email', '*', 'withdrawn', 6, 'link')",
    "UPDATE consent SET state = 'withdrawn', at = 7 WHERE person = 1",
    "UPDATE recipient SET erased = 1, updated_at = 8 WHERE id = 3",
    "UPDATE job SET state = 'receiving', expanded = 0",
    "UPDATE job SET state = 'held', reason = 'count_mismatch', expanded = 1",
    "UPDATE job SET state = 'accepted'",
    "UPDATE job SET state = 'finished', finished_at = 9",
)
SAID = [
    "delivery.accepted", "delivery.in_doubt", "delivery.resolved", "delivery.dropped", "delivery.held", "delivery.expired", "delivery.delivered",
    "delivery.opened", "delivery.clicked", "delivery.bounced", "delivery.complained", "recipient.enrolled", "recipient.enrolled", "recipient.exited",
    "recipient.converted", "recipient.unsubscribed", "recipient.unsubscribed", "recipient.erased", "job.held", "job.accepted", "job.finished",
]  # fmt: skip


async def test_each_fact_is_told_once_signed_and_in_order(daemon: Daemon, receiver: Receiver) -> None:
    """All types that there are but delivery.rejected, each with its names; what happened before, or long ago, makes no difference to age."""
    await daemon.do(ends(1, "accepted"), "UPDATE delivery SET state = 'due', ended_at = NULL WHERE id = 1")
    await daemon.start(table(receiver))
    await daemon.do(*EACH)
    await receiver.until(lambda: len(receiver.told) >= len(SAID))
    assert receiver.types == SAID
    assert set(TYPES) - set(SAID) == {"delivery.rejected"}
    assert len({each.id for each in receiver.told}) == len(SAID)
    first, by = receiver.told[0].body, {each.type: each.body for each in receiver.told}
    assert (first["timestamp"], first["data"]) == (iso(NOW - 1), {
        "delivery": encode_id(1), "job": "job-1", "recipient": "p-1", "campaign": "c1", "version": 1, "step": "s", "channel": "email", "state": "accepted",
        "provider": "relay", "attempts": 0,
    })  # fmt: skip
    assert by["delivery.resolved"]["data"]["state"] == "rejected" and by["delivery.dropped"]["data"]["reason"] == "suppressed"
    assert by["delivery.held"]["timestamp"] == iso(NOW) and by["delivery.opened"]["data"]["human"] is True
    assert by["recipient.exited"]["data"] == {
        "recipient": "p-1", "campaign": "c1", "version": 4, "reason": "Order Completed", "occurrence": 1, "held_out": False
    }
    assert by["recipient.erased"]["data"] == {"recipient": "p-3"}
    assert by["job.held"]["data"] == {
        "job": "job-1", "campaign": "c1", "version": 1, "state": "held", "reason": "count_mismatch", "rows": 0, "accepted": 0, "duplicate": 0, "rejected": 0
    }
    await daemon.stop()
    await daemon.start(table(receiver))
    await daemon.do(*(f"UPDATE delivery SET state = '{state}' WHERE id = 4" for state in ("due", "held")))
    await receiver.until(lambda: len(receiver.told) > len(SAID))
    assert receiver.types[len(SAID) :] == ["delivery.held"]


async def test_only_what_is_wanted_is_written(daemon: Daemon, receiver: Receiver) -> None:
    """Two targets, each its own types; what neither wants makes no row. None wants anything: no trigger, no row, nothing kept."""
    service = await daemon.start(table(receiver, "delivery.dropped", "job.*"), table(receiver, "delivery.dropped", name="other"))
    await daemon.do(*EACH)
    await receiver.until(lambda: len(receiver.told) == 5)
    assert sorted(receiver.types) == ["delivery.dropped", "delivery.dropped", "job.accepted", "job.finished", "job.held"]
    assert len({each.id for each in receiver.told if each.type == "delivery.dropped"}) == 1
    assert await daemon.ask("SELECT count(*) FROM notice") == [(4,)]
    daemon.tables = ()
    service.poke()
    async with asyncio.timeout(10):
        while await daemon.ask("SELECT 1 FROM sqlite_master WHERE type = 'trigger'"):
            await asyncio.sleep(0)
    await daemon.stop()
    await daemon.do("UPDATE delivery SET state = 'dropped' WHERE id = 4")
    assert await daemon.ask("SELECT count(*) FROM notice_target") == [(0,)]
    [(left,)] = await daemon.ask("SELECT count(*) FROM notice")
    assert left <= 1


async def test_a_target_that_fails_is_told_later_in_order_under_the_same_id(daemon: Daemon, receiver: Receiver) -> None:
    """500, then a pause; after it the same notice first. Status says so; what is refused for what it is is passed over after five tries."""
    receiver.answers = [500]
    service = await daemon.start(table(receiver))
    await daemon.do(ends(1, "accepted"), ends(2, "accepted"))
    await receiver.until(lambda: len(receiver.refused) == 1)
    async with asyncio.timeout(10):
        while service.status()[0]["error"] is None:
            await asyncio.sleep(0)
    [status] = service.status()
    assert (status["error"], status["waiting"], status["failing_since"]) == ("answered 500", 2, iso(NOW))
    assert receiver.told == []
    daemon.clock.wall += HOUR
    await receiver.until(lambda: len(receiver.told) == 2)
    assert receiver.told[0].id == receiver.refused[0]
    assert [each.body["data"]["recipient"] for each in receiver.told] == ["p-1", "p-2"]
    receiver.answers = [422] * 5
    await daemon.do(ends(3, "accepted"), ends(4, "accepted"))
    async with asyncio.timeout(10):
        while len(receiver.told) < 3:
            daemon.clock.wall += HOUR
            await asyncio.sleep(0.01)
    assert receiver.told[-1].body["data"]["recipient"] == "p-4"
    assert len(set(receiver.refused[1:])) == 1
    assert service.status()[0]["lost"] == 1


async def test_a_clock_that_is_set_back_silences_nobody(daemon: Daemon, receiver: Receiver) -> None:
    """The pause after a failure is an instant of the clock that was ahead."""
    daemon.clock.wall += 48 * HOUR
    receiver.answers = [500]
    service = await daemon.start(table(receiver))
    await daemon.do(ends(1, "accepted"))
    async with asyncio.timeout(10):
        while service.status()[0]["error"] is None:
            await asyncio.sleep(0)
    daemon.clock.wall -= 24 * HOUR
    await receiver.until(lambda: len(receiver.told) == 1)


@pytest.mark.parametrize("reload", [True, False])
async def test_a_target_that_is_gone_is_asked_once_until_a_reload_or_a_start(daemon: Daemon, receiver: Receiver, reload: bool) -> None:
    """410: it wants to hear no more, and what it was not told waits for as long as `keep`."""
    receiver.answers = [410, 410]
    service = await daemon.start(table(receiver))
    await daemon.do(ends(1, "accepted"))
    await receiver.until(lambda: len(receiver.refused) == 1)
    for number in (2, 3):
        daemon.clock.wall += HOUR
        await daemon.do(ends(number, "accepted"))
        await until(lambda number=number: service.status()[0]["waiting"] == number)  # type: ignore[misc]
    assert len(receiver.refused) == 1
    [status] = service.status()
    assert (status["error"], status["again_at"], status["lost"]) == ("answered 410: asked no more until a reload", None, 0)
    assert [event for event, _ in daemon.log.events].count("notice_target_gone") == 1
    for asked in (2, 3):
        if reload:
            service.poke()
        else:
            await daemon.stop()
            service = await daemon.start(table(receiver))
        await receiver.until(lambda asked=asked: len(receiver.refused) + len(receiver.told) >= asked)  # type: ignore[misc]
    await receiver.until(lambda: len(receiver.told) == 3)
    assert [each.body["data"]["recipient"] for each in receiver.told] == ["p-1", "p-2", "p-3"]
    receiver.answers = [410]
    await daemon.do(ends(4, "accepted"))
    await receiver.until(lambda: len(receiver.refused) == 3)
    daemon.clock.wall += 4 * DAY
    await until(lambda: service.status()[0]["lost"] == 1)


async def test_whoever_refuses_us_and_not_the_notice_is_asked_again(daemon: Daemon, receiver: Receiver) -> None:
    """A key that was mistyped, an address that is being set up: nothing is passed over for that, however often it says so."""
    receiver.answers = [404, 401, 403, 404, 401, 403, 404, 429]
    service = await daemon.start(table(receiver))
    await daemon.do(ends(1, "accepted"))
    async with asyncio.timeout(10):
        while not receiver.told:
            daemon.clock.wall += HOUR
            await asyncio.sleep(0.01)
    assert (len(receiver.refused), service.status()[0]["lost"]) == (8, 0)
    receiver.answers = [418] * 5
    await daemon.do(ends(2, "accepted"), ends(3, "accepted"))
    async with asyncio.timeout(10):
        while len(receiver.told) < 2:
            daemon.clock.wall += HOUR
            await asyncio.sleep(0.01)
    assert (receiver.told[-1].body["data"]["recipient"], service.status()[0]["lost"]) == ("p-3", 1)


async def test_a_dead_target_holds_up_no_other_and_loses_what_is_too_old(daemon: Daemon, receiver: Receiver) -> None:
    """One never answers, and a port where nobody listens: the third is told at once. After `keep` the dead one's wait is over."""
    stuck = await Receiver().start()
    stuck.gate.clear()
    dead = NotifyTable(url="http://127.0.0.1:9/hook", secret=SECRET, keep="2h")
    try:
        service = await daemon.start(table(stuck), dead, table(receiver))
        await daemon.do(ends(1, "accepted"), ends(2, "accepted"))
        await receiver.until(lambda: len(receiver.told) == 2)
        by = {each["target"].partition("#")[0]: each for each in service.status()}
        assert (by["127.0.0.1:9"]["told"], by["127.0.0.1:9"]["lost"]) == (0, 0)
        daemon.clock.wall += 3 * HOUR
        async with asyncio.timeout(10):
            while next(each for each in service.status() if each["target"].startswith("127.0.0.1:9#"))["lost"] < 2:
                await asyncio.sleep(0.01)
        assert stuck.told == []
        await daemon.stop()
    finally:
        await stuck.stop()


async def test_what_all_were_told_is_removed_and_no_number_comes_twice(daemon: Daemon, receiver: Receiver) -> None:
    await daemon.start(table(receiver))
    await daemon.do(*(ends(n, "accepted") for n in range(1, 6)))
    await receiver.until(lambda: len(receiver.told) == 5)
    await daemon.stop()
    assert await daemon.store.write(Lane.BULK, prune_notices) is False
    assert await daemon.ask("SELECT id FROM notice") == [(5,)]
    await daemon.do("UPDATE delivery SET state = 'in_doubt' WHERE id = 1")
    assert await daemon.ask("SELECT id FROM notice ORDER BY id") == [(5,), (6,)]
    await daemon.store.write(Lane.BULK, prune_notices)
    assert await daemon.ask("SELECT id FROM notice ORDER BY id") == [(5,), (6,)] or await daemon.ask("SELECT id FROM notice") == [(6,)]


async def test_without_targets_nothing_is_made(daemon: Daemon) -> None:
    await daemon.start()
    await daemon.do(*EACH)
    assert await daemon.ask("SELECT count(*) FROM notice") == [(0,)]
    assert await daemon.store.read(watched) is False
    assert notices.triggers(()) == {}
