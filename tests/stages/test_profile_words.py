"""What a recipient's events add up to, in its message: read in the claim, and only where the words ask for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.content.version import CampaignVersion
from daemon.dispatch.render import MessageWriter
from daemon.dispatch.work import Envelope
from daemon.ids import SystemIds, encode_id
from daemon.links import KeyRing, Links
from daemon.model.campaign import Campaign, CampaignStatus, Step
from daemon.model.delivery import DAY
from daemon.store.claim import ClaimResult, claim_due
from daemon.store.flight import Kind, Result
from daemon.store.writer import Lane
from plugins.contract import Message
from tests.stages.intake_world import NOW
from tests.stages.several_world import KINDS, SeveralWorld, person

STEP = Step(name="offer", channels=("email",))
PERSONAL = "---\nsubject: Hi\n---\n<p>{{ recipient.tier }}, {{ recipient.last_product.name }}, {{ recipient.days_since_order }}</p>\n"
PLAIN = "---\nsubject: Hi\n---\n<p>{{ recipient.first_name | default: 'Hi' }}</p>\n"
BOUGHT = (
    "INSERT INTO profile (person, orders, value, unvalued, returns, discount_orders, last_order_at, last_product, score, tickets_open,"
    " subscription_active) SELECT id, 3, 600000000, 0, 0, 0, :at, '{\"name\": \"shoes\"}', 0, 0, 0 FROM recipient WHERE key = 'c-1'"
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SeveralWorld]:
    world = await SeveralWorld.open(tmp_path, STEP)
    yield world
    await world.inner.close()


async def load(world: SeveralWorld, words: str) -> None:
    """The campaign with these words."""
    campaign = Campaign(name="winback", status=CampaignStatus.ACTIVE, topic="winback", steps=(STEP,))
    await world.inner.load(CampaignVersion.of(campaign, {"offer.email.liquid": words}))


async def claim(world: SeveralWorld) -> ClaimResult:
    """As the claim loop does it."""
    judge = world.bind(world.inner.clock.wall)
    return await world.inner.store.write(
        Lane.CLAIM, claim_due, now=world.inner.clock.wall, owner=1, epoch=9, horizon=judge.horizon, judge=judge, contest=judge.contest,
        share=lambda lanes: [(lane.id, 100) for lane in lanes], prepare=judge.prepare, wants_profile=judge.wants_profile,
    )  # fmt: skip


def render(world: SeveralWorld, result: ClaimResult) -> list[Message | Result]:
    """What the writer makes of each."""
    writer = MessageWriter(world.plans, Links(KeyRing.fresh(SystemIds()), "https://go.example.com"), KINDS, world.inner.clock)
    made = []
    for one in result.claimed:
        plan = world.plans.peek(one.row.campaign, one.row.version)
        assert plan is not None
        profile = result.profiles.get(one.row.person)
        made.append(writer.render(Envelope(claimed=one, public_id=encode_id(one.row.delivery), plan=plan, profile=profile)))
    return made


async def test_profile_is_handed_to_words_that_ask_for_it(world: SeveralWorld) -> None:
    """Of who has one; a message to who has none is held for what is missing."""
    await load(world, PERSONAL)
    await world.drop(person("c-1"), person("c-2"))
    await world.inner.do(BOUGHT, at=NOW - 45 * DAY)
    result = await claim(world)
    assert len(result.profiles) == 1
    first, second = sorted(render(world, result), key=lambda each: isinstance(each, Result))
    assert isinstance(first, Message)
    assert "high, shoes, 45" in first.text
    assert isinstance(second, Result)
    assert second.kind is Kind.HELD


async def test_profile_is_not_read_for_words_that_say_nothing_of_it(world: SeveralWorld) -> None:
    """It would cost each claim a statement."""
    await load(world, PLAIN)
    await world.drop(person("c-1"))
    await world.inner.do(BOUGHT, at=NOW - 45 * DAY)
    result = await claim(world)
    assert (len(result.claimed), result.profiles) == (1, {})
