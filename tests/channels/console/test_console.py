"""The dry run: one event and, if wanted, one whole file a message, and nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from channels.console import Console, Settings
from plugins import Accepted, Context, Deferred, Message, Outcome
from plugins.settings import SettingsRefusedError, read_settings
from plugins.testing.messages import make_message
from plugins.testing.world import START, KitClock, KitLog, LocalDns, open_stream

MESSAGE = make_message(1, channel="email", address="ani@example.com", now=START)


@dataclass
class Line:
    """A session that grants all."""

    closing: bool = False
    reports: dict[str, Outcome] = field(default_factory=dict)

    async def handover(self, ids: Sequence[str]) -> frozenset[str]:
        return frozenset(ids)

    def report(self, id: str, outcome: Outcome) -> None:
        self.reports[id] = outcome


async def send(message: Message, settings: Settings) -> tuple[Outcome, KitLog]:
    log, line, channel = KitLog(), Line(), Console()
    http: Any = None
    await channel.start(
        Context(
            provider="dry", settings=settings, clock=KitClock(), rng=random.Random(1), dns=LocalDns(), open_stream=open_stream, http=http, log=log
        )
    )
    await channel.send([message], line)
    await channel.stop()
    return line.reports[message.id], log


async def test_a_message_becomes_one_event_without_its_words() -> None:
    """The person appears in fields that the log hashes; subject and text stay out of it."""
    outcome, log = await send(MESSAGE, Settings())
    assert outcome == Accepted(provider_id=f"console-{MESSAGE.id}")
    ((level, event, fields),) = log.events
    assert (level, event) == ("info", "console_message")
    assert fields.pop("characters") == len(MESSAGE.text)
    assert fields == {
        "id": MESSAGE.id,
        "channel": "email",
        "campaign": "conformance",
        "step": "first",
        "recipient": MESSAGE.recipient,
        "address": "ani@example.com",
        "file": None,
    }


async def test_a_folder_gets_the_whole_message_as_json(tmp_path: Path) -> None:
    """Made if it is not there, readable by its owner only; nothing half-written is left."""
    folder = tmp_path / "out" / "dry"
    message = replace(MESSAGE, head={"preheader": "سلام"}, attempt=2)
    _, log = await send(message, Settings(folder=folder))
    (path,) = folder.iterdir()
    assert path.name == f"{message.id}-2.json" == log.events[0][2]["file"]
    assert path.stat().st_mode & 0o777 == 0o600
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert (kept["text"], kept["html"], kept["head"]) == (message.text, message.html, {"preheader": "سلام"})
    assert (kept["address"], kept["expires_at"], kept["ttl"]) == ("ani@example.com", "2027-03-04T03:00:00+00:00", 259200.0)
    assert "سلام" in path.read_text(encoding="utf-8")


async def test_what_cannot_be_written_was_not_sent(tmp_path: Path) -> None:
    """A folder that vanished, an id that is no file name: given back, not lost."""
    folder = tmp_path / "out"
    outcome, _ = await send(replace(MESSAGE, id="../evil"), Settings(folder=folder))
    assert isinstance(outcome, Deferred)
    assert outcome.nothing_sent
    (folder / f"{MESSAGE.id}-1.tmp").mkdir()
    outcome, _ = await send(MESSAGE, Settings(folder=folder))
    assert isinstance(outcome, Deferred)
    assert "cannot write" in str(outcome.detail)


@pytest.mark.parametrize(
    ("channel", "address"), [("email", "email"), ("sms", "phone"), ("call", "phone"), ("push", "push"), ("letter", "recipient")]
)
def test_it_stands_in_for_any_channel(channel: str, address: str) -> None:
    """So that a campaign of that channel can be run dry."""
    assert Console.stands_for(Settings(channel=channel)) == (channel, address)


def test_a_channel_that_is_no_word_is_refused() -> None:
    """With its key."""
    with pytest.raises(SettingsRefusedError, match=r'providers.dry.channel: "E-mail" is no channel'):
        read_settings(Settings, {"channel": "E-mail"}, path=("providers", "dry"))
