"""`homing rehearse`: days lived ahead on a copy; the original stays as it is, nothing leaves the machine, the same seed says the same."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.app.setup import read_setup
from daemon.cli.rehearse import beginning
from daemon.errors import UsageError
from daemon.simulate import Forbidden
from daemon.simulate.rehearsal import Sent, Wish, rehearse
from daemon.simulate.rehearsal.guard import no_sockets
from daemon.store.engine import StateLock
from tests.system.cli_world import CONFIG, CliWorld, row, write_world

CAPPED = CONFIG.replace('start = "00:00"\nend = "24:00"', 'start = "09:00"\nend = "21:00"') + (
    '[[cap]]\nname = "weekly"\nlimit = 1\nrolling = "7d"\n[consent]\nemail = "implied"\n'
)
START = "2031-01-06T00:00+07:00"


@pytest.fixture
def homing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CliWorld:
    write_world(tmp_path, config=CAPPED)
    other = tmp_path / "campaigns" / "second"
    other.mkdir()
    for file in (tmp_path / "campaigns" / "winback").iterdir():
        text = file.read_text("utf-8").replace('channels = ["email"]', 'channels = ["email"]\nvalid = "20d"')
        for copy in (file, other / file.name):
            copy.write_text(text, encoding="utf-8")
    draft = tmp_path / "campaigns" / "third"
    draft.mkdir()
    for file in other.iterdir():
        (draft / file.name).write_text(file.read_text("utf-8").replace("active", "draft"), encoding="utf-8")
    return CliWorld(tmp_path, capsys)


def drop(homing: CliWorld, id: str, people: range, **head: Any) -> None:
    """A job whose rows fall due after START."""
    rows = [row(f"c-{n}") for n in people]
    homing.ok("enqueue", "lapsed-45", str(homing.job(id, rows, not_before="2031-01-06T00:00:00+07:00", **head)))


def state_of(homing: CliWorld) -> dict[str, str]:
    files = [path for path in (homing.folder / "var").rglob("*") if path.is_file() and path.suffix not in (".db-shm", ".db-wal")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_calendar_says_what_goes_what_is_capped_and_what_is_dropped(homing: CliWorld) -> None:
    """Two campaigns for the same people under a cap of one a week: the second goes seven days later; who is suppressed gets neither."""
    drop(homing, "a", range(20))
    drop(homing, "b", range(20), campaign="second")
    homing.ok("suppressions", "add", "c-3@example.com")
    said = homing.ok("rehearse", "--days", "9", "--start", START)
    days = {day["date"]: day for day in said["days"]}
    assert [day["date"] for day in said["days"]] == [f"2031-01-{n:02}" for n in range(6, 15)]
    assert (days["2031-01-06"]["sent"], days["2031-01-06"]["capped"]) == ({"email": 19}, 19)
    assert days["2031-01-06"]["ended"] == {"accepted": 19, "dropped:suppressed": 2}
    assert (days["2031-01-06"]["waiting"], days["2031-01-13"]["sent"]) == (19, {"email": 19})
    assert said["totals"]["sent"] == {"email": 38}
    assert sum(item["count"] for item in said["final"]) == 40
    shown = homing("rehearse", "--days", "9", "--start", START).out
    assert "Mon 06 Jan 2031        0     19      19     0        2        0       19" in shown
    assert "cap_reached" in shown


@pytest.mark.promise("P9")
def test_same_seed_says_the_same_and_nothing_of_the_original_changes(homing: CliWorld) -> None:
    """Also under the eyes of a daemon that holds the state folder, and whatever order hashes have: another process says it too."""
    drop(homing, "a", range(30))
    before = state_of(homing)
    lock = StateLock(homing.folder / "var")
    lock.acquire()
    try:
        words = ("rehearse", "--days", "3", "--start", START, "--seed", "9", "--messages", str(homing.folder / "messages"))
        first = homing.ok(*words)
        messages = (homing.folder / "messages").read_bytes()
        again = homing.ok(*words)
        command = (sys.executable, "-m", "daemon.cli.main", "--config", str(homing.folder / "config.toml"), "--json", *words)
        other = subprocess.run(command, check=True, capture_output=True, env={"PYTHONHASHSEED": "77"}, cwd=Path(__file__).parents[2])
    finally:
        lock.release()
    lock_file = str(homing.folder / "var" / "lock")
    assert {**state_of(homing), lock_file: ""} == {**before, lock_file: ""}
    assert first == again == json.loads(other.stdout)
    assert len(messages.splitlines()) == 30
    assert (homing.folder / "messages").read_bytes() == messages


def test_named_campaign_is_started_and_counted_alone(homing: CliWorld) -> None:
    """A draft too, with a note; the others still take their slots."""
    drop(homing, "a", range(10))
    drop(homing, "b", range(15), campaign="third")
    assert homing.ok("rehearse", "--days", "2", "--start", START)["totals"]["sent"] == {"email": 10}
    said = homing.ok("rehearse", "--days", "2", "--start", START, "--campaign", "third")
    sent = said["totals"]["sent"]["email"]
    assert 5 <= sent < 15
    assert said["totals"]["waiting"] == 15 - sent
    assert {item["campaign"] for item in said["sent"]} == {"third"}
    assert said["notes"] == ["campaign third is draft: rehearsed as if it were started"]
    assert homing("rehearse", "--days", "1", "--campaign", "nosuch").code == 1


def test_what_holds_the_original_does_not_hold_the_rehearsal(homing: CliWorld) -> None:
    """Kill switch and a silence of years: the copy sends; the original stays stopped."""
    drop(homing, "a", range(5))
    homing.ok("stop", "--all")
    assert homing.ok("rehearse", "--days", "1", "--start", START)["totals"]["sent"] == {"email": 5}
    assert homing.ok("status")["gate"] != {}


def test_no_socket_can_be_opened_meanwhile(homing: CliWorld) -> None:
    """Not from within, by nobody; afterwards they can."""
    drop(homing, "a", range(1))
    caught: list[str] = []

    def took(_: Sent) -> None:
        for attempt in (lambda: socket.socket(), lambda: socket.getaddrinfo("127.0.0.1", 1), lambda: subprocess.Popen(["true"])):
            with pytest.raises(Forbidden) as raised:
                attempt()
            caught.append(str(raised.value))

    setup = read_setup(homing.folder / "config.toml", {})
    calendar = rehearse(setup, Wish(days=1, start=beginning(START, "UTC"), took=took))
    assert (len(caught), calendar.totals().sent) == (3, {"email": 1})
    socket.socket().close()
    with no_sockets(), pytest.raises(Forbidden):
        socket.create_connection(("127.0.0.1", 9))


def test_people_of_a_world_act_and_answer(homing: CliWorld) -> None:
    """They buy and visit by themselves, open what they get, and who unsubscribes gets nothing more."""
    folder, today = homing.folder / "shop", datetime.now(UTC).date()
    homing.ok("world", "generate", "--recipients", "40", "--until", str(today - timedelta(days=1)), "--out", str(folder))
    homing.ok("recipients", "import", str(folder / "recipients.ndjson"))
    rows = [json.loads(line) for line in (folder / "recipients.ndjson").read_text("utf-8").splitlines()]
    start = str(today + timedelta(days=2))
    homing.ok("enqueue", "lapsed-45", str(homing.job("w", rows, not_before=f"{start}T00:00:00+07:00")))
    words = ("rehearse", "--days", "12", "--start", start, "--world", str(folder))
    said = homing.ok(*words)
    ended = said["totals"]["ended"]
    assert said["totals"]["sent"]["email"] == ended["accepted"]
    assert sum(ended.values()) == 40
    assert said["totals"]["events"]["Order Completed"] > 0
    assert said["totals"]["events"]["opened"] > 0
    assert said == homing.ok(*words)


def test_a_wrong_start_is_a_wrong_call() -> None:
    """A date is midnight of the default zone."""
    assert beginning("2026-12-01", "Asia/Jakarta").isoformat() == "2026-11-30T17:00:00+00:00"
    with pytest.raises(UsageError, match="is no date"):
        beginning("tomorrow", "UTC")
