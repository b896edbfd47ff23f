"""Budgets of campaigns over people and days: what a campaign and each of its channels may cost is never exceeded, and who waits is told why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.content.version import CampaignVersion
from daemon.journey.worth import Budgets
from daemon.model.campaign import Step
from daemon.model.delivery import DAY
from daemon.model.journey import Enrol, Worth
from daemon.store.held import HeldWhere, release_some_held
from daemon.store.writer import Lane
from plugins.contract import Accepted, Deferred, Outcome, Rejected
from tests.stages.walk_world import WalkWorld, campaign, person

PEOPLE = [f"c-{number}" for number in range(1, 11)]
STEPS = (Step(name="mail", channels=("email",), day=0, valid=20 * DAY), Step(name="text", channels=("sms",), day=10, valid=20 * DAY))
COSTS = {"email": 0.01, "sms": 0.1}


def version(budget: float | None, *steps: Step) -> CampaignVersion:
    return campaign(
        steps=steps or STEPS, enrol=Enrol(jobs=True, anchor="entered"), value=Worth(budget=budget) if budget is not None else None
    )  # fmt: skip


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[WalkWorld]:
    world = await WalkWorld.begin(tmp_path)
    world.budgets = Budgets(COSTS, {"sms": 0.3})
    yield world
    await world.close()


async def spent(world: WalkWorld) -> dict[str, float]:
    return {channel: micros / 1e6 for channel, micros in await world.inner.sql("SELECT channel, micros FROM outlay")}


async def states(world: WalkWorld, step: str) -> dict[tuple[str, str | None], int]:
    rows = await world.inner.sql(
        "SELECT delivery.state, delivery.reason, count(*) FROM delivery JOIN wave ON wave.id = delivery.wave WHERE wave.step = :step GROUP BY 1, 2",
        step=step,
    )
    return {(state, reason): n for state, reason, n in rows}


async def release(world: WalkWorld) -> int:
    where = HeldWhere(reason="over_budget")
    return await world.inner.store.write(Lane.BULK, release_some_held, where, world.inner.clock.wall)


async def test_a_channel_gets_its_share_of_the_budget_and_not_one_message_more(world: WalkWorld) -> None:
    """Ten mails for a cent each on the first day; of ten SMS ten days later three, which are thirty of a hundred cents. The others are held,
    explain says with which numbers, and those for whom the budget is raised go when they are released."""
    await world.load(version(1.0))
    await world.drop(*(person(each) for each in PEOPLE))
    await world.go(2 * DAY)
    assert await states(world, "mail") == {("accepted", None): 10}
    await world.go(9 * DAY)
    assert await states(world, "text") == {("accepted", None): 3, ("held", "over_budget"): 7}
    assert await spent(world) == {"email": 0.1, "sms": 0.3}
    held = next(key for (key,) in await world.inner.sql(
        "SELECT recipient.key FROM delivery JOIN recipient ON recipient.id = delivery.person WHERE delivery.reason = 'over_budget' LIMIT 1"
    ))  # fmt: skip
    told = next(each for each in await world.explain(held) if each["channel"] == "sms")
    assert (told["decision"], told["reason"], told["rule"]["name"]) == ("hold", "over_budget", "budget")
    assert told["facts"] | {"limit": 0.3, "spent": 0.3, "cost": 0.1, "share": 0.3} == told["facts"]
    assert "0.3 of the 0.3 that its channel may cost are used, and it costs 0.1" in told["text"]
    assert await release(world) == 7
    await world.go(DAY)
    assert await states(world, "text") == {("accepted", None): 3, ("held", "over_budget"): 7}, "a release alone raises nothing"
    await world.load(version(2.0))
    assert await release(world) == 7
    await world.go(DAY)
    assert await states(world, "text") == {("accepted", None): 6, ("held", "over_budget"): 4}
    assert await spent(world) == {"email": 0.1, "sms": 0.6}
    await world.go(20 * DAY)
    assert (await states(world, "text"))["accepted", None] == 6
    assert {state for state, *_ in [row for each in PEOPLE for row in await world.walks(each)]} == {"finished"}


async def test_the_whole_is_a_limit_for_channels_without_a_share(world: WalkWorld) -> None:
    """Four cents are four mails, whoever is claimed first; a channel that costs nothing is no part of it."""
    world.budgets = Budgets(COSTS, {})
    await world.load(version(0.04))
    await world.drop(*(person(each) for each in PEOPLE))
    await world.go(DAY)
    assert await states(world, "mail") == {("accepted", None): 4, ("held", "over_budget"): 6}
    world.budgets = Budgets({"sms": 0.1}, {})
    await release(world)
    await world.go(DAY)
    assert await states(world, "mail") == {("accepted", None): 10}


async def test_what_is_claimed_and_not_yet_sent_counts_and_what_comes_back_counts_once(world: WalkWorld) -> None:
    """Two claims, one after the other, before anything is handed over: together they take what there is. Who is put off goes later without
    a second place; what is refused has used its own."""
    world.budgets = Budgets(COSTS, {})
    await world.load(version(0.05))
    await world.drop(*(person(each) for each in PEOPLE[:3]), id="one")
    await world.drop(*(person(each) for each in PEOPLE[3:]), id="two")
    await world.walk()
    claimed = list((await world.claim()).claimed)
    claimed += (await world.claim()).claimed
    assert len(claimed) == 5
    assert await spent(world) == {"email": 0.05}
    answers: dict[int, Outcome] = {claimed[0].row.delivery: Rejected(scope="message", code="550"), claimed[1].row.delivery: Deferred(scope="provider", after="60")}
    await world.send(lambda one: answers.pop(one.row.delivery, Accepted()), claimed)
    assert await release(world) == 5
    await world.go(2 * DAY)
    assert await spent(world) == {"email": 0.05}
    assert (await states(world, "mail"))["accepted", None] == 4
    assert (await states(world, "mail"))["held", "over_budget"] == 5


async def test_who_is_held_out_costs_nothing_and_others_campaigns_have_no_limit(world: WalkWorld) -> None:
    """Ghosts take no part of the budget; without `[value] budget` nothing is counted."""
    await world.load(campaign(steps=STEPS, enrol=Enrol(jobs=True, anchor="entered"), value=Worth(budget=0.02), holdout=0.999))
    await world.drop(*(person(each) for each in PEOPLE))
    await world.go(DAY)
    assert set(await states(world, "mail")) == {("held_out", "held_out")}
    assert await spent(world) == {}
    plain = campaign("plain", steps=(Step(name="one", channels=("email",), day=0),), enrol=Enrol(jobs=True, anchor="entered"))
    await world.load(plain)
    await world.drop(*(person(each) for each in PEOPLE), id="plain", campaign="plain")
    await world.go(DAY)
    assert await states(world, "one") == {("accepted", None): 10}
    assert await spent(world) == {}
