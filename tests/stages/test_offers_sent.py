"""Offers in the claim: who gets which with what code, what is waited for, what is not sent, and that nobody ever has two."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.clock import to_datetime
from daemon.content.version import CampaignVersion
from daemon.dispatch.render import MessageWriter
from daemon.ids import SystemIds
from daemon.links import KeyRing, Links
from daemon.model.campaign import Escalation, Step
from daemon.model.delivery import DAY, HOUR
from daemon.model.journey import Enrol, Exit, Goal, Offer, OfferKind, Part
from daemon.store.codes import NewCode, add_codes, pools_that_differ, wake_for_codes
from daemon.store.issues import expire, settle
from daemon.store.redemptions import books, unbalanced
from daemon.store.writer import Lane
from plugins.contract import Accepted, Deferred, Message, Rejected
from tests.stages.walk_world import NOW, ORDER, WalkWorld, campaign, person


def percent(name: str, rank: int, value: float, **more: Any) -> Offer:
    return Offer(name=name, parts=(Part(kind=OfferKind.PERCENT, value=value),), rank=rank, **{"valid": 7 * DAY, **more})


BACK15 = percent("back15", 0, 15.0, pool="winter")
BACK30 = percent("back30", 1, 30.0, generate="WB-########", valid=2 * DAY)
STEPS = (
    Step(name="first", channels=("email",), day=45, offer={"default": "back15"}),
    Step(name="last", channels=("email",), day=60, offer={"default": "back15", "high": "back30"}),
)
LADDER = campaign(steps=STEPS, offers={"back15": BACK15, "back30": BACK30}, enrol=Enrol(jobs=True, min_gap=10 * DAY), exit=Exit(events=(ORDER,)))
Opening = Callable[..., Awaitable[WalkWorld]]


@pytest.fixture
async def opening(tmp_path: Path) -> AsyncIterator[Opening]:
    worlds: list[WalkWorld] = []

    async def make(*versions: CampaignVersion, codes: int = 5) -> WalkWorld:
        worlds.append(await WalkWorld.begin(tmp_path, *(versions or (LADDER,))))
        if codes:
            await fill(worlds[-1], *(f"W-{n}" for n in range(1, codes + 1)))
        return worlds[-1]

    yield make
    for world in worlds:
        await world.inner.store.write(Lane.BULK, expire, world.inner.clock.wall)
        assert not await world.inner.store.read(pools_that_differ)
        assert not unbalanced(await world.inner.store.read(books))
        assert await world.one("SELECT count(*) FROM (SELECT code FROM issue WHERE code IS NOT NULL GROUP BY code HAVING count(*) > 1)") == 0
        assert await world.one("SELECT count(*) FROM (SELECT person FROM issue WHERE state = 'open' GROUP BY person HAVING count(*) > 1)") == 0
        await world.close()


async def fill(world: WalkWorld, *codes: str) -> None:
    rows = [NewCode(n, code, code) for n, code in enumerate(codes, 1)]
    await world.inner.store.write(Lane.INTAKE, add_codes, "winter", rows, world.inner.clock.wall)


async def enter(world: WalkWorld, *recipients: str, orders: int = 1, days: int = 45, **more: Any) -> None:
    for recipient in recipients or ("c-1",):
        for n in range(orders):
            await world.happen(ORDER, recipient, ago=(days + n) * DAY, id=f"{recipient} {n}", revenue=400)
    await world.drop(*(person(name) for name in recipients or ("c-1",)), **more)


async def issues(world: WalkWorld) -> list[tuple[str, str]]:
    return [(offer, state) for offer, state in await world.inner.sql("SELECT offer, state FROM issue ORDER BY id")]


async def test_each_gets_a_code_of_his_own_and_climbs(opening: Opening) -> None:
    """Low and high tier begin with 15; at last the low one gets 15 again, the high one 30 with a code that is made."""
    world = await opening()
    await enter(world, "c-1")
    await enter(world, "c-2", orders=3, id="k")
    await world.go(2 * HOUR)
    assert sorted((who, offer) for who, offer, _ in world.brought) == [("c-1", "back15"), ("c-2", "back15")]
    assert {code for _, _, code in world.brought} == {"W-1", "W-2"}
    await world.go(20 * DAY)
    late = {who: (offer, code) for who, offer, code in world.brought[2:]}
    assert late["c-1"] == ("back15", "W-3")
    assert late["c-2"][0] == "back30" and (late["c-2"][1] or "").startswith("WB-") and len(late["c-2"][1] or "") == 11


async def test_a_step_that_ended_unsent_does_not_move_the_ladder(opening: Opening) -> None:
    """The first message is refused for good: its code is free again, and the best is not the first that arrives."""
    world = await opening()
    await enter(world, orders=3)
    await world.walk()
    await world.send(lambda _: Rejected(scope="message", code="552"))
    assert await issues(world) == [("back15", "reserved")]
    await world.inner.store.write(Lane.BULK, settle, 0, world.inner.clock.wall)
    assert await issues(world) == [("back15", "returned")]
    await world.go(20 * DAY)
    assert world.brought == [("c-1", "back15", "W-1")] * 2
    assert await issues(world) == [("back15", "returned"), ("back15", "open")]


async def test_a_deferred_message_keeps_its_code(opening: Opening) -> None:
    world = await opening()
    await enter(world)
    await world.walk()
    answers = iter([Deferred(scope="message", detail="later"), Accepted()])
    await world.send(lambda _: next(answers))
    await world.go(DAY)
    assert world.brought == [("c-1", "back15", "W-1")] * 2
    assert await issues(world) == [("back15", "open")]


async def test_an_empty_pool_holds_and_an_import_frees(opening: Opening) -> None:
    """Three people, one code: two are held with the pool's name; two codes later they go."""
    world = await opening(codes=1)
    await enter(world, "c-1", "c-2", "c-3")
    await world.go()
    states = [(await world.steps(name))[0][1:] for name in ("c-1", "c-2", "c-3")]
    assert sorted(states, key=str) == [("accepted", None), ("held", "no_code"), ("held", "no_code")]
    [told] = await world.explain(f"c-{[state for state, _ in states].index('held') + 1}")
    assert told["facts"] == {"offer": "back15", "pool": "winter"} and told["checks"][-1] == ["offer", "hold"]
    await fill(world, "N-1", "N-2")
    assert await world.inner.store.write(Lane.INTAKE, wake_for_codes, "winter", 0, world.inner.clock.wall) == (2, None)
    await world.go()
    assert {code for _, _, code in world.brought} == {"W-1", "N-1", "N-2"}


async def test_the_message_says_what_the_books_say(opening: Opening) -> None:
    """Text, value, code and end in the reader's language and zone; the end in the books is the one that was printed, or later."""
    step = STEPS[0]
    words = '---\nsubject: {{ offer.text }}\n---\n<p>{{ offer.code }} {{ offer.value }} {{ offer.ends_at | date: "%Y-%m-%d %H:%M" }} {{ offer.name }}</p>\n'
    made = CampaignVersion.of(campaign(steps=(step,), offers={"back15": BACK15}).campaign, {"first.email.liquid": words})
    world = await opening(made)
    await enter(world)
    await world.drop(person("c-2", locale="id"), id="k")
    await world.walk()
    claimed = {one.row.recipient: one for one in await world.settle()}
    writer = MessageWriter(world.plans, Links(KeyRing.fresh(SystemIds()), "https://x"), world.kinds, world.inner.clock)
    message = writer.render(world._envelope(claimed["c-1"]))
    assert isinstance(message, Message) and message.subject == "15% off"
    one = claimed["c-1"].offer
    assert one is not None and one.ends_at is not None
    ends = to_datetime(one.ends_at - 60 * 1_000_000 + 7 * HOUR)
    assert f"{one.code} 15 {ends:%Y-%m-%d} 23:59 back15" in (message.html or "")
    other = writer.render(world._envelope(claimed["c-2"]))
    assert isinstance(other, Message) and other.subject == "diskon 15%"
    await world.send(claimed=list(claimed.values()))
    assert all(end >= one.ends_at for (end,) in await world.inner.sql("SELECT ends_at FROM issue"))


async def test_a_fixed_end_is_not_outlived(opening: Opening) -> None:
    """Less than min_left to go: expired with its reason; and what is sent must go before that."""
    soon = percent("back15", 0, 15.0, valid=None, ends=to_datetime(NOW + 20 * DAY), min_left=2 * DAY)
    world = await opening(campaign(steps=STEPS, offers={"back15": soon, "back30": BACK30}, enrol=Enrol(jobs=True)))
    await enter(world, days=45)
    await world.go(16 * DAY)
    assert [state for _, state, _ in await world.steps()] == ["accepted", "accepted"]
    await enter(world, "c-2", days=50, id="k")
    await world.go(DAY)
    assert [state for _, state, _ in await world.steps("c-2")] == ["accepted"]
    await world.go(DAY)
    await enter(world, "c-3", id="l")
    await world.go(DAY)
    assert await world.steps("c-3") == [("first", "expired", "offer_expired")]


async def test_two_campaigns_never_give_two_offers(opening: Opening) -> None:
    """Both have one due at the same instant: one goes, the other is looked at again, and waits for the first one's end."""
    other = campaign("spring", steps=(Step(name="hello", channels=("email",), day=45, offer={"default": "s10"}, valid=30 * DAY),),
                     offers={"s10": percent("s10", 0, 10.0, generate="SP-########", valid=3 * DAY)}, enrol=Enrol(jobs=True))  # fmt: skip
    only = campaign(steps=STEPS[:1], offers={"back15": BACK15}, enrol=Enrol(jobs=True))
    world = await opening(only, other)
    await enter(world)
    await world.drop(person("c-1"), id="k", campaign="spring")
    await world.go()
    assert len(world.brought) == 1
    await world.go(2 * HOUR)
    assert len(world.brought) == 1, "open now: it is waited for"
    waiting = next(one for one in await world.explain() if one["state"] == "due")
    assert waiting["reason"] == "yielded_to_priority" and waiting["checks"][-1][0] == "offer"
    assert waiting["text"].startswith("Waits: the recipient has another offer open, ")
    await world.go(12 * DAY)
    assert {offer for _, offer, _ in world.brought} == {"back15", "s10"}
    first, second = await world.inner.sql("SELECT accepted_at, ends_at FROM issue WHERE accepted_at IS NOT NULL ORDER BY accepted_at")
    assert second[0] >= first[1]


@pytest.mark.parametrize(("after", "brought", "ends_as"), [(2 * DAY, 2, "accepted"), (4 * DAY, 1, "expired")])
async def test_an_escalation_brings_the_same_code_and_not_a_dead_one(opening: Opening, after: int, brought: int, ends_as: str) -> None:
    """Two days after the mail over SMS: the same code. A day after an end of two days: nothing to say any more."""
    step = Step(name="first", channels=("email",), day=45, offer={"default": "b"}, escalate=Escalation(to=("sms",), after=after), valid=10 * DAY)
    offer = percent("b", 0, 20.0, generate="E-########", valid=2 * DAY + HOUR, min_left=HOUR)
    world = await opening(campaign(steps=(step,), offers={"b": offer}, enrol=Enrol(jobs=True)), codes=0)
    await enter(world)
    await world.go(8 * DAY)
    assert len(world.brought) == brought and len({code for _, _, code in world.brought}) == 1
    assert (await world.steps())[-1][1] == ends_as


async def test_a_purchase_redeems_and_ends_the_walk(opening: Opening) -> None:
    world = await opening(campaign(steps=STEPS, offers={"back15": BACK15, "back30": BACK30}, goal=Goal(event=ORDER), exit=Exit(events=(ORDER,))))
    await enter(world)
    await world.go(DAY)
    await world.happen(ORDER, coupon="w-1", order_id=9, revenue=50)
    assert await issues(world) == [("back15", "redeemed")]
    await world.go(20 * DAY)
    assert len(world.brought) == 1


async def test_who_is_held_out_takes_no_code(opening: Opening) -> None:
    world = await opening(campaign(steps=STEPS[:1], offers={"back15": BACK15}, holdout=1.0), codes=0)
    await enter(world)
    await world.go()
    assert await world.steps() == [("first", "held_out", "held_out")]
    assert await issues(world) == []
