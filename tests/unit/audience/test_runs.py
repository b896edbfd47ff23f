"""Runs on disk: merged in order, whatever their number and length; what cannot be read is lost, not wrong."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from daemon.audience.runs import BLOCK, MOST_BLOCKS, LostError, Runs
from daemon.disk import SystemDisk

MANY = BLOCK * MOST_BLOCKS


@pytest.mark.parametrize("sizes", [[], [0], [1], [MANY], [MANY + 1, 3, 0, MANY - 1], [BLOCK] * 40, [5] * 300])
@pytest.mark.parametrize("left", [0, 1, MANY * 3 + 5])
def test_all_records_come_once_and_in_order(tmp_path: Path, sizes: list[int], left: int) -> None:
    """Also equal ones, and when a run ends before the others begin."""
    rng = random.Random(1)
    runs, all_of_them = Runs(SystemDisk(), tmp_path / "runs" / "x", "rows"), list[bytes]()
    for number, size in enumerate(sizes):
        low = number * 5 if len(sizes) == 40 else 0
        records = sorted(bytes([low + rng.randrange(40 if low else 250)]) + rng.randbytes(2) for _ in range(size))
        runs.spill(number, records)
        all_of_them += records
    rest = sorted(rng.randbytes(3) for _ in range(left))
    assert list(runs.merge(len(sizes), rest)) == sorted([*all_of_them, *rest])
    runs.remove()
    assert not (tmp_path / "runs").is_dir() or list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("harm", ["gone", "cut", "other version", "garbled"])
def test_a_run_that_cannot_be_read_is_lost(tmp_path: Path, harm: str) -> None:
    """The body is read again then; rows are never left out in silence."""
    runs = Runs(SystemDisk(), tmp_path / "x", "rows")
    runs.spill(0, [bytes([i]) for i in range(100)])
    path = tmp_path / "x.rows.0"
    raw = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes({"cut": raw[:-1], "other version": b"#" + raw[1:], "garbled": raw[:-40] + b"\xff" * 40}[harm])
    with pytest.raises(LostError):
        list(runs.merge(1, []))
