"""The checker speaks up: a sound log passes, and each doctored one is caught under the number of the invariant that it breaks."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest

from tests.simulation.calendar import HOUR, SECOND
from tests.simulation.checker import check
from tests.simulation.events import Acked, Counted, End, Event, Fault, Received, Resolved, Row, Seen, Suppressed, Switch

NINE = 1_795_399_200_000_000  # Monday 2026-11-23 02:00 UTC: 09:00 in Jakarta
ZONE = "Asia/Jakarta"


@dataclass(frozen=True)
class Book:
    """One cap of two in six hours, one of three a day; windows from nine to nine."""

    config = tomllib.loads(
        '[homing]\nunknown_zone = "hold"\n[window]\nstart = "09:00"\nend = "21:00"\n[providers.relay]\npool = 2\n'
        '[[cap]]\nname = "burst"\nlimit = 2\nrolling = "6h"\n[[cap]]\nname = "daily"\nlimit = 3\ncalendar = "day"\n'
    )
    campaigns: ClassVar[dict[str, Any]] = {
        "news": tomllib.loads('purpose = "marketing"\n[[step]]\nvalid = "24h"\n'),
        "bill": tomllib.loads('purpose = "transactional"\nignore_window = true\non_doubt = "resend_once"\n[[step]]\nvalid = "24h"\n'),
    }


def received(job: str, recipient: str, seconds: float, *, answer: str = "250", taken: bool = True, copy: bool = False) -> Received:
    at = NINE + round(seconds * SECOND)
    return Received(began=at, at=at + 1000, relay="r", job=job, recipient=recipient, copy=copy, taken=taken, answer=answer)


def job(name: str, campaign: str, *people: str, queue: str = "q", zone: str | None = ZONE) -> Acked:
    rows = tuple(Row(recipient=each, email=f"{each}@x.example", zone=zone) for each in people)
    return Acked(at=NINE - SECOND, job=name, queue=queue, campaign=campaign, rows=rows)


def counted(name: str, n: int, state: str = "finished") -> Counted:
    return Counted(job=name, state=state, rows=n, accepted=n, duplicate=0, rejected=0)


def end(**states: str) -> End:
    """`a_p="accepted"`: the delivery of job a to p."""
    split = {tuple(key.split("_", 1)): (state, "late" if state == "expired" else "why") for key, state in states.items()}
    return End(at=NINE + 40 * HOUR, states=split)  # type: ignore[arg-type]


def sound() -> list[Event]:
    """Three people, one doubt by the relay, one crash, one rejection."""
    return [
        job("a", "news", "p", "q", "r"), job("b", "bill", "p"),
        received("a", "p", 1), received("a", "q", 2, answer="", taken=True), received("a", "r", 3, answer="451", taken=False),
        Fault(at=NINE + 4 * SECOND, kind="kill", connections=1, ended=True),
        Seen(at=NINE + 5 * SECOND, states={("a", "p"): "accepted", ("a", "q"): "in_doubt", ("a", "r"): "due", ("b", "p"): "planned"}),
        received("a", "r", 60, answer="554", taken=False), received("b", "p", 70),
        Switch(at=NINE + 80 * SECOND, what="kill", on=True), Suppressed(at=NINE + 90 * SECOND, recipient="p", all=False),
        Switch(at=NINE + 100 * SECOND, what="kill", on=False),
        counted("a", 3), counted("b", 1), end(a_p="accepted", a_q="in_doubt", a_r="rejected", b_p="accepted"),
    ]  # fmt: skip


Doctor = Callable[[list[Event]], list[Event]]


def swap_end(events: list[Event], **states: str) -> list[Event]:
    return [*events[:-1], end(**states)]


def more(events: list[Event], *added: Event) -> list[Event]:
    return [*events[:-1], *added, events[-1]]


def many_news(seconds: list[float], *, purpose: str = "news") -> list[Event]:
    """A job a message to one person, each taken at its time."""
    jobs = [job(f"n{i}", purpose, "p") for i in range(len(seconds))]
    took = [received(f"n{i}", "p", at) for i, at in enumerate(seconds)]
    states = {f"n{i}_p": "accepted" for i in range(len(seconds))}
    return [*jobs, *took, *(counted(f"n{i}", 1) for i in range(len(seconds))), end(**states)]


def starving() -> list[Event]:
    """Two queues of equal weight; all that the first has is tried before the second's only message."""
    crowd = [f"s{i}" for i in range(400)]
    jobs = [job("a", "bill", *crowd, queue="big"), job("b", "bill", "p", queue="small")]
    took = [received("a", each, 10 + i / 100) for i, each in enumerate(crowd)]
    states = {f"a_{each}": "accepted" for each in crowd} | {"b_p": "accepted"}
    return [*jobs, *took, received("b", "p", 20), counted("a", 400), counted("b", 1), end(**states)]


DOCTORED: dict[str, tuple[str, Doctor]] = {
    "a row is in no state": ("I1", lambda log: swap_end(log, a_p="accepted", a_q="in_doubt", b_p="accepted")),
    "a state that nobody knows": ("I1", lambda log: swap_end(log, a_p="accepted", a_q="in_doubt", a_r="lost", b_p="accepted")),
    "an acknowledged job is gone": ("I1", lambda log: [event for event in log if event != counted("b", 1)]),
    "a receipt that counts another number of rows": ("I1", lambda log: [counted("a", 4) if event == counted("a", 3) else event for event in log]),
    "a message taken twice": ("I2", lambda log: more(log, received("a", "p", 75))),
    "a doubt sent again though its campaign forbids it": ("I2", lambda log: more(log, received("a", "q", 75, copy=True))),
    "a second copy that is not marked": (
        "I2", lambda log: [received("b", "p", 70, answer="") if e == received("b", "p", 70) else e for e in more(log, received("b", "p", 75))],
    ),
    "a taken message shown as expired": ("I3", lambda log: swap_end(log, a_p="expired", a_q="in_doubt", a_r="rejected", b_p="accepted")),
    "an acceptance that no relay knows of": ("I3", lambda log: swap_end(log, a_p="accepted", a_q="in_doubt", a_r="accepted", b_p="accepted")),
    "more doubts than open connections": (
        "I4",
        lambda log: [
            job("c", "news", "s", "t", "u"), *log[:-1], counted("c", 3),
            end(a_p="accepted", a_q="in_doubt", a_r="rejected", b_p="accepted", c_s="in_doubt", c_t="in_doubt", c_u="in_doubt"),
        ],
    ),
    "a third message within six hours": ("I5", lambda _: many_news([1, 2 * 3600, 5 * 3600])),
    "a fourth message within a day": ("I5", lambda _: many_news([1, 2, 6 * 3600 + 3, 6 * 3600 + 4])),
    "a cap that forgets a doubt": (
        "I5", lambda _: [*[replace(e, answer="", taken=False) if isinstance(e, Received) and e.job == "n0" else e for e in many_news([1, 2, 3])][:-1], end(n0_p="in_doubt", n1_p="accepted", n2_p="accepted")],
    ),
    "a message before the window opens": ("I6", lambda _: many_news([-2])),
    "a message after the window has closed": ("I6", lambda _: many_news([12 * 3600 + 1])),
    "a message to somebody who may live anywhere": (
        "I6", lambda _: [job("a", "news", "p", zone=None), received("a", "p", 1), counted("a", 1), end(a_p="accepted")],
    ),
    "a message after an unsubscribe": (
        "I7", lambda _: [*many_news([1, 9])[:3], Suppressed(at=NINE + 8 * SECOND, recipient="p", all=False), *many_news([1, 9])[3:]],
    ),
    "a receipt to a suppressed address": ("I7", lambda log: more(log, Suppressed(at=NINE + 60 * SECOND, recipient="p", all=True))),
    "a message two seconds after the kill switch": ("I8", lambda log: more([job("c", "bill", "s"), *log], received("c", "s", 82), counted("c", 1))),
    "a message of a paused queue": (
        "I8", lambda log: [Switch(at=NINE, what="queue:q", on=True), *log],
    ),
    "more taken than planned": ("I9", lambda log: [replace(e, accepted=0, duplicate=1) if e == counted("b", 1) else e for e in log]),
    "a message that nobody asked for": ("I9", lambda log: more(log, received("a", "stranger", 5))),
    "an end that is none": ("I10", lambda log: more(log, Seen(at=NINE + 95 * SECOND, states={
        ("a", "p"): "due", ("a", "q"): "in_doubt", ("a", "r"): "rejected", ("b", "p"): "accepted"}))),
    "a doubt that ends by itself": ("I10", lambda log: swap_end(log, a_p="accepted", a_q="accepted", a_r="rejected", b_p="accepted")),
    "a delivery that vanishes": ("I10", lambda log: more(log, Seen(at=NINE + 95 * SECOND, states={("a", "p"): "accepted"}))),
    "a retry without a pause": ("I11", lambda log: [received("a", "r", 4, answer="554", taken=False) if e == received("a", "r", 60, answer="554", taken=False) else e for e in log]),
    "a retry after a refusal for good": ("I11", lambda log: more(log, received("a", "r", 90, answer="451", taken=False))),
    "a message long after its life": ("I11", lambda _: many_news([3 * 24 * 3600])),
    "a queue that waits until the other has had all its turns": ("I13", lambda _: starving()),
    "work that never ends": ("I12", lambda log: swap_end(log, a_p="accepted", a_q="in_doubt", a_r="due", b_p="accepted")),
    "a world without an end": ("I12", lambda log: log[:-1]),
}  # fmt: skip


def numbers(events: list[Event]) -> set[str]:
    return {problem.split()[0] for problem in check(events, Book())}


def test_a_sound_log_passes() -> None:
    """No false alarm: doubts by a relay and by a crash, a rejection, a kill switch and an unsubscribe that were obeyed."""
    assert check(sound(), Book()) == []


@pytest.mark.promise("P2", "P3", "P4", "P5", "P6", "P8")
@pytest.mark.parametrize("name", sorted(DOCTORED))
def test_a_doctored_log_is_caught(name: str) -> None:
    """Each of them breaks one invariant, and that one is named."""
    number, doctor = DOCTORED[name]
    assert number in numbers(doctor(sound()))


def test_every_invariant_has_a_doctored_log() -> None:
    """I1 to I13: what no log breaks, nobody knows to be checked."""
    assert {number for number, _ in DOCTORED.values()} == {f"I{n}" for n in range(1, 14)}


@pytest.mark.parametrize("events", [
    many_news([1, 6 * 3600 + 1, 12 * 3600 - 60]),
    many_news([1, 2, 24 * 3600 + 1]),
    many_news([-7200, 1, 2, 3], purpose="bill"),
    [*sound()[:-1], Resolved(at=NINE + 95 * SECOND, job="a", recipient="q", sent=True), end(a_p="accepted", a_q="accepted", a_r="rejected", b_p="accepted")],
    [received("b", "p", 70, answer="") if e == received("b", "p", 70) else e for e in more(sound(), received("b", "p", 110, copy=True))],
    more(DOCTORED["a retry without a pause"][1](sound()), Fault(at=NINE + 2 * SECOND, kind="clock_back")),
])  # fmt: skip
def test_what_the_rules_allow_is_no_problem(events: list[Event]) -> None:
    """Slots that are free again, a new day, transactional mail, a doubt closed by an operator, a marked second copy, a pause counted by a
    clock that was wrong."""
    assert check(events, Book()) == []
