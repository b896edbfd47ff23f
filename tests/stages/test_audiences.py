"""Retargeting audiences from walks to platforms: the platforms hold exactly who should be in, whatever goes wrong in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.journey.profile import Shop
from daemon.model.audience import AudienceRule
from daemon.model.delivery import DAY, MINUTE
from daemon.store import schema as s
from daemon.store.audience_batches import waiting_members
from daemon.store.audience_marks import forget_members, stale_members
from daemon.store.audiences import leave_audiences
from daemon.store.event_row import EventRow
from daemon.store.events import take_events
from daemon.store.recipients import person_id
from daemon.store.suppressions import SuppressionEntry, add_suppressions
from daemon.store.unsubscribe import withdraw
from daemon.store.writer import Lane
from tests.stages.audience_world import AudienceWorld, audience_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AudienceWorld]:
    async with audience_world(tmp_path) as it:
        yield it


async def test_who_walks_is_in_and_who_ended_long_ago_is_out(world: AudienceWorld) -> None:
    """Open walks, and those that ended less than the stay ago; by tier an audience each, at each platform."""
    now = world.clock.instant()
    await world.walk(range(20))
    await world.walk(range(20, 30), state="accepted", ended=now - 29 * DAY)
    await world.walk(range(30, 40), state="accepted", ended=now - 31 * DAY)
    await world.walk(range(40, 50), state="dropped", ended=now)
    await world.round()
    for network in ("meta", "google"):
        assert world.ads.names(network) == ["winback-high", "winback-low"]
        assert world.there(network) == world.emails(network, range(30))
    asked = {network: len(world.ads.log(network)) for network in ("meta", "google")}
    await world.round(times=3)
    assert [entry["act"] for entry in world.ads.log("meta")[asked["meta"] :]] == []  # nothing differs, nothing travels
    world.pass_time(2 * 86_400)
    await world.round()
    assert world.there("meta") == world.emails("meta", range(20))


async def test_the_tier_of_buyers_is_that_of_their_orders(world: AudienceWorld) -> None:
    """By `[shop]`, whatever a trait says; who never bought is named by the trait."""
    await world.walk(range(4))
    await world.sql(
        "INSERT INTO profile (person, orders, value, last_order_at) SELECT id, 4, 600000000, :at FROM recipient WHERE key IN ('c-0', 'c-1')",
        at=world.clock.instant() - 400 * DAY,
    )
    await world.sql("UPDATE recipient SET traits = '{\"tier\": \"gold\"}' WHERE key IN ('c-0', 'c-2')")
    await world.round()
    assert set(world.ads.names("meta")) >= {"winback-high", "winback-gold"}


@pytest.mark.parametrize("how", ["unsubscribe", "suppression", "erase", "purchase", "campaign"])
async def test_who_may_not_stay_is_out_within_five_minutes(world: AudienceWorld, how: str) -> None:
    """Unsubscribe, suppression list, erasure (the address is gone by then), purchase: at most a round later the platform is told."""
    await world.walk(range(12))
    await world.round()
    person, began = person_id("c-5"), world.clock.instant()
    if how == "unsubscribe":  # what `store.unsubscribe` writes
        await world.sql("INSERT INTO consent (person, channel, topic, state, at) VALUES (:p, 'email', '*', 'withdrawn', 1)", p=person)
        await world.sql("UPDATE recipient SET guard = guard + 1 WHERE id = :p", p=person)
    elif how == "suppression":
        entry = SuppressionEntry(hash=b"h5", channel="*", scope="all", reason="complained", at=1, source=None)
        await world.store.write(Lane.EXIT, add_suppressions, [entry])
    elif how == "erase":
        await world.sql("UPDATE recipient SET erased = 1, email = NULL, phone = NULL, email_hash = NULL WHERE id = :p", p=person)
    elif how == "purchase":
        await world.store.write(Lane.EXIT, leave_audiences, [person], "converted", began)
        await world.sql("UPDATE delivery SET state = 'dropped' WHERE person = :p", p=person)
    else:
        await world.sql("UPDATE delivery SET state = 'cancelled' WHERE person = :p", p=person)
    await world.round()
    for network in ("meta", "google"):
        assert world.there(network) == world.emails(network, [n for n in range(12) if n != 5])
    assert world.clock.instant() - began < 5 * MINUTE
    [(reason,)] = await world.sql("SELECT DISTINCT reason FROM audience_member WHERE person = :p", p=person)
    assert reason == {"unsubscribe": "no_consent", "suppression": "complained", "erase": "erased", "purchase": "converted", "campaign": "exited"}[how]


@pytest.mark.parametrize("state", ["due", "accepted"])
async def test_who_has_bought_is_out_and_stays_out(world: AudienceWorld, state: str) -> None:
    """An order since the job came, by the shop's events alone, while messages wait or after they went; an order of before says nothing."""
    now = world.clock.instant()
    await world.store.write(Lane.BULK, lambda conn: conn.execute(s.job.insert().values(
        id=1, key="j", queue="q", campaign=1, version=1, digest="d", state="accepted", source="http", received_at=now - DAY, head="", format="json", body="b", priority=50,
    )))  # fmt: skip
    await world.walk(range(6), state=state, ended=now if state == "accepted" else None)
    await world.sql("INSERT INTO profile (person, last_order_at) VALUES (:p, :at)", p=person_id("c-1"), at=now - 2 * DAY)
    await world.round()
    assert world.there("meta") == world.emails("meta", range(6))
    order = EventRow(person=person_id("c-2"), key="c-2", name="Order Completed", id=1, at=world.clock.instant(), properties='{"value":1}')
    await world.store.write(Lane.EVENTS, take_events, [order], Shop(currency="USD"), world.clock.instant())
    await world.round(times=3)
    assert world.there("meta") == world.emails("meta", [0, 1, 3, 4, 5])


async def test_a_changed_address_is_taken_out_and_the_new_one_put_in(world: AudienceWorld) -> None:
    """By the handle that was kept, since nobody knows the old address any more."""
    await world.walk(range(4))
    await world.round()
    await world.sql("UPDATE recipient SET email = 'c.900@example.com', phone = NULL, email_hash = x'0909', guard = guard + 1 WHERE id = :p", p=person_id("c-2"))
    await world.round(times=2)
    assert world.there("meta") == world.emails("meta", [0, 1, 3, 900])
    assert world.there("google") == world.emails("google", [0, 1, 3, 900])


async def test_a_batch_that_was_cut_off_goes_again_as_the_same(world: AudienceWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash after the platform took it and before we knew: same series, same place, same members."""
    await world.walk(range(600))
    await world.desired.compare()
    exchange = world.exchanges["meta"]

    async def crash(*_: object) -> bool:
        raise KeyError("power cut")

    monkeypatch.setattr(exchange, "_record", crash)
    with pytest.raises(KeyError):
        await exchange.work()
    monkeypatch.undo()
    await exchange.work()
    sent = [(entry["session"], entry["seq"], entry["rows"]) for entry in world.ads.log("meta") if entry["act"] == "add"]
    assert sent[0] == sent[1]
    assert world.there("meta") == world.emails("meta", range(600))


@pytest.mark.promise("P6")
@pytest.mark.parametrize("when", ["being read", "aboard"])
async def test_who_leaves_while_a_batch_is_made_is_not_sent(world: AudienceWorld, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Read as waiting and gone before boarding, or gone once aboard: the platform does not learn of them, whoever else travels."""
    await world.walk(range(6))
    await world.desired.compare()
    exchange, person = world.exchanges["meta"], person_id("c-2")
    left: list[int] = []

    def leaves(conn: Any) -> None:
        left.append(leave_audiences(conn, [person], "converted", world.clock.instant()))

    begun, sent = world.store.read, exchange._send

    async def read(act: Any, *args: Any, **named: Any) -> Any:
        found = await begun(act, *args, **named)
        if act is waiting_members and any(rider.person == person for rider in found) and not left:
            await world.store.write(Lane.EXIT, leaves)
        return found

    async def send(batch: Any) -> bool:
        if batch.name == "winback-low" and not left:
            await world.store.write(Lane.EXIT, leaves)
        return await sent(batch)

    if when == "aboard":
        monkeypatch.setattr(exchange, "_send", send)
    else:
        monkeypatch.setattr(world.store, "read", read)
    await exchange.work()
    assert left and left[0] >= 1
    others = world.emails("meta", [0, 1, 3, 4, 5])
    assert world.there("meta") == others
    assert sum(entry["rows"] for entry in world.ads.log("meta") if entry["act"] == "add") == 5


@pytest.mark.promise("P6")
@pytest.mark.parametrize("how", ["withdrawn", "suppressed"])
@pytest.mark.parametrize("when", ["waits", "aboard"])
async def test_who_unsubscribes_before_a_batch_goes_is_not_in_it(world: AudienceWorld, monkeypatch: pytest.MonkeyPatch, how: str, when: str) -> None:
    """The watch comes round once a minute; whoever is still to be added then must not be added meanwhile."""
    await world.walk(range(6))
    await world.desired.compare()
    exchange, person, sent = world.exchanges["meta"], person_id("c-2"), world.exchanges["meta"]._send

    async def says_no() -> None:
        if how == "withdrawn":
            await world.store.write(Lane.EXIT, withdraw, person, "sms", None, source="stop:sms", now=world.clock.instant())
        else:
            entry = SuppressionEntry(hash=b"h2", channel="email", scope="all", reason="complained", at=1, source=None)
            await world.store.write(Lane.EXIT, add_suppressions, [entry])

    async def send(batch: Any) -> bool:
        await says_no()
        return await sent(batch)

    if when == "waits":
        await says_no()
    else:
        monkeypatch.setattr(exchange, "_send", send)
    await exchange.work()
    assert world.there("meta") == world.emails("meta", [0, 1, 3, 4, 5])
    await world.round()
    assert sum(entry["rows"] for entry in world.ads.log("meta") if entry["act"] == "add") == 5
    reasons = await world.sql("SELECT want, reason FROM audience_member JOIN audience ON id = audience WHERE person = :p AND provider = 'meta'", p=person)
    assert reasons == [(0, {"withdrawn": "no_consent", "suppressed": "complained"}[how])]


async def test_additions_that_are_put_off_hold_up_no_removal(world: AudienceWorld) -> None:
    """A batch of additions waits for its next try: who leaves meanwhile is out all the same."""
    await world.walk(range(0, 12, 2))
    await world.round()
    await world.walk(range(12, 24, 2))
    await world.desired.compare()
    exchange = world.exchanges["meta"]
    world.ads.fail("meta", "wait")  # this batch later
    await exchange.work()
    assert world.there("meta") == world.emails("meta", range(0, 12, 2))
    await world.store.write(Lane.EXIT, leave_audiences, [person_id("c-2")], "converted", world.clock.instant())
    await exchange.work()
    assert world.there("meta") == world.emails("meta", [0, 4, 6, 8, 10])
    await world.sql("UPDATE delivery SET state = 'dropped' WHERE person = :p", p=person_id("c-2"))
    await world.round(times=2)
    assert world.there("meta") == world.emails("meta", [n for n in range(0, 24, 2) if n != 2])


async def test_a_lost_series_begins_anew(world: AudienceWorld) -> None:
    """Expired, redo, wait: the batch arrives in the end."""
    await world.walk(range(10))
    world.ads.fail("meta", "expired", "redo", "wait", "transient", "500", "drop")
    await world.round(times=12)
    assert world.there("meta") == world.emails("meta", range(10))


async def test_one_platform_that_fails_costs_the_other_nothing(world: AudienceWorld) -> None:
    """A bulkhead: Meta refuses our token, Google goes on; a word of an operator starts Meta again."""
    await world.walk(range(10))
    world.ads.fail("meta", "operator")
    await world.round(times=2)
    assert world.there("google") == world.emails("google", range(10))
    assert world.there("meta") < world.emails("meta", range(10))
    assert world.exchanges["meta"].status()["state"] == "stopped"
    world.exchanges["meta"].again()
    await world.round()
    assert world.there("meta") == world.emails("meta", range(10))


async def test_results_that_come_later_are_asked_for_and_failures_end(tmp_path: Path) -> None:
    """Processing, then success; a failed batch is sent again, and given up after three."""
    async with audience_world(tmp_path, ["google"], answer_seconds=300) as world:
        await world.walk(range(0, 20, 2))
        await world.round()
        view = (await world.views())["google", "winback-low"]
        assert (view.acknowledged, view.unproved, view.batches) == (10, 10, {"sent": 1})
        await world.round(times=7)
        view = (await world.views())["google", "winback-low"]
        assert (view.acknowledged, view.unproved, view.batches, view.received) == (10, 0, {}, 10)
        world.ads.fail("google", "failed", "failed", "failed")
        await world.walk(range(1, 21, 2))
        await world.round(times=48)
        view = (await world.views())["google", "winback-high"]
        assert (view.acknowledged, view.refused) == (0, {"failed_by_platform": 10})
        assert view.failed == {"batch_failed": 30}
        asked = len(world.ads.log("google"))
        await world.round(times=5)
        assert len([e for e in world.ads.log("google")[asked:] if e["act"] == "add"]) == 0  # not for ever


@pytest.mark.slow
async def test_rows_that_google_names_are_recorded_with_their_reason_and_not_sent_again(tmp_path: Path) -> None:
    """The rest goes; the audience's status says who did not."""
    async with audience_world(tmp_path, ["google"]) as world:
        world.ads.fault = lambda _: "violations"
        await world.walk(range(9000))
        await world.round(times=3)
        views = await world.views()
        refused = sum(view.refused.get("invalid_format", 0) for view in views.values())
        assert refused == 9000 - len(world.emails("google", range(9000))) > 0
        adds = [e for e in world.ads.log("google") if e["act"] == "add"]
        assert sum(e["rows"] for e in adds) == 2 * 9000 - refused


async def test_an_audience_that_nobody_asks_for_any_more_empties(world: AudienceWorld) -> None:
    """The `[[audience]]` went from the campaign, or the campaign was archived; pausing keeps."""
    await world.walk(range(6))
    await world.round()
    await world.sql("UPDATE campaign SET status = 'paused'")
    await world.round()
    assert world.held("meta") == 6
    await world.sql("UPDATE campaign SET status = 'archived'")
    await world.round()
    assert (world.held("meta"), world.held("google")) == (0, 0)


async def test_a_name_that_changes_moves_its_people(world: AudienceWorld) -> None:
    """Out of the audience of the old name, into that of the new."""
    await world.walk(range(6))
    await world.round()
    rule = AudienceRule(providers=("meta",), name="all-{{ country }}")
    world.desired.configure(world.intent(replace(world.campaign, audiences=(rule,))))
    await world.round()
    assert {name: len(world.ads.members("meta", name)) for name in world.ads.names("meta")} == {"winback-high": 0, "winback-low": 0, "all-ID": 6}
    assert world.held("google") == 0


async def test_without_consent_nobody_goes_in(world: AudienceWorld) -> None:
    """[consent] audience is explicit unless the operator says otherwise; a recorded consent goes along."""
    await world.walk(range(6))
    await world.sql("INSERT INTO consent (person, channel, topic, state, at) VALUES (:p, 'audience', '*', 'granted', 1)", p=person_id("c-4"))
    world.desired.configure(replace(world.intent(), consent="explicit"))
    await world.round()
    assert world.there("meta") == world.emails("meta", [4])


async def test_sizes_show_drift(world: AudienceWorld) -> None:
    """The platform lost some: its own count says so."""
    await world.walk(range(0, 40, 2))
    await world.round()
    assert world.held("google") == 20
    audience = next(each for each in world.ads._ledgers["google"].audiences.values())
    for row in list(audience.members())[:5]:
        for key in filter(None, row):
            audience.rows.pop(key, None)
    await world.exchanges["google"].measure(now_please=True)
    from daemon.dispatch.sync import view_json

    shown = view_json((await world.views())["google", "winback-low"])
    assert shown["platform"]["drift"] == -5


@pytest.mark.parametrize(("hold", "removed"), [("kill_switch", True), ("clock_untrusted", True), ("restored", False)])
async def test_while_sending_is_held_nobody_is_added(world: AudienceWorld, hold: str, removed: bool) -> None:
    """The kill switch stops additions and lets people out; a store that may be a copy asks nothing of a platform at all."""
    await world.walk(range(6))
    await world.round()
    holds = {hold: "told to"}
    for exchange in world.exchanges.values():
        exchange._holds = lambda: holds
    await world.walk(range(6, 12))
    await world.store.write(Lane.EXIT, leave_audiences, [person_id("c-1")], "converted", world.clock.instant())
    await world.sql("UPDATE delivery SET state = 'dropped' WHERE person = :p", p=person_id("c-1"))
    await world.round(times=2)
    held = [0, 2, 3, 4, 5] if removed else range(6)
    assert world.there("meta") == world.emails("meta", held)
    holds.clear()
    await world.round(times=2)
    assert world.there("meta") == world.emails("meta", [n for n in range(12) if n != 1])


async def test_nothing_is_left_of_whoever_is_out(world: AudienceWorld) -> None:
    """The hashes that were sent go with the removal's acknowledgement, the row when no cap counts its days any more."""
    await world.walk(range(4))
    await world.round()
    await world.sql("UPDATE recipient SET erased = 1, email = NULL, email_hash = NULL WHERE id = :p", p=person_id("c-2"))
    await world.round(times=3)
    rows = await world.sql("SELECT handle FROM audience_member WHERE person = :p", p=person_id("c-2"))
    assert rows == [(None,), (None,)]
    before = world.clock.instant()
    assert await world.store.read(stale_members, before - DAY, 10) == []
    stale = await world.store.read(stale_members, before, 10)
    assert {person for _, person in stale} == {person_id("c-2")}
    assert await world.store.write(Lane.BULK, forget_members, stale) == 2


@pytest.mark.promise("P6")
async def test_people_get_out_of_an_audience_that_is_blocked(world: AudienceWorld) -> None:
    """The platform refuses additions: who leaves is out within a round, who was aboard of the refused batch too; nobody is added."""
    await world.walk(range(0, 12, 2))
    await world.round()
    exchange = world.exchanges["meta"]
    world.ads.fail("meta", "drop", "blocked")  # taken without an answer, then refused: those aboard may be there
    await world.walk(range(12, 24, 2))
    await world.round(times=2)
    assert (await world.views())["meta", "winback-low"].blocked is not None
    gone = [2, 14]
    for n in gone:
        await world.store.write(Lane.EXIT, leave_audiences, [person_id(f"c-{n}")], "converted", world.clock.instant())
        await world.sql("UPDATE delivery SET state = 'dropped' WHERE person = :p", p=person_id(f"c-{n}"))
    await world.walk(range(24, 30, 2))
    await world.round()
    assert world.there("meta") == world.emails("meta", [n for n in range(0, 24, 2) if n not in gone])
    acts = len(world.ads.log("meta"))
    await world.round(times=3)
    assert len(world.ads.log("meta")) == acts
    await world.sql("UPDATE audience SET blocked = NULL")
    exchange.again()
    await world.round(times=2)
    assert world.there("meta") == world.emails("meta", [n for n in range(0, 30, 2) if n not in gone])


async def test_a_removal_that_is_refused_goes_again_by_itself_and_is_told_once(world: AudienceWorld) -> None:
    """At most a quarter of an hour apart, for as long as it takes, without a word of an operator."""
    await world.walk(range(0, 12, 2))
    await world.round()
    exchange, told = world.exchanges["meta"], []
    error = exchange._log.error
    exchange._log = SimpleNamespace(**{name: getattr(exchange._log, name) for name in ("info", "warning")}, error=lambda event, **named: (told.append(event), error(event, **named)))
    await world.store.write(Lane.EXIT, leave_audiences, [person_id("c-2")], "converted", world.clock.instant())
    await world.sql("UPDATE delivery SET state = 'dropped' WHERE person = :p", p=person_id("c-2"))
    world.ads.fail("meta", *["blocked"] * 3)
    await world.round(times=62)
    assert world.there("meta") == world.emails("meta", [0, 4, 6, 8, 10])
    assert told == ["audience_blocked", "audience_removals_refused"]
    assert [e["act"] for e in world.ads.log("meta")].count("remove") == 4


@pytest.mark.parametrize("fails", ["add", "remove"])
async def test_a_failed_batch_of_additions_delays_no_removal(tmp_path: Path, fails: str) -> None:
    """Google failed what it had taken: additions wait ten minutes; removals do not wait for them, and only a minute for themselves."""
    async with audience_world(tmp_path, ["google"]) as world:
        await world.walk(range(0, 12, 2))
        await world.round(times=3)
        world.ads.fail("google", "failed")
        if fails == "add":
            await world.walk(range(12, 24, 2))
            await world.round(times=2)
            assert (await world.views())["google", "winback-low"].failed == {"batch_failed": 6}
        await world.store.write(Lane.EXIT, leave_audiences, [person_id("c-2")], "converted", world.clock.instant())
        await world.sql("UPDATE delivery SET state = 'dropped' WHERE person = :p", p=person_id("c-2"))
        await world.round(times=2 if fails == "add" else 5)
        assert world.there("google") == world.emails("google", [0, 4, 6, 8, 10])


@pytest.mark.parametrize("kind", ["add", "remove"])
async def test_a_result_that_never_comes_is_not_waited_for_for_ever(tmp_path: Path, kind: str) -> None:
    """Two days of "processing": additions stand as taken, removals go again; while the platform cannot be asked nothing is ended."""
    async with audience_world(tmp_path, ["google"], answer_seconds=60 * 86_400 if kind == "add" else 0) as world:
        await world.walk(range(0, 6, 2))
        await world.round(times=3)
        if kind == "remove":
            world.ads.answer_seconds = 60 * 86_400
            await world.store.write(Lane.EXIT, leave_audiences, [person_id("c-2")], "converted", world.clock.instant())
            await world.sql("UPDATE delivery SET state = 'dropped' WHERE person = :p", p=person_id("c-2"))
            await world.round(times=3)
        assert (await world.views())["google", "winback-low"].batches == {"sent": 1}
        world.pass_time(47 * 3600)
        await world.round()
        assert (await world.views())["google", "winback-low"].batches == {"sent": 1}
        world.pass_time(2 * 3600)
        poll = world.exchanges["google"].channel.poll  # type: ignore[attr-defined]

        async def fails(_: object) -> object:
            raise OSError("no route")

        world.exchanges["google"].channel.poll = fails  # type: ignore[attr-defined]
        await world.round()
        assert (await world.views())["google", "winback-low"].batches == {"sent": 1}
        world.exchanges["google"].channel.poll = poll  # type: ignore[attr-defined]
        world.pass_time(1800)
        await world.round()
        requests = [entry["act"] for entry in world.ads.log("google")]
        await world.sql("UPDATE audience SET removals_at = 0")
        await world.round(times=2)
        view = (await world.views())["google", "winback-low"]
        if kind == "add":
            assert (view.acknowledged, view.unproved, view.batches) == (3, 0, {})
            assert [entry["act"] for entry in world.ads.log("google")] == requests
        else:
            assert requests.count("remove") + [entry["act"] for entry in world.ads.log("google")][len(requests):].count("remove") == 2


async def test_a_watch_that_fails_ends_the_service(world: AudienceWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes out whoever may not stay: without it they would stay, and nobody would know."""

    async def fails() -> int:
        raise RuntimeError("a row that nobody thought of")

    monkeypatch.setattr(world.desired, "watch", fails)
    ended = asyncio.Event()
    await world.desired.start()
    world.desired.when_ended(ended.set)
    async with asyncio.timeout(10):
        await ended.wait()
    assert isinstance(world.desired.failure, RuntimeError)
