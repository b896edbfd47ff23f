"""The rules alone, one core: decisions a second with 3 caps and 2 windows, for people with and without earlier touches."""

from __future__ import annotations

import statistics
import time

from daemon.model.delivery import DAY, HOUR, SECOND
from daemon.policy.caps import Cap, Touch
from daemon.policy.decide import decide_all
from daemon.policy.hours import parse_window
from daemon.policy.periods import Calendar
from daemon.policy.rules import Rules
from daemon.policy.subject import Candidate, PersonFacts

NOW = 1_795_322_411 * SECOND
RULES = Rules(
    window=parse_window({"start": "09:00", "end": "21:00"}),
    channel_windows={"email": parse_window({"hours": ["mon-sun 08:00-20:00"]})},
    caps=(
        Cap(name="weekly", limit=3, rolling=7 * DAY, channels=frozenset({"email"})),
        Cap(name="daily", limit=1, calendar=Calendar.DAY),
        Cap(name="pressure", limit=9000, rolling=7 * DAY, weights={"sms": 3000, "email": 1000}),
    ),
)
COUNT = 20_000


def people(touches: int) -> list[tuple[Candidate, PersonFacts]]:
    zones = ("Asia/Jakarta", "Asia/Kuala_Lumpur", "Asia/Tokyo", "Australia/Sydney")
    past = [Touch(NOW - (2 + i) * DAY, "email", "other", None, "Asia/Jakarta") for i in range(touches)]
    return [
        (
            Candidate(id=i, person=i, campaign="winback", step="s", channel="email", not_before=NOW - HOUR, expires_at=NOW + 3 * DAY),
            PersonFacts(id=i, key=f"c-{i}", zone=zones[i % 4], address={"email": "a@example.com"}, touches=past),
        )
        for i in range(COUNT)
    ]


def run(rounds: int = 5) -> None:
    """Print medians (and extremes) after one round that is dropped."""
    for name, touches in (("no earlier touch", 0), ("2 touches", 2), ("cap reached: the instant at which it frees", 3)):
        rows = people(touches)
        rates = []
        for _ in range(rounds + 1):
            start = time.process_time()
            for candidate, person in rows:
                decide_all((candidate,), person, RULES, NOW)
            rates.append(COUNT / (time.process_time() - start))
        rates = rates[1:]
        print(f"  {name:44} {statistics.median(rates):9,.0f}/s ({min(rates):,.0f}-{max(rates):,.0f})")
