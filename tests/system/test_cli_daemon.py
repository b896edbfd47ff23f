"""The command line beside a running daemon, judged by what a real mail server received. Both are processes of their own."""

from __future__ import annotations

import email
import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daemon.sandbox.mailbox import Entry, parse, read_log
from tests.system.cli_world import CliWorld, row, write_world

pytestmark = pytest.mark.slow
PATIENCE = 20.0


@dataclass
class Running:
    folder: Path
    mail: Path
    daemon: subprocess.Popen[bytes]


def program(*words: str) -> list[str]:
    return [sys.executable, "-m", "daemon.cli.main", *words]


def wait_for(question: Callable[[], Any], what: str) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := question()):
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.05)
    return answer


def start_daemon(folder: Path) -> subprocess.Popen[bytes]:
    log = (folder / "daemon.log").open("ab")
    daemon = subprocess.Popen(program("--config", str(folder / "config.toml"), "run"), stderr=log, cwd=folder)
    log.close()
    wait_for(lambda: (folder / "var" / "control.sock").exists() or daemon.poll() is not None, "the control socket")
    assert daemon.poll() is None, (folder / "daemon.log").read_text()
    return daemon


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("shop")
    mail = tmp_path_factory.mktemp("mail")
    ports = [word for name in ("smtp", "sms", "ads", "push", "inbox") for word in (f"--{name}-port", "0")]
    words = program("sandbox", "--json", *ports, "--keep", str(mail))
    sandbox = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert sandbox.stdout is not None
    try:
        facts = json.loads(sandbox.stdout.readline())
        write_world(folder, port=int(facts["smtp"].rpartition(":")[2]))
        daemon = start_daemon(folder)
        yield Running(folder, mail, daemon)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(PATIENCE) == 0, (folder / "daemon.log").read_text()
    finally:
        sandbox.send_signal(signal.SIGINT)
        sandbox.stdout.close()
        assert sandbox.wait(PATIENCE) == 0


@pytest.fixture
def homing(running: Running, capsys: pytest.CaptureFixture[str]) -> CliWorld:
    return CliWorld(running.folder, capsys)


def state_of(homing: CliWorld, who: str, campaign: str = "winback") -> dict[str, Any]:
    found: dict[str, Any] = homing.ok("explain", who, campaign)["enrolments"][0]["deliveries"][0]
    return found


def reaches(homing: CliWorld, who: str, state: str) -> dict[str, Any]:
    """Wait until the person's delivery is in this state."""
    def there() -> bool:
        return homing("explain", who, "winback").code == 0 and state_of(homing, who)["state"] == state

    wait_for(there, f"{who} {state}")
    return state_of(homing, who)


def mails_to(running: Running, who: str) -> list[Entry]:
    return [entry for entry in read_log(running.mail) if entry.recipients == (f"{who}@example.com",)]


def test_job_reaches_the_mail_server_once(homing: CliWorld, running: Running) -> None:
    """Enqueued over the control socket, sent by the daemon, explained; the headers carry the delivery's id."""
    receipt = homing.ok("enqueue", "lapsed-45", str(homing.job("once", [row("once")])))
    assert (receipt["source"], receipt["accepted"]) == ("cli", 1)
    delivery = reaches(homing, "once", "accepted")
    (entry,) = mails_to(running, "once")
    assert entry.delivery == delivery["id"]
    mail = parse((running.mail / "mail" / f"{entry.n}.eml").read_bytes())
    assert mail["Subject"] == "We miss you, Once"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert homing.ok("status")["daemon"] is True
    assert "Sending." in homing("status").out


def test_events_come_in_beside_the_sending_and_an_erased_one_gets_nothing(homing: CliWorld, running: Running) -> None:
    """Import and erase over the control socket; what waits for the erased one is dropped, and a new job does not bring it back."""
    path = homing.folder / "orders.csv"
    path.write_text("recipient,event,at,id,properties.revenue\ngone,Order Completed,2026-03-01T10:00:00Z,o-1,42.50\n", encoding="utf-8")
    assert homing.ok("events", "import", str(path))["kept"] == 1
    homing.ok("campaigns", "pause", "winback")
    homing.ok("enqueue", "lapsed-45", str(homing.job("erasing", [row("gone")])))
    shown = homing.ok("recipients", "show", "gone")
    assert (shown["email"], shown["profile"]["value"]) == ("gone@example.com", 42.5)
    assert homing.ok("erase", "gone", "--yes")["fresh"] is True
    homing.ok("campaigns", "resume", "winback")
    assert reaches(homing, "gone", "dropped")["reason"] == "erased"
    homing.ok("enqueue", "other", str(homing.job("back", [row("gone")])))
    assert homing.ok("recipients", "show", "gone")["email"] is None
    assert mails_to(running, "gone") == []


def test_a_mistake_in_the_config_locks_nobody_out_of_the_daemon_that_runs(homing: CliWorld, running: Running) -> None:
    """It goes on with the config that it has and answers; whoever asks is told of the mistake. `check` refuses it as ever."""
    path = homing.folder / "config.toml"
    right = path.read_text()
    path.write_text(right.replace("[window]", "[windw]"))
    try:
        for words in (("status",), ("queue", "list"), ("held", "list"), ("doubt", "list")):
            said = homing("--json", *words)
            assert said.code == 0, said.err
            assert said.json is not None
            assert "is wrong now, and the daemon goes on" in said.err and "windw: unknown key" in said.err
        assert homing("check").code == 78
        assert homing("status").out.startswith("Sending.")
    finally:
        path.write_text(right)
    assert homing("status").err == ""


def test_second_daemon_on_the_folder_ends_with_75(homing: CliWorld, running: Running) -> None:
    """It says who holds the state folder; the first one goes on."""
    second = subprocess.run(program("--config", str(running.folder / "config.toml"), "run"), capture_output=True, text=True, timeout=PATIENCE)
    assert second.returncode == 75
    assert f"already in use by process {running.daemon.pid}" in second.stderr
    assert homing.ok("status")["daemon"] is True


def test_kill_switch_stops_and_start_goes_on(homing: CliWorld, running: Running) -> None:
    """What was due stays due; afterwards it goes."""
    answer = homing.ok("stop", "--all")
    assert answer["daemon"]["open"] is False
    homing.ok("enqueue", "lapsed-45", str(homing.job("stopped", [row("stopped")])))
    found = homing.ok("status")
    assert "kill_switch" in found["gate"]["holds"]
    assert state_of(homing, "stopped")["state"] == "due"
    assert mails_to(running, "stopped") == []
    assert homing("start", "--all", "--expect", "99999").code == 77
    homing.ok("start", "--all", "--expect", str(found["gate"]["backlog"]))
    reaches(homing, "stopped", "accepted")


def test_paused_campaign_waits_and_resumed_one_sends(homing: CliWorld, running: Running) -> None:
    """Pausing drops nothing."""
    homing.ok("campaigns", "pause", "winback")
    homing.ok("enqueue", "lapsed-45", str(homing.job("paused", [row("paused")])))
    assert state_of(homing, "paused")["state"] == "due"
    homing.ok("campaigns", "resume", "winback")
    reaches(homing, "paused", "accepted")
    assert len(mails_to(running, "paused")) == 1


def test_missing_variable_is_held_until_it_is_there(homing: CliWorld, running: Running) -> None:
    """Never a blank: held with its reason; after the data came and a release it is sent."""
    homing.ok("enqueue", "lapsed-45", str(homing.job("blank", [row("blank", traits={})])))
    assert reaches(homing, "blank", "held")["reason"] == "render_error"
    homing.ok("enqueue", "lapsed-45", str(homing.job("blank-2", [row("blank")])))
    assert homing.ok("held", "release", "--job", "blank", "--expect", "1") == {"released": 1}
    reaches(homing, "blank", "accepted")
    assert len(mails_to(running, "blank")) == 1


def test_doubt_is_listed_with_its_evidence_and_resolved(homing: CliWorld, running: Running) -> None:
    """The server took it and hung up: in doubt, sent once, never again; the operator's word closes it."""
    homing.ok("enqueue", "lapsed-45", str(homing.job("doubt", [row("doubt", email="drop-dot.doubt@example.com")])))
    reaches(homing, "doubt", "in_doubt")
    (doubt,) = [item for item in homing.ok("doubt", "list") if item["recipient"] == "doubt"]
    assert "final dot" in doubt["attempts"][-1]["detail"]
    assert homing.ok("doubt", "resolve", doubt["delivery"], "sent")["state"] == "accepted"
    assert len(mails_to(running, "drop-dot.doubt")) == 1


def test_unsubscribe_from_the_first_mail_stops_the_next(homing: CliWorld, running: Running) -> None:
    """The one-click link of a received mail works; the next job's message is dropped with its reason."""
    homing.ok("enqueue", "lapsed-45", str(homing.job("leaver", [row("leaver")])))
    reaches(homing, "leaver", "accepted")
    (entry,) = mails_to(running, "leaver")
    mail = email.message_from_bytes((running.mail / "mail" / f"{entry.n}.eml").read_bytes())
    token = re.search(r"/u/([\w.-]+)>", str(mail["List-Unsubscribe"]))
    assert token is not None
    log = (running.folder / "daemon.log").read_text()
    public = re.search(r'"public": "([\d.:]+)"', log)
    assert public is not None
    request = urllib.request.Request(f"http://{public[1]}/u/{token[1]}", data=b"List-Unsubscribe=One-Click", method="POST")
    with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
        assert reply.status == 200
    message = {"channel": "email", "purpose": "marketing", "subject": "Again", "text": "Again {{ unsubscribe_url }}", "html": ""}
    homing.ok("enqueue", "lapsed-45", str(homing.job("leaver-2", [row("leaver")], message=message)))
    wait_for(lambda: state_of(homing, "leaver", "job:leaver-2")["state"] == "dropped", "dropped")
    assert state_of(homing, "leaver", "job:leaver-2")["reason"] in ("suppressed", "no_consent")
    assert len(mails_to(running, "leaver")) == 1


def test_test_send_goes_to_the_test_address_only(homing: CliWorld, running: Running) -> None:
    """The campaign's words, marked as a test, to [homing] test_addresses."""
    answer = homing.ok("campaigns", "test", "winback")
    assert [(sent["to"], sent["outcome"]) for sent in answer["sent"]] == [("tester@example.com", "accepted")]
    assert mails_to(running, "tester")[-1].subject.startswith("[TEST] ")


def test_token_opens_the_http_api(homing: CliWorld, running: Running) -> None:
    """A job over HTTP with a token that the command line made; without one 401."""
    token = homing.ok("token", "create", "http-test", "jobs:write", "jobs:read")["token"]
    admin = re.search(r'"admin": "([\d.:]+)"', (running.folder / "daemon.log").read_text())
    assert admin is not None
    body = homing.job("by-http", [row("web")]).read_bytes()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"http://{admin[1]}/v1/jobs", data=body, headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
        assert (reply.status, json.load(reply)["source"]) == (202, "http")
    reaches(homing, "web", "accepted")
    assert homing("token", "revoke", "http-test").code == 0


def test_spool_file_ends_in_done_with_its_receipt(homing: CliWorld, running: Running) -> None:
    """Written in tmp, renamed into new; half-written ones are never read."""
    spool = running.folder / "var" / "spool" / "lapsed-45"
    content = homing.job("by-spool", [row("spooled")]).read_bytes()
    (spool / "tmp" / "half.json").write_bytes(content[:20])
    (spool / "tmp" / "by-spool.json").write_bytes(content)
    (spool / "tmp" / "by-spool.json").rename(spool / "new" / "by-spool.json")
    receipt = wait_for(lambda: next((spool / "done").glob("by-spool.json.receipt.json"), None), "the receipt")
    assert json.loads(receipt.read_text())["accepted"] == 1
    reaches(homing, "spooled", "accepted")
    assert (spool / "tmp" / "half.json").exists()


def test_backup_beside_the_daemon_is_whole(homing: CliWorld, running: Running) -> None:
    """The copy passes its check while the daemon goes on."""
    assert homing.ok("db", "backup", str(running.folder / "backup"))["problems"] == []
    assert homing.ok("db", "check")["problems"] == []
