"""The sentence that `homing explain` prints: for every reason, with the decision's own numbers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from daemon.model.campaign import Purpose
from daemon.model.delivery import REASONS, Decision, Reason, Verdict
from daemon.policy.caps import UNIT, Cap
from daemon.policy.decide import decide, decide_all
from daemon.policy.hours import parse_quiet_hours
from daemon.policy.rules import Rules
from daemon.policy.text import WHAT, decision_of, explain_text, when
from tests.unit.policy import oracle
from tests.unit.policy.cases import DAILY, DROPPING, EVENING, NOON, WEEKLY, candidate, person, rules, touch, window
from tests.unit.policy.oracle import DAY, HOUR

THREE = [touch("2026-11-18T02:00:00Z"), touch("2026-11-19T02:00:00Z"), touch("2026-11-20T02:00:00Z")]


def said(
    now: int = NOON, *, under: Rules | None = None, about: dict[str, Any] | None = None, zone: str | None = "Asia/Jakarta", **given: Any
) -> str:
    row = candidate(**given)
    return explain_text(decide(row, person(**(about or {})), under or rules(), now), zone=zone, channel=row.channel)


def test_sentence_of_the_contract() -> None:
    """Word for word."""
    assert said(under=rules(WEEKLY), about={"touches": THREE}) == (
        "Waits: 3 of 3 e-mails in 7 days are used; the oldest ages out on Wed 25 Nov 09:00 Jakarta time."
    )


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("May be sent now; its window closes on Sun 22 Nov 21:00 Jakarta time.", {}),
        ("Waits: outside the send window (09:00-21:00); it opens on Mon 23 Nov 09:00 Jakarta time.", {"now": EVENING}),
        (
            "Waits: outside the send window (09:00-21:00); it opens on Mon 23 Nov 09:00 Jakarta time, "
            "and it may go on Wed 25 Nov 09:00 Jakarta time.",
            {"now": EVENING, "under": rules(WEEKLY), "about": {"touches": THREE}},
        ),
        (
            "Waits: outside the campaign's window (14:00-15:00); it opens on Sun 22 Nov 14:00 Jakarta time.",
            {"campaign_window": window("14:00-15:00")},
        ),
        (
            "Waits: outside the sms window (14:00-15:00); it opens on Sun 22 Nov 14:00 Jakarta time.",
            {"under": rules(channel_windows={"sms": window("14:00-15:00")}), "channel": "sms"},
        ),
        (
            "Waits: the recipient's own quiet hours (00:00-24:00, closed 11:00-13:00); it opens on Sun 22 Nov 13:00 Jakarta time.",
            {"about": {"quiet_hours": parse_quiet_hours(["11:00-13:00"])}},
        ),
        (
            "Waits: a closed day of the send window (09:00-21:00, closed 2026-11-22); it opens on Mon 23 Nov 09:00 Jakarta time.",
            {"under": rules(window=window("09:00-21:00", closed=["2026-11-22"]))},
        ),
        (
            "Waits: 1 of 1 message today is used; a new day begins on Mon 23 Nov 00:00 Jakarta time, "
            "and it may go on Mon 23 Nov 09:00 Jakarta time.",
            {"under": rules(DAILY), "about": {"touches": [touch("2026-11-22T02:00:00Z")]}},
        ),
        (
            "Waits: 3 of 5 units in 1 day are used and this SMS takes 3; a slot frees on Mon 23 Nov 09:00 Jakarta time.",
            {
                "under": rules(Cap(name="u", limit=5 * UNIT, rolling=DAY, weights={"sms": 3000})),
                "about": {"touches": [touch("2026-11-22T02:00:00Z", "sms")]},
                "channel": "sms",
            },
        ),
        (
            "Not sent: 1 of 1 SMS in 7 days is used.",
            {"under": rules(DROPPING), "about": {"touches": [touch("2026-11-20T02:00:00Z", "sms")]}, "channel": "sms"},
        ),
        (
            "Expired: 3 of 3 e-mails in 7 days are used, and that does not end before Mon 23 Nov 12:00 Jakarta time.",
            {"under": rules(WEEKLY), "about": {"touches": THREE}, "expires_at": NOON + DAY},
        ),
        (
            "Expired: the campaign's window (sat 10:00-12:00) does not open before its end.",
            {"campaign_window": window("sat 10:00-12:00"), "expires_at": NOON + DAY},
        ),
        ("Expired: it could not be sent in its time.", {"expires_at": NOON}),
        ("Expired: the campaign ended on Sun 22 Nov 11:00 Jakarta time.", {"ends": NOON - HOUR}),
        ("Waits: the campaign has not started; it starts on Sun 22 Nov 13:00 Jakarta time.", {"starts": NOON + HOUR}),
        (
            "Held: nobody knows the recipient's time zone. To free it: give the recipient a zone, "
            "phone number or country; or set unknown_zone in [homing].",
            {"about": {"zone": None}, "zone": None},
        ),
        ("Not sent: the e-mail address is on the suppression list.", {"about": {"suppressed": {"email": Reason.SUPPRESSED}}}),
        (
            "Not sent: there is no consent for SMS (it is pending, and the rule is explicit).",
            {"channel": "sms", "under": rules(consent={"sms": "explicit"}), "about": {"consents": {("sms", "*"): "pending"}}},
        ),
        ('Not sent: the recipient opted out of the topic "winback".', {"about": {"consents": {("email", "winback"): "withdrawn"}}}),
        (
            "Waits: the campaign, queue or job is paused (`homing campaigns resume`, `homing queue resume` or resume the job).",
            {"held_by": Reason.CAMPAIGN_PAUSED},
        ),
        (
            "May be sent now; its window closes on Wed 2 Dec 05:00 UTC.",
            {"purpose": Purpose.TRANSACTIONAL, "ignore_window": True, "zone": None},
        ),
    ],
)  # fmt: skip
def test_sentences_of_real_decisions(text: str, given: dict[str, Any]) -> None:
    """What `decide` says, in words."""
    assert said(**given) == text


def test_loser_of_a_contest_is_told() -> None:
    """Another message took the slot; when the next one frees."""
    verdicts = decide_all([candidate(id=1), candidate(id=2, priority=90)], person(touches=THREE[1:]), rules(WEEKLY), NOON)
    assert explain_text(verdicts[1][1], zone="Asia/Jakarta") == (
        "Waits: another message of this person took the last slot of 3 e-mails in 7 days; the "
        "oldest ages out on Thu 26 Nov 09:00 Jakarta time."
    )


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_words(reason: Reason) -> None:
    """Also without facts, as decisions of other stages may come."""
    verdict = REASONS[reason].verdict
    text = explain_text(Decision(verdict=verdict, reason=reason, until=NOON if verdict is Verdict.DEFER else None), zone="Asia/Jakarta")
    assert text.endswith(".")
    assert "{" not in text
    assert text.split(":")[0] in {"Waits", "Held", "Not sent", "Expired", "Rejected", "Cancelled", "Held out"}
    assert set(WHAT) == set(Reason)


def test_stored_decision_reads_back() -> None:
    """The store keeps JSON: the sentence must come out the same."""
    decision = decide(candidate(), person(touches=THREE), rules(WEEKLY), NOON)
    stored = {
        "verdict": decision.verdict, "reason": decision.reason, "until": decision.until, "key": decision.key, "rule": decision.rule,
        "facts": decision.facts, "checks": decision.checks,
    }  # fmt: skip
    assert decision_of(json.loads(json.dumps(stored))) == decision


def test_when_names_place_seconds_and_far_years() -> None:
    """`Knox time`, seconds only where there are some, the year only when it is far."""
    at = oracle.at("2027-11-25T02:00:05Z")
    assert when(at, "Asia/Jakarta") == "Thu 25 Nov 09:00:05 Jakarta time"
    assert when(at, "America/Indiana/Knox", NOON) == "Wed 24 Nov 2027 20:00:05 Knox time"
    assert when(NOON, "America/New_York", NOON) == "Sun 22 Nov 00:00 New York time"
    assert when(NOON, None) == "Sun 22 Nov 05:00 UTC"
