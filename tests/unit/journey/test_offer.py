"""Which offer a message carries: the ladder, what is open, who comes only for discounts."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.journey.offer import Give, Over, Wait, Walker, choose, is_seeker, rungs
from daemon.model.campaign import Campaign, Step
from daemon.model.delivery import DAY, HOUR, Instant
from daemon.model.journey import Enrol, Experiment, Offer, OfferKind, Part, Variant
from daemon.model.offer import GIVEN, Issue, IssueState

NOW = 1_000 * DAY


def percent(name: str, rank: int, value: float) -> Offer:
    return Offer(name=name, parts=(Part(kind=OfferKind.PERCENT, value=value),), rank=rank, valid=7 * DAY)


LADDER = {name: percent(name, rank, value) for rank, (name, value) in enumerate((("back15", 15), ("back20", 20), ("back30", 30)))}
POINTS = Offer(name="points", parts=(Part(kind=OfferKind.POINTS, value=500),), rank=3)


def step(name: str, *offers: str, **more: Any) -> Step:
    tiers = dict(zip(("default", "high"), offers, strict=False))
    return Step(name=name, channels=("email",), offer=tiers, **more)


THREE = Campaign(
    name="winback", offers=LADDER, enrol=Enrol(jobs=True, min_gap=5 * DAY),
    steps=(step("reminder"), step("first", "back15"), step("second", "back20"), step("last", "back20", "back30")),
)  # fmt: skip
STEPS = {each.name: each for each in THREE.steps}
ONE = Walker(1, {}, "low")
HIGH = Walker(1, {}, "high")


def had(offer: str, *, state: IssueState = IssueState.OPEN, days: float = 8, campaign: str = "winback", walk: int = 1, id: int = 5, step: str = "first") -> Issue:
    accepted = None if state is IssueState.RESERVED else NOW - int(days * DAY)
    ends = None if accepted is None else accepted + 7 * DAY
    return Issue(id, walk, step, campaign, offer, LADDER[offer].rank if offer in LADDER else 3, state, "CODE", accepted, ends)


def given_of(campaign: Campaign, name: str, walker: Walker, *before: Issue) -> str:
    found = choose(campaign, next(each for each in campaign.steps if each.name == name), walker, before, NOW)
    assert isinstance(found, Give), found
    return found.offer.name


def test_a_step_without_an_offer_carries_none() -> None:
    assert choose(THREE, STEPS["reminder"], ONE, (), NOW) is None
    assert choose(THREE, step("other", "gone"), ONE, (), NOW) is None


def test_the_ladder_goes_up_with_acceptance_only() -> None:
    """A first offer that never went is still the first one at the next step: never the best first."""
    assert given_of(THREE, "first", ONE) == "back15"
    assert given_of(THREE, "second", ONE, had("back15", state=IssueState.EXPIRED)) == "back20"
    assert given_of(THREE, "second", ONE) == "back15"
    assert given_of(THREE, "second", ONE, had("back15", state=IssueState.RETURNED)) == "back15"
    assert given_of(THREE, "last", HIGH) == "back15"
    assert given_of(THREE, "last", HIGH, had("back15", state=IssueState.EXPIRED, days=40)) == "back20"


def test_tiers_end_on_their_own_rung() -> None:
    """The high tier gets 30 at last, all others 20 once more."""
    before = (had("back15", state=IssueState.EXPIRED, days=40), had("back20", state=IssueState.EXPIRED, days=20, id=6))
    assert given_of(THREE, "last", HIGH, *before) == "back30"
    assert given_of(THREE, "last", ONE, *before) == "back20"


def test_within_the_gap_no_rung_is_taken() -> None:
    """Accepted four days ago, a gap of five: the same offer, open as it is, again with its code."""
    found = choose(THREE, STEPS["second"], ONE, (had("back15", days=4),), NOW)
    assert isinstance(found, Give) and found.offer.name == "back15" and found.again is not None and found.again.code == "CODE"


def test_a_better_one_takes_the_place_of_the_open_one() -> None:
    """Six days after the first one, which holds for seven: the second replaces it, so that there are never two."""
    found = choose(THREE, STEPS["second"], ONE, (had("back15", days=6),), NOW)
    assert isinstance(found, Give) and found.offer.name == "back20" and found.again is None and found.replaces == (5,)


def test_never_a_worse_one_while_a_better_is_open() -> None:
    """The better one is carried again; in its last hours it is waited for."""
    open30 = had("back30", walk=0, days=1)
    found = choose(THREE, STEPS["first"], ONE, (open30,), NOW)
    assert isinstance(found, Give) and found.again == open30 and found.offer.name == "back30" and found.replaces == ()
    ending = had("back30", walk=0, days=6.5)
    assert choose(THREE, STEPS["first"], ONE, (ending,), NOW) == Wait(ending.ends_at or 0, ending)


def test_another_campaigns_open_offer_is_waited_for() -> None:
    """Nothing stacks: not before it ends; what is only on its way is looked at again within the hour; one without an end is no bar."""
    foreign = had("spring", campaign="spring", days=3, walk=9)
    assert choose(THREE, STEPS["first"], ONE, (foreign,), NOW) == Wait(foreign.ends_at or 0, foreign)
    coming = had("spring", campaign="spring", walk=9, state=IssueState.RESERVED)
    assert choose(THREE, STEPS["first"], ONE, (coming,), NOW) == Wait(NOW + HOUR, coming)
    assert given_of(THREE, "first", ONE, foreign._replace(ends_at=None)) == "back15"
    assert given_of(THREE, "first", ONE, had("spring", campaign="spring", walk=9, state=IssueState.REDEEMED)) == "back15"


def test_what_is_set_aside_for_the_step_stays_its_own() -> None:
    """A refused handover finds the same offer, whatever the ladder would say now; another step of the walk waits for it."""
    mine = had("back20", state=IssueState.RESERVED, step="second")
    found = choose(THREE, STEPS["second"], ONE, (mine, had("back15", days=6, id=4)), NOW)
    assert found == Give(LADDER["back20"], mine, (4,))
    assert choose(THREE, STEPS["last"], ONE, (mine,), NOW) == Wait(NOW + HOUR, mine)


def test_a_later_message_of_a_step_whose_offer_is_over_has_nothing_to_say() -> None:
    """An escalation three days later: expired, redeemed or replaced since; what was returned is issued once more."""
    for state in (IssueState.EXPIRED, IssueState.REDEEMED, IssueState.REPLACED, IssueState.OPEN):
        over = had("back15", state=state, step="first")
        assert choose(THREE, STEPS["first"], ONE, (over,), NOW) == Over(over)
    assert given_of(THREE, "first", ONE, had("back15", state=IssueState.RETURNED, step="first")) == "back15"


def test_arms_may_differ_in_the_level() -> None:
    """Of an experiment on the level, each arm begins on its own."""
    arms = Experiment(variants=(Variant(name="a", share=0.5, offer={"default": "back15"}), Variant(name="b", share=0.5, offer={"default": "back30"})))
    campaign = Campaign(name="winback", offers=LADDER, steps=(step("first", "back15", experiment=arms), step("last", "back30")))
    assert given_of(campaign, "first", Walker(1, {"first": "a"}, None)) == "back15"
    assert given_of(campaign, "first", Walker(1, {"first": "b"}, None)) == "back30"
    assert given_of(campaign, "last", Walker(1, {"first": "b"}, None), had("back30", state=IssueState.EXPIRED)) == "back30"


def test_who_comes_only_for_discounts_gets_none() -> None:
    """The offer that is no discount; where there is none, the first rung and no more."""
    seeker = ONE._replace(seeker=True)
    with_points = Campaign(name="winback", offers={**LADDER, "points": POINTS}, steps=THREE.steps)
    assert given_of(with_points, "last", seeker, had("back20", state=IssueState.EXPIRED)) == "points"
    assert given_of(THREE, "last", seeker, had("back15", state=IssueState.EXPIRED)) == "back15"
    assert is_seeker(3, 0.8) and not is_seeker(2, 1.0) and not is_seeker(9, 0.79) and not is_seeker(5, None)


FOREIGN = st.tuples(st.integers(0, 60), st.integers(1, 20))


@settings(max_examples=300)
@given(
    seed=st.integers(0, 2**32), tier=st.sampled_from([None, "high"]), seeker=st.booleans(), gap=st.integers(0, 8), valid=st.integers(1, 30),
    foreign=st.lists(FOREIGN, max_size=2),
)  # fmt: skip
def test_whatever_happens_offers_climb_and_never_stack(
    seed: int, tier: str | None, seeker: bool, gap: int, valid: int, foreign: list[tuple[int, int]]
) -> None:
    """Random steps, delays, failures and acceptances, an offer of another campaign now and then. At all times: at most one open offer; none
    worse than an open one; the ladder goes up by one rung at most, and only past what was accepted; the first is the lowest."""
    rng = random.Random(seed)
    names = [rng.choice(["back15", "back20", "back30"]) for _ in range(5)]
    campaign = Campaign(
        name="winback", offers=LADDER, enrol=Enrol(jobs=True, min_gap=gap * DAY), steps=tuple(step(f"s{i}", name) for i, name in enumerate(names))
    )
    walker = Walker(1, {}, tier, seeker)
    issues: dict[int, Issue] = {}
    for number, (begins, lasts) in enumerate(foreign):
        issues[100 + number] = Issue(100 + number, 9, "x", "spring", f"f{number}", 0, IssueState.OPEN, None, NOW + begins * DAY, NOW + (begins + lasts) * DAY)
    now = NOW
    for each in campaign.steps:
        now += rng.randrange(1, 15) * DAY
        for _ in range(6):
            seen = [issue for issue in issues.values() if issue.accepted_at is None or issue.accepted_at <= now]
            found = choose(campaign, each, walker, seen, now)
            if isinstance(found, Wait):
                assert found.until > now and found.open.open_at(now)
                now = found.until
                continue
            assert isinstance(found, Give)
            _check(found, seen, now, gap)
            if not any(issue.campaign == "winback" and (issue.state in GIVEN or issue.open_at(now)) for issue in seen):
                assert found.offer is rungs(campaign, each, walker)[0], "the lowest first"
            new = found.again or Issue(len(issues), 1, each.name, "winback", found.offer.name, found.offer.rank, IssueState.RESERVED)
            if rng.random() < 0.3:  # a refused handover: the same again
                issues[new.id] = new
                again = choose(campaign, each, walker, [*seen, new] if found.again is None else seen, now)
                assert isinstance(again, Give) and again.offer is found.offer and (again.again or new).id == new.id
            if rng.random() < 0.6:
                for old in found.replaces:
                    issues[old] = issues[old]._replace(state=IssueState.REPLACED)
                if new.accepted_at is None:
                    new = new._replace(state=IssueState.OPEN, accepted_at=now, ends_at=now + valid * DAY)
                issues[new.id] = new
            elif found.again is None:
                issues[new.id] = new._replace(state=IssueState.RETURNED)
            break
        begun = [issue for issue in issues.values() if issue.accepted_at is not None and issue.accepted_at <= now]
        mine = [issue for issue in begun if issue.campaign == "winback" and issue.open_at(now)]
        assert len(mine) <= 1


def _check(found: Give, seen: list[Issue], now: Instant, gap: int) -> None:
    there = [issue for issue in seen if issue.open_at(now)]
    assert all(issue.campaign == "winback" for issue in there), "never beside another one's"
    assert all(issue.rank <= found.offer.rank for issue in there), "never a worse one"
    assert {issue.id for issue in there} - set(found.replaces) <= ({found.again.id} if found.again else set()), "never two"
    if found.again is None:
        reached = sorted(issue.rank for issue in seen if issue.campaign == "winback" and issue.state in GIVEN)
        fresh = [issue for issue in seen if issue.campaign == "winback" and issue.state in GIVEN and now - (issue.accepted_at or 0) < gap * DAY]
        top = reached[-1] if reached else -1
        assert not (fresh and found.offer.rank > top), "no rung within the gap"
