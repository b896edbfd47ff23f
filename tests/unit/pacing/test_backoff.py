"""Retries: exponential with full jitter, inside the window, until attempts or time run out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.model.delivery import DAY, HOUR, MINUTE, SECOND
from daemon.pacing.backoff import Backoff

NOW = 1_795_359_840 * SECOND
BACKOFF = Backoff()


def always(at: int) -> int | None:
    return at


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


def test_retry_waits_for_the_window() -> None:
    """The first open instant after the pause."""

    def opens_in_an_hour(at: int) -> int | None:
        return max(at, NOW + HOUR)

    assert BACKOFF.retry_at(1, NOW, share=0.5, next_open=opens_in_an_hour, expires_at=NOW + DAY) == NOW + HOUR


def test_retry_honours_retry_after() -> None:
    """Not before the provider said."""
    assert BACKOFF.retry_at(1, NOW, share=0.5, next_open=always, expires_at=NOW + DAY, not_before=NOW + 7 * HOUR) == NOW + 7 * HOUR


def test_retry_ends_with_attempts_and_time() -> None:
    """None after the fifth attempt, when no window opens, and when it opens too late."""
    assert BACKOFF.retry_at(4, NOW, share=0.0, next_open=always, expires_at=NOW + DAY) is not None
    assert BACKOFF.retry_at(5, NOW, share=0.0, next_open=always, expires_at=NOW + DAY) is None
    assert BACKOFF.retry_at(1, NOW, share=0.0, next_open=lambda _: None, expires_at=NOW + DAY) is None
    assert BACKOFF.retry_at(1, NOW, share=0.5, next_open=always, expires_at=NOW + MINUTE) is None
