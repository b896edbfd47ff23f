"""The pytest plugin for authors: loaded by its entry point, silent unless asked."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

AUTHORS_TEST = """
from tests.unit.plugins.faulty.base import Sound
from tests.unit.plugins.faulty.whole_batch import Channel

def test_sound(conforms):
    assert conforms(Sound, {"url": "https://x.example/", "token": "t"}).passed

def test_wrong(conforms):
    conforms(Channel, {"url": "https://x.example/", "token": "t"}, patience=0.5)
"""
ROOT = Path(__file__).parents[3]


def run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:asyncio", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT), "PATH": ""}).stdout


def test_an_author_gets_a_fixture_that_fails_with_the_reason(tmp_path: Path) -> None:
    """Without an import, and without loading anything in a run that does not ask for it."""
    (tmp_path / "test_it.py").write_text(AUTHORS_TEST)
    (tmp_path / "test_other.py").write_text("import sys\ndef test_inert():\n    assert 'aiohttp' not in sys.modules\n")
    assert any(point.value == "plugins.testing.pytest_plugin" for point in importlib.metadata.entry_points(group="pytest11"))
    out = run(tmp_path, "test_it.py")
    assert "1 failed, 1 passed" in out
    assert "handover was asked for 5 messages at once, but one act carries 1" in out
    assert "1 passed" in run(tmp_path, "test_other.py")
