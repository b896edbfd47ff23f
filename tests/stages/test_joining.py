"""Parked reports are joined a short transaction at a time, however many there are."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.clock import SystemClock
from daemon.feedback.joining import Joining
from daemon.log import get_log
from daemon.store.feedback import Report, hear
from daemon.store.writer import Lane, Store


class Dear(SystemClock):
    """Each look at it is 20 ms later, so each transaction takes so long."""

    seconds = 0.0

    def monotonic(self) -> float:
        self.seconds += 0.02
        return self.seconds


async def test_what_takes_long_is_taken_less_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Handovers and unsubscribes are served between two transactions: one that took too long is followed by shorter ones, to the last report."""
    store, clock = Store.open(tmp_path / "homing.db"), Dear()
    try:
        parked = [Report("relay", "sms", "delivered", 1, provider_id=f"SM{n}") for n in range(120)]
        await store.write(Lane.EXIT, hear, parked, channels=(), now=clock.instant())
        looked: list[int] = []
        write = store.write

        async def watched(lane: Lane, act: Any, *args: Any, **named: Any) -> Any:
            done = await write(lane, act, *args, **named)
            looked.append(done.looked)
            return done

        monkeypatch.setattr(store, "write", watched)
        ingesting: Any = SimpleNamespace(tell=lambda heard: None)
        joining = Joining(store=store, clock=clock, log=get_log(), ingesting=lambda: ingesting, channels=tuple)
        await joining.join()
        assert sum(looked) == 120
        assert looked[:4] == [25, 12, 6, 5] and set(looked[4:-1]) == {5}
    finally:
        await store.close()
