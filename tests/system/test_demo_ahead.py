"""The first part of `homing demo --days N`: the playbook, lived ahead over a made-up shop."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.cli.context import Cli
from daemon.cli.demo_ahead import PLAYBOOK, look_ahead


@pytest.mark.slow
def test_playbook_lives_over_the_made_up_shop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two days: several campaigns send, holdouts and exits are seen, each fate is explained, and people do things of their own accord."""
    found = look_ahead(Cli(), tmp_path, 2, 0)
    assert found["people"] == 2_000
    assert len({item["campaign"] for item in found["sent"]} & set(PLAYBOOK)) >= 4
    assert found["totals"]["ended"]["accepted"] == sum(found["totals"]["sent"].values()) > 500
    assert found["totals"]["ended"]["held_out:held_out"] > 50
    assert found["totals"]["events"]["opened"] > 50
    assert len(found["explained"]) >= 3
    shown = capsys.readouterr().out
    assert "One of each fate, explained" in shown
    assert "waiting" in shown
