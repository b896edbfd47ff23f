"""What the README shows works as it stands there."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from daemon.cli.main import COMMANDS
from tests.system.cli_world import CliWorld

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
THREE_MAILS = (ROOT / "docs" / "three-mails.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    """The fenced blocks of a kind, without their indentation."""
    found = re.findall(rf"^( *)```{kind}\n(.*?)^\1```", README, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


@pytest.fixture
def homing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CliWorld:
    shutil.copytree(ROOT / "campaigns" / "winback", tmp_path / "campaigns" / "winback")
    (tmp_path / "config.toml").write_text("\n".join(blocks("toml")), encoding="utf-8")
    return CliWorld(tmp_path, capsys)


def test_smallest_config_with_a_cap_is_good(homing: CliWorld) -> None:
    """The two TOML blocks together pass `homing check`, and the first is the smallest one of the contract: 13 lines."""
    answer = homing.ok("check")
    warnings = [each for each in answer["warnings"] if "audience.providers: no platform" not in each]  # of a shipped campaign
    assert (answer["queues"], warnings) == (["lapsed-45"], [])
    assert len(blocks("toml")[0].splitlines()) == 13


def test_job_of_the_readme_is_accepted(homing: CliWorld) -> None:
    """Its rows are good, and explain answers for them."""
    (job,) = blocks("json")
    assert all(json.loads(line) for line in job.splitlines())
    path = homing.folder / "lapsed.ndjson"
    path.write_text(job, encoding="utf-8")
    receipt = homing.ok("enqueue", "lapsed-45", str(path))
    assert (receipt["accepted"], receipt["rejected"], receipt["state"]) == (2, 0, "accepted")
    assert homing.ok("explain", "c-2")["zone"]["names"] == ["Asia/Tehran"]


@pytest.mark.parametrize("line", sorted(set(re.findall(r"^ *(homing [a-z][^#\n`]*)", README + OPERATIONS + THREE_MAILS, re.MULTILINE))))
def test_commands_of_the_docs_exist(line: str) -> None:
    """No page names a command that the program does not have."""
    assert line.split()[1] in COMMANDS


def test_words_in_backticks_name_commands() -> None:
    """`homing X Y` in a sentence is a command or a member of its group."""
    import click

    from daemon.cli.main import cli

    for words in re.findall(r"`homing ([a-z]+)(?: ([a-z]+))?", README + OPERATIONS):
        command = cli.get_command(click.Context(cli), words[0])
        assert command is not None, words
        if isinstance(command, click.Group):
            assert words[1] in command.commands, words


def test_three_mails_are_copied_with_all_that_they_name(homing: CliWorld) -> None:
    """After the page's own `cp` lines config and campaigns are good, and a plan can be made: nothing that it names is missing."""
    copies = re.findall(r"^cp (?:-r )?((?:HOMING/\S+ )+)(\S+)$", THREE_MAILS, re.MULTILINE)
    for sources, target in copies:
        for source in sources.split():
            place = ROOT / source.removeprefix("HOMING/")
            if place.is_dir():
                shutil.copytree(place, homing.folder / target / place.name)
            else:
                shutil.copy(place, homing.folder / target)
    assert sorted(homing.ok("check")["campaigns"]) == ["post_reactivation", "standard", "winback"]
    assert "nothing happens on these days" in homing("plan", "standard").out


def test_each_command_of_the_three_mails_takes_its_options() -> None:
    """Option by option, without running any of them."""
    import click

    from daemon.cli.main import cli

    for line in re.findall(r"^homing ([a-z][^#\n]*)", THREE_MAILS, re.MULTILINE):
        words = line.split()
        command: click.Command | None = cli
        while isinstance(command, click.Group):
            command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None, line
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line
