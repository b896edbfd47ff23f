"""Experiments of the playbook, walked: what is named after how many people and days, what rings an alarm, and what those get who come later."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from daemon.app.experimenting import Experimenting
from daemon.content.version import CampaignVersion
from daemon.journey.profile import Shop
from daemon.metrics import Metrics
from daemon.model.delivery import DAY
from daemon.store.experiments import results
from daemon.store.feedback import Report, hear
from daemon.store.writer import Lane
from tests.stages.playbook_world import ORDER, VERSIONS, Opening, PlaybookWorld, started

LEAST = 35
"""People in each arm before a winner, in place of the thousand that ship."""
PEOPLE = [f"c-{number}" for number in range(1, 101)]


def standard() -> CampaignVersion:
    """The shipped one from its offer on, with a smaller number of people that is enough."""
    shipped = VERSIONS["standard"]
    _, offer, last = shipped.campaign.steps
    assert offer.experiment is not None
    assert offer.experiment.min_per_variant == 1000
    offer = replace(offer, experiment=replace(offer.experiment, min_per_variant=LEAST))
    return started(CampaignVersion.of(replace(shipped.campaign, steps=(offer, last)), shipped.files), holdout=0.0)


class Trial:
    """The experiment of the step `offer` beside its world; looked at every morning."""

    def __init__(self, world: PlaybookWorld) -> None:
        self.world, inner = world, world.inner
        self.service = Experimenting(
            store=inner.store, clock=inner.clock, log=inner.log, metrics=Metrics(inner.clock), shop=lambda: Shop("USD"), margin=lambda: 0.5
        )

    async def enter(self, *people: str) -> None:
        """They bought 50 days ago, begin the day after, and live until all have the offer."""
        await self.world.bought(50, *people)
        await self.world.live(15)
        assert all(self.world.got(one)[-1] == "offer" for one in people)

    async def arms(self) -> dict[str, str]:
        rows = await self.world.inner.sql("SELECT recipient.key, json_extract(walk.arms, '$.offer') FROM walk JOIN recipient ON recipient.id = walk.person")
        return {key: arm for key, arm in rows if arm is not None}

    async def buy(self, arm: str, one_in: int) -> int:
        """So many of the readers of this arm order today. Returns how many."""
        buyers = [key for key, mine in (await self.arms()).items() if mine == arm][::one_in]
        for key in buyers:
            await self.world.happen(ORDER, key, id=f"{key} back", revenue=60)
        return len(buyers)

    async def look(self) -> tuple[str, str | None]:
        """(finding, winner) as of now."""
        await self.service.round()
        found = {one.slice: one for _, one in await self.world.inner.store.read(results)}
        return str(found[""].finding), found[""].winner

    async def offers(self) -> list[tuple[str, str, int]]:
        """(recipient, offer of the step, days that it holds)"""
        rows = await self.world.inner.sql(
            "SELECT recipient.key, issue.offer, (issue.ends_at - issue.accepted_at) / :day FROM issue JOIN recipient ON recipient.id = issue.person"
            " WHERE issue.step = 'offer'", day=DAY,
        )  # fmt: skip
        return [(key, offer, days) for key, offer, days in rows]

    async def mornings(self, days: int) -> list[tuple[str, str | None]]:
        found = []
        for _ in range(days):
            await self.world.live(1)
            found.append(await self.look())
        return found

    def events(self, *names: str) -> list[tuple[str, Any]]:
        return [each for each in self.world.inner.log.events if each[0] in names]


@pytest.fixture
async def trial(opening: Opening) -> Trial:
    world: PlaybookWorld = await opening(standard(), "post_reactivation")
    world.rules = replace(world.rules, spread=0)  # a hundred mails of a morning in one batch: nothing here depends on their minutes
    world.stage.configure(world.inner.config, world.rules)
    return Trial(world)


async def test_a_winner_is_named_after_a_whole_week_and_is_what_later_people_get(trial: Trial) -> None:
    """All of the one arm buy the day after, one in six of the other: the numbers are clear at once, and nothing is named before the
    seventh day; from then on everybody who begins gets the winner, with its deadline."""
    world = trial.world
    await trial.enter(*PEOPLE)
    arms = await trial.arms()
    sizes = [list(arms.values()).count(arm) for arm in ("week", "fortnight")]
    assert min(sizes) >= LEAST
    assert sum(sizes) == len(PEOPLE)
    first = min(each.at for each in world.letters if each.step == "offer")
    assert await trial.look() == ("running", None)
    bought = await trial.buy("week", 1), await trial.buy("fortnight", 6)
    assert bought[0] > 4 * bought[1]
    named = []
    for _ in range(12):
        await world.live(1)
        if (await trial.look())[0] == "winner":
            named.append((world.inner.clock.wall - first) / DAY)
    assert 7 <= named[0] < 9
    assert await trial.look() == ("winner", "week")
    [(_, told)] = trial.events("experiment_decided")
    assert told["winner"] == "week"
    late = [f"c-{number}" for number in range(201, 206)]
    await trial.enter(*late)
    ends = await trial.offers()
    assert {(offer, days) for key, offer, days in ends if key in late} == {("back15", 7)}
    assert {offer for key, offer, _ in ends if key not in late} == {"back15", "back15_slow"}


async def test_looking_every_morning_names_nobody_where_nothing_differs(trial: Trial) -> None:
    """Every fourth of either arm buys: two weeks of looks, more people than are needed, and no winner."""
    await trial.enter(*PEOPLE)
    assert await trial.buy("week", 4) + await trial.buy("fortnight", 4) > 8
    assert set(await trial.mornings(14)) == {("running", None)}
    assert trial.events("experiment_decided") == []


async def test_people_that_are_lost_from_one_arm_ring_the_alarm(trial: Trial) -> None:
    """Something in the machine puts most into one arm: whatever they buy, nothing is decided, and it is said once, not every morning."""
    world = trial.world
    await world.bought(50, *PEOPLE, *(f"c-{number}" for number in range(101, 151)))
    await world.live(2)
    await world.inner.do(
        "UPDATE walk SET arms = json_set(arms, '$.offer', 'week') WHERE person IN (SELECT id FROM recipient WHERE key NOT IN ('c-1', 'c-2', 'c-3'))"
    )  # fmt: skip
    await world.live(13)
    await trial.buy("week", 2)
    assert set(await trial.mornings(3)) == {("invalid", None)}
    [(_, told)] = trial.events("experiment_invalid")
    assert "have not the shares that were declared" in told["alarms"][0]
    assert [each.step for each in world.letters if each.recipient == "c-2"]== ["offer"], "messages go on"


async def test_an_arm_that_people_complain_of_is_stopped_and_later_people_get_the_other(trial: Trial) -> None:
    """Most readers of the fortnight report it as spam within two days: it is stopped though it sells better, without waiting for a
    week, and without a message more to who complained."""
    world = trial.world
    await trial.enter(*PEOPLE)
    angry = [key for key, arm in (await trial.arms()).items() if arm == "fortnight"][::2]
    await trial.buy("fortnight", 1)
    for key in angry:
        await complain(world, key)
    [found] = await trial.mornings(1)
    assert found == ("stopped", "week")
    [(_, told)] = trial.events("experiment_stopped")
    assert told["alarms"][0] == "fortnight: more people complain than in the other arms"
    had = len(world.letters)
    late = [f"c-{number}" for number in range(201, 206)]
    await trial.enter(*late)
    assert {offer for key, offer, _ in await trial.offers() if key in late} == {"back15"}
    assert not {each.recipient for each in world.letters[had:]} & set(angry)


async def complain(world: PlaybookWorld, recipient: str) -> None:
    """It reports its offer as spam: its provider says so."""
    [(delivery,)] = await world.inner.sql(
        "SELECT delivery.id FROM delivery JOIN wave ON wave.id = delivery.wave JOIN recipient ON recipient.id = delivery.person"
        " WHERE recipient.key = :key AND wave.step = 'offer'", key=recipient,
    )  # fmt: skip
    report = Report(provider="relay", channel="email", kind="complained", at=world.inner.clock.wall, delivery=delivery, human=True)
    await world.inner.store.write(Lane.EXIT, hear, [report], channels=("email", "sms"), now=world.inner.clock.wall)
