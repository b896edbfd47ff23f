"""`make crash` in small, and whether its judge sees what it is there to see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.crash import killing
from tests.crash.contest import OPENING, Person, Window
from tests.crash.judge import Ended, Evidence, judge


@pytest.mark.slow
@pytest.mark.promise("P1", "P2", "P3", "P4", "P5", "F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "F11", "F12", "F13", "F27")
def test_killed_at_random_points_nothing_is_lost_doubled_or_sent_against_the_rules() -> None:
    """A few kills; `make crash` has 45 over 20,000 messages. An out-of-memory kill is the same signal. The window that opens does so
    long after: who is spread over its beginning would have to be waited for."""
    plan = killing.Plan(kills=6, rows=900, seed=7, settle_seconds=0.5, delay_ms=10, up_seconds=(0.1, 0.5), closes_in=1, opens_in=3600)
    assert killing.run(plan) == []


NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC).timestamp()
ONE = Person(key="p-1", email="p-1@example.com", zone="UTC")
TWO = Person(key="p-2", email="never.p-2@example.com", zone="Asia/Jakarta")


def line(kind: str, id: str, to: str, at: float = NOON) -> dict[str, Any]:
    return {"kind": kind, "at": at, "begun": at - 0.01, "to": to, "delivery": id}


def good() -> Evidence:
    """Four deliveries: accepted, rejected, in doubt by a kill, and one whose window is closed."""
    opening = Window(start=13 * 60, end=14 * 60)
    return Evidence(
        dropped={("open-1", ONE.email): ONE, ("open-1", TWO.email): TWO, ("open-2", ONE.email): ONE, (OPENING, ONE.email): ONE},
        log=[line("accepted", "A", ONE.email), line("never", "B", TWO.email)],
        ended={
            ("open-1", ONE.email): Ended(id="A", state="accepted", reason=None),
            ("open-1", TWO.email): Ended(id="B", state="rejected", reason="rejected_by_provider"),
            ("open-2", ONE.email): Ended(id="C", state="in_doubt", reason=None),
            (OPENING, ONE.email): Ended(id="D", state="due", reason="window_closed"),
        },
        doubts={("open-2", ONE.email): NOON + 20},
        windows={OPENING: opening},
        kills=1,
        connections=10,
        now=NOON + 60,
    )  # fmt: skip


def with_lines(*lines: dict[str, Any]) -> Callable[[Evidence], Evidence]:
    return lambda seen: replace(seen, log=[*seen.log, *lines])


def with_end(pair: tuple[str, str], state: str, reason: str | None = None) -> Callable[[Evidence], Evidence]:
    return lambda seen: replace(seen, ended={**seen.ended, pair: replace(seen.ended[pair], state=state, reason=reason)})


def without(pair: tuple[str, str]) -> Callable[[Evidence], Evidence]:
    return lambda seen: replace(seen, ended={key: ended for key, ended in seen.ended.items() if key != pair})


def test_what_is_as_it_must_be_is_not_complained_of() -> None:
    """Accepted, rejected, in doubt and waiting, each with its cause."""
    assert judge(good()) == []


@pytest.mark.parametrize(
    ("doctor", "said"),
    [
        (without((OPENING, ONE.email)), "lost: dropped in"),
        (lambda seen: replace(seen, log=seen.log[1:]), "lost: accepted by the store"),
        (with_lines(line("accepted", "A", ONE.email, NOON + 40)), "doubled"),
        (with_lines(line("lost", "A", ONE.email, NOON + 40)), "doubled"),
        (with_lines(line("accepted", "Z", ONE.email, NOON + 40)), "silent"),
        (with_lines(line("accepted", "D", ONE.email, NOON + 40)), "silent"),
        (with_lines(line("accepted", "D", TWO.email, NOON + 40)), "wrong address"),
        (with_lines(line("accepted", "D", ONE.email, NOON + 40)), "outside the window"),
        (with_lines(line("accepted", "D", ONE.email, NOON + 5)), "more than 1 in 15 s"),
        (lambda seen: replace(seen, doubts={("open-2", ONE.email): NOON + 5}), "more than 1 in 15 s"),
        (with_lines(*(line("accepted", f"X{n}", ONE.email, NOON + 60 * n) for n in range(1, 4))), "more than 3 in a day"),
        (lambda seen: replace(seen, doubts={}), "in doubt and not in the list"),
        (lambda seen: replace(seen, kills=0), "1 in doubt, more than 0"),
        (with_end(("open-1", ONE.email), "rejected"), "given up though the server did not refuse it"),
        (with_end((OPENING, ONE.email), "held", "render_error"), "ended, or stuck"),
        (with_end((OPENING, ONE.email), "in flight"), "ended, or stuck"),
        (with_end(("open-1", TWO.email), "due"), "left unsent without a cause"),
        (lambda seen: replace(seen, now=NOON + 90 * 60), "left unsent without a cause"),
    ],
)
def test_the_judge_sees_a_doctored_run(doctor: Callable[[Evidence], Evidence], said: str) -> None:
    """Each promise broken once."""
    found = judge(doctor(good()))
    assert any(said in problem for problem in found), found
