"""The order and the times of a walk's steps: hand-made cases of the contract, and any campaign in any world."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.journey.sequence import (
    COMPLETED,
    NO_STANDING,
    NOT_IN_TIME,
    REACTION,
    SUNSET,
    End,
    Facts,
    Look,
    Plan,
    Standing,
    Start,
    Walk,
    begin,
    channels_of,
    due_at,
    hours_of,
    look_after,
    may_enter,
    next_move,
    offer_of,
)
from daemon.model.campaign import Campaign, Step
from daemon.model.delivery import DAY, HOUR, MINUTE
from daemon.model.journey import After, Enrol, Experiment, Late, Season, Trigger, Variant

NOW = 1_800_000_000_000_000
THREE = tuple(Step(name=name, channels=("email",), day=day) for name, day in (("reminder", 45), ("offer", 60), ("last", 90)))


def campaign(*steps: Step, late: Late = Late.FIRST, min_gap: int = 0, finish: str | None = None) -> Campaign:
    return Campaign(name="c", steps=steps or THREE, enrol=Enrol(jobs=True, late=late, min_gap=min_gap), after=After(finish=finish))


def walk_of(start: Start, now: int = NOW, **more: object) -> Walk:
    return replace(Walk(entered_at=now, since_at=now, anchor_at=start.anchor_at, shift=start.shift, step=start.passed), **more)


@pytest.mark.parametrize(("days", "late", "shift", "passed"), [
    (40, Late.FIRST, 0, None),
    (45, Late.FIRST, 0, None),
    (50, Late.FIRST, 5 * DAY, None),
    (50, Late.CURRENT, 0, None),
    (61, Late.CURRENT, 0, "reminder"),
    (400, Late.CURRENT, 0, "offer"),
    (45, Late.SKIP, 0, None),
])  # fmt: skip
def test_who_enters_late_begins_where_the_campaign_says(days: int, late: Late, shift: int, passed: str | None) -> None:
    """`first` shifts all days, `current` begins at the step whose day it is."""
    start = begin(campaign(late=late), NOW - days * DAY, NOW, {})
    assert start == Start(NOW - days * DAY, shift, passed)


def test_who_enters_late_where_late_is_skipped_does_not_enter() -> None:
    """The whole of the first day is still in time."""
    assert begin(campaign(late=Late.SKIP), NOW - 46 * DAY + 1, NOW, {}) is not None
    assert begin(campaign(late=Late.SKIP), NOW - 46 * DAY, NOW, {}) is None


def test_whose_anchor_is_not_known_gets_the_first_step_at_once() -> None:
    """A list of lapsed people says of each that its day has come."""
    start = begin(campaign(late=Late.SKIP), None, NOW, {})
    assert start is not None
    assert next_move(walk_of(start), campaign(), Facts(), NOW) == Plan(THREE[0], None)


def test_days_are_kept_and_a_shift_moves_all_of_them() -> None:
    """Entered on day 50: reminder now, offer 15 days later."""
    start = begin(campaign(), NOW - 50 * DAY, NOW, {})
    assert start is not None
    walk = walk_of(start)
    assert next_move(walk, campaign(), Facts(), NOW) == Plan(THREE[0], None)
    sent = replace(walk, step="reminder", step_at=NOW, touched_at=NOW + HOUR)
    assert next_move(sent, campaign(), Facts(last=Standing(accepted_at=NOW + HOUR)), NOW + 2 * HOUR) == Look(NOW + 15 * DAY)


def test_a_late_step_pushes_the_next_one() -> None:
    """The gap counts from the acceptance, not from the day."""
    plan = campaign(min_gap=10 * DAY)
    walk = Walk(entered_at=NOW, since_at=NOW, anchor_at=NOW - 60 * DAY, step="reminder", step_at=NOW - 15 * DAY)
    assert next_move(walk, plan, Facts(last=Standing(accepted_at=NOW - 3 * DAY)), NOW) == Look(NOW + 7 * DAY)


def test_what_ended_unsent_moves_the_walk_on_without_a_gap() -> None:
    """Nobody was disturbed, so nobody needs a rest."""
    plan = campaign(min_gap=10 * DAY)
    walk = Walk(entered_at=NOW, since_at=NOW, anchor_at=NOW - 60 * DAY, step="reminder", step_at=NOW - 15 * DAY)
    assert next_move(walk, plan, Facts(last=Standing(ended_at=NOW - MINUTE)), NOW) == Plan(THREE[1], None)


def test_a_delay_counts_from_the_acceptance_else_from_the_end() -> None:
    """And the first one from what began the walk."""
    steps = (Step(name="a", channels=("email",), delay=30 * MINUTE), Step(name="b", channels=("email",), delay=2 * DAY))
    plan = campaign(*steps)
    walk = Walk(entered_at=NOW + HOUR, since_at=NOW, anchor_at=NOW)
    assert due_at(walk, plan, steps[0], Facts()) == NOW + HOUR + 30 * MINUTE
    triggered = replace(plan, enrol=Enrol(trigger=Trigger(event="Checkout Started")))
    assert due_at(walk, triggered, steps[0], Facts()) == NOW + 30 * MINUTE
    walk = replace(walk, step="a", step_at=NOW)
    assert due_at(walk, plan, steps[1], Facts(last=Standing(accepted_at=NOW + 5))) == NOW + 5 + 2 * DAY
    assert due_at(walk, plan, steps[1], Facts(last=Standing(ended_at=NOW + 7))) == NOW + 7 + 2 * DAY


def test_a_step_for_others_is_passed_over_when_it_is_due() -> None:
    """Not before: the recipient may match by then."""
    steps = (THREE[0], replace(THREE[1], where="tier = 'high'"), THREE[2])
    walk = Walk(entered_at=NOW, since_at=NOW, anchor_at=NOW - 50 * DAY, step="reminder", step_at=NOW)
    facts = Facts(last=Standing(ended_at=NOW), matches=lambda step: False)
    assert next_move(walk, campaign(*steps), facts, NOW) == Look(NOW + 10 * DAY)
    assert next_move(walk, campaign(*steps), facts, NOW + 10 * DAY) == Look(NOW + 40 * DAY, ("offer",))


def test_a_season_moves_a_step_if_it_comes_soon_enough() -> None:
    """Else it stays on its day."""
    step = replace(THREE[0], season=Season(name="nowruz", within=20 * DAY))
    walk = Walk(entered_at=NOW, since_at=NOW, anchor_at=NOW - 45 * DAY)
    near, far = {"nowruz": (NOW - DAY, NOW + 12 * DAY)}, {"nowruz": (NOW - DAY, NOW + 21 * DAY)}
    assert next_move(walk, campaign(step), Facts(seasons=near), NOW) == Look(NOW + 12 * DAY)
    assert next_move(walk, campaign(step), Facts(seasons=far), NOW) == Plan(step, None)


def test_the_campaigns_end_ends_the_walk_and_its_start_is_waited_for() -> None:
    """A step on or behind the end is never planned."""
    walk = Walk(entered_at=NOW, since_at=NOW, anchor_at=NOW - 45 * DAY)
    assert next_move(walk, campaign(), Facts(starts_at=NOW + DAY), NOW) == Look(NOW + DAY)
    assert next_move(walk, campaign(), Facts(ends_at=NOW), NOW) == End(NOT_IN_TIME)
    assert next_move(walk, campaign(), Facts(ends_at=NOW + 1), NOW) == Plan(THREE[0], None)


def test_who_reacted_to_nothing_is_let_go_after_a_last_chance() -> None:
    """`finish = "sunset"`: not if he reacted, and not if nothing reached him."""
    plan = campaign(finish=SUNSET)
    walk = Walk(entered_at=NOW, since_at=NOW, anchor_at=NOW - 90 * DAY, step="last", step_at=NOW, touched_at=NOW)
    assert next_move(walk, plan, Facts(last=Standing(accepted_at=NOW)), NOW) == Look(NOW + REACTION)
    assert next_move(walk, plan, Facts(last=Standing(accepted_at=NOW)), NOW + REACTION) == End(SUNSET)
    assert next_move(walk, plan, Facts(last=Standing(accepted_at=NOW), reacted=True), NOW) == End(COMPLETED)
    assert next_move(replace(walk, touched_at=None), plan, Facts(last=Standing(ended_at=NOW)), NOW) == End(COMPLETED)


def test_a_walk_is_looked_at_before_somebody_asks_for_a_reaction() -> None:
    """An absence is a trigger at its own time, though the next step is far: whenever the message was accepted."""
    walk = Walk(entered_at=NOW, since_at=NOW, anchor_at=NOW - 60 * DAY, step="reminder", step_at=NOW)
    facts = Facts(last=Standing(open_until=NOW + 72 * HOUR), awaited={"offer": 3 * HOUR})
    assert look_after(walk, campaign(), THREE[1], NOW + 72 * HOUR, facts, NOW) == NOW + 3 * HOUR
    assert next_move(replace(walk, step="offer"), campaign(), facts, NOW) == Look(NOW + 3 * HOUR)
    assert look_after(walk, campaign(), THREE[1], NOW, facts, NOW) == NOW


def test_a_variant_changes_day_hours_channels_and_offer() -> None:
    """What it does not say is the step's."""
    early = Variant(name="early", share=0.5, day=30, hours=("tue 09:00-12:00",), channels=("sms",), offer={"default": "small"})
    step = replace(THREE[0], experiment=Experiment(variants=(early, Variant(name="plain", share=0.5))), offer={"default": "big", "high": "huge"})
    walk = Walk(entered_at=NOW, since_at=NOW, anchor_at=NOW - 30 * DAY, arms={"reminder": "early"})
    assert next_move(walk, campaign(step), Facts(), NOW) == Plan(step, early)
    assert next_move(replace(walk, arms={"reminder": "plain"}), campaign(step), Facts(), NOW) == Look(NOW + 15 * DAY)
    assert (channels_of(step, early), hours_of(step, early), offer_of(step, early, "high")) == (("sms",), ("tue 09:00-12:00",), "small")
    assert (channels_of(step, None), hours_of(step, None)) == (("email",), ())
    assert (offer_of(step, None, "high"), offer_of(step, None, "low"), offer_of(THREE[0], None, None)) == ("huge", "big", None)


def test_who_walked_may_walk_again_after_a_while() -> None:
    """Counted from the end of the last walk; never, where the campaign says so, and never beside an open one."""
    assert may_enter(NOW - DAY, DAY, NOW)
    assert not may_enter(NOW - DAY + 1, DAY, NOW)
    assert not may_enter(NOW - 400 * DAY, None, NOW)
    assert not may_enter(None, DAY, NOW)


times = st.integers(0, 100)


@st.composite
def campaigns(draw: st.DrawFn) -> Campaign:
    """Any: days that rise or not, delays, conditions, seasons."""
    steps = []
    for number in range(draw(st.integers(1, 5))):
        on_day = draw(st.booleans())
        steps.append(Step(
            name=f"s{number}", channels=("email",), valid=draw(st.integers(1, 10)) * DAY, day=draw(times) if on_day else None,
            delay=None if on_day else draw(times) * HOUR, where="x" if draw(st.booleans()) else None,
            season=Season(name="n", within=draw(times) * DAY) if draw(st.booleans()) else None,
        ))  # fmt: skip
    return campaign(*steps, late=draw(st.sampled_from(Late)), min_gap=draw(times) * DAY // 2, finish=draw(st.sampled_from([None, SUNSET])))


@settings(max_examples=300)
@given(plan=campaigns(), data=st.data(), dormant=st.none() | times, season=times, ends=st.none() | st.integers(0, 400))
def test_any_walk_keeps_order_and_gaps_and_ends(plan: Campaign, data: st.DataObject, dormant: int | None, season: int, ends: int | None) -> None:
    """Whatever becomes of its deliveries: no step twice, none out of order, none before it is due, no two acceptances nearer than the
    gap, none behind the end; and it does not look at its facts for ever."""
    now = NOW
    start = begin(plan, None if dormant is None else NOW - dormant * DAY, NOW, {})
    if start is None:
        return
    walk = walk_of(start)
    facts = Facts(
        matches=lambda step: data.draw(st.booleans(), label=f"{step.name} matches"), seasons={"n": (NOW + season * DAY,)},
        ends_at=None if ends is None else NOW + ends * DAY, awaited={"s1": 3 * DAY},
    )  # fmt: skip
    gone: list[str] = []
    accepted: list[int] = []
    for _ in range(2000):
        move = next_move(walk, plan, facts, now)
        passed = move.passed
        gone += passed
        if passed:
            walk, facts = replace(walk, step=passed[-1], step_at=now), replace(facts, last=NO_STANDING)
        if isinstance(move, End):
            break
        if isinstance(move, Look):
            assert move.at > now
            now = move.at + data.draw(st.sampled_from([0, 0, HOUR, 20 * DAY]), label="late look")
            if facts.last.open_until is not None:
                facts, touched = _goes_on(facts, now, data)
                if touched is not None:
                    accepted.append(touched)
                    walk = replace(walk, touched_at=touched)
            continue
        assert facts.ends_at is None or now < facts.ends_at
        gone.append(move.step.name)
        walk = replace(walk, step=move.step.name, step_at=now)
        facts = replace(facts, last=Standing(open_until=now + move.step.valid))
    else:
        raise AssertionError("the walk does not end")
    assert gone == sorted(set(gone)), "in order, each once"
    assert _nearest(accepted) >= plan.enrol.min_gap


def _goes_on(facts: Facts, now: int, data: st.DataObject) -> tuple[Facts, int | None]:
    """The open delivery is accepted (some time up to now), ends, or stays open."""
    until = facts.last.open_until
    assert until is not None
    what = data.draw(st.sampled_from(["accepted", "ended", "open"]), label="delivery")
    if what == "accepted":
        at = min(now, until)
        return replace(facts, last=Standing(accepted_at=at)), at
    if what == "ended" or now >= until:
        return replace(facts, last=Standing(ended_at=min(now, until))), None
    return facts, None


def _nearest(instants: Sequence[int]) -> int:
    return min((b - a for a, b in itertools.pairwise(instants)), default=10**18)
