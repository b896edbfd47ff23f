"""For all tests: how Hypothesis judges them, which of them run side by side, and what is said at the end of those that failed."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

# Hypothesis judges what is generated, never how long this machine took for it.
settings.register_profile("homing", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("rote", settings.get_profile("homing"), phases=(Phase.explicit,))
"""Only the examples that are written down, nothing drawn: `tests.planted` rests on no chance."""
settings.load_profile("homing")

TOGETHER = {"system": "daemons", "faults": "daemons", "crash": "daemons", "channels": "servers", "stages": "servers"}
"""Folder -> group. `make test` runs two processes (pytest-xdist). What starts real daemons, fills disks and watches clocks stays in one of
them, one after the other; so does what serves and listens in its own process: neither meets another of its kind. The rest goes file by
file. (Not by xdist's own groups: its release 3.8 writes them where pytest 9.2 does not look, and says nothing.)"""
LAST_LINES = 25


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class ByFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return TOGETHER.get(PurePosixPath(file).parts[1], file)

    return ByFolder(config, log)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Once more, right before pytest's list of names: the end of what each failed test said. A log that is cut off at its head has it."""
    failed = [report for kind in ("error", "failed") for report in terminalreporter.stats.get(kind, ())]
    for report in failed[:10]:
        terminalreporter.section(f"failed: {report.nodeid}", sep="-", red=True)
        said = [*report.longreprtext.splitlines(), *(line for _, text in report.sections for line in text.splitlines()[-5:])]
        terminalreporter.write_line("\n".join(line[:300] for line in said[-LAST_LINES:]))
