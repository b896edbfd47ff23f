"""The calendar of a rehearsal says who would come into a retargeting audience and who would leave it; the platforms hear nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.app.setup import read_setup
from daemon.clock import iso, to_instant
from daemon.simulate.rehearsal import Wish, rehearse
from tests.system.cli_world import CONFIG, CliWorld, row, write_world
from tests.system.day_of_events import Doers, Done

START = datetime.fromisoformat("2031-01-06T00:00:00+07:00")
WORDS = ("rehearse", "--days", "6", "--start", START.isoformat())
PLATFORM = """\
[consent]
email = "implied"
audience = "implied"
[providers.meta]
plugin = "audience_meta"
base_url = "http://127.0.0.1:9"
account_id = "1234567"
access_token = {{ file = "token" }}
"""
CAMPAIGN = """\
status = "active"
purpose = "marketing"
topic = "winback"
[goal]
event = "Order Completed"
[exit]
events = ["Order Completed"]
[enrol]
jobs = true
anchor = "entered"
[[step]]
name = "reminder"
delay = "0s"
channels = ["email"]
[[audience]]
providers = ["meta"]
name = "winback-{{ country }}"
valid = "2d"
"""


@pytest.fixture
def homing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CliWorld:
    """Ten people of two countries, who begin to walk on the first day."""
    write_world(tmp_path, config=CONFIG + PLATFORM)
    (tmp_path / "token").write_text("secret")
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "campaigns" / "winback" / "campaign.toml").write_text(CAMPAIGN)
    world = CliWorld(tmp_path, capsys)
    people = [row(f"c-{n}", country="ID" if n < 6 else "MY") for n in range(10)]
    world.ok("enqueue", "lapsed-45", str(world.job("j", people, not_before=(START + timedelta(hours=30)).isoformat())))
    return world


def shown(day: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {one["audience"]: tuple(one[name] for name in ("added", "removed", "expired", "members")) for one in day.get("audiences", ())}


def test_calendar_tells_who_comes_and_who_leaves(homing: CliWorld) -> None:
    """In while they walk, and two days more; then their time is over."""
    said = homing.ok(*WORDS)
    days = [shown(day) for day in said["days"]]
    assert [day for day in days if day] == [{"winback-ID": (6, 0, 0, 6), "winback-MY": (4, 0, 0, 4)}, {"winback-ID": (0, 0, 6, 0), "winback-MY": (0, 0, 4, 0)}]
    assert days.index({"winback-ID": (0, 0, 6, 0), "winback-MY": (0, 0, 4, 0)}) - [bool(day) for day in days].index(True) >= 2
    assert shown(said["totals"]) == {"winback-ID": (6, 0, 6, 0), "winback-MY": (4, 0, 4, 0)}
    assert said == homing.ok(*WORDS)
    assert shown(homing.ok(*WORDS, "--campaign", "winback")["totals"]) == shown(said["totals"])
    assert "winback-MY  meta" in homing(*WORDS).out
    assert homing.ok("audience", "status")["audiences"] == []


def test_who_buys_is_taken_out(homing: CliWorld) -> None:
    """A purchase after the last step ends the time in the audience, too."""
    at = to_instant(START + timedelta(hours=40))
    bought = {"type": "track", "event": "Order Completed", "timestamp": iso(at)}
    done: list[Done] = [
        (at, {**bought, "userId": f"c-{n}", "messageId": f"o-{n}", "properties": {"order_id": f"o-{n}", "revenue": 9}}) for n in range(2)
    ]
    calendar = rehearse(read_setup(homing.folder / "config.toml", {}), Wish(days=6, start=START, crowd=Doers(done)))
    moved = {key.name: moved for key, moved in calendar.totals().audiences.items()}
    assert (moved["winback-ID"].added, moved["winback-ID"].removed, moved["winback-ID"].expired) == (6, 2, 4)
    assert not moved["winback-MY"].removed
