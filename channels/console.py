"""The dry run: a channel that sends nothing. Each message becomes one event in the log and, if wanted, one file in a folder.

    [providers.dry]
    plugin = "console"
    channel = "sms"        # what it stands in for; default "email"
    folder = "out"         # one JSON file a message; default: the log only

Everything before it is real: windows, caps, handover and outcomes, and the touch counts. Takes messages from the daemon through
the plugin socket; writes nowhere but to the log (recipients appear as hashes) and the folder (they appear as they are).
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from plugins import Accepted, Capabilities, Message, NotSent, Outcome, SimpleChannel, hookimpl
from plugins.standing import address_of, fault_of_channel

SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`channel`: what it stands in for · `folder`: where one JSON file a message goes; made if it is not there."""

    channel: str = "email"
    folder: Path | None = None

    def __post_init__(self) -> None:
        if (fault := fault_of_channel(self.channel, "email, sms or push")) is not None:
            raise fault


class Console(SimpleChannel[Settings]):
    """Accepts every message and keeps it on this machine."""

    name, channel, address, settings_type = "console", "email", "email", Settings
    capabilities = Capabilities(concurrency=4, batch=100)

    @classmethod
    def stands_for(cls, settings: Settings) -> tuple[str, str]:
        """The channel and the address that this provider stands in for."""
        return settings.channel, address_of(settings.channel)

    async def open(self) -> None:
        if self.settings.folder is not None:
            self.settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def send_one(self, message: Message) -> Outcome:
        written = None if self.settings.folder is None else self._write(message, self.settings.folder)
        self.log.info(
            "console_message",
            id=message.id,
            channel=message.channel,
            campaign=message.campaign,
            step=message.step,
            recipient=message.recipient,
            address=message.address,
            characters=len(message.text) or len(message.html),
            file=written.name if written else None,
        )
        return Accepted(provider_id=f"console-{message.id}")

    def _write(self, message: Message, folder: Path) -> Path:
        """The message as JSON under its id and attempt; a reader sees the whole file or none. `NotSent` if it cannot be."""
        if not SAFE_ID.match(message.id):
            raise NotSent(f"{message.id!r} is no name for a file")
        path = folder / f"{message.id}-{message.attempt}.json"
        unfinished = path.with_suffix(".tmp")
        try:
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                json.dump(_as_json(message), file, ensure_ascii=False, indent=1)
            unfinished.replace(path)
        except OSError as error:
            raise NotSent(f"cannot write {path}: {error.strerror}") from error
        return path


def _as_json(message: Message) -> dict[str, Any]:
    apart = ("text_pieces", "html_pieces", "created_at", "expires_at", "head")
    whole = {field.name: getattr(message, field.name) for field in fields(message) if field.name not in apart}
    dates = {"created_at": message.created_at.isoformat(), "expires_at": message.expires_at.isoformat()}
    return {**whole, **dates, "head": dict(message.head), "text": message.text, "html": message.html}


@hookimpl
def register_channels() -> list[type[Console]]:
    return [Console]
