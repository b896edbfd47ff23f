"""The whole daemon sending SMS, against a bare loop over the SDK's asynchronous client: messages a second and CPU µs a message.

One real `homing run` process on one core and a bare Twilio (`sms_sink`) on another, the same number of requests at once; the queue is
paused while a job is taken in, then resumed: what is measured is claim, policy, render, segments, POST, handover, record. The
reference (`sms_pool`) runs on the daemon's core in between.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.home import let_go, pin, take_in, web_stat
from tests.bench.sms_sink import MESSAGE
from tests.crash.world import CAMPAIGN, CONFIG, Installation
from tests.ports import free_port

CONCURRENCY = 100
"""What aiohttp's pool gives the reference. With less the daemon waits more: each message waits for the commit of its handover."""
CORES = sorted(os.sched_getaffinity(0))
CLIENT, SINK = str(CORES[0]), str(CORES[-1])
GOAL = 0.8

PROVIDER = """
[consent]
sms = "implied"
[providers.sms]
plugin = "sms_twilio"
base_url = "http://127.0.0.1:{port}"
account_sid = "{account}"
auth_token = {{ file = "token" }}
from = "{sender}"
concurrency = {concurrency}
"""
TEMPLATE = "Halo {{ recipient.id }}, {{ vars.last_product }} menunggu. 15% untuk pesanan berikutnya, sampai Jumat. Stop: balas STOP\n"


def rows(round_: int, count: int) -> str:
    head = {"id": f"bench-{round_}", "queue": "lapsed", "expected_count": count}
    people = (
        {
            "id": f"r{round_}-{i}",
            "phone": f"+62812{round_:02d}{i:05d}",
            "zone": "Asia/Jakarta",
            "locale": "id",
            "vars": {"last_product": "sepatu"},
        }
        for i in range(count)
    )
    return "\n".join(json.dumps(row) for row in (head, *people)) + "\n"


class EndToEnd:
    def __init__(self, folder: Path, port: int, count: int) -> None:
        self.port, self.count, self.round = port, count, 0
        self.home = Installation(folder, free_port(), folder / "unused.log")
        campaign = folder / "campaigns" / "winback"
        (campaign / "campaign.toml").write_text(CAMPAIGN.replace('["email"]', '["sms"]'))
        (campaign / "reminder.email.liquid").unlink()
        (campaign / "reminder.sms.liquid").write_text(TEMPLATE)
        (folder / "token").write_text("token")
        (folder / "token").chmod(0o600)
        base = CONFIG.format(admin=self.home.admin, public=self.home.public, smtp=free_port(), pool=1)
        given = PROVIDER.format(port=port, account=MESSAGE["account_sid"], sender=MESSAGE["from"], concurrency=CONCURRENCY)
        (folder / "config.toml").write_text(base + given)
        self.home.start()
        pin(self.home, CLIENT)

    def prepare(self) -> None:
        """A job is in the due queue, which is paused."""
        self.round += 1
        take_in(self.home, f"bench-{self.round}", rows(self.round, self.count))

    def send(self) -> tuple[float, float]:
        """Let it go; (messages a second, CPU µs a message)."""
        return let_go(self.home, lambda: web_stat(self.port), self.count)


def reference(port: int, count: int) -> tuple[float, float]:
    """The same of the bare loop."""
    command = ["taskset", "-c", CLIENT, sys.executable, "-m", "tests.bench.sms_pool", str(port), str(count), str(CONCURRENCY)]
    seconds, cpu = map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    web_stat(port)
    return count / seconds, cpu / count * 1e6


def run(rounds: int = 5, count: int = 4000) -> None:
    """Print medians (and extremes) of interleaved rounds, after one that is dropped."""
    port = free_port()
    sink = subprocess.Popen(["taskset", "-c", SINK, sys.executable, "-m", "tests.bench.sms_sink", str(port)])
    with tempfile.TemporaryDirectory(prefix="homing-bench-") as folder:
        time.sleep(0.5)
        bench = EndToEnd(Path(folder), port, count)
        try:
            found = []
            for _ in range(rounds + 1):
                bench.prepare()
                found.append((bench.send(), reference(port, count)))
            del found[0]
            bench.home.stop()
        finally:
            bench.home.end()
            sink.terminate()
            sink.wait()
    for name, index in (("homing, everything on", 0), (f"the SDK's async client, {CONCURRENCY} at once", 1)):
        rates, cpus = [row[index][0] for row in found], [row[index][1] for row in found]
        rate, cpu = f"{statistics.median(rates):8,.0f}/s ({min(rates):,.0f}-{max(rates):,.0f})", f"{statistics.median(cpus):6.0f}"
        print(f"  {name:36} {rate}   {cpu} ({min(cpus):.0f}-{max(cpus):.0f}) CPU µs/message")
    ratios = [ours[0] / theirs[0] for ours, theirs in found]
    cpus = [theirs[1] / ours[1] for ours, theirs in found]
    by_cpu = f"{statistics.median(cpus):.2f} ({min(cpus):.2f}-{max(cpus):.2f})"
    print(f"  ratio by rate {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}), by CPU time {by_cpu}; goal >= {GOAL}")


if __name__ == "__main__":
    run()
