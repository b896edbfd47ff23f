"""A daemon with both advertising platforms beside it: they run in a thread of the test, so they outlive the daemon that is killed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Iterable
from typing import Any

from daemon.clock import SystemClock
from daemon.sandbox.ads import AdsServer
from tests.system.daemon_world import House, wait_for

PROVIDERS = """
[consent]
audience = "implied"
[providers.meta]
plugin = "audience_meta"
base_url = "{origin}"
account_id = "{meta_account}"
access_token = {{ file = "token" }}
app_secret = {{ file = "app" }}
[providers.google]
plugin = "audience_google"
base_url = "{origin}"
account_id = "{google_account}"
credentials = {{ file = "google.json" }}
"""
WALKS = """
status = "paused"
purpose = "marketing"
[enrol]
jobs = true
[[step]]
name = "reminder"
channels = ["email"]
[[audience]]
providers = [NETWORKS]
name = "winback-{{ tier }}"
"""
"""Paused: its people wait, and so they walk."""


class Platforms:
    """`AdsServer` in a loop of its own."""

    def __init__(self, **server: Any) -> None:
        self.ads = AdsServer(SystemClock(), port=0, **server)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> Platforms:
        self._thread.start()
        self._call(self.ads.start())
        return self

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def end(self) -> None:
        self._call(self.ads.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def hashes(self, network: str) -> set[str]:
        """Of the e-mail addresses that show there now."""
        found: list[set[str]] = []

        async def look() -> None:
            found.append({row[0] for name in self.ads.names(network) for row in self.ads.members(network, name)})

        self._call(look())
        return found[0]

    def adds(self, network: str) -> int:
        return sum(entry["act"] == "add" for entry in self.ads.log(network))


def settle_in(house: House, platforms: Platforms, campaign: str = WALKS, *, networks: str = '"meta", "google"') -> None:
    """Write the providers into the config, and their secrets beside it."""
    meta, google = platforms.ads.meta_keys(), platforms.ads.google_keys()
    for name, text in (("token", meta["access_token"]), ("app", meta["app_secret"]), ("google.json", google["credentials"])):
        path = house.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
    words = PROVIDERS.format(origin=platforms.ads.origin, meta_account=meta["account_id"], google_account=google["account_id"])
    house.config.write_text(house.config.read_text() + words)
    (house.folder / "campaigns" / "winback" / "campaign.toml").write_text(campaign.replace("NETWORKS", networks))
    if '"email"' not in campaign:
        (house.folder / "campaigns" / "winback" / "reminder.email.liquid").unlink()


def hashed(emails: Iterable[str]) -> set[str]:
    """As the platforms hold them; those that they never match left out."""
    found = {hashlib.sha256(email.encode()).hexdigest() for email in emails}
    return {each for each in found if not each.startswith("000")}


def job_of(key: str, count: int, *, prefix: str = "w", queue: str = "lapsed", **head: Any) -> str:
    rows = [json.dumps({"id": key, "queue": queue, "expected_count": count, **head})]
    rows += [
        json.dumps({"id": f"{prefix}-{n}", "email": f"{prefix}-{n}@example.com", "country": "ID", "traits": {"tier": "high" if n % 2 else "low"}})
        for n in range(count)
    ]
    return "\n".join(rows) + "\n"


def audiences(house: House) -> list[dict[str, Any]]:
    code, found = house.api("GET", "/v1/audiences")
    assert code == 200, found
    return list(found["audiences"])


def synced(house: House, wanted: int, *, seconds: float = 30.0) -> list[dict[str, Any]]:
    """The audiences, once so many are wanted (at all platforms together) and nothing waits."""

    def look() -> list[dict[str, Any]] | None:
        found = audiences(house)
        waits = sum(each["pending"]["add"] + each["pending"]["remove"] for each in found)
        return found if sum(each["wanted"] for each in found) == wanted and not waits else None

    return wait_for(look, f"{wanted} members are wanted and nothing waits", seconds)


