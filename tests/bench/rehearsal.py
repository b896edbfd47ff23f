"""Decisions of a rehearsal: a backlog of a hundred thousand due deliveries, lived on a copy of their store in one day.

Copied, claimed, judged (a window, a weekly cap with a touch to count, consent, suppression), handed over and recorded by the daemon's own stages;
nothing is rendered. CPU of the whole rehearsal, its start and the copy too; each round a process of its own. Goal: >= 50,000/s.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

COUNT = 100_000
CONFIG = """\
[homing]
state_dir = "var"
default_zone = "Asia/Jakarta"
[window]
start = "09:00"
end = "21:00"
[[cap]]
name = "weekly"
limit = 3
rolling = "7d"
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
NOON = datetime(2031, 1, 6, 5, tzinfo=UTC)


def one(count: int) -> None:
    from daemon.app.setup import read_setup
    from daemon.simulate.rehearsal import Wish, rehearse
    from tests.bench.backlog import make_backlog

    with tempfile.TemporaryDirectory(prefix="homing-bench-") as place:
        folder = Path(place)
        (folder / "config.toml").write_text(CONFIG)
        campaign = folder / "campaigns" / "winback"
        campaign.mkdir(parents=True)
        (campaign / "campaign.toml").write_text('status = "active"\ntopic = "winback"\n[enrol]\njobs = true\n[[step]]\nname = "reminder"\nchannels = ["email"]\n')
        (campaign / "reminder.email.liquid").write_text("---\nsubject: Hello\n---\n<p>{{ unsubscribe_url }}</p>\n")
        (folder / "var").mkdir()
        make_backlog(folder / "var" / "homing.db", count, round(NOON.timestamp() * 1e6))
        setup = read_setup(folder / "config.toml", {})
        before = resource.getrusage(resource.RUSAGE_SELF)
        calendar = rehearse(setup, Wish(days=1, start=NOON, words=False))
        after = resource.getrusage(resource.RUSAGE_SELF)
        assert calendar.totals().sent == {"email": count}
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(json.dumps({"rate": calendar.decided / cpu, "cpu": cpu / calendar.decided * 1e6}))


def run(count: int = COUNT, rounds: int = 3) -> None:
    """Print the median rate of decisions, by CPU."""
    found = []
    for _ in range(rounds):
        said = subprocess.run([sys.executable, "-m", "tests.bench.rehearsal", str(count)], check=True, capture_output=True, text=True).stdout
        found.append(json.loads(said.splitlines()[-1]))
    rates = [each["rate"] for each in found]
    print(f"  {statistics.median(rates):7,.0f} decisions a second of CPU ({min(rates):,.0f}-{max(rates):,.0f}), "
          f"{statistics.median(each['cpu'] for each in found):.0f} µs each; goal: >= 50,000/s")  # fmt: skip


if __name__ == "__main__":
    one(int(sys.argv[1]))
