"""One installation in a folder: its config, the daemon as a process, and the three doors for jobs."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

from tests.ports import free_port

CONNECTIONS = 10
SPARE = 2
"""Connections that the SMTP channel opens beyond its pool while others hang, by default."""
READY_SECONDS = 30.0

CONFIG = """
[homing]
state_dir = "var"
campaigns = "campaigns"
default_zone = "Asia/Jakarta"
[http]
listen = "127.0.0.1:{admin}"
public_listen = "127.0.0.1:{public}"
[window]
start = "00:00"
end = "24:00"
[[cap]]
name = "weekly"
limit = 3
rolling = "7d"
[intake]
unexpected_max = 1000000
[providers.relay]
plugin = "smtp"
host = "127.0.0.1"
port = {smtp}
tls = "none"
pool = {pool}
from = "Kedai <hello@mail.example.com>"
[queues.lapsed]
campaign = "winback"
"""

CAMPAIGN = """
status = "active"
purpose = "marketing"
topic = "winback"
[enrol]
jobs = true
[[step]]
name = "reminder"
channels = ["email"]
"""

TEMPLATE = """---
subject: {{ recipient.id }}, your {{ vars.last_product }}
---
<p>Hello {{ recipient.id }}</p>
<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>
"""


def job_lines(job: str, prefix: str, rows: int) -> str:
    """An NDJSON job of recipients `PREFIX-N` with an address of that name."""
    head = {"id": job, "queue": "lapsed", "expected_count": rows}
    people = (
        {"id": f"{prefix}-{i}", "email": f"{prefix}-{i}@example.com", "zone": "Asia/Jakarta", "vars": {"last_product": "shoes"}} for i in range(rows)
    )  # fmt: skip
    return "\n".join(json.dumps(row) for row in (head, *people)) + "\n"


class Installation:
    """`start`, `kill` and `stop` its daemon; look at what it says. The server's log is the truth, the store is asked at the end."""

    def __init__(self, folder: Path, smtp_port: int, server_log: Path, *, template: str = TEMPLATE, pool: int = CONNECTIONS) -> None:
        self.folder, self.server_log, self.pool = folder, server_log, pool
        self.admin, self.public = free_port(), free_port()
        (folder / "campaigns" / "winback").mkdir(parents=True)
        (folder / "campaigns" / "winback" / "campaign.toml").write_text(CAMPAIGN)
        (folder / "campaigns" / "winback" / "reminder.email.liquid").write_text(template)
        config = CONFIG.format(admin=self.admin, public=self.public, smtp=smtp_port, pool=pool)
        (folder / "config.toml").write_text(config)
        self._daemon: subprocess.Popen[bytes] | None = None
        self._doors: list[subprocess.Popen[bytes]] = []
        self.log = (folder / "daemon.log").open("ab")

    def spawn(self) -> None:
        """A daemon, whether it becomes ready or not."""
        self._daemon = subprocess.Popen(self._homing("run"), stdout=self.log, stderr=self.log)

    def start(self) -> None:
        self.spawn()
        assert self._daemon is not None
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                if self._daemon.poll() is not None:
                    break
                time.sleep(0.02)
        raise SystemExit(f"crash: the daemon did not become ready; its log ends:\n{self.tail()}")

    def tail(self) -> str:
        return (self.folder / "daemon.log").read_text(errors="replace")[-3000:]

    def _homing(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "daemon.cli.main", "--config", str(self.folder / "config.toml"), *words]

    def kill(self) -> None:
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGKILL)
        self._daemon.wait()

    def stop(self) -> int:
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGTERM)
        return self._daemon.wait(60)

    def end(self) -> None:
        for process in (self._daemon, *self._doors):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        self.log.close()

    @property
    def pid(self) -> int | None:
        return self._daemon.pid if self._daemon else None

    def run(self, *words: str) -> None:
        """A command of the command line, beside the daemon."""
        subprocess.run(self._homing(*words), check=True, stdout=self.log, stderr=self.log)

    def output(self, *words: str) -> str:
        """What a command prints."""
        ran = subprocess.run(self._homing(*words), check=True, stdout=subprocess.PIPE, stderr=self.log, text=True)
        return ran.stdout

    def released_all(self, jobs: int) -> bool:
        """So many jobs are there, and all their rows are in the due queue."""
        rows = self.ask("SELECT count(*) FROM job WHERE expanded = 1 AND (release_cursor = last_id OR state = 'finished')")
        return rows[0][0] == jobs

    def falls_due(self, before: int) -> bool:
        """Something is in hand, or falls due by then that the server has not put off; or waits for its turn, which an answer may end."""
        first_try = "JOIN delivery d ON d.id = due.delivery JOIN recipient r ON r.id = d.person WHERE r.email NOT LIKE 'later.%'"
        return bool(
            self.ask("SELECT 1 FROM flight LIMIT 1")
            or self.ask(f"SELECT 1 FROM due {first_try} AND (due.not_before < {before} OR d.reason = 'rate_limited') LIMIT 1")
        )

    def released(self, job: str) -> bool:
        """All its rows are in the due queue."""
        found = self.ask(f"SELECT 1 FROM job WHERE key = '{job}' AND expanded = 1 AND release_cursor = last_id")
        return bool(found)

    def spool(self, name: str, text: str, queue: str = "lapsed") -> None:
        folder = self.folder / "var" / "spool" / queue
        (folder / "tmp" / f"{name}.ndjson").write_text(text)
        os.rename(folder / "tmp" / f"{name}.ndjson", folder / "new" / f"{name}.ndjson")

    def enqueue(self, name: str, text: str, queue: str = "lapsed") -> None:
        path = self.folder / f"{name}.ndjson"
        path.write_text(text)
        subprocess.run(self._homing("enqueue", queue, str(path), "--json"), check=True, stdout=self.log, stderr=self.log)

    def token(self, name: str = "crash") -> str:
        made = subprocess.run(self._homing("token", "create", name, "jobs:write", "--json"), check=True, capture_output=True)
        return str(json.loads(made.stdout)["token"])

    def post(self, name: str, text: str, queue: str = "") -> None:
        """The queue is in the job's head."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}/v1/jobs", data=text.encode(), method="POST")
        request.add_header("Content-Type", "application/x-ndjson")
        request.add_header("Authorization", f"Bearer {self.token(name)}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 202, answer.status

    def ask(self, query: str) -> list[tuple[object, ...]]:
        """Straight from the store's file."""
        with closing(sqlite3.connect(f"file:{self.folder}/var/homing.db?mode=ro", uri=True, timeout=10)) as conn:
            return conn.execute(query).fetchall()

    def accepted(self) -> bool:
        """All three jobs are wholly planned and released."""
        rows = self.ask("SELECT count(*) FROM job WHERE expanded = 1 AND (release_cursor = last_id OR state = 'finished')")
        return rows[0][0] == 3

    def waiting(self) -> bool:
        """Something is still to be sent."""
        return bool(self.ask("SELECT 1 FROM tally WHERE state IN ('planned', 'due', 'claimed') AND n > 0 LIMIT 1"))

    def states(self) -> dict[str, str]:
        """Address -> state of its delivery."""
        return {
            str(email): str(state)
            for email, state in self.ask("SELECT r.email, d.state FROM delivery d JOIN recipient r ON r.id = d.person")
        }
