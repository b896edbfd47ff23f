"""Web push end to end: pushes a second and CPU µs a push of the whole daemon, beside a bare pywebpush loop and the P-256 floor.

One real `homing run` on one core, a push service that takes everything on another; a job of subscribed recipients waits in a paused queue,
then goes: claim, window, consent, render, encrypt, handover and outcome committed, POST. References run on the daemon's core in between.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.end_to_end import committed, written_bytes
from tests.bench.home import let_go, pin, take_in, web_stat
from tests.bench.push_loop import AT_ONCE, keys
from tests.crash.world import Installation
from tests.ports import free_port

COUNT = 5000
ROUNDS = 5
CONFIG = """
[homing]
state_dir = "var"
campaigns = "campaigns"
default_zone = "Asia/Jakarta"
[http]
listen = "127.0.0.1:{admin}"
public_listen = "127.0.0.1:{public}"
[window]
start = "00:00"
end = "24:00"
[[cap]]
name = "weekly"
limit = 30
rolling = "7d"
[intake]
unexpected_max = 1000000
[providers.browsers]
plugin = "webpush"
vapid_private_key = {{ file = "vapid.key" }}
subject = "mailto:ops@shop.example.com"
allow_hosts = ["http://127.0.0.1:{sink}"]
pool = {pool}
[queues.lapsed]
campaign = "winback"
"""
TEMPLATE = """---
title: {{ recipient.first_name | default: "Hello" }}, we miss you
url: https://shop.example.com/cart?x=1
---
Hello {{ recipient.id }}, your {{ vars.last_product }} is still here. Come back for 15% off.
"""


def said(*words: str) -> tuple[float, float]:
    """(seconds, CPU seconds) that a reference printed."""
    command = ["taskset", "-c", "0", sys.executable, "-m", "tests.bench.push_loop", *words]
    seconds, cpu = map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    return seconds, cpu


class EndToEnd:
    def __init__(self, folder: Path, port: int, count: int, rounds: int) -> None:
        from plugins.testing.push_peer import VAPID_KEY

        self.port, self.count, self.round = port, count, 0
        self.home = Installation(folder, free_port(), folder / "unused.log")
        (folder / "config.toml").write_text(CONFIG.format(admin=self.home.admin, public=self.home.public, sink=port, pool=AT_ONCE))
        key = folder / "vapid.key"
        key.touch(mode=0o600)
        key.write_text(VAPID_KEY)
        campaign = folder / "campaigns" / "winback"
        (campaign / "campaign.toml").write_text((campaign / "campaign.toml").read_text().replace('"email"', '"push"'))
        (campaign / "reminder.email.liquid").unlink()
        (campaign / "reminder.push.liquid").write_text(TEMPLATE)
        asyncio.run(subscribe_all(folder / "var", port, count * rounds))
        self.home.start()
        pin(self.home, 0)

    def prepare(self) -> None:
        """A job is in the due queue, which is paused."""
        first = self.round * self.count
        self.round += 1
        head = f'{{"id": "bench-{self.round}", "queue": "lapsed", "expected_count": {self.count}}}\n'
        rows = (f'{{"id": "r-{n}", "zone": "Asia/Jakarta", "vars": {{"last_product": "shoes"}}}}\n' for n in range(first, first + self.count))
        take_in(self.home, f"bench-{self.round}", head + "".join(rows))

    def send(self) -> tuple[float, float, str]:
        """(pushes a second, CPU µs a push, what it cost the store)."""
        pid = self.home.pid
        assert pid is not None
        commits, written = committed(self.home.folder), written_bytes(pid)
        rate, cpu = let_go(self.home, lambda: web_stat(self.port), self.count)
        commits, written = committed(self.home.folder) - commits, written_bytes(pid) - written
        return rate, cpu, f"{self.count / commits:.1f} pushes a commit, {written / 1024 / self.count:.1f} KiB written a push"


async def subscribe_all(state: Path, port: int, count: int) -> None:
    """That many recipients with a browser each, and their consent."""
    from channels.webpush.subscription import spell
    from daemon.store.push import Subscribing, subscribe_known
    from daemon.store.writer import Lane, Store

    state.mkdir(exist_ok=True)
    public, auth = keys()
    store = Store.open(state / "homing.db")

    def some(conn: object, numbers: range) -> None:
        for number in numbers:
            endpoint = f"http://127.0.0.1:{port}/push/{number}"
            asked = Subscribing(
                endpoint=endpoint, address=spell(endpoint, public, auth), channel="push", family="Firefox", source="bench"
            )  # fmt: skip
            subscribe_known(conn, f"r-{number}", asked, now=1_700_000_000_000_000)  # type: ignore[arg-type]

    for first in range(0, count, 1000):
        await store.write(Lane.BULK, some, range(first, min(first + 1000, count)))
    await store.close()


def run(rounds: int = ROUNDS, count: int = COUNT) -> None:
    """Print medians (and extremes) of interleaved rounds, after one that is dropped."""
    port = free_port()
    sink = subprocess.Popen(["taskset", "-c", "1", sys.executable, "-m", "tests.bench.push_sink", str(port)])
    found: list[dict[str, tuple[float, float]]] = []
    cost = ""
    with tempfile.TemporaryDirectory(prefix="homing-bench-") as folder:
        bench = EndToEnd(Path(folder), port, count, rounds + 1)
        try:
            for _ in range(rounds + 1):
                bench.prepare()
                rate, cpu, cost = bench.send()
                seconds, spent = said("pywebpush", str(port), str(count))
                floor_seconds, floor_spent = said("floor", str(count))
                found.append({
                    "homing, everything on": (rate, cpu),
                    "pywebpush.webpush_async, bare loop": (count / seconds, spent / count * 1e6),
                    "the crypto alone (P-256 floor)": (count / floor_seconds, floor_spent / count * 1e6),
                })  # fmt: skip
            bench.home.stop()
        finally:
            bench.home.end()
            sink.terminate()
            sink.wait()
    del found[0]
    for name in found[0]:
        rates, cpus = [row[name][0] for row in found], [row[name][1] for row in found]
        middle = f"{statistics.median(rates):8,.0f}/s ({min(rates):,.0f}-{max(rates):,.0f})"
        print(f"  {name:36} {middle}   {statistics.median(cpus):6.0f} ({min(cpus):.0f}-{max(cpus):.0f}) CPU µs/push")
    print(f"  homing: {cost}")
    ours, *others = list(found[0])
    for other, goal in zip(others, (1.6, 0.33), strict=True):
        by_rate, by_cpu = ([row[ours][0] / row[other][0] for row in found], [row[other][1] / row[ours][1] for row in found])
        print(
            f"  to {other}: by rate {statistics.median(by_rate):.2f} ({min(by_rate):.2f}-{max(by_rate):.2f}), by CPU {statistics.median(by_cpu):.2f}"
            f" ({min(by_cpu):.2f}-{max(by_cpu):.2f}); goal >= {goal}"
        )


if __name__ == "__main__":
    run(*(int(argument) for argument in sys.argv[1:]))
