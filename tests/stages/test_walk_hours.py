"""When steps fall due: preferred hours, a recipient's own, hours as arms; and who begins after a winner is known."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from daemon.content.version import CampaignVersion
from daemon.journey.arms import digest_of
from daemon.model.campaign import Step
from daemon.model.delivery import DAY, HOUR
from daemon.model.journey import Experiment, Variant
from daemon.store import schema as s
from daemon.store.experiments import Result, keep_results
from daemon.store.recipients import person_id
from daemon.store.sql import many
from daemon.store.writer import Lane
from tests.stages.walk_world import NOW, WalkWorld, campaign, person

ONE = (Step(name="first", channels=("email",), day=45, valid=10 * DAY), Step(name="last", channels=("email",), day=90))
"""NOW is a Sunday, 11:40 in Jakarta."""
TUESDAY = NOW - 2 * HOUR - 40 * 60_000_000 - 11_120_000 + 2 * DAY
Opening = Callable[..., Awaitable[WalkWorld]]


@pytest.fixture
async def opening(tmp_path: Path) -> AsyncIterator[Opening]:
    worlds: list[WalkWorld] = []

    async def make(version: CampaignVersion) -> WalkWorld:
        worlds.append(await WalkWorld.begin(tmp_path, version))
        return worlds[-1]

    yield make
    for world in worlds:
        await world.close()


async def due(world: WalkWorld, recipient: str = "c-1") -> list[int]:
    found = await world.inner.sql(
        "SELECT not_before FROM delivery JOIN recipient ON recipient.id = delivery.person WHERE recipient.key = :key ORDER BY delivery.id",
        key=recipient,
    )
    return [at for (at,) in found]


async def opened(world: WalkWorld, recipient: str, hours: list[int], *, human: int = 1) -> None:
    """It opened mails at these hours of the clock in Jakarta, a day apart."""
    midnight = TUESDAY - 9 * HOUR

    def write(conn: Connection) -> None:
        rows: list[tuple[Any, ...]] = [
            (person_id(recipient), 9000 + n, b"", "opened", "relay", "", human, "email", midnight - (n + 3) * DAY + hour * HOUR)
            for n, hour in enumerate(hours)
        ]
        many(conn, insert(s.feedback), ("person", "delivery", "hash", "kind", "provider", "event", "human", "channel", "at"), rows)

    await world.inner.store.write(Lane.BULK, write)


async def test_a_step_waits_for_the_preferred_morning(opening: Opening) -> None:
    """Sunday noon, the window is open: Tuesday at nine is better, within half an hour."""
    world = await opening(campaign(steps=ONE, prefer=("tue-thu 09:00-12:00",)))
    await world.lapsed(45)
    await world.drop(person())
    await world.walk()
    [at] = await due(world)
    assert TUESDAY <= at < TUESDAY + HOUR


async def test_who_has_an_hour_of_his_own_gets_it_then(opening: Opening) -> None:
    """Five opens around 19: Tuesday at 19. Who opened four times, or only by machines, gets the morning."""
    world = await opening(campaign(steps=ONE, prefer=("tue-thu 09:00-12:00", "own")))
    for recipient, hours, human in (("c-1", [19, 19, 18, 19, 20], 1), ("c-2", [19, 19, 19, 19], 1), ("c-3", [19] * 9, 0)):
        await world.lapsed(45, recipient)
        await opened(world, recipient, hours, human=human)
    await world.drop(*(person(f"c-{n}") for n in (1, 2, 3)))
    await world.walk()
    assert [(at - TUESDAY) // HOUR for n in (1, 2, 3) for at in await due(world, f"c-{n}")] == [10, 0, 0]


async def test_hours_are_arms(opening: Opening) -> None:
    """Mornings against evenings: each person's message falls due, and is let go, in its own arm's hours."""
    arms = (Variant(name="morning", share=0.5, hours=("mon-sun 09:00-10:00",)), Variant(name="evening", share=0.5, hours=("mon-sun 18:00-19:00",)))
    step = Step(name="first", channels=("email",), day=45, experiment=Experiment(variants=arms))
    world = await opening(campaign(steps=(step,)))
    people = [f"c-{n}" for n in range(1, 13)]
    await world.lapsed(45, *people)
    await world.drop(*map(person, people))
    await world.walk()
    seen = set()
    for recipient in people:
        [variant] = await world.inner.sql(
            "SELECT variant, json_extract(arms, '$.first') FROM delivery JOIN walk ON walk.id = delivery.walk"
            " JOIN recipient ON recipient.id = walk.person WHERE recipient.key = :key", key=recipient,
        )  # fmt: skip
        [at] = await due(world, recipient)
        hour = (at + 7 * HOUR) % DAY // HOUR
        assert variant[0] == variant[1] and hour == {"morning": 9, "evening": 18}[variant[0]]
        seen.add(hour)
    assert seen == {9, 18}
    await world.go(2 * DAY)
    assert len(world.sent) == 12


async def test_the_rest_waits_for_the_winner(opening: Opening) -> None:
    """A fifth tries; the others' messages wait, with that reason, and go with the winner's words as soon as it is known."""
    arms = (Variant(name="a", share=0.1), Variant(name="b", share=0.1))
    step = Step(name="first", channels=("email",), day=45, valid=30 * DAY, experiment=Experiment(variants=arms, waits=True))
    world = await opening(campaign(steps=(step,)))
    people = [f"c-{n}" for n in range(1, 31)]
    await world.lapsed(45, *people)
    await world.drop(*map(person, people))
    await world.go(2 * HOUR)
    tried = {recipient for recipient, _ in world.sent}
    assert 0 < len(tried) < 15
    waiting = next(one for one in people if one not in tried)
    [told] = await world.explain(waiting)
    assert (told["state"], told["reason"], told["checks"][-1]) == ("due", "variant_pending", ["variant", "defer"])
    assert (await due(world, waiting))[0] <= world.inner.clock.wall + DAY
    assert step.experiment is not None
    number = await world.one("SELECT id FROM campaign WHERE name = 'winback'")
    row = Result(number, "first", digest_of(step.experiment), "", "winner", "b", NOW, NOW, "{}")
    await world.inner.store.write(Lane.BULK, keep_results, [row])
    await world.go(2 * DAY)
    assert {recipient for recipient, _ in world.sent} == set(people)
    variants = dict(await world.inner.sql("SELECT recipient.key, delivery.variant FROM delivery JOIN recipient ON recipient.id = delivery.person"))
    assert {variants[one] for one in people if one not in tried} == {"b"} and {variants[one] for one in tried} == {"a", "b"}


async def test_whoever_begins_after_the_decision_gets_the_winner(opening: Opening) -> None:
    """Those who walk already keep their arms; a decision about other arms of the step means nothing."""
    arms = (Variant(name="a", share=0.5), Variant(name="b", share=0.5))
    step = Step(name="first", channels=("email",), day=45, experiment=Experiment(variants=arms))
    world = await opening(campaign(steps=(step,)))
    before, after = [f"c-{n}" for n in range(1, 11)], [f"c-{n}" for n in range(11, 21)]
    await world.lapsed(45, *before, *after)
    await world.drop(*map(person, before))
    number = await world.one("SELECT id FROM campaign WHERE name = 'winback'")
    assert step.experiment is not None
    for trial, winner in (("other", "a"), (digest_of(step.experiment), "b")):
        row = Result(number, "first", trial, "", "winner", winner, NOW, NOW, "{}")
        await world.inner.store.write(Lane.BULK, keep_results, [row])
    await world.drop(*map(person, after), id="k")
    found = dict(await world.inner.sql("SELECT recipient.key, walk.arms FROM walk JOIN recipient ON recipient.id = walk.person"))
    assert {json.loads(found[one])["first"] for one in after} == {"b"}
    assert {json.loads(found[one])["first"] for one in before} == {"a", "b"}
