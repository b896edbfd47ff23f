"""systemd/homing.service passes systemd's own judgement, and says what the daemon needs."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.service import DRAIN_SECONDS

UNIT = Path(__file__).resolve().parents[2] / "systemd" / "homing.service"
NOTIFY_RELOAD = 253
"""The first version of systemd that knows Type=notify-reload."""
TOLD = "systemd-analyze is not on this machine (package systemd)"
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason=TOLD)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """A copy that starts a program and loads a credential which exist on this machine."""
    text = UNIT.read_text(encoding="utf-8")
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", text, flags=re.MULTILINE)
    text = re.sub(r"^User=.*\nGroup=.*\n", "User=daemon\nGroup=daemon\n", text, flags=re.MULTILINE)
    path = tmp_path / "homing.service"
    path.write_text(text, encoding="utf-8")
    return path


def systemd_version() -> int:
    return int(analyze("--version").stdout.split()[1])


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=60)


@needs_systemd
def test_the_unit_is_sound(unit: Path):
    """`systemd-analyze verify` says nothing at all: unknown keys are only warnings there."""
    ran = analyze("verify", "--man=no", str(unit))
    said = (ran.stdout + ran.stderr).splitlines()
    if systemd_version() < NOTIFY_RELOAD:
        # the line before it is the fallback
        said = [line for line in said if not line.endswith("Failed to parse service type, ignoring: notify-reload")]
    assert (ran.returncode, said) == (0, [])


@needs_systemd
def test_the_unit_is_locked_down(unit: Path):
    """An exposure of at most 1.5 of 10; the command's exit code is the judgement."""
    ran = analyze("security", "--offline=true", "--threshold=15", "--no-pager", str(unit))
    assert ran.returncode == 0, ran.stdout[-400:]


@pytest.mark.promise("F30")
def test_the_unit_fits_the_daemon():
    """The drain ends before systemd kills; what cannot get better is not tried again; reload and watchdog are on."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT, encoding="utf-8")
    service = parser["Service"]
    assert service["Type"] == "notify-reload"
    assert "Type=notify\n" in UNIT.read_text(encoding="utf-8")
    assert float(service["TimeoutStopSec"]) > DRAIN_SECONDS + 10
    assert set(service["RestartPreventExitStatus"].split()) == {"75", "77", "78"}
    assert float(service["WatchdogSec"]) > 0
    assert (int(parser["Unit"]["StartLimitBurst"]), float(parser["Unit"]["StartLimitIntervalSec"])) == (5, 300.0)
    assert service["StateDirectory"] == "homing"
    assert service["ExecStart"].endswith("homing --config /etc/homing/config.toml run")
    assert service["LoadCredential"].startswith("smtp_password:")
