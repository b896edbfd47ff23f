"""The first part of `homing demo --days N`: the playbook, lived ahead over a made-up shop."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.app.setup import read_setup
from daemon.cli.context import Cli
from daemon.cli.demo_ahead import _furnish, _told_of, look_ahead
from daemon.model.journey import ACT_CHANNELS
from daemon.sandbox.stage import sample_campaigns


@pytest.mark.slow
def test_playbook_lives_over_the_made_up_shop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two days: several campaigns send, holdouts and exits are seen, each fate is explained, and people do things of their own accord."""
    found = look_ahead(Cli(), tmp_path, 2, 0)
    assert found["people"] == 2_000
    assert len({item["campaign"] for item in found["sent"]}) >= 4
    assert found["totals"]["ended"]["accepted"] == sum(found["totals"]["sent"].values()) > 500
    assert found["totals"]["ended"]["held_out:held_out"] > 50
    assert found["totals"]["events"]["opened"] > 50
    assert len(found["explained"]) >= 3
    shown = capsys.readouterr().out
    assert "One of each fate, explained" in shown
    assert "waiting" in shown


def test_each_channel_of_the_playbook_has_a_provider_in_the_look_ahead(tmp_path: Path) -> None:
    """The whole playbook is there. Nothing is held for want of one; only for push nobody there has a browser, so mail takes its place."""
    setup = read_setup(_furnish(tmp_path), {})
    assert set(setup.catalogue.versions) == {folder.name for folder in sample_campaigns().iterdir() if folder.is_dir()}
    steps = [step for version in setup.catalogue.versions.values() for step in version.campaign.steps]
    wanted = {channel for step in steps for channel in step.every_channel}
    wanted |= {ACT_CHANNELS[step.act.kind] for step in steps if step.act is not None and step.act.kind in ACT_CHANNELS}
    assert wanted >= {"sms", "export"}
    assert wanted - {"push"} <= {loaded.channel for loaded in setup.loading.channels}


def test_the_sentence_of_a_fate_is_that_of_its_own_message() -> None:
    """Somebody has several messages of one fate: the one that was picked is explained, and no other."""
    deliveries = [
        {"id": "d-1", "state": "due", "reason": "window_closed", "text": "Waits until Monday."}, {"id": "d-2", "state": "dropped", "text": "Let go."},
        {"id": "d-3", "state": "due", "reason": "window_closed", "text": "Waits until Friday."},
    ]  # fmt: skip
    found = {"enrolments": [{"deliveries": deliveries[:2]}, {"deliveries": deliveries[2:]}]}
    assert [_told_of(found, id) for id in ("d-3", "d-1", "d-9")] == ["Waits until Friday.", "Waits until Monday.", ""]
