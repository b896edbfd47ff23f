"""When a released delivery falls due: the first window instant, and after an opening edge a stable share of the spread."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from daemon.model.campaign import Purpose
from daemon.policy.spread import RING, due_stretch, jitter
from tests.unit.policy import oracle
from tests.unit.policy.cases import EVENING, NOON, candidate, person, rules, window
from tests.unit.policy.oracle import DAY, HOUR, MINUTE

OPENS = oracle.at("2026-11-23T02:00:00Z")
HALF_HOUR = rules(spread=30 * MINUTE)


def due(now: int = EVENING, *, key: int = 7, about: dict[str, Any] | None = None, **given_row: Any) -> int | None:
    row = candidate(**given_row)
    return due_stretch(row, person(id=key, **(about or {})), HALF_HOUR, now).first(key, row.campaign)


def test_an_open_window_needs_no_spread() -> None:
    """What meets an open window is due at once; what waits for 09:00 is spread over half an hour after it."""
    assert due(NOON) == NOON
    instants = [due(key=number * (RING // 50)) for number in range(50)]
    assert all(at is not None and OPENS <= at < OPENS + 30 * MINUTE for at in instants)
    assert len({at // MINUTE for at in instants if at}) > 25


def test_share_is_stable_and_turned_by_the_campaign() -> None:
    """The same person, the same campaign: the same instant; another campaign: another place in the row."""
    assert due() == due()
    first = [min(range(20), key=lambda key: jitter(key * (RING // 20), name, 10**9)) for name in ("a", "b", "c", "d")]
    assert len(set(first)) > 1


@given(keys=st.lists(st.integers(0, RING - 1), min_size=2, max_size=50), name=st.text(max_size=8), span=st.integers(0, DAY))
def test_share_follows_the_order_of_keys(keys: list[int], name: str, span: int) -> None:
    """In key order the instants rise, but for the one place where the ring is turned."""
    instants = [jitter(key, name, span) for key in sorted(keys)]
    assert all(0 <= at < max(span, 1) for at in instants)
    assert sum(later < earlier for earlier, later in pairwise(instants)) <= 1


def test_spread_ends_before_close_and_end() -> None:
    """A window of ten minutes, a life that ends at 09:20: at most half of what is left is used."""
    keys = range(0, RING, RING // 40)
    short = [due(key=key, campaign_window=window("09:00-09:10")) for key in keys]
    assert all(at is not None and OPENS <= at < OPENS + 5 * MINUTE for at in short)
    ending = [due(key=key, expires_at=OPENS + 20 * MINUTE) for key in keys]
    assert all(at is not None and OPENS <= at < OPENS + 10 * MINUTE for at in ending)


def test_triggers_and_transactional_messages_are_not_spread() -> None:
    """They go at the edge itself."""
    assert due(trigger=True) == OPENS
    assert due(purpose=Purpose.TRANSACTIONAL) == OPENS
    assert due(purpose=Purpose.TRANSACTIONAL, ignore_window=True) == EVENING


def test_what_waits_for_a_common_instant_is_spread_too() -> None:
    """`not_before` and `starts` are edges like an opening."""
    for given_row in ({"not_before": NOON + HOUR}, {"starts": NOON + HOUR}):
        at = due(NOON, **given_row)
        assert at is not None
        assert NOON + HOUR <= at < NOON + 90 * MINUTE
    started = due(NOON, starts=date(2026, 11, 25))
    assert started is not None
    assert oracle.at("2026-11-25T02:00:00Z") <= started < oracle.at("2026-11-25T02:30:00Z")


def test_delivery_whose_window_never_opens_has_no_instant() -> None:
    """Released to expire, not to wait."""
    assert due(campaign_window=window("sat 10:00-12:00"), expires_at=EVENING + DAY) is None
    assert due(ends=EVENING) is None


def test_unknown_zone_is_due_at_once_to_be_held() -> None:
    """The claim gives the reason."""
    assert due(about={"zone": None}) == EVENING
    assert due(about={"zone": None}, expires_at=EVENING) is None
