"""A recipient's own best hour: enough reactions, smoothed over the clock, no hour where the day has no shape."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.journey.timing import CLICK, LEAST, MEMORY, OPEN, best_hour, recent


def at(*hours: int, weight: float = OPEN) -> list[tuple[int, float]]:
    return [(hour, weight) for hour in hours]


def test_too_few_reactions_name_no_hour() -> None:
    """Four opens at eight are no habit; the fifth is."""
    assert best_hour(at(8, 8, 8, 8)) is None
    assert best_hour(at(8, 8, 8, 8, 8)) == 8


def test_neighbours_speak_for_each_other() -> None:
    """A habit around nine beats more opens at one scattered hour."""
    assert best_hour(at(8, 9, 9, 10, 10, 8, 20, 20, 20)) == 9
    assert best_hour(at(23, 0, 0, 1, 23, 1)) == 0, "the clock is a ring"


def test_a_day_without_a_shape_has_no_best_hour() -> None:
    """Who reads at all hours is served by the hours of everybody."""
    assert best_hour(at(*range(24))) is None


def test_clicks_weigh_more_and_everybody_settles_a_tie() -> None:
    assert best_hour([*at(7, 7, 7, 7), *at(19, 19, 19, 19, weight=CLICK)]) == 19
    evening = [5.0 if hour == 19 else 1.0 for hour in range(24)]
    assert best_hour(at(7, 7, 7, 19, 19, 19)) == 7
    assert best_hour(at(7, 7, 7, 19, 19, 19), everybody=evening) == 19


@given(st.lists(st.tuples(st.integers(0, 23), st.sampled_from([OPEN, CLICK])), max_size=60), st.integers(0, 23))
def test_turning_the_clock_turns_the_hour(reactions: list[tuple[int, float]], turn: int) -> None:
    """No hour of the day is treated otherwise; an hour is only named from enough reactions, and is near one of them."""
    best = best_hour(reactions)
    turned = best_hour([((hour + turn) % 24, weight) for hour, weight in reactions])
    assert (best is None) == (turned is None)
    if best is not None:
        assert len(reactions) >= LEAST
        assert any((best - hour) % 24 in (0, 1, 23) for hour, _ in reactions)


def test_old_reactions_are_forgotten() -> None:
    now = 10 * MEMORY
    assert recent([(now, 1.0), (now - MEMORY, 1.0), (now - MEMORY + 1, 2.0), (now + 1, 1.0)], now) == [(now, 1.0), (now - MEMORY + 1, 2.0)]
