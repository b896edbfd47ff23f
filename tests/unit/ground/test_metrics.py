"""What Homing counts about itself."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from daemon.metrics import MOST_LABELS, Metrics, Reading


class Watch:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return datetime(2026, 11, 22, tzinfo=UTC)

    def instant(self) -> int:
        return 0

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.mark.promise("B62")
def test_scrapes_within_a_second_cost_nothing() -> None:
    """A thousand scrapes a second print the registry once (B62)."""
    watch = Watch()
    metrics = Metrics(watch)
    metrics.outcome("relay", "email", "accepted")
    first = metrics.text()
    metrics.outcome("relay", "email", "accepted")
    assert metrics.text() is first
    watch.seconds += 1
    assert b'homing_outcomes_total{channel="email",outcome="accepted",provider="relay",reason=""} 2.0' in metrics.text()


def test_labels_are_bounded() -> None:
    """A label set that grows without end goes on as one child named other."""
    metrics = Metrics(Watch())
    for number in range(MOST_LABELS + 50):
        metrics.outcome(f"p{number}", "email", "accepted")
    text = metrics.text().decode()
    assert text.count("homing_outcomes_total{") == MOST_LABELS + 1
    assert 'provider="other",reason="other"} 50.0' in text


def test_a_reason_that_ended_goes_to_zero() -> None:
    """A gauge of a hold or a shut gate does not stay up when the reason has gone."""
    watch = Watch()
    metrics = Metrics(watch)
    metrics.observe(Reading(held={"render_error": 3}, gate={"kill_switch": "by hand"}, breakers={"relay": "open"}, commits=5))
    metrics.observe(Reading(held={}, gate={}, breakers={"relay": "closed"}, commits=9))
    text = metrics.text().decode()
    assert 'homing_held{reason="render_error"} 0.0' in text
    assert 'homing_gate_shut{reason="kill_switch"} 0.0' in text
    assert 'homing_breaker{provider="relay"} 0.0' in text
    assert "homing_store_commits_total 9.0" in text
