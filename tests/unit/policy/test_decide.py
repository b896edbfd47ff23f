"""The decision: order of the checks, what each verdict carries, and who gets the last slot."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from daemon.ids import encode_id
from daemon.model.campaign import Purpose
from daemon.model.delivery import REASONS, Decision, Reason, State, Verdict
from daemon.policy.caps import Cap, OnCap
from daemon.policy.decide import decide, decide_all, state_after, touch_of
from daemon.policy.hours import parse_quiet_hours
from daemon.policy.rules import Rules
from tests.unit.policy import oracle
from tests.unit.policy.cases import DAILY, DROPPING, EVENING, NOON, WEEKLY, candidate, person, rules, touch, window
from tests.unit.policy.oracle import DAY, HOUR, MINUTE

THREE = [touch("2026-11-18T02:00:00Z"), touch("2026-11-19T02:00:00Z"), touch("2026-11-20T02:00:00Z")]


def verdict(now: int = NOON, *, under: Rules | None = None, about: dict[str, Any] | None = None, **given: Any) -> Decision:
    return decide(candidate(**given), person(**(about or {})), under or rules(), now)


def test_send_closes_with_the_window() -> None:
    """All checks passed: good until 21:00 Jakarta time."""
    decision = verdict(under=rules(WEEKLY))
    assert decision.verdict is Verdict.SEND
    assert decision.closes == oracle.at("2026-11-22T14:00:00Z")
    assert decision.checks == (("permission", "pass"), ("window", "pass"), ("cap.weekly-email", "pass"))
    assert decision.facts["zones"] == ["Asia/Jakarta"]


def test_send_closes_with_its_end_or_its_calendar_period() -> None:
    """The nearest of window, `expires_at`, campaign end and the day that a cap was counted in."""
    assert verdict(expires_at=NOON + HOUR).closes == NOON + HOUR
    assert verdict(ends=NOON + 2 * HOUR).closes == NOON + 2 * HOUR
    allday = rules(DAILY, window=window("00:00-24:00"))
    assert verdict(under=allday).closes == oracle.at("2026-11-22T17:00:00Z")
    assert verdict(under=allday, purpose=Purpose.TRANSACTIONAL).closes == NOON + 10 * DAY


def test_contract_example_of_a_full_cap() -> None:
    """Three of three e-mails in 7 days: waits until the oldest ages out, with the numbers that show it."""
    decision = verdict(EVENING, under=rules(WEEKLY, window=window("00:00-24:00")), about={"touches": THREE})
    assert (decision.verdict, decision.reason) == (Verdict.DEFER, Reason.CAP_REACHED)
    assert decision.until == oracle.at("2026-11-25T02:00:00Z")
    assert decision.rule is not None
    assert decision.rule[0] == "cap.weekly-email"
    assert decision.facts == {
        "limit": 3, "rolling": "7d", "channels": ["email"], "used": 3, "oldest": "2026-11-18T02:00:00Z", "frees_at": "2026-11-25T02:00:00Z",
    }  # fmt: skip
    assert decision.checks == (("permission", "pass"), ("cap.weekly-email", "defer"))


def test_a_pause_that_the_person_asked_for_ends_at_its_instant() -> None:
    """Marketing waits for the first instant that is inside the window too, or ends if its life does; orders are confirmed all the same."""
    until = oracle.at("2026-11-25T18:00:00Z")
    decision = verdict(about={"paused_until": until})
    assert (decision.verdict, decision.reason, decision.until) == (Verdict.DEFER, Reason.PAUSED_BY_RECIPIENT, oracle.at("2026-11-26T02:00:00Z"))
    assert decision.facts == {"until": "2026-11-25T18:00:00Z"}
    assert verdict(about={"paused_until": NOON}).verdict is Verdict.SEND
    assert verdict(about={"paused_until": until}, purpose=Purpose.TRANSACTIONAL).verdict is Verdict.SEND
    ends = verdict(about={"paused_until": until}, expires_at=until)
    assert (ends.verdict, ends.reason) == (Verdict.DROP, Reason.LATE)


def test_one_message_a_week_is_a_cap_of_the_person_s_own() -> None:
    """Whatever caps the shop has; over all channels; of two at once one goes."""
    week = [touch("2026-11-20T02:00:00Z")]
    decision = verdict(under=rules(WEEKLY), about={"touches": week, "weekly": True})
    assert (decision.verdict, decision.reason, decision.until) == (Verdict.DEFER, Reason.CAP_REACHED, oracle.at("2026-11-27T02:00:00Z"))
    assert decision.rule is not None
    assert decision.rule[0] == "cap.recipient"
    assert verdict(under=rules(WEEKLY), about={"touches": week}).verdict is Verdict.SEND
    assert verdict(about={"touches": week, "weekly": True}, purpose=Purpose.TRANSACTIONAL).verdict is Verdict.SEND
    both = decide_all([candidate(id=1), candidate(id=2)], person(weekly=True), rules(), NOON)
    assert [decision.verdict for _, decision in both] == [Verdict.SEND, Verdict.DEFER]


def test_wait_for_a_slot_ends_inside_the_window() -> None:
    """The slot frees at 23:00: the wait ends when the window opens after that."""
    history = [touch("2026-11-18T16:00:00Z")] * 3
    decision = verdict(under=rules(WEEKLY), about={"touches": history})
    assert decision.facts["frees_at"] == "2026-11-25T16:00:00Z"
    assert decision.until == oracle.at("2026-11-26T02:00:00Z")


def test_wait_for_the_window_goes_on_to_the_slot() -> None:
    """Shut at night, and the cap is full the next morning: one wait, not two; the window is still the reason."""
    decision = verdict(EVENING, under=rules(WEEKLY), about={"touches": THREE})
    assert decision.reason is Reason.WINDOW_CLOSED
    assert decision.facts["opens"] == "2026-11-23T02:00:00Z"
    assert decision.until == oracle.at("2026-11-25T02:00:00Z")


def test_permission_comes_before_everything() -> None:
    """A suppressed person's delivery is dropped though it is late, shut and capped."""
    decision = verdict(EVENING, expires_at=EVENING, about={"suppressed": {"email": Reason.SUPPRESSED}})
    assert (decision.verdict, decision.reason, decision.checks) == (Verdict.DROP, Reason.SUPPRESSED, (("permission", "drop"),))


def test_first_check_that_fails_decides() -> None:
    """exit, window, cap, guard, in this order."""
    full = rules(WEEKLY)
    given: dict[str, Any] = {"under": full, "about": {"touches": THREE}, "held_by": Reason.CAMPAIGN_PAUSED}
    assert verdict(EVENING, **given, starts=EVENING + DAY).reason is Reason.CAMPAIGN_NOT_STARTED
    assert verdict(EVENING, **given).reason is Reason.WINDOW_CLOSED
    assert verdict(NOON, **given).reason is Reason.CAP_REACHED
    assert verdict(NOON, held_by=Reason.CAMPAIGN_PAUSED).reason is Reason.CAMPAIGN_PAUSED


@pytest.mark.promise("F35")
def test_expired_delivery_is_late() -> None:
    """At `expires_at` exactly it is over."""
    decision = verdict(expires_at=NOON)
    assert (decision.verdict, decision.reason, state_after(decision)) == (Verdict.DROP, Reason.LATE, State.EXPIRED)
    assert verdict(expires_at=NOON + 1).verdict is Verdict.SEND


@pytest.mark.promise("F35")
def test_window_that_cannot_open_in_time_expires_at_once() -> None:
    """Nobody waits for a Saturday that comes after the end."""
    decision = verdict(campaign_window=window("sat 10:00-12:00"), expires_at=NOON + 3 * DAY)
    assert (decision.verdict, decision.reason, state_after(decision)) == (Verdict.DROP, Reason.WINDOW_NEVER_OPENS, State.EXPIRED)
    assert decision.rule == ("campaign.window", "sat 10:00-12:00")


def test_cap_that_cannot_free_in_time_expires_at_once() -> None:
    """The slot frees, or the window after it opens, only past the end: late, and for want of what."""
    decision = verdict(under=rules(WEEKLY), about={"touches": THREE}, expires_at=NOON + 2 * DAY)
    assert (decision.verdict, decision.reason, decision.facts["waited_for"]) == (Verdict.DROP, Reason.LATE, "cap_reached")
    both = verdict(EVENING, under=rules(WEEKLY), about={"touches": THREE}, expires_at=EVENING + DAY)
    assert (both.reason, both.facts["waited_for"]) == (Reason.LATE, "window_closed")


def test_campaign_dates_are_local_midnights() -> None:
    """`starts` waits for the first open instant of its date; `ends` is over at 00:00 of its date."""
    decision = verdict(starts=date(2026, 11, 24))
    assert (decision.reason, decision.until) == (Reason.CAMPAIGN_NOT_STARTED, oracle.at("2026-11-24T02:00:00Z"))
    assert decision.facts["starts_at"] == "2026-11-23T17:00:00Z"
    ended = verdict(ends=date(2026, 11, 22))
    assert (ended.verdict, ended.reason, state_after(ended)) == (Verdict.DROP, Reason.CAMPAIGN_ENDED, State.EXPIRED)
    assert verdict(starts=date(2026, 11, 22), ends=date(2026, 11, 23)).closes == oracle.at("2026-11-22T14:00:00Z")


def test_campaign_dates_hold_in_every_zone_that_is_possible() -> None:
    """Several zones: begun in the last of them, ended in the first; no zone at all: the widest."""
    about = {"zone": None, "country": "ID"}
    allday = rules(window=window("00:00-24:00"))
    assert verdict(about=about, under=allday, starts=date(2026, 11, 23)).until == oracle.at("2026-11-22T17:00:00Z")
    assert verdict(about=about, under=allday, ends=date(2026, 11, 23)).closes == oracle.at("2026-11-22T15:00:00Z")
    nowhere = verdict(about={"zone": None}, under=allday, starts=date(2026, 11, 23))
    assert nowhere.until == oracle.at("2026-11-23T12:00:00Z")


def test_start_after_the_end_is_late() -> None:
    """A campaign that begins after the delivery's life never sends it."""
    assert verdict(starts=NOON + 5 * DAY, expires_at=NOON + 4 * DAY).reason is Reason.LATE


@pytest.mark.promise("F34", "P5")
def test_unknown_zone_is_held_until_someone_knows() -> None:
    """No source, no home country: Hold with the recipient as its key; before the campaign starts it just waits."""
    decision = verdict(about={"zone": None})
    assert (decision.verdict, decision.reason, decision.key) == (Verdict.HOLD, Reason.ZONE_UNKNOWN, "recipient:c-1")
    assert verdict(about={"zone": None}, starts=NOON + DAY).until == NOON + DAY
    assert verdict(about={"zone": None}, ignore_window=True).verdict is Verdict.SEND
    assert verdict(about={"zone": None}, under=rules(DAILY), ignore_window=True).reason is Reason.ZONE_UNKNOWN
    assert verdict(about={"zone": None}, under=rules(window=window("00:00-24:00"))).verdict is Verdict.SEND


def test_unknown_zone_takes_the_zones_of_home_countries() -> None:
    """Indonesia's three offsets: 09:00 in its west is the opening, 21:00 in its east the close."""
    home = rules(home_countries=("ID",))
    decision = verdict(EVENING, about={"zone": None}, under=home)
    assert decision.until == oracle.at("2026-11-23T02:00:00Z")
    assert verdict(about={"zone": None}, under=home).closes == oracle.at("2026-11-22T12:00:00Z")


def test_quiet_hours_and_closed_days_have_their_own_reasons() -> None:
    """The recipient's quiet hours, and a date that the window is closed on."""
    quiet = verdict(about={"quiet_hours": parse_quiet_hours(["11:00-13:00"])})
    assert (quiet.reason, quiet.until) == (Reason.QUIET_HOURS, oracle.at("2026-11-22T06:00:00Z"))
    holiday = verdict(under=rules(window=window("09:00-21:00", closed=["2026-11-22"])))
    assert (holiday.reason, holiday.until) == (Reason.HOLIDAY, oracle.at("2026-11-23T02:00:00Z"))


def test_of_several_windows_that_are_shut_the_one_that_opens_last_is_named() -> None:
    """At night all are: the one that is waited for, not the general one; of those that open together the narrowest."""
    for narrower in ("mon-fri 10:00-12:00", "09:00-17:00"):
        found = verdict(EVENING, campaign_window=window(narrower))
        assert (found.reason, found.facts["hours"], found.rule) == (Reason.WINDOW_CLOSED, [narrower], ("campaign.window", narrower))
    found = verdict(EVENING, campaign_window=window("08:00-17:00"))
    assert (found.facts["hours"], found.rule) == (["09:00-21:00"], ("window", rules().version))
    assert verdict(EVENING, about={"quiet_hours": parse_quiet_hours(("21:00-11:00",))}).reason is Reason.QUIET_HOURS


def test_channel_country_campaign_and_job_windows_are_intersected() -> None:
    """Everything that applies; the country of the phone number or of the zone where none is given."""
    under = rules(channel_windows={"sms": window("10:00-20:00")}, country_windows={"ID": window("13:00-24:00")})
    assert verdict(under=under, about={"country": "SG"}).verdict is Verdict.SEND
    for about in ({"country": "id"}, {"phone": "+62811111111"}, {}):
        decision = verdict(under=under, about=about)
        assert decision.rule is not None
        assert (decision.rule[0], decision.until) == ("window.countries.ID", NOON + HOUR)
    narrowed = verdict(
        under=under, about={"country": "SG"}, channel="sms", campaign_window=window("09:00-15:00"), job_window=window("14:30-16:00")
    )
    assert narrowed.rule == ("job.window", "14:30-16:00")
    assert narrowed.until == NOON + 150 * MINUTE


def test_transactional_passes_caps_but_counts() -> None:
    """It goes over a full cap; only `ignore_window` frees it of the window; its touch fills the cap for marketing."""
    full, about = rules(WEEKLY), {"touches": THREE}
    assert verdict(under=full, about=about, purpose=Purpose.TRANSACTIONAL).verdict is Verdict.SEND
    assert verdict(EVENING, purpose=Purpose.TRANSACTIONAL).reason is Reason.WINDOW_CLOSED
    assert verdict(EVENING, purpose=Purpose.TRANSACTIONAL, ignore_window=True).verdict is Verdict.SEND
    receipt = candidate(id=9, priority=0, purpose=Purpose.TRANSACTIONAL)
    verdicts = dict(map(lambda pair: (pair[0].id, pair[1]), decide_all([candidate(), receipt], person(touches=THREE[:2]), full, NOON)))  # noqa: C417
    assert verdicts[9].verdict is Verdict.SEND
    assert verdicts[1].reason is Reason.YIELDED_TO_PRIORITY


def test_dropping_cap_drops() -> None:
    """`on_cap = "drop"`: no wait, and the state is dropped though the reason usually defers."""
    decision = verdict(channel="sms", under=rules(DROPPING), about={"touches": [touch("2026-11-20T02:00:00Z", "sms")]})
    assert (decision.verdict, decision.reason, state_after(decision)) == (Verdict.DROP, Reason.CAP_REACHED, State.DROPPED)


def test_dropping_cap_decides_before_a_deferring_one() -> None:
    """Otherwise a message would wait for one slot only to be dropped for want of the other."""
    patient = Cap(name="all", limit=1, rolling=DAY)
    both = rules(patient, DROPPING)
    decision = verdict(channel="sms", under=both, about={"touches": [touch("2026-11-22T02:00:00Z", "sms")]})
    assert (decision.verdict, decision.rule) == (Verdict.DROP, ("cap.sms-week", both.version))


def test_last_slot_goes_to_the_highest_priority() -> None:
    """Then not_before, then id; the loser names the winner, and is looked at again when it is known whether that has gone."""
    rows = [
        candidate(id=4, priority=50),
        candidate(id=3, priority=80),
        candidate(id=2, priority=80, not_before=5),
    ]
    verdicts = decide_all(rows, person(touches=THREE[1:]), rules(WEEKLY), NOON)
    assert [row.id for row, _ in verdicts] == [3, 2, 4]
    assert [decision.reason for _, decision in verdicts] == [None, Reason.YIELDED_TO_PRIORITY, Reason.YIELDED_TO_PRIORITY]
    loser = verdicts[1][1]
    assert loser.until == NOON + HOUR
    assert loser.facts["frees_at"] == "2026-11-26T02:00:00Z"
    assert loser.facts["to"] == [encode_id(3)]
    assert loser.facts["used"] == 3
    assert loser.checks[-2:] == (("cap.weekly-email", "pass"), ("priority", "defer"))


def test_who_loses_a_contest_does_not_end_for_want_of_a_slot_that_may_stay_free() -> None:
    """The winner may yet be refused at the handover, or by its provider: only once its contact counts is the other one too late."""
    rows = [candidate(id=1, priority=80), candidate(id=2, priority=50, expires_at=NOON + 72 * HOUR)]
    cap = Cap(name="one", limit=1, rolling=7 * DAY)
    _, (_, loser) = decide_all(rows, person(), rules(cap), NOON)
    assert (loser.verdict, loser.reason, loser.until) == (Verdict.DEFER, Reason.YIELDED_TO_PRIORITY, NOON + HOUR)
    assert decide(rows[1], person(), rules(cap), NOON + HOUR).verdict is Verdict.SEND
    went = person(touches=[touch("2026-11-22T05:00:00Z")])
    assert decide(rows[1], went, rules(cap), NOON + HOUR).reason is Reason.LATE


def test_only_what_would_be_sent_now_takes_part_in_the_contest() -> None:
    """A paused, shut or suppressed rival of higher priority takes nothing."""
    facts = person(touches=THREE[1:], suppressed={"sms": Reason.SUPPRESSED})
    rivals = [
        candidate(id=2, priority=90, held_by=Reason.CAMPAIGN_PAUSED),
        candidate(id=3, priority=90, campaign_window=window("14:00-15:00")),
        candidate(id=4, priority=90, channel="sms"),
        candidate(id=5, priority=90, expires_at=NOON),
    ]
    verdicts = {row.id: decision for row, decision in decide_all([candidate(id=1), *rivals], facts, rules(WEEKLY), NOON)}
    assert verdicts[1].verdict is Verdict.SEND
    assert all(decision.verdict is not Verdict.SEND for number, decision in verdicts.items() if number != 1)


def test_full_cap_is_no_lost_contest() -> None:
    """Without a slot from the start everyone's reason is the cap."""
    verdicts = decide_all([candidate(id=1), candidate(id=2, priority=90)], person(touches=THREE), rules(WEEKLY), NOON)
    assert {decision.reason for _, decision in verdicts} == {Reason.CAP_REACHED}


def test_guards_hold_or_defer_as_their_reason_says() -> None:
    """A pause waits (asked again only at the end), an untrusted clock holds; the key says what frees it."""
    paused = verdict(held_by=Reason.CAMPAIGN_PAUSED)
    assert (paused.verdict, paused.until, paused.key) == (Verdict.DEFER, NOON + 10 * DAY, "campaign:winback")
    held = verdict(held_by=Reason.CLOCK_UNTRUSTED, held_key="operator")
    assert (held.verdict, held.until, held.key, state_after(held)) == (Verdict.HOLD, None, "operator", State.HELD)


def test_touch_keeps_the_zones_in_force() -> None:
    """What the store writes with the handover."""
    made = touch_of(candidate(), person(zone=None, phone="+62811111111"), rules(), NOON)
    assert made == (NOON, "email", "winback", "winback", "Asia/Jakarta,Asia/Makassar")


@pytest.mark.parametrize("reason", list(Reason))
def test_usual_verdict_of_each_reason_ends_in_its_state(reason: Reason) -> None:
    """`state_after` is the table, but for verdicts that are not the usual one."""
    rule = REASONS[reason]
    assert state_after(Decision(verdict=rule.verdict, reason=reason)) is rule.state


def test_version_names_the_rules() -> None:
    """Equal rules, equal version; any change another one."""
    assert rules(WEEKLY).version == rules(WEEKLY).version
    others = [rules(), rules(replace(WEEKLY, limit=2)), rules(replace(WEEKLY, on_cap=OnCap.DROP)), rules(WEEKLY, default_zone="UTC")]
    assert len({rules(WEEKLY).version, *(other.version for other in others)}) == 5
