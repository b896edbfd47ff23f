"""The program itself: exit codes, errors without tracebacks, JSON everywhere, and the commands that need no state."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from daemon.cli import main as program
from daemon.cli import screen
from daemon.cli.context import Cli
from daemon.cli.main import COMMANDS, cli, run
from tests.system.cli_world import CONFIG, CliWorld, write_world


@pytest.fixture
def homing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CliWorld:
    write_world(tmp_path)
    return CliWorld(tmp_path, capsys)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_says_the_same_in_the_list(name: str) -> None:
    """Each command of the list exists, takes --config and --json, and explains itself."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert {"--config", "--json"} <= {word for parameter in command.params for word in parameter.opts}
    assert command.help
    members = list(command.commands.values()) if isinstance(command, click.Group) else []
    assert all(member.help and member.get_short_help_str() for member in members)


def test_misspelt_command_and_option_are_usage_errors(homing: CliWorld) -> None:
    """Exit 2, with the word that was probably meant."""
    assert homing("statu").code == 2
    said = homing("--json", "held", "release", "--expekt", "3")
    assert said.code == 2
    assert "--expect" in json.loads(said.err)["detail"]


def test_wrong_config_names_every_problem_with_its_line(homing: CliWorld) -> None:
    """Exit 78, all problems at once, each with file, line and the nearest key; the same as JSON."""
    text = CONFIG.format(port=25).replace("[window]", "[windw]").replace('state_dir = "var"', 'state_dir = "var"\nworkers = "many"')
    (homing.folder / "config.toml").write_text(text, encoding="utf-8")
    for words in (("check",), ("status",), ("run",)):
        said = homing(*words)
        assert said.code == 78
        assert "config.toml:3: homing.workers" in said.err
        assert 'did you mean "window"' in said.err
        assert "Traceback" not in said.err
    problems = json.loads(homing("--json", "check").err)["problems"]
    assert len(problems) == 2


def test_missing_config_says_where_one_is_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No config: 78 and the option that names one."""
    assert run(["--config", str(tmp_path / "none.toml"), "status"]) == 78
    assert "--config" in capsys.readouterr().err


def test_check_finds_nothing_wrong(homing: CliWorld) -> None:
    """The config of the tests is good; the answer has what was found."""
    answer = homing.ok("check")
    assert answer["campaigns"] == {"winback": "active"}
    assert answer["providers"] == {"relay": "email"}
    assert "no problem found" in homing("check").out


def test_check_probe_tells_an_unreachable_relay(homing: CliWorld) -> None:
    """Exit 1 and the provider that cannot be reached; nothing is sent."""
    said = homing("--json", "check", "--probe")
    assert said.code == 1
    (probe,) = said.json["probes"]
    assert (probe["provider"], probe["ok"]) == ("relay", False)


def test_unexpected_error_is_one_line(homing: CliWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug ends as a message that asks for a report; HOMING_DEBUG=1 shows the traceback."""

    def broken(self: Cli) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(Cli, "config", property(broken))
    said = homing("status")
    assert said.code == 1
    assert "unexpected ZeroDivisionError: by zero" in said.err
    assert "Traceback" not in said.err
    monkeypatch.setenv("HOMING_DEBUG", "1")
    assert "Traceback" in homing("status").err


@pytest.mark.promise("B59")
@pytest.mark.parametrize("words", [("explain", "c-\udcff"), ("queue", "pause", "\udcff"), ("suppressions", "add", "\udcff@example.com")])
def test_an_argument_that_is_not_utf8_is_a_usage_error(homing: CliWorld, words: tuple[str, ...]) -> None:
    """Bytes of a foreign locale are no bug, and are shown escaped."""
    said = homing(*words)
    assert said.code == 2
    assert "not UTF-8" in said.err and "\\udcff" in said.err
    assert "bug" not in said.err


@pytest.mark.promise("B8", "B11", "B17")
def test_window_check_answers_what_is_no_row_in_its_place(homing: CliWorld, tmp_path: Path) -> None:
    """Bytes that are not UTF-8, nesting, instants at the end of time: an error a line, exit 1, and the good row is answered."""
    row = b'{"zone": "UTC", "start": "09:00", "end": "21:00", "at": "2026-11-22T10:00:00Z"}'
    path = tmp_path / "rows"
    path.write_bytes(b"\n".join([b"\xff\xfe", b"[" * 5000, row.replace(b"2026", b"9999"), row.replace(b"UTC", b"\xff"), row, b"\0", b"9" * 5000]))
    said = homing("window", "check", str(path))
    answers = [json.loads(line) for line in said.out.splitlines()]
    assert said.code == 1
    assert ["error" in answer for answer in answers] == [True, True, True, True, False, True, True]


def test_ctrl_c_is_no_bug(homing: CliWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 130, as a shell expects."""

    def interrupted(self: Cli) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Cli, "config", property(interrupted))
    assert homing("status").code == 130


def test_console_script_is_installed() -> None:
    """`python -m daemon.cli.main` and `homing` are the same program; --version needs no config."""
    answer = subprocess.run([sys.executable, "-m", "daemon.cli.main", "--version"], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("homing ")
    assert program.main.__module__ == "daemon.cli.main"


def test_window_check_answers_row_by_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An answer a row, in order; a bad row is answered by its error and ends the command with 1."""
    rows = [
        {"zone": "Asia/Jakarta", "start": "09:00", "end": "21:00", "at": "2026-11-24T02:00:00Z"},
        {"phone": "+12125551234", "start": "09:00", "end": "21:00", "at": "2026-11-24T02:00:00Z"},
        {"country": "ID", "start": "09:00", "end": "10:00", "at": "2026-11-24T02:00:00Z"},
    ]
    path = tmp_path / "rows.ndjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert run(["window", "check", str(path)]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert answers == [
        {"open": True, "next_open": "2026-11-24T02:00:00Z"},
        {"open": False, "next_open": "2026-11-24T14:00:00Z"},
        {"open": False, "next_open": None},
    ]
    path.write_text('{"zone": "Asia/Jakarta"}\nnot json\n\n', encoding="utf-8")
    assert run(["window", "check", str(path)]) == 1
    errors = [json.loads(line)["error"] for line in capsys.readouterr().out.splitlines()]
    assert len(errors) == 2


def test_plugins_are_listed_with_their_providers(homing: CliWorld) -> None:
    """Built-in channels and drop-in files alike; which provider uses which."""
    folder = homing.folder / "dropin"
    folder.mkdir()
    (folder / "pager.py").write_text('"""A drop-in."""\n', encoding="utf-8")
    found = {plugin["plugin"]: plugin["providers"] for plugin in homing.ok("plugins", "list", "--plugin-dir", str(folder))}
    assert {"console", "pager", "smtp"} <= found.keys()
    assert {plugin: providers for plugin, providers in found.items() if providers} == {"smtp": ["relay"]}


@pytest.mark.slow
def test_plugins_test_plays_the_kit(homing: CliWorld) -> None:
    """The console channel keeps the rules; an unknown plugin is 78, a wrong setting 2."""
    assert homing.ok("plugins", "test", "console")["passed"]
    assert homing("plugins", "test", "dialler").code == 78
    assert homing("plugins", "test", "smtp", "--settings", "prt=25").code == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (20, "in 20 s"), (-61, "1 min ago"), (3 * 3600 + 300, "in 3 h 5 min"), (-200_000, "2 d 7 h ago")],
)
def test_spans_read_well(seconds: float, text: str) -> None:
    """How long until or since, in at most two units."""
    assert screen.span(seconds) == text


def test_cells_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences and line breaks of foreign text are printed as spaces; wide characters keep the columns straight."""
    screen.table(("name", "n"), [("a\x1b[31mred\nb", 5), ("日本", 12)])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["name          n", "a [31mred b   5", "日本         12"]
