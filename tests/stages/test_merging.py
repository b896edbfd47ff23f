"""Two recipients become one while campaigns go on: walks, triggers, ends, feedback and the audit, with the real stages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from daemon.config.notices import TYPES
from daemon.journey.profile import Shop
from daemon.model.campaign import Step
from daemon.model.delivery import HOUR, MINUTE
from daemon.model.journey import After, Enrol, Exit, Goal, Trigger
from daemon.store import audit as kept
from daemon.store import notices
from daemon.store.erase import erase_recipient
from daemon.store.feedback import Report, hear
from daemon.store.recipients import PlanRow, person_id
from daemon.store.settling import Settled, settle_walks
from daemon.store.tracking import Link, Message, take_messages
from daemon.store.unsubscribe import unsubscribe
from daemon.store.walking import ENDED, due_walks
from daemon.store.writer import Lane
from tests.stages.walk_world import DAY, ORDER, THREE, WalkWorld, campaign, person

STARTED, TICKET = "Checkout Started", "Support Ticket Opened"
WINBACK = campaign(enrol=Enrol(jobs=True), goal=Goal(event=ORDER), after=After(goal="welcome"))
WELCOME = campaign(
    "welcome", [Step(name="hello", channels=("email",), day=0)], enrol=Enrol(jobs=True, anchor="entered"), goal=Goal(event="Referred"),
)  # fmt: skip
CART = campaign(
    "cart", [Step(name="nudge", channels=("email",), delay=30 * MINUTE)],
    enrol=Enrol(trigger=Trigger(event=STARTED), anchor="event"), goal=Goal(event=ORDER), exit=Exit(events=(TICKET,)),
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


async def merge(world: WalkWorld, previous: str, survivor: str) -> None:
    row = PlanRow(person_id(survivor), 0, survivor, None, None, None, None, None, 0, None, None, None, None, None)
    message = Message(link=Link(previous, person_id(survivor), merges=True), trait=row)
    await world.inner.store.write(Lane.EVENTS, take_messages, [message], Shop(), world.inner.clock.wall)
    await world.inner.check()


async def known(world: WalkWorld, *names: str) -> None:
    """They have addresses."""
    await world.drop(*(person(name) for name in names), id="known", campaign="welcome")
    await world.go()
    world.sent.clear()


async def test_a_trigger_of_the_other_that_waits_brings_the_survivor(opening: Opening) -> None:
    """A basket of before the log-in is the customer's."""
    world = await opening(CART, WELCOME)
    await known(world, "c-1", "c-2")
    await world.happen(STARTED, "c-1")
    await merge(world, "c-1", "c-2")
    await world.go(HOUR)
    assert world.sent == [("c-2", "email")]


@pytest.mark.parametrize("event", [ORDER, TICKET])
async def test_what_the_survivor_did_since_undoes_a_trigger_of_the_other(opening: Opening, event: str) -> None:
    """Taken in before it was known that they are one, and before the trigger was looked at."""
    world = await opening(CART, WELCOME)
    await known(world, "c-1", "c-2")
    await world.happen(STARTED, "c-1", ago=2 * MINUTE)
    await world.happen(event, "c-2", ago=MINUTE, revenue=5)
    await merge(world, "c-1", "c-2")
    await world.go(HOUR)
    assert world.sent == []


async def test_a_walk_that_was_merged_before_any_message_is_none(opening: Opening) -> None:
    """The survivor may begin the campaign; of whom something was sent to, he has been through it."""
    world = await opening(WINBACK, WELCOME)
    await world.lapsed(40, "c-1", "c-2")
    await world.drop(person("c-1"), campaign="winback")
    await world.go()
    await merge(world, "c-1", "c-2")
    await world.drop(person("c-2"), id="second", campaign="winback")
    await world.go(6 * DAY)
    assert await world.walks("c-2") == [("merged", None, "merged"), ("open", "reminder", None)]
    assert world.sent == [("c-2", "email")]
    await known(world, "c-3")
    await merge(world, "c-2", "c-3")
    assert (await world.walks("c-3"))[-1][0] == "merged"
    await world.drop(person("c-3"), id="fourth", campaign="winback")
    await world.go()
    assert [state for state, *_ in await world.walks("c-3")].count("open") == 0


async def test_an_order_of_the_survivor_converts_what_the_other_was_sent(opening: Opening) -> None:
    """Told before the merge or after it: the same end."""
    ends = []
    world = await opening(WINBACK, WELCOME)
    for number in (1, 3):
        other, survivor = f"c-{number}", f"c-{number + 1}"
        await world.lapsed(44, other)
        await world.drop(person(other), id=f"job-{number}", campaign="winback")
        await world.go(3 * DAY)
        if number == 1:
            await world.happen(ORDER, survivor, ago=DAY, revenue=5)
        await merge(world, other, survivor)
        if number == 3:
            await world.happen(ORDER, survivor, ago=DAY, revenue=5)
        await world.go()
        ends.append(await world.walks(survivor))
        assert [row[0] for row in await world.walks(survivor, "welcome")] == ["open"]
    assert ends == [[("converted", "reminder", ORDER)]] * 2


async def test_what_the_survivor_bought_ends_the_silence_of_the_other(opening: Opening) -> None:
    """Under another id he reacted to nothing, and would have been let go for good."""
    world = await opening(campaign(steps=[THREE[0]], after=After(finish="sunset"), exit=Exit(events=(ORDER,))), WELCOME)
    await known(world, "c-2")
    await world.lapsed(44, "c-1")
    await world.drop(person("c-1"), campaign="winback")
    await world.go(12 * DAY)
    assert await world.walks("c-1") == [("finished", "reminder", "sunset")]
    await world.happen(ORDER, "c-2", ago=9 * DAY, revenue=5)
    await merge(world, "c-1", "c-2")
    assert await world.inner.sql("SELECT count(*) FROM suppression") == [(0,)]


async def test_an_end_that_is_settled_while_its_person_is_merged_goes_on_with_the_survivor(opening: Opening) -> None:
    """What was read of it names one who is nobody by now."""
    world = await opening(WINBACK, WELCOME)
    await world.lapsed(44, "c-1")
    await world.drop(person("c-1"), campaign="winback")
    await world.go(DAY)
    await world.happen(ORDER, "c-1", revenue=5)
    store, now = world.inner.store, world.inner.clock.wall
    number = await world.one("SELECT id FROM campaign WHERE name = 'winback'")
    read = await store.read(due_walks, number, ENDED, now, 10)
    assert [walk.key for walk in read] == ["c-1"]
    await merge(world, "c-1", "c-2")
    assert await store.write(Lane.BULK, settle_walks, [Settled(walk, None) for walk in read], now) == []
    await world.go()
    assert [row[0] for row in await world.walks("c-2", "welcome")] == ["open"]
    assert await world.walks("c-1", "welcome") == []


async def test_two_walks_of_one_person_that_end_together_go_on_once(opening: Opening) -> None:
    """Each had one of his own, and both were converted by the time somebody said that they are one."""
    world = await opening(WINBACK, WELCOME)
    await world.lapsed(44, "c-1", "c-2")
    await world.drop(person("c-1"), person("c-2"), campaign="winback")
    await world.go(DAY)
    for name in ("c-1", "c-2"):
        await world.happen(ORDER, name, revenue=5)
    await merge(world, "c-1", "c-2")
    await world.go()
    assert [row[0] for row in await world.walks("c-2")] == ["converted"] * 2
    assert [row[0] for row in await world.walks("c-2", "welcome")] == ["open"]


async def test_explain_of_the_survivor_tells_what_became_of_the_others_walk(opening: Opening) -> None:
    """His own goes on: he is not said to be out of the campaign."""
    world = await opening(WINBACK, WELCOME)
    await world.lapsed(44, "c-1", "c-2")
    await world.drop(person("c-1"), person("c-2"), campaign="winback")
    await world.go(DAY)
    await merge(world, "c-1", "c-2")
    told = await world.explained("c-1")
    assert [(one["occurrence"], one["state"], one.get("reason")) for one in told["enrolments"]] == [(1, "open", None), (2, "merged", "merged")]
    assert told["not_enrolled"] == []


async def test_what_comes_back_to_a_mail_of_the_other_concerns_both_addresses(opening: Opening) -> None:
    """Whoever unsubscribes with a link from it means the address that it came to, too. That a mail did not arrive there says nothing of
    the survivor's address."""
    world = await opening(WELCOME)
    await world.drop(person("c-1", phone=False), person("c-2", phone=False), campaign="welcome")
    await world.go()
    hashes = dict(await world.inner.sql("SELECT key, email_hash FROM recipient"))
    delivery = await world.one("SELECT d.id FROM delivery d JOIN recipient r ON r.id = d.person WHERE r.key = 'c-1'")
    await merge(world, "c-1", "c-2")
    store, now = world.inner.store, world.inner.clock.wall + 1
    report = Report("relay", "email", "bounced", now, delivery=delivery)
    assert [one.how for one in await store.write(Lane.EXIT, hear, [report], channels=("email",), now=now)] == ["recorded"]
    assert await world.inner.sql("SELECT count(*) FROM suppression") == [(0,)]
    assert (done := await store.write(Lane.EXIT, unsubscribe, delivery, now=now, how="one_click")) is not None and done.changed
    assert {row[0] for row in await world.inner.sql("SELECT hash FROM suppression")} == set(hashes.values())
    report = Report("relay", "email", "complained", now, delivery=delivery)
    await store.write(Lane.EXIT, hear, [report], channels=("email",), now=now)
    assert {row[0] for row in await world.inner.sql("SELECT hash FROM suppression WHERE channel = '*'")} == set(hashes.values())


async def test_a_merge_is_told_as_no_erasure_and_an_erasure_once(opening: Opening) -> None:
    """The row that is nobody's any more is not an erased recipient; what its triggers said goes with the survivor."""
    world = await opening(CART, WELCOME)
    await known(world, "c-1", "c-2")
    store = world.inner.store
    await store.write(Lane.BULK, notices.watch, ["hook"], TYPES)
    await world.happen(STARTED, "c-1", value=150)
    await merge(world, "c-1", "c-2")
    told = "SELECT n.type, r.key FROM notice n JOIN recipient r ON r.id = n.person WHERE n.type <> 'recipient.exited' ORDER BY n.id"
    assert await world.inner.sql(told) == []
    await store.write(Lane.BULK, erase_recipient, "c-1", now=world.inner.clock.wall, source="test")
    assert await world.inner.sql(told) == [("recipient.erased", "c-2")]
    assert await world.inner.sql("SELECT count(*) FROM trigger_event") == [(0,)]


async def test_the_audit_is_told_whose_contacts_were_put_together(opening: Opening) -> None:
    """Each kept its cap before; together they are above it, and nobody broke a promise."""
    world = await opening(WELCOME)
    await known(world, "c-1", "c-2")
    await merge(world, "c-1", "c-2")
    deliveries = [row[0] for row in await world.inner.sql("SELECT id FROM delivery WHERE handed_over_at IS NOT NULL")]
    facts = await world.inner.store.read(kept.read_sent, deliveries, frozenset())
    assert facts.merged == {person_id("c-2"): world.inner.clock.wall}
    assert len(facts.touches[person_id("c-2")]) == len(deliveries) == 2

