"""`homing world generate`, and what it wrote brought in by the commands that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.cli_world import CliWorld, write_world


@pytest.fixture
def homing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CliWorld:
    write_world(tmp_path)
    return CliWorld(tmp_path, capsys)


def test_a_generated_world_comes_in_whole(homing: CliWorld) -> None:
    """Nothing is refused, and what the events add up to is what the truth says of somebody."""
    folder = homing.folder / "shop"
    made = homing.ok("world", "generate", "--recipients", "60", "--seed", "5", "--out", str(folder))
    assert (made["recipients"], made["folder"]) == (60, str(folder))
    assert homing.ok("recipients", "import", str(folder / "recipients.ndjson"))["kept"] == 60
    assert homing.ok("events", "import", str(folder / "events.ndjson"))["kept"] == made["events"]
    assert homing.ok("suppressions", "import", str(folder / "suppressions.txt"))["added"] == made["suppressions"]
    shown = homing.ok("recipients", "show", "w-0000009")
    truth = (folder / "truth.ndjson").read_text("utf-8").splitlines()[8]
    assert f'"orders":{shown["profile"]["orders"]},' in truth


def test_a_world_is_not_written_over(homing: CliWorld) -> None:
    """Exit 2, and what to do; a size that cannot be is refused too."""
    folder = str(homing.folder / "shop")
    homing.ok("world", "generate", "--recipients", "2", "--out", folder)
    said = homing("world", "generate", "--recipients", "2", "--out", folder)
    assert (said.code, "another folder" in said.err) == (2, True)
    assert homing("world", "generate", "--until", "1999-01-01", "--out", f"{folder}-b").code == 2
