"""What shuts the gate: the stop file, a clock behind the last commit, what an operator has not accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.dispatch.gate import Gate
from daemon.model.delivery import SECOND, Reason


@pytest.mark.promise("F42", "P8")
def test_the_stop_file_shuts_it_at_once_and_opens_it_when_gone(tmp_path: Path) -> None:
    """Asked before every group of grants; needs nothing but the file system."""
    gate = Gate(tmp_path / "stop")
    assert not gate.shut(10, 0)
    (tmp_path / "stop").touch()
    assert gate.shut(10, 0)
    assert Reason.KILL_SWITCH.value in gate.reasons()
    (tmp_path / "stop").unlink()
    assert not gate.shut(10, 0)


@pytest.mark.promise("F33")
def test_a_clock_behind_the_last_commit_latches(tmp_path: Path) -> None:
    """More than 2 s behind: shut until an operator accepts it, even if the clock comes back."""
    gate = Gate(tmp_path / "stop")
    assert not gate.shut(100 * SECOND, 102 * SECOND)
    assert gate.shut(100 * SECOND - 1, 102 * SECOND)
    assert gate.shut(200 * SECOND, 102 * SECOND)
    gate.open(Reason.CLOCK_UNTRUSTED)
    assert not gate.shut(200 * SECOND, 102 * SECOND)


@pytest.mark.promise("F32", "F33")
def test_what_was_latched_before_a_restart_stays(tmp_path: Path) -> None:
    """The store keeps the reasons; a restart is no way around them."""
    assert Gate(tmp_path / "stop", {Reason.RESTORED.value: "older than the journal"}).shut(1, 0)


class Clocks:
    """A wall clock that is moved by hand beside a steady one."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_780_000_000 * SECOND, 5.0

    def instant(self) -> int:
        return self.wall

    def monotonic(self) -> float:
        return self.steady


@pytest.mark.promise("F32")
@pytest.mark.parametrize(("jump", "held"), [(3 * 3600, True), (-3 * 3600, True), (1, False), (-1, False)])
def test_no_grant_is_given_in_the_time_that_a_jump_made(tmp_path: Path, jump: int, held: bool) -> None:
    """F32: the very next group of grants is refused, not the first after the watch's next round."""
    clocks = Clocks()
    gate = Gate(tmp_path / "stop", clock=clocks)  # type: ignore[arg-type]
    clocks.wall, clocks.steady = clocks.wall + 60 * SECOND, clocks.steady + 60
    assert not gate.shut(clocks.wall, 0)
    clocks.wall += jump * SECOND
    assert gate.shut(clocks.wall, 0) is held
    assert (Reason.CLOCK_UNTRUSTED.value in gate.latched()) is held


@pytest.mark.parametrize(("jump", "trusted"), [(3 * 3600, False), (-3 * 3600, False), (1, True)])
def test_a_jump_is_seen_by_who_asks_whether_the_clock_is_trusted(tmp_path: Path, jump: int, trusted: bool) -> None:
    """Before any round of the watch; until an operator accepts it."""
    clocks = Clocks()
    gate = Gate(tmp_path / "stop", clock=clocks)  # type: ignore[arg-type]
    assert gate.trusted()
    clocks.wall += jump * SECOND
    assert gate.trusted() is trusted
    gate.open(Reason.CLOCK_UNTRUSTED)
    assert gate.trusted()
