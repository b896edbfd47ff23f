"""Two processes that run the tests side by side must know them by the same names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_every_process_finds_the_same_tests(request: pytest.FixtureRequest) -> None:
    """No name is made of the clock or of a set's order: else `make test` ends before its first test, now and then."""
    here = {item.nodeid for item in request.session.items}
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist"]
    files = sorted({name.partition("::")[0] for name in here})
    found = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "4242"}, check=False)
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-2000:]
    assert sorted(here - set(found.stdout.splitlines())) == []
