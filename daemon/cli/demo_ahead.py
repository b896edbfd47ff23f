"""The first part of `homing demo --days N`: the playbook over a made-up shop, lived ahead before anything goes out for real."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from datetime import time as midnight
from importlib import resources
from pathlib import Path
from typing import Any

from daemon.app.main import Daemon
from daemon.app.setup import read_setup
from daemon.cli import screen
from daemon.cli.context import Cli
from daemon.cli.rehearse import show
from daemon.clock import SystemClock
from daemon.ids import encode_id
from daemon.model.campaign import CampaignStatus
from daemon.model.delivery import State
from daemon.sandbox.shop import Shop
from daemon.sandbox.shop.crowd import ShopCrowd
from daemon.sandbox.shop.moving_in import move_in
from daemon.sandbox.stage import sample_campaigns
from daemon.simulate.rehearsal import Calendar, Wish, rehearse
from daemon.store.operate import set_campaign_status
from daemon.store.rehearse import one_of_each
from daemon.store.writer import Lane

SIZE, SEED = 2_000, 2026
WAITS = "waits"
CONFIG = """\
[homing]
state_dir = "var"
default_zone = "Asia/Jakarta"
home_countries = ["ID", "MY", "IR"]
[window]
start = "09:00"
end = "21:00"
[[cap]]
name = "weekly"
limit = 2
rolling = "7d"
[consent]
email = "explicit"
[shop]
currency = "USD"
margin = 0.6
[providers.relay]
plugin = "smtp"
host = "127.0.0.1"
port = 25
tls = "none"
from = "Kedai <hello@mail.example.com>"
cost = 0.0005
[providers.sms]
plugin = "sms_twilio"
account_sid = "AC00000000000000000000000000000000"
auth_token = { file = "nobody.token" }
from = "+15005550006"
countries = ["ID", "MY", "IR"]
prices = { ID = 0.04, MY = 0.03, "*" = 0.05 }
[providers.calls]
plugin = "export"
folder = "calls"
"""


def look_ahead(cli: Cli, folder: Path, days: int, offset: int) -> Mapping[str, Any]:
    """Live them and print the calendar. Returns it as JSON."""
    clock = SystemClock(offset_seconds=offset)
    began = clock.monotonic()
    today = datetime.combine(clock.now().date(), midnight.min, UTC)
    setup = read_setup(_furnish(folder), {})
    playbook = sorted(setup.catalogue.versions)
    shop = Shop(SEED, SIZE, today)
    told: list[tuple[str, str, str]] = []

    async def prepare(daemon: Daemon) -> None:
        await move_in(shop, daemon)
        for name in playbook:
            await daemon.opened.store.write(Lane.EXIT, set_campaign_status, name, CampaignStatus.ACTIVE, clock.instant())
        await daemon.segmentation.service.evaluate(list(daemon.setup.segments.by_name))

    async def finish(daemon: Daemon) -> None:
        for delivery, recipient, campaign, state, reason in await daemon.opened.store.read(one_of_each, playbook):
            found = await daemon.doors.explainer.explain(recipient, campaign)
            text = _told_of(found, encode_id(delivery)) or state
            fate = f"{state}: {reason}" if reason not in ("", state) else state
            fate = WAITS if state == State.DUE else fate  # why it waits now, the text says
            told.append((fate, f"{recipient} in {campaign}", text))

    campaigns = {name: version.campaign for name, version in setup.catalogue.versions.items()}
    crowd = ShopCrowd(shop, campaigns, days + 1)
    wish = Wish(days=days, start=today, database=False, crowd=crowd, prepare=prepare, finish=finish, seed=SEED)
    calendar = rehearse(setup, wish)
    seconds = clock.monotonic() - began
    if not cli.json:
        _show(calendar, told, days, seconds)
    return {**calendar.as_json(), "seconds": round(seconds, 1), "explained": [list(each) for each in told]}


def _told_of(found: Mapping[str, Any], delivery: str) -> str:
    """The sentence of this delivery, and of no other one of the same person."""
    all_of_them = (each for walk in found["enrolments"] for each in walk["deliveries"])
    return next((str(each.get("text") or "") for each in all_of_them if each["id"] == delivery), "")


def _furnish(folder: Path) -> Path:
    place = folder / "ahead"
    place.mkdir(exist_ok=True)
    (place / "config.toml").write_text(CONFIG, encoding="utf-8")
    (place / "nobody.token").write_text("0" * 32, encoding="utf-8")  # a rehearsal calls nobody; a config without a token is none
    (place / "nobody.token").chmod(0o600)
    shutil.copy(Path(str(resources.files("daemon.sandbox") / "segments.toml")), place / "segments.toml")
    shutil.copytree(sample_campaigns(), place / "campaigns", dirs_exist_ok=True)
    return place / "config.toml"


def _show(calendar: Calendar, told: list[tuple[str, str, str]], days: int, seconds: float) -> None:
    screen.say(f"First {days} days ahead, in virtual time: the shipped playbook, over a made-up shop whose people buy, open and leave.")
    screen.say()
    show(calendar)
    screen.say()
    screen.say("One of each fate, explained (homing explain RECIPIENT CAMPAIGN)")
    for what, who, text in told:
        screen.say(screen.clean(f"{what}: {who}"))
        screen.say(screen.clean(f"  {text}"))
    screen.say()
    screen.say(f"{days} days took {seconds:.0f} s. Now today, for real: the daemon itself, and local providers that say what arrived.")
    screen.say()
