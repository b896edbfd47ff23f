"""The breaker opens on provider errors only, probes with one message, and waits longer each time it fails."""

from __future__ import annotations

import json

from daemon.model.delivery import MINUTE, SECOND
from daemon.pacing.breaker import ERRORS, LONGEST, PAUSE, Breaker, BreakerState

START = 1_795_359_840 * SECOND


def opened(now: int = START) -> Breaker:
    breaker = Breaker()
    for _ in range(ERRORS):
        breaker.failed(now)
    return breaker


def test_opens_after_five_errors_in_a_row() -> None:
    """Closed: any number; open: none for 10 s; then one."""
    breaker = Breaker()
    for _ in range(ERRORS - 1):
        breaker.failed(START)
    assert (breaker.state(START), breaker.allowed(START)) == (BreakerState.CLOSED, None)
    breaker.failed(START)
    assert (breaker.state(START), breaker.allowed(START + PAUSE - 1)) == (BreakerState.OPEN, 0)
    assert (breaker.state(START + PAUSE), breaker.allowed(START + PAUSE)) == (BreakerState.HALF_OPEN, 1)


def test_a_success_between_starts_the_count_anew() -> None:
    """So do errors more than a minute apart: one bad answer in a hundred never opens it."""
    breaker = Breaker()
    for step in range(100):
        breaker.failed(START + step * SECOND)
        if step % 4 == 3:
            breaker.succeeded(START + step * SECOND)
    assert breaker.state(START + 100 * SECOND) is BreakerState.CLOSED
    for step in range(20):
        breaker.failed(START + 10 * MINUTE + step * 20 * SECOND)
    assert breaker.state(START + 20 * MINUTE) is BreakerState.CLOSED


def test_failed_probe_doubles_the_pause_up_to_a_limit() -> None:
    """10 s, 20 s, 40 s, .. 15 min."""
    breaker, now, pauses = opened(), START, []
    for _ in range(8):
        pauses.append(breaker.open_until - now)
        now = breaker.open_until
        breaker.failed(now)
    assert pauses[:4] == [PAUSE, 2 * PAUSE, 4 * PAUSE, 8 * PAUSE]
    assert pauses[-1] == LONGEST


def test_probe_that_succeeds_closes_it() -> None:
    """And the next opening starts at 10 s again."""
    breaker = opened()
    breaker.succeeded(START + PAUSE)
    assert breaker.allowed(START + PAUSE) is None
    again = START + 2 * PAUSE
    for _ in range(ERRORS):
        breaker.failed(again)
    assert breaker.open_until == again + PAUSE


def test_late_answers_while_open_change_nothing() -> None:
    """Messages sent before it opened still fail or succeed: neither says how the provider is now."""
    breaker = opened()
    until = breaker.open_until
    breaker.failed(START + SECOND)
    breaker.succeeded(START + SECOND)
    assert (breaker.open_until, breaker.opened) == (until, 1)


def test_state_survives_a_restart() -> None:
    """Through JSON."""
    breaker = opened()
    assert Breaker.from_state(json.loads(json.dumps(breaker.to_state()))) == breaker
    assert Breaker.from_state(None) == Breaker()
