"""The gates themselves: a floor broken, a clock read or a file too long does not pass."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import size

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The smallest project under the real rules."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name in ("daemon", "daemon/model", "daemon/policy", "daemon/store", "daemon/intake", "daemon/dispatch", "daemon/audit", "channels", "plugins"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text('"""A room."""\n')
    for name in ("daemon/errors.py", "daemon/clock.py", "daemon/ids.py", "channels/smtp.py", "channels/console.py"):
        (tmp_path / name).write_text('"""A room."""\n')
    return tmp_path


def floors(tree: Path) -> tuple[int, str]:
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run([BIN / "lint-imports", "--no-cache"], cwd=tree, env=environ, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("path", "line", "contract"),
    [
        ("daemon/model/job.py", "import daemon.store", "the floors of the daemon"),
        ("daemon/store/claim.py", "import daemon.dispatch", "the floors of the daemon"),
        ("daemon/intake/accept.py", "import daemon.dispatch", "the floors of the daemon"),
        ("daemon/clock.py", "import daemon.model", "the floors of the daemon"),
        ("daemon/newroom/__init__.py", "x = 1", "the floors of the daemon"),
        ("daemon/audit/judge.py", "from daemon.policy import window", "the audit judges without the rules that it audits"),
        ("daemon/audit/judge.py", "import daemon.dispatch", "the audit judges without the rules that it audits"),
        ("plugins/loader.py", "import daemon.errors", "plugins imports nothing of ours"),
        ("plugins/loader.py", "import channels", "plugins imports nothing of ours"),
        ("channels/smtp.py", "import daemon.errors", "daemon never imports channels"),
        ("daemon/dispatch/load.py", "import channels.smtp", "daemon never imports channels"),
        ("channels/smtp.py", "import channels.console", "no channel knows another"),
        ("daemon/policy/rows.py", "import sqlite3", "all SQL sits in daemon/store"),
        ("daemon/dispatch/rows.py", "from sqlalchemy import select", "all SQL sits in daemon/store"),
    ],
)
def test_each_floor_contract_is_broken_by_what_it_forbids(tree: Path, path: str, line: str, contract: str):
    """A contract that nothing can break guards nothing."""
    (tree / path).parent.mkdir(exist_ok=True)
    with (tree / path).open("a") as file:
        file.write(f"{line}\n")
    code, said = floors(tree)
    assert code == 1
    broken = " ".join(said.split("Broken contracts")[-1].split())
    assert contract in broken


def test_a_sound_tree_passes_the_floors(tree: Path):
    """SQL in the store, stages on the store, channels on plugins."""
    (tree / "daemon/store/claim.py").write_text("import sqlite3\nimport sqlalchemy\nimport daemon.policy\n")
    (tree / "daemon/dispatch/loop.py").write_text("import daemon.store\nimport daemon.policy\nimport plugins\n")
    (tree / "channels/smtp.py").write_text("import plugins\n")
    code, said = floors(tree)
    assert code == 0, said


@pytest.mark.parametrize(
    "line",
    [
        "datetime.datetime.now(datetime.UTC)",
        "time.time()",
        "time.monotonic()",
        "await asyncio.sleep(1)",
        "await asyncio.to_thread(int)",
        "random.random()",
        "uuid.uuid4()",
        "os.urandom(4)",
        "os.fsync(1)",
        "socket.getaddrinfo('x', 1)",
        "import secrets",
    ],
)
def test_the_worlds_own_time_and_chance_are_banned_outside_the_ports(tree: Path, line: str):
    """What the simulation could not control; in the port itself it is allowed."""
    imports = "".join(f"import {name}\n" for name in ("asyncio", "datetime", "os", "random", "socket", "time", "uuid"))
    source = f'"""A room."""\n\n{imports}\n\nasync def f():\n    {line}\n'
    (tree / "daemon/policy/rule.py").write_text(source)
    (tree / "daemon/clock.py").write_text(source)

    def found(path: str) -> str:
        command = [BIN / "ruff", "check", "--no-cache", "--select", "TID251", "--output-format", "concise", path]
        return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False).stdout

    assert f":{len(source.splitlines())}:" in found("daemon/policy/rule.py")
    assert "TID251" not in found("daemon/clock.py")


def test_size_check_names_what_is_too_long_or_silent(tmp_path: Path):
    """Files of 400 lines, functions of 60, modules without a word."""
    for folder in (*size.PACKAGES, *size.OTHERS):
        (tmp_path / folder).mkdir()
    body = "    x = 1\n"
    (tmp_path / "daemon" / "long.py").write_text('"""Long."""\n' + "x = 1\n" * 400)
    (tmp_path / "daemon" / "fine.py").write_text('"""Fine."""\n\n\ndef f():\n' + body * 58)
    (tmp_path / "plugins" / "tall.py").write_text('"""Tall."""\n\n\n@property\ndef f():\n' + body * 58)
    (tmp_path / "channels" / "silent.py").write_text("x = 1\n")
    (tmp_path / "tests" / "long.py").write_text("x = 1\n" * 500)
    assert list(size.problems(tmp_path)) == [
        "channels/silent.py:1: no docstring says what this module is for",
        "daemon/long.py:401: the file has 401 lines (< 400): split it where it changes its subject",
        "plugins/tall.py:5: f has 60 lines (< 60)",
    ]


def test_this_tree_is_within_its_sizes():
    """The same check that `make size` runs."""
    assert list(size.problems(ROOT)) == []
