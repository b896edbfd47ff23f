"""One installation with a daemon of its own, a mail server with a log, and all that an operator may do to it from outside.

Every part is a process; tests wait on conditions with a deadline (`wait_for`) and judge by the mail server's log.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from daemon.cli.main import run
from tests.crash.world import Installation
from tests.ports import free_port
from tests.system.cli_world import quiet_logs

T = TypeVar("T")
PATIENCE = 30.0
LOOK = 0.02


def wait_for(question: Callable[[], T | None], what: str, seconds: float = PATIENCE) -> T:
    """The first answer that is true, within the time."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(LOOK)
    return answer


@dataclass(frozen=True)
class Said:
    """What one call of `homing` printed and ended with."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out.splitlines()[-1])


class Relay:
    """A mail server as a process. `taken()`: the lines of its log, one a message that it took."""

    def __init__(self, folder: Path, *, delay_ms: int = 0, port: int | None = None) -> None:
        self.port = port or free_port()
        self.log = folder / f"mail-{self.port}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._delay_ms = delay_ms

    def freeze(self) -> None:
        """Connections are taken, but nothing is answered any more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def start(self) -> Relay:
        words = [str(self.port), str(self.log), "--delay", str(self._delay_ms), "--drop", "0"]
        self._process = subprocess.Popen([sys.executable, "-m", "tests.crash.server", *words])
        wait_for(self._listens, "the mail server listens")
        return self

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def taken(self, prefix: str = "") -> list[dict[str, Any]]:
        """Messages to addresses that begin with `prefix`."""
        if not self.log.exists():
            return []
        rows = [json.loads(line) for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [row for row in rows if row["kind"] == "accepted" and row["to"].startswith(prefix)]

    def counts(self, prefix: str = "") -> Counter[str]:
        """Address -> how many messages it was sent."""
        return Counter(row["to"] for row in self.taken(prefix))

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class House(Installation):
    """An installation with all that is asked of it here. Questions go over the control socket, without a token."""

    def __init__(self, folder: Path, relay: Relay, **options: Any) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder, relay.port, relay.log, **options)
        self.relay = relay
        self.state = folder / "var"
        self.config = folder / "config.toml"

    # the daemon

    def start(self, **environ: str) -> None:
        """Start it and wait until it sends."""
        self.launch(**environ)
        wait_for(lambda: self.api("GET", "/readyz")[0] == 200, "the daemon is ready")

    def launch(self, **environ: str) -> None:
        """Start it and wait until it answers, though it may send nothing."""
        self._daemon = subprocess.Popen(self._homing("run"), stdout=self.log, stderr=self.log, env={**os.environ, **environ})
        wait_for(self._answers, "the daemon answers")

    def _answers(self) -> bool:
        assert self._daemon is not None
        assert self._daemon.poll() is None, self.tail()
        try:
            return self.api("GET", "/healthz")[0] == 200
        except OSError:
            return False

    def hang_up(self) -> None:
        """SIGHUP: read config and campaigns anew."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGHUP)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The daemon's log lines of this event."""
        lines = (self.folder / "daemon.log").read_text(errors="replace").splitlines()
        found = (json.loads(line) for line in lines if line.startswith("{") and line.endswith("}"))
        return [event for event in found if event.get("event") == name]

    # what an operator types and asks

    def __call__(self, *words: str) -> Said:
        """`homing WORDS`, called in this process, which has all it needs loaded: it speaks to the daemon as the program does."""
        out, err = io.StringIO(), io.StringIO()
        with quiet_logs(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(["--config", str(self.config), *words])
        return Said(code, out.getvalue(), err.getvalue())

    def program(self, *words: str) -> Said:
        """`homing WORDS`, as a program of its own."""
        ran = subprocess.run(self._homing(*words), capture_output=True, text=True, timeout=PATIENCE, cwd=self.folder)
        return Said(ran.returncode, ran.stdout, ran.stderr)

    def api(self, method: str, path: str, body: bytes | None = None, media: str = "application/json") -> tuple[int, Any]:
        """A request over the control socket: (status, JSON)."""
        connection = _Local(self.state / "control.sock")
        try:
            connection.request(method, path, body, {"Content-Type": media} if body is not None else {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        code, found = self.api("GET", "/v1/status")
        assert code == 200, found
        return dict(found)

    def job(self, key: str) -> dict[str, Any]:
        """The job as it stands; empty while nobody knows it."""
        code, found = self.api("GET", f"/v1/jobs/{key}")
        return dict(found) if code == 200 else {}

    def expanded(self, key: str) -> dict[str, Any]:
        """The job once all its rows are read."""
        return wait_for(lambda: found if (found := self.job(key)) and found["state"] != "receiving" else None, f"{key} is read")

    def settled(self, key: str) -> dict[str, Any]:
        """The job once nothing of it is on its way."""
        self.expanded(key)
        return wait_for(lambda: found if not _moving(found := self.job(key)) else None, f"{key} is settled")

    def drop(self, queue: str, name: str, text: str, *, part: str = "new") -> Path:
        """A file in the spool, by way of tmp/ if it ends in new/. Returns where it is."""
        folder = self.state / "spool" / queue
        (folder / "tmp" / name).write_text(text)
        if part != "tmp":
            os.rename(folder / "tmp" / name, folder / part / name)
        return folder / part / name

    def give(self, text: str) -> dict[str, Any]:
        """A JSON job by the way that `homing enqueue` takes, which is quicker than the spool. Returns its first receipt."""
        code, receipt = self.api("POST", "/v1/jobs", text.encode())
        assert code == 202, receipt
        return dict(receipt)

    def moved(self, queue: str, name: str) -> tuple[str, dict[str, Any]]:
        """Where a dropped file ended (`done` or `failed`), and what is said of it there."""
        folder = self.state / "spool" / queue

        def look() -> tuple[str, dict[str, Any]] | None:
            for part, suffix in (("done", "receipt"), ("failed", "reason")):
                if (folder / part / name).exists():
                    return part, json.loads((folder / part / f"{name}.{suffix}.json").read_text())
            return None

        return wait_for(look, f"{name} is taken from the spool")

    def sent(self, count: int, prefix: str = "") -> None:
        """Return when the mail server took so many messages."""
        wait_for(lambda: len(self.relay.taken(prefix)) >= count, f"{count} messages are taken")

    def state_of(self, address: str) -> list[tuple[str, str | None]]:
        """(state, reason) of each delivery to an address, the oldest first."""
        query = f"SELECT d.state, d.reason FROM delivery d JOIN recipient r ON r.id = d.person WHERE r.email = '{address}' ORDER BY d.id"
        return [(str(state), None if reason is None else str(reason)) for state, reason in self.ask(query)]

    # what is written before the start, or between reloads

    def unleash(self) -> None:
        """Take the provider's rate from the config: what is left may go as quickly as it can."""
        kept = [line for line in self.config.read_text().splitlines(keepends=True) if not line.startswith("rate = ")]
        self.config.write_text("".join(kept))

    def add_campaign(self, name: str, template: str, *, queue: str | None = None, campaign: str | None = None) -> None:
        """A campaign folder like `winback`, and (if named) a queue for it in config.toml."""
        folder = self.folder / "campaigns" / name
        folder.mkdir(exist_ok=True)
        like = (self.folder / "campaigns" / "winback" / "campaign.toml").read_text()
        (folder / "campaign.toml").write_text(campaign or like)
        (folder / "reminder.email.liquid").write_text(template)
        if queue is not None:
            with self.config.open("a") as config:
                config.write(f'[queues.{queue}]\ncampaign = "{name}"\n')


def _moving(job: Mapping[str, Any]) -> bool:
    return any(job["deliveries"].get(state) for state in ("planned", "due", "claimed", "handed_over"))


class _Local(http.client.HTTPConnection):
    """HTTP over the control socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(str(self._path))


def fetch(url: str, *, data: bytes | None = None, **headers: str) -> tuple[int, str]:
    """A request over TCP, as a stranger sends it: (status, text)."""
    request = urllib.request.Request(url, data=data, headers={key.replace("_", "-"): value for key, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def click_once(url: str) -> int:
    """What a mail program posts for its unsubscribe button (RFC 8058); the status."""
    return fetch(url, data=b"List-Unsubscribe=One-Click", Content_Type="application/x-www-form-urlencoded")[0]


def person(name: str, **fields: Any) -> dict[str, Any]:
    """A good recipient row, with the variable that the template `winback` needs."""
    return {"id": name, "email": f"{name}@example.com", "zone": "Asia/Jakarta", "vars": {"last_product": "shoes"}, **fields}


def document(id: str, rows: Iterable[dict[str, Any]], **head: Any) -> str:
    """A job as one JSON document; `expected_count` is right unless it is given."""
    people = list(rows)
    return json.dumps({"id": id, "queue": "lapsed", "expected_count": len(people), **head, "recipients": people})


def lines(id: str, rows: Iterable[dict[str, Any]], **head: Any) -> str:
    """The same as NDJSON."""
    people = list(rows)
    return "\n".join(json.dumps(row) for row in ({"id": id, "expected_count": len(people), **head}, *people)) + "\n"
