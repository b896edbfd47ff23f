"""Walks where things come together: a trigger and what undoes it at once, an archive of many, people who are erased, an odd clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from daemon.audience.walking import WalkStage
from daemon.ids import SystemIds
from daemon.journey.events import event_id
from daemon.journey.profile import Shop
from daemon.model.campaign import CampaignStatus, Step
from daemon.model.delivery import DAY, MINUTE
from daemon.model.journey import After, Enrol, Exit, Goal, Trigger
from daemon.service import Signals
from daemon.store.erase import erase_recipient
from daemon.store.event_row import EventRow
from daemon.store.events import take_events
from daemon.store.move import FIRST, Cursor, move_some
from daemon.store.operate import set_campaign_status
from daemon.store.recipients import person_id
from daemon.store.writer import Lane
from tests.stages.walk_world import ORDER, THREE, WalkWorld, campaign, person

STARTED = "Checkout Started"
CART = campaign(
    "cart", [Step(name="nudge", channels=("email",), delay=30 * MINUTE)],
    enrol=Enrol(trigger=Trigger(event=STARTED), anchor="event"), goal=Goal(event=ORDER), exit=Exit(events=("Support Ticket Opened",)),
)  # fmt: skip
Opening = Callable[..., Coroutine[Any, Any, WalkWorld]]


@pytest.fixture
async def opening(tmp_path: Path) -> AsyncIterator[Opening]:
    worlds: list[WalkWorld] = []

    async def make(*versions: Any) -> WalkWorld:
        worlds.append(await WalkWorld.begin(tmp_path, *versions))
        return worlds[-1]

    yield make
    for world in worlds:
        await world.inner.close()


async def told(world: WalkWorld, *happened: tuple[str, int], recipient: str = "c-1") -> None:
    """(name, minutes ago) that come in one request."""
    wall = world.inner.clock.wall
    rows = [
        EventRow(person_id(recipient), recipient, name, event_id(f"{name} {ago} {wall}"), wall - ago * MINUTE, json.dumps({"value": 150}))
        for name, ago in happened
    ]
    await world.inner.store.write(Lane.EVENTS, take_events, rows, Shop(), wall)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("end", [ORDER, "Support Ticket Opened"])
async def test_what_undid_a_trigger_before_it_was_looked_at_counts(opening: Opening, end: str, order: tuple[int, ...]) -> None:
    """Both were told at once, as a shop's hourly export or a phone that was offline does."""
    world = await opening(CART)
    both = ((STARTED, 20), (end, 10))
    await told(world, *(both[place] for place in order))
    await world.go(DAY)
    assert await world.walks(name="cart") == []
    assert await world.one("SELECT count(*) FROM trigger_event") == 0


async def test_what_came_before_a_trigger_does_not_undo_it(opening: Opening) -> None:
    """Nor does what ends one basket end the next."""
    world = await opening(CART)
    await told(world, (ORDER, 30), (STARTED, 20))
    await told(world, (STARTED, 40), (ORDER, 30), (STARTED, 20), recipient="c-2")
    await world.walk()
    for recipient in ("c-1", "c-2"):
        assert await world.walks(recipient, "cart") == [("open", None, None)]


async def test_who_bought_since_the_evaluation_does_not_enter(opening: Opening) -> None:
    """The segment was evaluated in the morning; the campaign goes on at night."""
    world = await opening(campaign(enrol=Enrol(segment="lapsed", anchor="last_order_at"), exit=Exit(events=(ORDER,))))
    await world.lapsed(50, "c-1", "c-2")
    await world.put_in("lapsed", "c-1", "c-2")
    world.inner.clock.wall += 60 * MINUTE
    await world.happen(ORDER, "c-2")
    await world.walk()
    assert [state for state, _, _ in await world.walks("c-1")] == ["open"]
    assert await world.walks("c-2") == []


async def test_all_walks_of_an_archived_campaign_are_settled(opening: Opening) -> None:
    """However many there are: nothing of them is watched when their horizons are over."""
    world = await opening(campaign())
    people = [f"c-{number}" for number in range(130)]
    await world.lapsed(45, *people)
    await world.drop(*(person(each) for each in people), campaign="winback", id="job")
    await world.walk()
    for status in (CampaignStatus.PAUSED, CampaignStatus.ARCHIVED):
        await world.inner.store.write(Lane.EXIT, set_campaign_status, "winback", status, world.inner.clock.wall)
    await world.walk()
    assert await world.inner.sql("SELECT state, settled, count(*) FROM walk GROUP BY 1, 2") == [("exited", 1, 130)]
    world.inner.clock.wall += 40 * DAY
    await world.walk()
    assert await world.one("SELECT count(*) FROM walk WHERE watched = 1 OR next_at IS NOT NULL") == 0


async def test_the_words_of_a_trigger_go_with_its_person(opening: Opening) -> None:
    """Also of one that waits for a paused campaign."""
    world = await opening(CART)
    await world.inner.store.write(Lane.EXIT, set_campaign_status, "cart", CampaignStatus.PAUSED, world.inner.clock.wall)
    await told(world, (STARTED, 0), recipient="c-1")
    await told(world, (STARTED, 0), recipient="c-2")
    await world.inner.store.write(Lane.EXIT, lambda conn: erase_recipient(conn, "c-1", now=world.inner.clock.wall, source="test"))
    assert await world.inner.sql("SELECT person FROM trigger_event") == [(person_id("c-2"),)]


async def test_a_clock_that_is_not_trusted_moves_no_walk(opening: Opening) -> None:
    """It jumped ahead by years: nobody is walked through to the end for it."""
    world = await opening(campaign())
    await world.lapsed(45)
    await world.drop(person("c-1"), campaign="winback", id="job")
    world.inner.clock.wall += 900 * DAY
    for trusted, after in ((False, [("open", None, None)]), (True, [("open", "reminder", None)])):
        signals = Signals()
        stage = WalkStage(
            store=world.inner.store, clock=world.inner.clock, ids=SystemIds(), log=world.inner.log, config=world.inner.config,
            rules=world.rules, standing=world.standing, shop=Shop, signals=signals, trusted=lambda trusted=trusted: trusted,
        )  # fmt: skip
        running = asyncio.create_task(stage.run())
        await signals.wait("idle")
        await stage.stop()
        await running
        assert await world.walks() == after


async def test_who_is_held_out_is_not_let_go_for_silence(opening: Opening) -> None:
    """He was sent nothing that he could have reacted to."""
    world = await opening(campaign(steps=[THREE[0]], after=After(finish="sunset"), holdout=1.0))
    await world.lapsed(45)
    await world.drop(person("c-1"), campaign="winback", id="job")
    await world.go(8 * DAY)
    assert await world.walks() == [("finished", "reminder", "completed")]
    assert await world.one("SELECT count(*) FROM suppression") == 0


async def test_a_campaign_that_is_brought_back_at_once_goes_on(opening: Opening) -> None:
    """While what waited of its old walks is still being cancelled."""
    back = campaign()
    world = await opening(back)
    await world.lapsed(45, "c-1", "c-2")
    await world.drop(person("c-1"), campaign="winback", id="one")
    await world.walk()
    for status in (CampaignStatus.PAUSED, CampaignStatus.ARCHIVED):
        await world.inner.store.write(Lane.EXIT, set_campaign_status, "winback", status, world.inner.clock.wall)
    await world.walk()
    assert (await world.inner.job("walks:winback")).receipt.state == "cancelled"
    await world.inner.do("UPDATE campaign SET status = 'active'")
    world.stage.configure(world.inner.config, world.rules)
    await world.walk()
    await world.drop(person("c-2"), campaign="winback", id="two")
    await world.go()
    assert await world.walks("c-1") == [("exited", "reminder", "archived")]
    assert await world.steps("c-2") == [("reminder", "accepted", None)]


async def test_walks_are_moved_a_stretch_a_transaction_and_each_once(opening: Opening) -> None:
    """Five people, two a transaction; who has ended stays with the version that he ended in."""
    world = await opening(campaign(exit=Exit(events=(ORDER,))))
    people = [f"c-{number}" for number in range(5)]
    await world.lapsed(45, *people)
    await world.drop(*(person(each) for each in people), campaign="winback", id="job")
    await world.happen(ORDER, "c-3")
    await world.load(campaign(steps=THREE[:2], exit=Exit(events=(ORDER,))))
    [(number, new)] = await world.inner.sql("SELECT id, version FROM campaign WHERE name = 'winback'")
    after: Cursor | None = FIRST
    taken = []
    while after is not None:
        done, after = await world.inner.store.write(
            Lane.BULK, move_some, number, new - 1, new, {step.name: step.name for step in THREE}, world.inner.clock.wall, after, 2
        )
        taken.append(done)
    assert (len(taken), sum(taken), max(taken)) == (3, 4, 2)
    assert await world.inner.sql("SELECT version, state, count(*) FROM walk GROUP BY 1, 2 ORDER BY 1") == [
        (new - 1, "exited", 1), (new, "open", 4)
    ]  # fmt: skip


@pytest.mark.parametrize(("again", "steps"), [(None, ["reminder"]), (30 * DAY, ["reminder", "reminder", "offer"])])
async def test_a_campaign_that_gets_a_second_step_knows_whom_it_has_written_to(
    opening: Opening, again: int | None, steps: list[str]
) -> None:  # fmt: skip
    """A message of the time when it had one only counts as a walk: `again` holds, and who walks again gets all of it."""
    reminder = Step(name="reminder", channels=("email",))
    world = await opening(campaign(steps=[reminder], again=again))
    await world.drop(person("c-1"), campaign="winback", id="one")
    await world.go(40 * DAY)
    await world.load(campaign(steps=[reminder, Step(name="offer", channels=("email",), delay=5 * DAY)], again=again))
    await world.drop(person("c-1"), campaign="winback", id="two")
    await world.go(10 * DAY)
    assert await world.steps() == [(step, "accepted", None) for step in steps]
