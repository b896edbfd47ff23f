"""Retries: exponential with full jitter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.model.delivery import MINUTE, SECOND
from daemon.pacing.backoff import Backoff

BACKOFF = Backoff()


@given(attempt=st.integers(1, 1000), share=st.floats(0, 1, exclude_max=True))
def test_delay_is_a_share_of_a_growing_whole(attempt: int, share: float) -> None:
    """At least 15 s, at most base x factor^n, never above six hours."""
    delay = BACKOFF.delay(attempt, share)
    assert BACKOFF.least <= delay < min(BACKOFF.base * BACKOFF.factor ** min(attempt - 1, 20), BACKOFF.longest) + 1
    assert delay <= BACKOFF.delay(attempt + 1, share)


def test_delays_reach_from_the_least_to_the_whole() -> None:
    """Full jitter: the extremes of the first and the third."""
    assert (BACKOFF.delay(1, 0.0), BACKOFF.delay(1, 0.999999) // MINUTE) == (15 * SECOND, 4)
    assert BACKOFF.delay(3, 0.999999) // MINUTE == 44
    assert BACKOFF.delay(9, 0.999999) // MINUTE == 359
