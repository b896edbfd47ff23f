"""The errors file of a job: what is counted in the store stands in it, whatever a power cut took."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.audience.errors_file import Errors
from daemon.model.job import RowError
from daemon.simulate.disk import SimDisk


@pytest.mark.parametrize("seed", range(8))
def test_noted_errors_outlast_a_power_cut(seed: int) -> None:
    """When `note` is back the file is there by its name, with all its lines."""
    disk, path = SimDisk(seed), Path("/state/jobs/j.errors.ndjson")
    disk.make_folder(path.parent)
    errors = Errors(disk, path, 0)
    errors.note([RowError(line=1, code="email_invalid", detail="no address")])
    errors.note([RowError(line=2, code="email_invalid", detail="no address")])
    disk.crash()
    with disk.open_regular(path) as file:
        assert len(file.read().splitlines()) == 2
