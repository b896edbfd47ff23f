"""Segments are kept up to date: who enters and leaves, when, in which order, and what a crash or a reload leaves of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from daemon.audience import segmenting as stage
from daemon.audience.segment_desk import SegmentDesk
from daemon.audience.segmenting import Segmenting
from daemon.content.segment_file import read_segments
from daemon.errors import NotFoundError, UsageError
from daemon.journey.alive import History, Model, p_alive
from daemon.journey.events import event_id
from daemon.journey.logistic import Logistic
from daemon.journey.profile import Shop
from daemon.journey.signs import NAMES
from daemon.model.delivery import DAY, HOUR
from daemon.model.segment import Segments
from daemon.pacing.stride import Stride
from daemon.service import Signals
from daemon.store.churn import Forecast
from daemon.store.erase import erase_recipient
from daemon.store.event_row import EventRow
from daemon.store.events import take_events
from daemon.store.recipients import person_id
from daemon.store.segments import known_segments, members_after, open_run
from daemon.store.writer import Lane, Store
from tests.stages.intake_world import NOW, NoLog, SetClock

SHOP = Shop(zone="Asia/Jakarta")
FILE = """
[buyers]
where = "orders >= 1"
[lapsed]
where = "in_segment('buyers') and days_since_order >= 30"
exclude = ["subscribers"]
[subscribers]
where = "subscription_active"
every = "demand"
[rare]
where = "orders >= 3"
every = "demand"
"""


def read(text: str) -> Segments:
    segments, problems = read_segments(text, "segments.toml")
    assert not problems, problems
    return segments


@dataclass
class SegmentWorld:
    store: Store
    clock: SetClock = field(default_factory=SetClock)
    log: NoLog = field(default_factory=NoLog)
    signals: Signals = field(default_factory=Signals)
    changed: int = 0

    def service(self, text: str = FILE) -> Segmenting:
        def note() -> None:
            self.changed += 1

        return Segmenting(
            store=self.store, clock=self.clock, log=self.log, segments=read(text), shop=lambda: SHOP, zone=lambda: "Asia/Jakarta", changed=note,
            signals=self.signals,
        )  # fmt: skip

    async def event(self, key: str, name: str, at: int, message: str | None = None, **said: Any) -> None:
        row = EventRow(person_id(key), key, name, event_id(message or f"{key} {name} {at}"), at, json.dumps(said))
        await self.store.write(Lane.EVENTS, take_events, [row], SHOP, self.clock.wall)

    async def order(self, key: str, days: float) -> None:
        await self.event(key, "Order Completed", self.clock.wall - round(days * DAY), revenue=10)

    async def members(self, segment: str) -> set[str]:
        return {key for _, key in await self.store.read(members_after, segment, -1, 1000)}

    async def moves(self) -> list[tuple[str, str, str, int]]:
        """(event, segment, recipient, at)"""
        rows = await self.store.read(
            lambda conn: conn.exec_driver_sql(
                "SELECT n.name, e.properties, r.key, e.at FROM event e JOIN event_name n ON n.id = e.name JOIN recipient r ON r.id = e.person"
                " WHERE n.name LIKE 'Segment%' ORDER BY e.at, n.name, r.key, e.properties"
            ).fetchall()
        )
        return [(name, json.loads(said)["segment"], key, at) for name, said, key, at in rows]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SegmentWorld]:
    store = Store.open(tmp_path / "homing.db")
    yield SegmentWorld(store)
    await store.close()


async def test_members_follow_their_conditions_in_the_order_of_references(world: SegmentWorld) -> None:
    """What refers to others sees them as of the same evaluation; exclusions on demand are evaluated with it."""
    await world.order("c-1", 40)
    await world.order("c-2", 10)
    await world.order("c-3", 50)
    await world.event("c-3", "Subscription Started", NOW - DAY)
    service = world.service()
    assert await service.evaluate(["lapsed"]) == {"buyers": 3, "subscribers": 1, "lapsed": 1}
    assert await world.members("lapsed") == {"c-1"}
    assert await world.members("subscribers") == {"c-3"}
    assert world.changed == 1


async def test_first_members_are_no_event_and_later_ones_are(world: SegmentWorld) -> None:
    """Who was in before anybody looked does not enter; who enters or leaves later has one event of it, at the evaluation's instant."""
    await world.order("c-1", 40)
    service = world.service()
    await service.evaluate([])
    assert await world.moves() == []
    world.clock.wall += DAY
    await world.order("c-2", 29.5)
    await service.evaluate([])
    at = world.clock.wall
    assert await world.moves() == [("Segment Entered", "buyers", "c-2", at)]
    world.clock.wall += DAY
    await world.order("c-1", 0)
    await service.evaluate([])
    assert await world.moves() == [
        ("Segment Entered", "buyers", "c-2", at), ("Segment Entered", "lapsed", "c-2", at + DAY), ("Segment Left", "lapsed", "c-1", at + DAY),
    ]  # fmt: skip
    await service.evaluate([])
    assert len(await world.moves()) == 3, "nothing changed, so nobody moved"
    counts = {name: row.members for name, row in (await world.store.read(known_segments)).items()}
    assert counts == {"buyers": 2, "lapsed": 1, "subscribers": 0, "rare": 0}


async def test_moves_are_no_sign_of_life(world: SegmentWorld) -> None:
    """An evaluation of ours does not make somebody seen."""
    await world.order("c-1", 40)
    service = world.service()
    await service.evaluate([])
    before = await world.store.read(lambda conn: conn.exec_driver_sql("SELECT last_seen_at FROM profile").scalar())
    world.clock.wall += DAY
    await world.event("c-1", "Subscription Started", NOW - 41 * DAY)
    await service.evaluate([])
    assert [move[:2] for move in await world.moves()] == [("Segment Entered", "subscribers"), ("Segment Left", "lapsed")]
    assert await world.store.read(lambda conn: conn.exec_driver_sql("SELECT last_seen_at FROM profile").scalar()) == before


async def test_pages_cover_everybody_and_the_end(world: SegmentWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of people, whether or not the last page is full."""
    for number in range(12):
        await world.order(f"c-{number}", 40)
    for page in (1, 3, 4, 12, 13):
        monkeypatch.setattr(stage, "PAGE", page)
        assert (await world.service(FILE.replace("orders >= 1", f"orders >= 1 and {page} + orders > 0")).evaluate(["buyers"]))["buyers"] == 12


async def test_a_broken_off_evaluation_goes_on_where_it_was(world: SegmentWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between two pages: the next start goes on behind the cursor, as of the same instant, and nobody moves twice."""
    monkeypatch.setattr(stage, "PAGE", 5)
    service = world.service()
    await service.evaluate([])
    await world.signals.wait("segments_evaluated")
    for number in range(20):
        await world.order(f"c-{number}", 40)
    world.clock.wall += DAY
    real, pages = world.store.read, 0

    async def dies(act: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal pages
        if act is stage.compare_page and (pages := pages + 1) > 2:
            raise RuntimeError("killed")
        return await real(act, *args, **kwargs)

    monkeypatch.setattr(world.store, "read", dies)
    with pytest.raises(RuntimeError):
        await service.evaluate(["buyers"])
    monkeypatch.setattr(world.store, "read", real)
    run = await world.store.read(open_run)
    assert run is not None
    assert run.reached > 0
    assert len(await world.members("buyers")) == 10
    began = world.clock.wall
    world.clock.wall += HOUR
    again = world.service()
    await again.start()
    await world.signals.wait("segments_evaluated")
    await again.stop()
    assert len(await world.members("buyers")) == 20
    moves = [move for move in await world.moves() if move[1] == "buyers"]
    assert len(moves) == 20
    assert {at for *_, at in moves} == {began}
    left = await world.store.read(open_run)
    assert left is None or "buyers" not in left.digests, "what else was due has begun"


async def test_what_is_due_is_evaluated_by_itself(world: SegmentWorld) -> None:
    """New ones at the start, then each at its time in the zone; those on demand never; what a stop let pass is made up for."""
    await world.order("c-1", 29.9)
    service = world.service()
    await service.start()
    assert (await world.signals.wait("segments_evaluated"))["names"] == ("buyers", "subscribers", "lapsed")
    known = await world.store.read(known_segments)
    assert "rare" not in known
    assert await world.members("lapsed") == set()
    await service.stop()
    world.clock.wall = NOW + 18 * HOUR  # 05:40 in Jakarta
    service = world.service()
    await service.start()
    await asyncio.sleep(0)
    await service.stop()
    assert (await world.store.read(known_segments))["buyers"].evaluated_at == NOW, "it is not six yet"
    world.clock.wall = NOW + 20 * HOUR
    service = world.service()
    await service.start()
    await world.signals.wait("segments_evaluated")
    assert await world.members("lapsed") == {"c-1"}
    await service.stop()


async def test_a_changed_definition_is_evaluated_at_the_reload_and_a_missing_one_goes(world: SegmentWorld) -> None:
    """People move by the new definition; members of a segment that is no more defined are let go of; imported lists stay."""
    await world.order("c-1", 40)
    await world.order("c-2", 10)
    service = world.service()
    await service.start()
    await world.signals.wait("segments_evaluated")
    desk = SegmentDesk(store=world.store, clock=world.clock, segmenting=service, shop=lambda: SHOP, zone=lambda: "UTC")
    await desk.take("partners", ["c-1"], None, last=True, replace=False)
    world.clock.wall += 1
    service.configure(read('[buyers]\nwhere = "orders >= 1 and days_since_order < 30"\n'))
    await world.signals.wait("segments_evaluated")
    await service.stop()
    assert await world.members("buyers") == {"c-2"}
    assert [move[:3] for move in await world.moves()] == [("Segment Left", "buyers", "c-1")]
    assert set(await world.store.read(known_segments)) == {"buyers", "partners"}


async def test_while_the_clock_is_not_trusted_nobody_moves(world: SegmentWorld) -> None:
    """An hour that never was would send people in and out."""
    await world.order("c-1", 40)
    service = Segmenting(
        store=world.store, clock=world.clock, log=world.log, segments=read(FILE), shop=lambda: SHOP, zone=lambda: "UTC", trusted=lambda: False
    )  # fmt: skip
    assert await service._round() == 60.0
    assert await world.store.read(known_segments) == {}


async def test_erased_people_are_in_no_segment(world: SegmentWorld) -> None:
    """At once, and not counted; the next evaluation finds them nowhere, without a word."""
    await world.order("c-1", 40)
    service = world.service('[all]\nwhere = "orders >= 0"\n')
    assert await service.evaluate([]) == {"all": 1}
    await world.store.write(Lane.EXIT, erase_recipient, "c-1", now=world.clock.wall, source="test")
    assert (await world.store.read(known_segments))["all"].members == 0
    assert await world.members("all") == set()
    world.clock.wall += DAY
    assert await service.evaluate([]) == {"all": 0}
    assert await world.moves() == []


async def test_lists_are_imported_piece_by_piece(world: SegmentWorld) -> None:
    """Added to, or replaced: then who is in no piece leaves. Unknown ids are named. Later imports are events."""
    for key in ("c-1", "c-2", "c-3"):
        await world.order(key, 40)
    service = world.service(FILE + "[partners]\nimported = true\n[ours]\nwhere = \"in_segment('partners')\"\n")
    desk = SegmentDesk(store=world.store, clock=world.clock, segmenting=service, shop=lambda: SHOP, zone=lambda: "UTC")
    first = await desk.take("partners", ["c-1", "c-9"], None, last=False, replace=False)
    assert (first.kept, first.unknown) == (1, ["c-9"])
    await desk.take("partners", ["c-2"], first.since, last=True, replace=False)
    assert await world.members("partners") == {"c-1", "c-2"}
    assert await world.moves() == []
    assert (await service.evaluate(["ours"]))["ours"] == 2
    world.clock.wall += DAY
    second = await desk.take("partners", ["c-2", "c-3"], None, last=True, replace=True)
    assert (second.kept, second.known, second.left) == (1, 1, 1)
    assert await world.members("partners") == {"c-2", "c-3"}
    assert [move[:3] for move in await world.moves()] == [("Segment Entered", "partners", "c-3"), ("Segment Left", "partners", "c-1")]
    with pytest.raises(UsageError, match="has a condition"):
        await desk.take("buyers", ["c-1"], None, last=True, replace=False)


async def test_preview_counts_what_matches_now_and_changes_nothing(world: SegmentWorld) -> None:
    """References are spelled out, whatever was evaluated."""
    await world.order("c-1", 40)
    await world.order("c-2", 40)
    await world.event("c-2", "Subscription Started", NOW - DAY)
    service = world.service()
    desk = SegmentDesk(store=world.store, clock=world.clock, segmenting=service, shop=lambda: SHOP, zone=lambda: "UTC")
    found = await desk.preview("lapsed", 10)
    assert (found["matching"], found["members"], [row["recipient"] for row in found["sample"]]) == (1, None, ["c-1"])
    assert found["sample"][0]["band"] == "early"
    assert await world.store.read(known_segments) == {}
    with pytest.raises(NotFoundError, match='did you mean "lapsed"'):
        await desk.preview("lapsd", 1)
    with pytest.raises(NotFoundError, match='did you mean "lapsed"'):
        await service.evaluate(["lapsd"])
    assert [(row["segment"], row["every"]) for row in await desk.list()] == [("buyers", "06:00"), ("lapsed", "06:00"), ("subscribers", "demand"), ("rare", "demand")]


async def test_scores_follow_the_adopted_model(world: SegmentWorld) -> None:
    """Everybody is scored when a model is taken, and again before segments read the score."""
    for key, days in (("c-1", 200), ("c-2", 3), ("c-3", 30)):
        await world.order(key, days)
        await world.order(key, days + 10)
        await world.order(key, days + 20)
    service = world.service('[gone]\nwhere = "p_alive < 0.5"\n[here]\nwhere = "p_alive >= 0.5"\n')
    service._scoring = Stride(world.clock.monotonic, first=1, least=1, most=1)
    desk = SegmentDesk(store=world.store, clock=world.clock, segmenting=service, shop=lambda: SHOP, zone=lambda: "UTC")
    assert await service.evaluate([]) == {"gone": 0, "here": 0}
    times, following = await desk.order_times(-1, 2)
    assert [len(each) for each in times] == [3, 3]
    assert following is not None
    assert await desk.order_times(following, 2) != ([], None)
    model = Model(2.0, 20.0, 0.5, 3.0, 1)
    assert await desk.adopt(model, 100, None) == 3
    assert await service.evaluate([]) == {"gone": 1, "here": 2}
    world.clock.wall += 300 * DAY
    assert await service.evaluate([]) == {"gone": 3, "here": 0}
    known = dict(await world.store.read(lambda conn: conn.exec_driver_sql("SELECT r.key, p.p_alive FROM profile p JOIN recipient r ON r.id = p.person").fetchall()))
    expected = p_alive(model, History(2, 20.0, 20.0 + 500.0))
    assert known["c-1"] == pytest.approx(expected, abs=0.005)


async def test_forecasts_follow_the_signs(world: SegmentWorld) -> None:
    """By a model that only looks at visits: who came by yesterday stays, whose visits are old does not."""
    for key in ("c-1", "c-2"):
        await world.order(key, 100)
    await world.event("c-1", "Page Viewed", NOW - DAY)
    await world.event("c-2", "Page Viewed", NOW - 50 * DAY)
    service = world.service('[going]\nwhere = "churn_probability > 0.5"\n')
    desk = SegmentDesk(store=world.store, clock=world.clock, segmenting=service, shop=lambda: SHOP, zone=lambda: "UTC")
    weights = tuple(-3.0 if name == "visits_trend" else 0.0 for name in NAMES)
    forecast = Forecast(logistic=Logistic((0.0,) * len(NAMES), (1.0,) * len(NAMES), (0.0, *weights)), horizon_days=90)
    await desk.adopt(Model(2.0, 20.0, 0.5, 3.0, 1), 100, forecast)
    assert await service.evaluate([]) == {"going": 1}
    assert await world.members("going") == {"c-2"}
    world.clock.wall += 40 * DAY
    assert await service.evaluate([]) == {"going": 1}
    assert await world.members("going") == {"c-1"}, "now it is the other one who came by less: of c-2 nothing is known of these months"
    found, _ = await desk.signs(-1, 10, Model(2.0, 20.0, 0.5, 3.0, 1), 120)
    assert [came for _, came in found] == [False, False]


async def test_a_page_that_was_broken_off_is_looked_at_again(world: SegmentWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between two transactions of one page: the cursor stands before it, so nobody of it is left out."""
    text = '[buyers]\nwhere = "orders >= 1"\n'
    service = world.service(text)
    await service.evaluate([])
    for number in range(20):
        await world.order(f"c-{number}", 40)
    monkeypatch.setattr(stage, "PAGE", 15)
    service._moving = Stride(world.clock.monotonic, first=4, least=4, most=4)
    real, writes = world.store.write, 0

    async def dies(lane: Lane, act: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal writes
        if act.__name__ == "note_members" and (writes := writes + 1) > 2:
            raise RuntimeError("killed")
        return await real(lane, act, *args, **kwargs)

    monkeypatch.setattr(world.store, "write", dies)
    with pytest.raises(RuntimeError):
        await service.evaluate([])
    monkeypatch.setattr(world.store, "write", real)
    assert len(await world.members("buyers")) == 8
    await world.service(text)._round()
    assert len(await world.members("buyers")) == 20
    assert len(await world.moves()) == 20


async def test_entering_is_a_trigger(world: SegmentWorld) -> None:
    """A campaign that waits for it is told in the same transaction, of its own segment only."""
    await world.order("c-1", 29.5)
    service = world.service()
    await service.evaluate([])
    await world.store.write(
        Lane.BULK,
        lambda conn: [
            conn.exec_driver_sql("INSERT INTO campaign (id, name, status) VALUES (7, 'hello', 'active')"),
            conn.exec_driver_sql(
                "INSERT INTO campaign_event (event, kind, campaign, filter) VALUES ('Segment Entered', 'trigger', 7, 'segment = ''lapsed''')"
            ),
        ],
    )
    world.clock.wall += DAY
    await world.order("c-2", 10)
    await service.evaluate([])
    assert [move[:3] for move in await world.moves()] == [("Segment Entered", "lapsed", "c-1"), ("Segment Entered", "buyers", "c-2")]
    fired = await world.store.read(lambda conn: conn.exec_driver_sql("SELECT campaign, person, event, at FROM trigger_event").fetchall())
    assert [tuple(row) for row in fired] == [(7, person_id("c-1"), "Segment Entered", world.clock.wall)]
