"""Makers of candidates, people and rules for the policy tests: everything permitted unless the test says otherwise."""

from __future__ import annotations

from typing import Any

from daemon.policy.caps import Cap, OnCap, Touch
from daemon.policy.hours import parse_window
from daemon.policy.periods import Calendar
from daemon.policy.rules import Rules
from daemon.policy.subject import Candidate, PersonFacts
from tests.unit.policy import oracle
from tests.unit.policy.oracle import DAY

NOON = oracle.at("2026-11-22T05:00:00Z")
"""Sunday 12:00 in Jakarta."""

EVENING = oracle.at("2026-11-22T15:04:00Z")
"""Sunday 22:04 in Jakarta."""

WEEKLY = Cap(name="weekly-email", limit=3, rolling=7 * DAY, channels=frozenset({"email"}))
DAILY = Cap(name="daily", limit=1, calendar=Calendar.DAY)
DROPPING = Cap(name="sms-week", limit=1, rolling=7 * DAY, channels=frozenset({"sms"}), on_cap=OnCap.DROP)


def candidate(**given: Any) -> Candidate:
    defaults: dict[str, Any] = {
        "id": 1, "person": 7, "campaign": "winback", "step": "offer", "channel": "email", "topic": "winback", "expires_at": NOON + 10 * DAY,
    }  # fmt: skip
    return Candidate(**{**defaults, **given})


def person(**given: Any) -> PersonFacts:
    defaults: dict[str, Any] = {"id": 7, "key": "c-1", "zone": "Asia/Jakarta", "address": {"email": "a@example.com", "sms": "+62811111111"}}
    return PersonFacts(**{**defaults, **given})


def rules(*caps: Cap, **given: Any) -> Rules:
    consent = {"email": "implied", "sms": "implied", "push": "explicit"}
    return Rules(caps=caps, **{"consent": consent, "spread": 0, **given})


def touch(text: str, channel: str = "email", zone: str | None = "Asia/Jakarta") -> Touch:
    return Touch(oracle.at(text), channel, "winback", "winback", zone)


def window(*hours: str, **more: Any) -> Any:
    return parse_window({"hours": list(hours), **more})
