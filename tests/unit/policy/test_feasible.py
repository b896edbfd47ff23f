"""What of a campaign can never go as it is written: told by the rules themselves, before anybody is asked."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from daemon.model.campaign import Campaign, Step
from daemon.model.delivery import DAY, HOUR, MINUTE, SECOND
from daemon.model.journey import Enrol
from daemon.policy.caps import Cap, OnCap
from daemon.policy.feasible import Load, Situation, infeasible, needs, spell_rate
from daemon.policy.hours import parse_window
from daemon.policy.periods import Calendar
from daemon.policy.rules import Rules

NOW = 1_795_399_200 * SECOND  # Monday 2026-11-23, 09:00 in Jakarta
WINDOW = parse_window({"start": "09:00", "end": "21:00"})


def steps(*days: int, valid: int = 72 * HOUR, **more: Any) -> tuple[Step, ...]:
    return tuple(Step(name=f"s{day}", channels=("email",), day=day, valid=valid, **more) for day in days)


def found(campaign: Campaign, *caps: Cap, rate: float | None = None, waiting: dict[tuple[str, str], int] | None = None) -> list[tuple[str, str]]:
    rules = Rules(window=WINDOW, caps=caps, default_zone="Asia/Jakarta")
    at = Situation(NOW, "Asia/Jakarta", {"email": Load("relay", rate)}, waiting or {})
    return [(each.step, each.code) for each in infeasible(campaign, rules, parse_window(campaign.window) if campaign.window else None, at)]


def test_sound_campaign_has_nothing_against_it() -> None:
    """Three steps, a cap that they keep to."""
    assert found(Campaign(name="c", steps=steps(45, 60, 90)), Cap(name="weekly", limit=1, rolling=7 * DAY)) == []


@pytest.mark.parametrize(("cap", "lost"), [
    (Cap(name="m", limit=1, rolling=30 * DAY), ["s60"]),
    (Cap(name="m", limit=1, rolling=60 * DAY), ["s60", "s90"]),
    (Cap(name="m", limit=2, rolling=60 * DAY), ["s90"]),
    (Cap(name="m", limit=1, rolling=60 * DAY, on_cap=OnCap.DROP), ["s60", "s90"]),
    (Cap(name="m", limit=0, calendar=Calendar.DAY), ["s45", "s60", "s90"]),
    (Cap(name="m", limit=1, rolling=60 * DAY, campaign="other"), []),
    (Cap(name="m", limit=1, rolling=60 * DAY, channels=frozenset({"sms"})), []),
])  # fmt: skip
def test_cap_that_the_sequence_itself_uses_up_is_told(cap: Cap, lost: list[str]) -> None:
    """Steps at day 45, 60 and 90 that live 72 hours, for somebody who gets nothing else; a step that is lost takes no slot."""
    assert found(Campaign(name="c", steps=steps(45, 60, 90)), cap) == [(step, "cap") for step in lost]


def test_step_that_lives_until_a_slot_frees_is_no_fault() -> None:
    """It goes late, and pushes the next one by the gap."""
    campaign = Campaign(name="c", steps=steps(45, 50, valid=10 * DAY), enrol=Enrol(min_gap=3 * DAY))
    assert found(campaign, Cap(name="m", limit=1, rolling=14 * DAY)) == []
    assert found(campaign, Cap(name="m", limit=1, rolling=16 * DAY)) == [("s50", "cap")]


def test_window_that_never_opens_in_a_steps_life_is_told() -> None:
    """A step of Monday 09:00 that lives two hours and may go on Sundays only."""
    campaign = Campaign(name="c", steps=steps(45, valid=2 * HOUR), window={"hours": ["sun 10:00-11:00"]})
    assert found(campaign) == [("s45", "window")]


def test_end_before_the_steps_is_told() -> None:
    """Of those that would fall due after it, and of all when it is over already."""
    assert found(Campaign(name="c", steps=steps(45, 60, 90), ends=date(2026, 12, 15))) == [("s90", "ended")]
    assert found(Campaign(name="c", steps=steps(45), ends=date(2026, 11, 1))) == [("", "ended")]


def test_nothing_and_nobody_to_send_over_is_told() -> None:
    """No step; a channel without a provider, unless another of the step's has one."""
    assert found(Campaign(name="c")) == [("", "empty")]
    assert found(Campaign(name="c", steps=(Step(name="s", channels=("sms",)),))) == [("s", "channel")]
    assert found(Campaign(name="c", steps=(Step(name="s", channels=("sms", "email")),))) == []


def test_rate_that_is_too_low_for_its_people_is_told() -> None:
    """72 hours from Monday 09:00 have 36 open ones: at 10 a second 1,296,000 messages."""
    campaign = Campaign(name="c", steps=steps(45))
    assert found(campaign, rate=10, waiting={("s45", "email"): 1_296_000}) == []
    assert found(campaign, rate=10, waiting={("s45", "email"): 1_296_001}) == [("s45", "rate")]
    assert found(campaign, waiting={("s45", "email"): 10**9}) == []


def test_needs_say_when_it_is_done() -> None:
    """At 1/s an audience of 50,000 takes 13 h 53 min 20 s: twelve hours of Monday and the rest of Tuesday morning."""
    rules = Rules(window=WINDOW, default_zone="Asia/Jakarta")
    at = Situation(NOW, "Asia/Jakarta", {"email": Load("relay", 1)}, {("s45", "email"): 50_000, ("gone", "email"): 5})
    [need] = needs(Campaign(name="c", steps=steps(45)), rules, None, at)
    assert (need.messages, need.open_seconds, need.provider_rate) == (50_000, 36 * 3600, 1)
    assert need.finish == NOW + DAY + HOUR + 53 * MINUTE + 20 * SECOND


def test_rates_are_spelt_in_a_unit_of_their_size() -> None:
    """Not 0.00278/s."""
    assert [spell_rate(rate) for rate in (12, 1234, 0.5, 10 / 3600, 0.0001)] == ["12/s", "1,234/s", "30/min", "10/h", "0.36/h"]
