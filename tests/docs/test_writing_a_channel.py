"""The examples of docs/writing-a-channel.md are true: they type-check, load as drop-in files and pass the conformance kit."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from plugins.loader import load_plugin
from plugins.settings import field_keys
from plugins.testing import Reply, Rule, Verdict, check_channel

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/writing-a-channel.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
TOML = [tomllib.loads(re.sub(r"^  ", "", text, flags=re.MULTILINE)) for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)]
EXAMPLES = {"dialler": PYTHON[0], "letters": PYTHON[1]}
ANSWERS = {"dialler": Reply(202, {"X-Call-Id": "c1"}), "letters": Reply(200)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A drop-in folder with the page's examples, word for word."""
    for name, source in EXAMPLES.items():
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        (tmp_path / f"{name}.py").chmod(0o644)
    return tmp_path


def test_the_first_example_is_a_whole_channel_in_less_than_40_lines() -> None:
    """One file, and it imports nothing of Homing but `plugins`."""
    assert len(EXAMPLES["dialler"].splitlines()) < 40
    for source in EXAMPLES.values():
        assert set(re.findall(r"^(?:from|import) (\w+)", source, re.MULTILINE)) <= {"collections", "dataclasses", "plugins"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_passes_the_conformance_kit(name: str, folder: Path) -> None:
    """As a drop-in file, with every rule checked, and its provider's answer taken as accepted."""
    report = check_channel(load_plugin(name, plugin_dirs=[folder]), reply=ANSWERS[name])
    assert report.passed, report.text()
    assert report.notes == ()


def test_the_example_passes_with_the_settings_that_the_page_gives(folder: Path) -> None:
    """`homing plugins test dialler --settings url=.. token=..`, without telling the kit what the provider answers."""
    report = check_channel(load_plugin("dialler", plugin_dirs=[folder]), {"url": "https://api.dialler.example/v1/calls", "token": "x"})
    assert report.passed, report.text()


@pytest.mark.slow
def test_the_examples_type_check(folder: Path) -> None:
    """mypy --strict, also as the `Channel` that the kit wants."""
    (folder / "use.py").write_text(
        "from dialler import Dialler\nfrom letters import Letters\nfrom plugins import Channel\nfrom plugins.testing import check_channel\n\n"
        "channels: list[Channel] = [Dialler(), Letters()]\ncheck_channel(Dialler)\ncheck_channel(Letters)\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={ROOT / '.mypy_cache'}", "use.py", "dialler.py", "letters.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"MYPYPATH": str(ROOT), "PATH": ""}, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_config_of_the_page_fits_the_example(folder: Path) -> None:
    """Its own keys are the fields of the example's settings."""
    table = TOML[0]["providers"]["calls"]
    plugin = load_plugin(table["plugin"], plugin_dirs=[folder])
    assert table.keys() - {"plugin", "rate", "domains"} == field_keys(plugin.settings_type).keys()
    assert TOML[1]["project"]["entry-points"]["homing.plugins"]


def test_the_page_names_only_rules_that_there_are() -> None:
    """The quoted finding is one of the kit's."""
    for quoted in re.findall(r"^FAIL (\w+)", PAGE, re.MULTILINE):
        assert quoted in set(Rule)


def test_the_example_that_listens_passes_every_rule_of_the_kit(tmp_path: Path) -> None:
    """As a drop-in file, with the request that the page builds for it: what comes back is checked too."""
    (tmp_path / "ringer.py").write_text(PYTHON[2], encoding="utf-8")
    (tmp_path / "ringer.py").chmod(0o644)
    ringer = load_plugin("ringer", plugin_dirs=[tmp_path])
    room: dict[str, Any] = {"Ringer": ringer}
    exec(PYTHON[3], room)  # noqa: S102 - the page's own words
    report = check_channel(ringer, {"url": "https://api.ringer.example/calls", "secret": "s3cr3t"}, hook=room["answered"])
    assert report.passed, report.text()
    assert {finding.verdict for finding in report.findings} == {Verdict.PASSED}, report.text()
