"""Installations for the fault tests, small disks and what the machine must allow; all is ended and unmounted whatever happens."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.house import STRACE, Troubled
from tests.system.daemon_world import Relay

Build = Callable[..., Troubled]
SMALL_MIB = 224


def _strace_works() -> bool:
    return STRACE is not None and subprocess.run([STRACE, "-qq", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0


needs_strace = pytest.mark.skipif(not _strace_works(), reason="needs strace and the right to trace")


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """`build()`: an installation that is not started. `rate`: of its provider; `state`: its state folder lies there."""
    made: list[tuple[Troubled, Relay]] = []

    def make(*, rate: str = "", state: Path | None = None, delay_ms: int = 0) -> Troubled:
        relay = Relay(tmp_path, delay_ms=delay_ms).start()
        house = Troubled(tmp_path / f"house-{len(made)}", relay)
        made.append((house, relay))
        text = house.config.read_text()
        if rate:
            text = text.replace("pool = 10\n", f'pool = 10\nrate = "{rate}"\n')
        house.config.write_text(text)
        if state is not None:
            state.mkdir(mode=0o700)
            house.state.symlink_to(state)
        return house

    yield make
    for house, relay in made:
        house.end()
        relay.end()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 224 MiB, in memory. Needs root."""
    place = tmp_path / "disk"
    place.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or mount is None or umount is None:
        pytest.skip("needs root to mount a small tmpfs")
    if subprocess.run([mount, "-t", "tmpfs", "-o", f"size={SMALL_MIB}m", "none", place], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    yield place
    subprocess.run([umount, "-l", place], check=True)
