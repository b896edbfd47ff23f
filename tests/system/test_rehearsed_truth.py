"""What a holdout measures in a rehearsed world is the effect that is written into the world: the two can check each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from daemon.app.main import Daemon
from daemon.app.setup import read_setup
from daemon.sandbox.shop import Sent, Shop
from daemon.sandbox.shop.crowd import ShopCrowd
from daemon.sandbox.shop.moving_in import move_in
from daemon.sandbox.shop.response import lift
from daemon.simulate.rehearsal import Wish, rehearse

UNTIL = datetime(2026, 11, 22, tzinfo=UTC)
DAYS = 15
CONFIG = """\
[homing]
state_dir = "var"
default_zone = "Asia/Jakarta"
home_countries = ["ID"]
[window]
start = "09:00"
end = "21:00"
[consent]
email = "implied"
[shop]
currency = "USD"
[providers.relay]
plugin = "smtp"
host = "127.0.0.1"
port = 25
tls = "none"
from = "hello@mail.example.com"
"""
CAMPAIGN = """\
status = "active"
purpose = "marketing"
topic = "winback"
[enrol]
segment = "buyers"
anchor = "entered"
[holdout]
share = 0.5
[offers.big]
kind = "percent"
value = 40
valid = "7d"
[[step]]
name = "offer"
delay = "30m"
channels = ["email"]
valid = "72h"
offer = "big"
"""
TEMPLATE = '---\nsubject: Hello\n---\n<p>{{ offer.text }} <a href="{{ unsubscribe_url }}">no</a></p>\n'


class Watched(ShopCrowd):
    """Notes who ordered."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.ordered: set[str] = set()

    def events(self, now: int) -> Sequence[Mapping[str, Any]]:
        found = super().events(now)
        self.ordered.update(event["userId"] for event in found if event["event"] == "Order Completed")
        return found


@pytest.mark.slow
def test_holdout_finds_the_effect_that_is_there(tmp_path: Path) -> None:
    """1,500 people, half of whom get nothing: the difference of those who order is the written effect, within three standard errors, and
    is no accident."""
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "segments.toml").write_text('[buyers]\nwhere = "orders >= 1"\n')
    folder = tmp_path / "campaigns" / "back"
    folder.mkdir(parents=True)
    (folder / "campaign.toml").write_text(CAMPAIGN)
    (folder / "offer.email.liquid").write_text(TEMPLATE)
    setup = read_setup(tmp_path / "config.toml", {})
    shop = Shop(11, 1_500, UNTIL)
    crowd = Watched(shop, {name: version.campaign for name, version in setup.catalogue.versions.items()}, DAYS)
    mailed: set[str] = set()
    held: set[str] = set()

    async def prepare(daemon: Daemon) -> None:
        await move_in(shop, daemon)
        await daemon.segmentation.service.evaluate(["buyers"])

    async def finish(daemon: Daemon) -> None:
        query = text("SELECT recipient.key FROM delivery JOIN recipient ON recipient.id = delivery.person WHERE delivery.state = 'held_out'")
        held.update(await daemon.opened.store.read(lambda conn: [row[0] for row in conn.execute(query)]))

    rehearse(setup, Wish(
        days=DAYS, start=UNTIL, database=False, crowd=crowd, prepare=prepare, finish=finish, took=lambda sent: mailed.add(sent.recipient)
    ))  # fmt: skip
    assert not mailed & held
    assert min(len(mailed), len(held)) > 550
    rate, without = (len(group & crowd.ordered) / len(group) for group in (mailed, held))
    error = (rate * (1 - rate) / len(mailed) + without * (1 - without) / len(held)) ** 0.5
    sent = Sent("back", "offer", 0, 1, "email", (("percent", 40.0),), shop.until + 86_400)
    chances = [lift(shop.customer(int(key[2:])), sent) for key in sorted(mailed)]
    expected = sum(chances) / len(chances) * (1 - without)
    assert abs((rate - without) - expected) < 3 * error
    assert rate - without > 1.5 * error
