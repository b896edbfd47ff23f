"""Strides: a bulk transaction takes as many rows as the writer gets through in about 8 ms, on any machine."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.audience.courtesy import MOST_REST, Courtesy
from daemon.clock import SystemClock
from daemon.pacing.stride import AIM_SECONDS, FIRST, LEAST, Stride


class Machine:
    """Takes so long a row."""

    def __init__(self, row_seconds: float) -> None:
        self.row_seconds, self.now = row_seconds, 0.0
        self.stride = Stride(lambda: self.now)

    def transact(self, rows: int) -> None:
        def act(conn: Any) -> None:
            self.now += rows * self.row_seconds

        conn: Any = None
        self.stride.timed(act, rows)(conn)


@pytest.mark.parametrize("micros", [2, 8, 40])
def test_a_stride_comes_to_last_what_it_should(micros: int) -> None:
    """Fast machine or slow."""
    machine = Machine(micros / 1e6)
    for _ in range(30):
        machine.transact(machine.stride.rows())
    assert machine.stride.rows() * machine.row_seconds == pytest.approx(AIM_SECONDS, rel=0.05)


def test_a_stall_halves_the_stride_at_most() -> None:
    """One slow write of the disk is no slow machine; and never below the least."""
    machine = Machine(1.0)
    machine.transact(machine.stride.rows())
    assert machine.stride.rows() == FIRST // 2
    for _ in range(10):
        machine.transact(machine.stride.rows())
    assert machine.stride.rows() == LEAST


def test_a_short_last_batch_teaches_nothing() -> None:
    """Its fixed costs would make every row look dear."""
    machine = Machine(1.0)
    machine.transact(FIRST // 2 - 1)
    assert machine.stride.rows() == FIRST


class Still(SystemClock):
    """Stands until it is moved, and notes how long somebody slept."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, list[float]()

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.mark.parametrize(("others", "worked", "rested"), [(0, 0.01, []), (1, 0.01, [0.01]), (5, 0.01, [0.01]), (5, 2.0, [MOST_REST])])
async def test_bulk_work_rests_as_long_as_it_works_while_others_commit(others: int, worked: float, rested: list[float]) -> None:
    """Its own commit counts for nothing; a long piece does not make a long rest."""
    clock, commits = Still(), 7
    courtesy = Courtesy(clock, lambda: commits)
    courtesy.begin()
    clock.now += worked
    commits += 1 + others
    await courtesy.rest()
    assert clock.slept == rested
