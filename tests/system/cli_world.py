"""A folder with a config, and `homing` called in this process: what it printed and the exit code it would end with."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from daemon.cli.main import run

CONFIG = """\
[homing]
state_dir = "var"
default_zone = "Asia/Jakarta"
home_countries = ["ID"]
test_addresses = ["tester@example.com"]
[http]
listen = "127.0.0.1:0"
public_listen = "127.0.0.1:0"
[window]
start = "00:00"
end = "24:00"
[shop]
currency = "USD"
[providers.relay]
plugin = "smtp"
host = "127.0.0.1"
port = {port}
tls = "none"
from = "Kedai <hello@mail.example.com>"
[queues.lapsed-45]
campaign = "winback"
[queues.other]
campaign = "winback"
"""
CAMPAIGN = """\
status = "active"
purpose = "marketing"
topic = "winback"
[enrol]
jobs = true
[[step]]
name = "reminder"
channels = ["email"]
"""
TEMPLATE = """\
---
subject: We miss you, {{ recipient.first_name }}
---
<p>Hello {{ recipient.first_name }}. <a href="{{ unsubscribe_url }}">Unsubscribe</a></p>
"""


@dataclass(frozen=True)
class Said:
    """One call of `homing`."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out.splitlines()[-1])


class CliWorld:
    """`folder` holds config.toml and campaigns; `homing` is called as if from there."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys

    def __call__(self, *words: str) -> Said:
        with quiet_logs():
            code = run(["--config", str(self.folder / "config.toml"), *words])
        said = self._capsys.readouterr()
        return Said(code, said.out, said.err)

    def ok(self, *words: str) -> Any:
        """The JSON of a call that must succeed."""
        said = self("--json", *words)
        assert said.code == 0, said.err
        return said.json

    def job(self, id: str, rows: Sequence[dict[str, Any]], **head: Any) -> Path:
        """A job file for the queue lapsed-45."""
        path = self.folder / f"{id}.json"
        path.write_text(json.dumps({"id": id, "queue": "lapsed-45", "expected_count": len(rows), **head, "recipients": rows}), encoding="utf-8")
        return path


def write_world(folder: Path, *, port: int = 9, config: str = CONFIG) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.toml").write_text(config.format(port=port), encoding="utf-8")
    campaign = folder / "campaigns" / "winback"
    campaign.mkdir(parents=True)
    (campaign / "campaign.toml").write_text(CAMPAIGN, encoding="utf-8")
    (campaign / "reminder.email.liquid").write_text(TEMPLATE, encoding="utf-8")


@contextmanager
def quiet_logs() -> Iterator[None]:
    """What a command set up for its logs ends with it: the next test has another standard error."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers, root.level = handlers, level
        structlog.reset_defaults()


def row(id: str, **fields: Any) -> dict[str, Any]:
    """A good recipient row."""
    return {"id": id, "email": f"{id}@example.com", "zone": "Asia/Jakarta", "traits": {"first_name": id.title()}, **fields}


Make = Callable[..., CliWorld]
