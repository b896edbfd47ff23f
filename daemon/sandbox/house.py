"""All local providers of one sandbox as one: mail, SMS, web push, advertising platforms, and the inbox page over them.

Each keeps what it took under the folder: `log.ndjson` and `mail/` (mail), `sms/`, `push.ndjson`; the platforms keep their sets in
memory. Nothing is delivered anywhere. `write_providers` says in the words of `config.toml` how to reach them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.clock import Clock
from daemon.sandbox.ads import NETWORKS, AdsServer
from daemon.sandbox.ads_set import Row
from daemon.sandbox.inbox import Inbox
from daemon.sandbox.mailbox import Mailbox
from daemon.sandbox.push import PushService
from daemon.sandbox.smtp import SmtpServer
from daemon.sandbox.twilio import ACCOUNT, TOKEN, TwilioServer
from daemon.sandbox.twilio_log import SmsLog

SENDER = "Kedai <hello@mail.example.com>"
PROVIDERS = "providers.toml"
NUMBER = "+15005550006"
"""Twilio's own test sender."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where each listens on loopback; 0 takes a free one."""

    smtp: int = 0
    inbox: int = 0
    sms: int = 0
    ads: int = 0
    push: int = 0


class Sandbox:
    """`start` binds all, `stop` closes all; both may be called twice. `offset_seconds`: how far `clock` is set ahead, for the logs."""

    def __init__(self, folder: Path, clock: Clock, ports: Ports | None = None, *, offset_seconds: float = 0.0) -> None:
        ports = ports or Ports()
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.mailbox = Mailbox(folder, clock, offset_seconds=offset_seconds)
        self.sms_log = SmsLog(folder / "sms", clock, offset_seconds=offset_seconds)
        self.smtp = SmtpServer(self.mailbox, clock, port=ports.smtp)
        self.twilio = TwilioServer(self.sms_log, clock, port=ports.sms)
        self.push = PushService(clock, port=ports.push, log=folder / "push.ndjson")
        self.ads = AdsServer(clock, port=ports.ads)
        self.inbox = Inbox(self.mailbox, sms=self.twilio, push=self.push, ads=self.ads, port=ports.inbox)
        self._parts = (self.smtp, self.twilio, self.push, self.ads, self.inbox)

    async def start(self) -> None:
        """OSError if a port is taken; then nothing listens."""
        try:
            for part in self._parts:
                await part.start()
        except OSError:
            await self.stop()
            raise

    async def stop(self) -> None:
        for part in reversed(self._parts):
            await part.stop()
        self.mailbox.close()
        self.sms_log.close()

    def members(self) -> Mapping[tuple[str, str], set[Row]]:
        """(platform, audience) -> who is in it now, by hashes."""
        ads = self.ads
        return {(network, name): ads.members(network, name) for network in NETWORKS for name in ads.names(network)}

    def write_members(self) -> None:
        """Write `audiences.json`: the sets as they are now."""
        shown = [{"platform": key[0], "name": key[1], "members": sorted(rows)} for key, rows in self.members().items()]
        (self.folder / "audiences.json").write_text(json.dumps(shown, indent=1), encoding="utf-8")

    def write_providers(self, countries: Sequence[str]) -> Path:
        """Write `providers.toml`: `[providers.NAME]` tables that lead here. SMS may go to `countries`."""
        path = self.folder / PROVIDERS
        path.write_text(as_toml(self._tables(countries)), encoding="utf-8")
        return path

    def _tables(self, countries: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        secrets = self.folder / "secrets"
        secrets.mkdir(mode=0o700, exist_ok=True)

        def hidden(name: str, value: str) -> dict[str, str]:
            path = secrets / name
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write(value)
            return {"file": str(path)}

        meta, google = self.ads.meta_keys(), self.ads.google_keys()
        return {
            "relay": {"plugin": "smtp", "host": "127.0.0.1", "port": self.smtp.port, "tls": "none", "from": SENDER},
            "twilio": {
                "plugin": "sms_twilio", "base_url": self.twilio.base_url, "account_sid": ACCOUNT, "auth_token": hidden("twilio", TOKEN),
                "from": NUMBER, "countries": list(countries),
            },
            "browsers": {
                "plugin": "webpush", "vapid_private_key": hidden("vapid", self.push.vapid_private_key),
                "subject": "mailto:push@example.com", "allow_hosts": [self.push.origin],
            },
            "meta": {
                "plugin": "audience_meta", "base_url": meta["base_url"], "account_id": meta["account_id"],
                "access_token": hidden("meta", meta["access_token"]), "app_secret": hidden("meta-app", meta["app_secret"]),
            },
            "google": {
                "plugin": "audience_google", "base_url": google["base_url"], "account_id": google["account_id"],
                "credentials": hidden("google", google["credentials"]),
            },
        }  # fmt: skip


def as_toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """`[providers.NAME]` tables as text."""
    lines: list[str] = []
    for name, table in tables.items():
        lines.append(f"[providers.{name}]")
        lines += [f"{key} = {_value(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
