"""Decisions over random lives: caps are never exceeded, and a Defer names the first instant that is worth asking again."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.model.campaign import Purpose
from daemon.model.delivery import Verdict
from daemon.policy.caps import Cap, OnCap, Touch
from daemon.policy.decide import decide, decide_all, touch_of
from daemon.policy.hours import parse_quiet_hours, parse_window
from daemon.policy.periods import Calendar, period_of
from daemon.policy.rules import Rules
from daemon.policy.subject import Candidate, PersonFacts
from tests.unit.policy import oracle
from tests.unit.policy.cases import NOON, candidate, person, rules
from tests.unit.policy.oracle import DAY, HOUR, MINUTE

PLACES = [
    {"zone": "Asia/Jakarta"}, {"zone": "America/Santiago"}, {"zone": "Asia/Kathmandu"}, {"zone": None, "country": "ID"},
    {"zone": None, "phone": "+61412345678"},
]  # fmt: skip
WINDOWS = [
    None, parse_window({"start": "22:00", "end": "06:00"}), parse_window({"hours": ["mon-fri 09:00-12:00", "sat 22:00-02:00"]}),
    parse_window({"start": "10:00", "end": "18:00", "closed": ["2026-11-23", "fri 11:30-13:30"]}),
]  # fmt: skip

caps = st.lists(
    st.one_of(
        st.builds(Cap, name=st.just("rolling"), limit=st.integers(1, 3), rolling=st.sampled_from([6 * HOUR, DAY, 7 * DAY])),
        st.builds(Cap, name=st.just("calendar"), limit=st.integers(1, 3), calendar=st.sampled_from(Calendar)),
        st.builds(Cap, name=st.just("units"), limit=st.just(4000), rolling=st.just(3 * DAY), weights=st.just({"sms": 3000, "email": 1000})),
        st.builds(Cap, name=st.just("sms"), limit=st.just(1), rolling=st.just(7 * DAY), channels=st.just(frozenset({"sms"}))),
    ),
    max_size=3,
)
histories = st.lists(
    st.builds(Touch, st.integers(NOON - 9 * DAY, NOON), st.sampled_from(["email", "sms"]), st.just("winback"), st.just("winback")),
    max_size=6,
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Candidate, PersonFacts, Rules, int]:
    now = NOON + draw(st.integers(0, 7 * 24 * 60)) * MINUTE
    given_row: dict[str, Any] = {
        "channel": draw(st.sampled_from(["email", "sms"])),
        "campaign_window": draw(st.sampled_from(WINDOWS)),
        "expires_at": now + draw(st.integers(1, 20 * 24)) * HOUR,
        "starts": draw(st.sampled_from([None, date(2026, 11, 24), NOON + 3 * DAY])),
        "ends": draw(st.sampled_from([None, date(2026, 12, 1), NOON + 9 * DAY])),
    }
    quiet = draw(st.sampled_from([None, parse_quiet_hours(["12:00-14:00"])]))
    about = {**draw(st.sampled_from(PLACES)), "touches": [t for t in draw(histories) if t.at <= now], "quiet_hours": quiet}
    base = draw(st.sampled_from([{"start": "09:00", "end": "21:00"}, {"start": "00:00", "end": "24:00"}]))
    return candidate(**given_row), person(**about), rules(*draw(caps), window=parse_window(base)), now


@settings(max_examples=400, deadline=None)
@given(world=worlds())
def test_asking_again_at_until_gives_send_and_earlier_never(world: tuple[Candidate, PersonFacts, Rules, int]) -> None:
    """`until` is the first instant at which it goes, if nothing changes: Send then, and at no instant before."""
    row, facts, under, now = world
    decision = decide(row, facts, under, now)
    if decision.verdict is Verdict.SEND:
        assert decision.closes is not None
        assert now < decision.closes <= row.expires_at
        assert decide(row, facts, under, decision.closes - 1).verdict is Verdict.SEND
        return
    if decision.verdict is Verdict.DROP:
        last = min(row.expires_at, now + 20 * DAY)
        assert all(decide(row, facts, under, at).verdict is not Verdict.SEND for at in range(now, last, 97 * MINUTE))
        return
    assert decision.verdict is Verdict.DEFER
    assert decision.until is not None
    assert now < decision.until < row.expires_at
    again = decide(row, facts, under, decision.until)
    assert again.verdict is Verdict.SEND, (again, decision)
    assert decide(row, facts, under, decision.until - 1).verdict is not Verdict.SEND
    step = max((decision.until - now) // 40, MINUTE)
    assert all(decide(row, facts, under, at).verdict is not Verdict.SEND for at in range(now, decision.until, step))


def exceeded(cap: Cap, touches: list[Touch], zone: str, marketing: set[int]) -> bool:
    """Does some marketing touch of a history lie over the limit? Looked at from the moment each one was sent."""
    for index, touch in enumerate(touches):
        if index not in marketing or not cap.covers(touch.channel, touch.topic, touch.campaign):
            continue
        before = [t for t in touches[: index + 1] if cap.covers(t.channel, t.topic, t.campaign)]
        if cap.rolling is not None:
            counted = [t for t in before if t.at > touch.at - cap.rolling]
        else:
            assert cap.calendar is not None
            now = period_of(cap.calendar, zone, touch.at)
            counted = [t for t in before if period_of(cap.calendar, zone, t.at) == now]
        if sum(cap.weight(t.channel) for t in counted) > cap.limit:
            return True
    return False


arrivals = st.lists(
    st.tuples(
        st.integers(0, 20 * 24 * 60),
        st.sampled_from(["email", "sms"]),
        st.integers(0, 100),
        st.sampled_from(["marketing"] * 4 + ["transactional"]),
    ),
    min_size=1,
    max_size=25,
)


@pytest.mark.promise("P4")
@settings(max_examples=150, deadline=None)
@given(coming=arrivals, some=caps, zone=st.sampled_from(["Asia/Jakarta", "America/Santiago", "Asia/Tehran"]))
def test_no_life_exceeds_a_cap(coming: list[tuple[int, str, int, str]], some: list[Cap], zone: str) -> None:
    """Deliveries come at random, wait as told, are judged together when due: no marketing send ever finds its cap full."""
    under = rules(*some)
    waiting = [
        candidate(
            id=index, channel=channel, priority=priority, purpose=Purpose(purpose), not_before=NOON + minute * MINUTE,
            expires_at=NOON + minute * MINUTE + 9 * DAY,
        )
        for index, (minute, channel, priority, purpose) in enumerate(coming)
    ]  # fmt: skip
    touches: list[Touch] = []
    marketing: set[int] = set()
    for _ in range(2000):
        if not waiting:
            break
        now = min(row.not_before for row in waiting)
        due = [row for row in waiting if row.not_before <= now]
        waiting = [row for row in waiting if row.not_before > now]
        facts = person(zone=zone, touches=list(touches))
        for row, decision in decide_all(due, facts, under, now):
            if decision.verdict is Verdict.SEND:
                if not row.transactional:
                    marketing.add(len(touches))
                touches.append(touch_of(row, facts, under, now))
            elif decision.verdict is Verdict.DEFER:
                assert decision.until is not None
                assert decision.until > now
                waiting.append(row._replace(not_before=decision.until))
    assert not waiting
    assert not any(exceeded(cap, touches, zone, marketing) for cap in some)
    table = {"start": "09:00", "end": "21:00"}
    assert all(oracle.inside(table, oracle.wall(zone, touch.at)) for touch in touches)


@settings(max_examples=100, deadline=None)
@given(world=worlds(), numbers=st.permutations(range(4)))
def test_order_of_asking_does_not_matter(world: tuple[Candidate, PersonFacts, Rules, int], numbers: list[int]) -> None:
    """The contest is decided by priority, not_before and id, never by the order in which the store read the rows."""
    row, facts, under, now = world
    rows = [row._replace(id=number, priority=(number % 2) * 10) for number in range(4)]
    assert decide_all([rows[number] for number in numbers], facts, under, now) == decide_all(rows, facts, under, now)


def test_dropping_cap_never_makes_a_wait() -> None:
    """Shut now and a dropping cap full at the opening: the wait ends at the opening, where it is dropped."""
    cap = Cap(name="d", limit=1, rolling=7 * DAY, on_cap=OnCap.DROP)
    facts = person(touches=[Touch(NOON, "email", "winback")])
    night = NOON + 10 * HOUR
    decision = decide(candidate(), facts, rules(cap), night)
    assert decision.until == NOON + 21 * HOUR
    assert decide(candidate(), facts, rules(cap), decision.until).verdict is Verdict.DROP
