"""`homing demo`, run as a user runs it: by day, by night, and at the edge of a window; judged again from outside."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from daemon.sandbox.stage import sample_campaigns
from daemon.sandbox.verify import arrivals_in
from tests.system.second_look import findings_of

pytestmark = pytest.mark.slow


def demo(folder: Path, at: str) -> dict[str, Any]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("HOMING")}
    words = [sys.executable, "-m", "daemon.cli.main", "demo", "--json", "--keep", str(folder), "--at", at]
    answer = subprocess.run(words, capture_output=True, text=True, timeout=120, env=environ)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("at", "cities"),
    [
        ("2026-11-25T05:31Z", {"Jakarta", "Kuala Lumpur", "Tehran"}),
        ("2026-11-24T18:30Z", set()),
    ],
)
def test_demo_is_right_at_this_hour(tmp_path: Path, at: str, cities: set[str]) -> None:
    """Who may be written to is, nobody else; each reason is shown; each receive time lies in the person's window."""
    answer = demo(tmp_path / "demo", at)
    assert answer["judgement"]["findings"] == []
    table = (tmp_path / "demo" / "people.csv").read_text(encoding="utf-8")
    people = {}
    for row in csv.DictReader(table.splitlines()):
        browser = f"browser {row['browser']}" if row["browser"] else ""
        people |= dict.fromkeys(filter(None, (row["email"], row["phone"], browser)), row)
    log = arrivals_in(tmp_path / "demo" / "sandbox")
    assert len(log) == answer["log"] > 50
    assert len({arrival.delivery for arrival in log}) == len(log)
    for arrival in log:
        for zone in people[arrival.to]["zones"].split():
            wall = datetime.fromisoformat(arrival.at).astimezone(ZoneInfo(zone))
            first, last = {"sms": (10, 20)}.get(arrival.channel, (9, 21))
            assert first <= wall.hour < last, (arrival, zone)
    channels = {arrival.channel for arrival in log}
    assert channels == ({"email", "sms", "push"} if cities else {"email"})
    reached = {people[arrival.to]["place"] for arrival in log}
    assert reached & {"Jakarta", "Kuala Lumpur", "Tehran"} == cities
    members = json.loads((tmp_path / "demo" / "sandbox" / "audiences.json").read_text())
    assert [(each["platform"], each["name"]) for each in members] == [("meta", "vip-early-look"), ("google", "vip-early-look")]
    willing = sum(row["queue"] == "vip" and row["kind"] != "consented to neither" for row in people.values() if row["phone"])
    assert all(100 < len(each["members"]) <= willing for each in members)
    if cities:
        vips = {row["kind"]: arrival.channel for arrival in log if (row := people[arrival.to])["queue"] == "vip"}
        assert vips["takes pushes"] == "push"
        assert vips["whose browser is gone: an SMS instead"] == vips["has a phone only"] == "sms"
        assert "who once replied STOP to Twilio" not in vips
    counts: Counter[tuple[str, str | None]] = Counter()
    for line in answer["deliveries"]:
        counts[line["state"], line["reason"]] += line["count"]
    shown = {reason for (_, reason), n in counts.items() if n}
    assert shown >= {"its turn", "cap_reached", "render_error", "suppressed", "no_consent", "no_address", "window_never_opens"}
    assert counts["accepted", None] + counts["in_doubt", None] == len(log)
    others = sum(counts.values()) - sum(receipt["accepted"] for receipt in answer["receipts"])
    assert 0 <= others <= answer["receipts"][-1]["accepted"]  # where the first channel did not reach one, another one got a delivery
    assert [receipt["source"] for receipt in answer["receipts"]] == ["cli", "spool", "cli", "http", "http"]
    assert all(receipt["rejected"] == 4 for receipt in answer["receipts"][1:4])
    assert findings_of(tmp_path / "demo" / "var") == []  # the audit, with code of its own


def test_shipped_campaign_is_there() -> None:
    """The sample is the one copy in campaigns/, reached through the package."""
    assert (sample_campaigns() / "winback" / "campaign.toml").resolve() == Path("campaigns/winback/campaign.toml").resolve()
