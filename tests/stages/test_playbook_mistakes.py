"""What lint warns of, seen on people and days: a shipped campaign with a mistake is found by lint, and walked it does the harm that lint speaks of; as
it is shipped it does neither."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.app.marketing import gather
from daemon.content.version import CampaignVersion
from daemon.model.campaign import Campaign
from daemon.model.delivery import DAY
from daemon.model.journey import Exit
from daemon.model.segment import Segments
from daemon.policy.caps import Cap
from daemon.reports.lint import SegmentFacts, lint
from tests.stages.playbook_world import CONFIG, ORDER, SEGMENTS, SHOP, VERSIONS, Opening, PlaybookWorld, started, whole

Change = Callable[[Campaign], Campaign]


def broken(change: Change, files: Callable[[str], str] = lambda text: text) -> CampaignVersion:
    """The shipped three mails with one mistake."""
    shipped = VERSIONS["standard"]
    words = {name: files(text) if name.endswith(".liquid") else text for name, text in shipped.files.items()}
    return started(CampaignVersion.of(change(replace(shipped.campaign, holdout=0.0)), words))


def rules_of(version: CampaignVersion, **facts: Any) -> set[str]:
    told = {"traits": ["first_name"], "rates": {"email": 50.0}, "holdout": 0.1, **facts}
    known = replace(gather(SHOP, SEGMENTS, audience=50_000), **told)  # type: ignore[arg-type]
    return {each.rule for each in lint(version, known)}


def steps(**changed: dict[str, Any]) -> Change:
    return lambda campaign: replace(campaign, steps=tuple(replace(step, **changed.get(step.name, {})) for step in campaign.steps))


async def walked(world: PlaybookWorld, days: int) -> PlaybookWorld:
    """Two people who bought 44 days ago live on; the second buys when they have had the first message."""
    await world.bought(44, "c-1", "c-2")
    await world.live(4)
    await world.happen(ORDER, "c-2", id="back", revenue=20)
    await world.live(days)
    return world


def offers_of(world: PlaybookWorld) -> list[str]:
    return [each.step for each in world.letters if "WB-" in each.message.text]


@pytest.fixture
def mended() -> CampaignVersion:
    return whole("standard")


async def test_as_it_is_shipped_a_buyer_gets_no_offer_and_the_first_mail_promises_none(opening: Opening, mended: CampaignVersion) -> None:
    """Three mails, the second ten days or more after the first, the third later still."""
    world = await walked(await opening(mended, whole("post_reactivation")), 46)
    assert world.got("c-1") == ["reminder", "offer", "last"]
    assert [step for step in world.got("c-2") if step in ("offer", "last")] == []
    assert "reminder" not in offers_of(world)
    at = [each.at for each in world.letters if each.recipient == "c-1"]
    assert 10 * DAY <= at[1] - at[0] < at[2] - at[1]


async def test_without_an_exit_a_buyer_gets_the_offer_all_the_same(opening: Opening, mended: CampaignVersion) -> None:
    """no-exit: bought on day 47, asked back on day 60."""
    mistake = broken(lambda campaign: replace(campaign, exit=Exit(), goal=None))
    assert "no-exit" in rules_of(mistake) - rules_of(mended)
    world = await walked(await opening(mistake), 16)
    assert world.got("c-2") == ["reminder", "offer"]


async def test_a_discount_in_the_first_message_is_given_to_who_would_have_come_without(opening: Opening, mended: CampaignVersion) -> None:
    """discount-first: both have a code of theirs on day 45."""
    mistake = broken(steps(reminder={"offer": {"default": "back15"}}), lambda text: text.replace("--- text\n", "--- text\n{{ offer.code | default: '' }}\n"))
    assert "discount-first" in rules_of(mistake) - rules_of(mended)
    world = await walked(await opening(mistake, whole("post_reactivation")), 1)
    assert offers_of(world) == ["reminder", "reminder"]


async def test_the_best_offer_first_leaves_less_for_later(opening: Opening, mended: CampaignVersion) -> None:
    """best-offer-first: thirty percent on day 60, and on day 90 nothing that is better."""
    mistake = broken(steps(offer={"offer": {"default": "back30"}, "experiment": None}, last={"offer": {"default": "back15"}}))
    assert "best-offer-first" in rules_of(mistake) - rules_of(mended)
    world = await walked(await opening(mistake, whole("post_reactivation")), 46)
    given = await world.inner.sql("SELECT step, offer FROM issue JOIN recipient ON recipient.id = issue.person WHERE recipient.key = 'c-1'")
    assert dict(given) == {"offer": "back30", "last": "back15"}


async def test_a_short_gap_is_two_mails_in_a_week(opening: Opening, mended: CampaignVersion) -> None:
    """gap-too-short: days 45 and 49, and no `min_gap` that keeps them apart."""

    def change(campaign: Campaign) -> Campaign:
        assert campaign.enrol is not None
        return replace(steps(offer={"day": 49})(campaign), enrol=replace(campaign.enrol, min_gap=0))

    mistake = broken(change)
    assert "gap-too-short" in rules_of(mistake) - rules_of(mended)
    world = await walked(await opening(mistake, whole("post_reactivation")), 8)
    at = [each.at for each in world.letters if each.recipient == "c-1"]
    assert at[1] - at[0] <= 7 * DAY


async def test_one_message_is_all_that_somebody_hears_in_weeks(opening: Opening, mended: CampaignVersion) -> None:
    """only-one-message: after day 45 there is silence."""
    mistake = broken(lambda campaign: replace(campaign, steps=campaign.steps[:1]))
    assert "only-one-message" in rules_of(mistake) - rules_of(mended)
    world = await walked(await opening(mistake, whole("post_reactivation")), 46)
    assert world.got("c-1") == ["reminder"]


@pytest.mark.parametrize("share", [0.0, 0.1])
async def test_without_a_holdout_there_is_nobody_to_measure_against(opening: Opening, share: float) -> None:
    """no-holdout: as shipped, some of sixty get nothing; without, all get the first mail."""
    shipped = VERSIONS["standard"]
    version = started(CampaignVersion.of(shipped.campaign, shipped.files), holdout=share)
    assert ("no-holdout" in rules_of(version, holdout=0.0)) == (share == 0)
    people = {f"c-{number}" for number in range(1, 61)}
    world = await opening(version, whole("post_reactivation"))
    await world.bought(44, *sorted(people))
    await world.live(4)
    assert bool(await world.held_out()) == (share > 0)
    assert {each.recipient for each in world.letters} == people - await world.held_out()


@pytest.mark.parametrize("careless", [True, False])
async def test_a_segment_without_exclusions_brings_a_subscriber_in(tmp_path: Path, careless: bool) -> None:
    """no-exclusions: who has an active subscription is away from the shop for a good reason, and is told that he is missed."""
    version = broken(lambda campaign: replace(campaign, exit=replace(campaign.exit, segments=())))
    known = {name: SegmentFacts(excludes=not (careless and name == "lapsed_30_90")) for name in SEGMENTS.by_name}
    assert ("no-exclusions" in rules_of(version, segments=known)) == careless
    lapsed = SEGMENTS.by_name["lapsed_30_90"]
    segments = Segments(by_name={**SEGMENTS.by_name, "lapsed_30_90": replace(lapsed, exclude=())}) if careless else SEGMENTS
    world = await PlaybookWorld.of(tmp_path, version, whole("post_reactivation"), segments=segments)
    await world.bought(44, "c-1")
    await world.happen("Subscription Started", "c-1", ago=40 * DAY, subscription_id="s-1")
    await world.live(4)
    assert world.got("c-1") == (["reminder"] if careless else [])
    await world.close()


async def test_a_cap_that_the_sequence_cannot_keep_lets_messages_end_unsent(tmp_path: Path, mended: CampaignVersion) -> None:
    """cap-never-met: one mail in forty days, and a step that lives for seven: the offer of day 60 ends, and is never seen."""
    cap = Cap(name="rare", limit=1, rolling=40 * DAY)
    assert "cap-never-met" in rules_of(mended, caps=(cap,)) - rules_of(mended)
    config = CONFIG + '[[cap]]\nname = "rare"\nlimit = 1\nrolling = "40d"\n'
    world = await PlaybookWorld.of(tmp_path, mended, whole("post_reactivation"), config=config)
    await world.bought(44, "c-1")
    await world.live(30)
    assert world.got("c-1") == ["reminder"]
    assert [(step, state) for step, state, _ in await world.steps("c-1")][:2] == [("reminder", "accepted"), ("offer", "expired")]
    await world.close()


async def test_an_offer_without_an_end_is_open_for_good(opening: Opening, mended: CampaignVersion) -> None:
    """offer-without-end: a month after the mail of day 60 the code still holds; as shipped it is over after a week."""

    def change(campaign: Campaign) -> Campaign:
        endless = {name: replace(offer, valid=None) if name == "back15" else offer for name, offer in campaign.offers.items()}
        return replace(steps(offer={"offer": {"default": "back15"}, "experiment": None})(campaign), offers=endless)

    mistake = broken(change, lambda text: re.sub(r"\{\{[^}]*ends_at[^}]*\}\}", "soon", text))
    assert "offer-without-end" in rules_of(mistake) - rules_of(mended)
    world = await walked(await opening(mistake), 14)
    assert world.got("c-1") == ["reminder", "offer"]
    await world.live(12)
    [(state, ends)] = await world.inner.sql("SELECT issue.state, issue.ends_at FROM issue JOIN recipient ON recipient.id = issue.person WHERE recipient.key = 'c-1' AND issue.step = 'offer'")
    assert (state, ends) == ("open", None)


async def test_the_same_offer_for_all_gives_the_best_no_more_than_anybody(opening: Opening, mended: CampaignVersion) -> None:
    """same-offer-for-all: three orders of 60 or one, both are given fifteen percent; as shipped the medium tier gets twenty."""
    mistake = broken(steps(offer={"offer": {"default": "back15"}, "experiment": None}, last={"offer": {"default": "back25"}}))
    assert "same-offer-for-all" in rules_of(mistake) - rules_of(mended)
    world = await opening(mistake, whole("post_reactivation"))
    await world.bought(44, "c-1")
    await world.bought(44, "c-2", orders=2, revenue=100)
    await world.live(20)
    given = dict(await world.inner.sql("SELECT recipient.key, issue.offer FROM issue JOIN recipient ON recipient.id = issue.person"))
    assert given == {"c-1": "back15", "c-2": "back15"}


@pytest.mark.parametrize("personal", [True, False])
async def test_a_text_that_names_nobody_is_the_same_for_all(opening: Opening, mended: CampaignVersion, personal: bool) -> None:
    """generic-text: two readers of two names get one text."""
    version = mended if personal else broken(lambda campaign: campaign, impersonal)
    assert ("generic-text" in rules_of(version)) != personal
    world = await opening(version, whole("post_reactivation"))
    await world.bought(44, "c-1", "c-2")
    await world.know("c-2", first_name="Budi")
    await world.live(4)
    assert len(world.letters) == 2
    assert len({each.message.text.split("http")[0] for each in world.letters}) == 1 + personal


def impersonal(text: str) -> str:
    """Without any word about its reader."""
    return re.sub(r"\{\{ recipient\.[^}]*\}\}", "you", text)


async def test_a_variable_that_nobody_has_holds_the_message(opening: Opening, mended: CampaignVersion) -> None:
    """variable-nobody-has: nothing blank is sent; both wait for an operator."""
    mistake = broken(lambda campaign: campaign, lambda text: text.replace("</div>", "{{ recipient.shoe_size }}</div>"))
    assert "variable-nobody-has" in rules_of(mistake) - rules_of(mended)
    world = await opening(mistake, whole("post_reactivation"))
    await world.bought(44, "c-1")
    with pytest.raises(AssertionError, match="shoe_size"):
        await world.live(4)
    assert world.letters == []


async def test_an_sms_in_the_first_message_goes_to_who_is_a_month_away(opening: Opening, mended: CampaignVersion) -> None:
    """sms-first: day 45 is a text message; as shipped the three are mails."""
    mistake = broken(steps(reminder={"channels": ("sms",)}))
    mistake = CampaignVersion.of(mistake.campaign, {**mistake.files, "reminder.sms.liquid": "Hi {{ recipient.first_name | default: 'you' }}. STOP"})
    assert "sms-first" in rules_of(mistake) - rules_of(mended)
    world = await walked(await opening(mistake, whole("post_reactivation")), 1)
    assert {(each.step, each.message.channel) for each in world.letters} == {("reminder", "sms")}
