"""The whole daemon, everything on, against the reference loop: e-mails a second and CPU µs a message.

One real `homing run` process on CPU 0 and a sink on CPU 1; the queue is paused while a job is taken in, then resumed: what is
measured is claim, policy, render, MIME, SMTP, handover, record. The reference (`pool`) runs on CPU 0 in between. 10 KB multipart.
"""

from __future__ import annotations

import json
import os
import smtplib
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.world import Installation, free_port

TEMPLATE = (
    """---
subject: {{ recipient.id }}, your {{ vars.last_product | capitalize }} is waiting
preheader: We kept it warm for you
---
<p>Hello {{ recipient.first_name | default: "friend" }},</p>
"""
    + "<p>A line of an ordinary newsletter, seventy-odd characters long, no more.</p>\n" * 50
    + """<p>Your {{ vars.last_product }} is here.</p><p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>
--- text
Hello {{ recipient.first_name | default: "friend" }},
"""
    + "A line of an ordinary newsletter, seventy-odd characters long, no more.\n" * 50
    + "Your {{ vars.last_product }} is here. Stop: {{ unsubscribe_url }}\n"
)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rows(round_: int, count: int) -> str:
    head = {"id": f"bench-{round_}", "queue": "lapsed", "expected_count": count}
    people = (
        {
            "id": f"r{round_}-{i}",
            "email": f"r{round_}-{i}@example.com",
            "zone": "Asia/Jakarta",
            "locale": "en",
            "vars": {"last_product": "shoes"},
        }
        for i in range(count)
    )
    return "\n".join(json.dumps(row) for row in (head, *people)) + "\n"


def stat(port: int) -> tuple[int, float]:
    """(messages, seconds from the first to the last) since the last call."""
    with smtplib.SMTP("127.0.0.1", port) as client:
        _, answer = client.docmd("XSTAT")
    count, first, last = answer.split()
    return int(count), float(last) - float(first)


class EndToEnd:
    def __init__(self, folder: Path, sink_port: int, count: int) -> None:
        self.port, self.count, self.round = sink_port, count, 0
        self.home = Installation(folder, sink_port, folder / "unused.log", template=TEMPLATE)
        self.home.start()
        assert self.home.pid is not None
        for thread in Path(f"/proc/{self.home.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {0})

    def once(self) -> tuple[float, float]:
        """(e-mails a second, CPU µs a message) of one job."""
        self.prepare()
        return self.send()

    def prepare(self) -> None:
        """A job is in the due queue, which is paused."""
        self.round += 1
        self.home.run("queue", "pause", "lapsed")
        self.home.spool(f"bench-{self.round}", rows(self.round, self.count))
        while not self.home.released(f"bench-{self.round}"):
            time.sleep(0.05)

    def send(self) -> tuple[float, float]:
        """Let it go; (e-mails a second, CPU µs a message)."""
        stat(self.port)
        assert self.home.pid is not None
        before = cpu_seconds(self.home.pid)
        self.home.run("queue", "resume", "lapsed")
        while self.home.waiting():
            time.sleep(0.05)
        count, seconds = stat(self.port)
        assert count == self.count, f"{count} of {self.count} messages came"
        return count / seconds, (cpu_seconds(self.home.pid) - before) / count * 1e6


def reference(port: int, count: int) -> tuple[float, float]:
    """The same of the bare aiosmtplib loop."""
    command = ["taskset", "-c", "0", sys.executable, "-m", "tests.bench.pool", str(port), str(count), "10000"]
    seconds, cpu = map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    stat(port)
    return count / seconds, cpu / count * 1e6


def run(rounds: int = 5, count: int = 5000) -> None:
    """Print medians (and extremes) of interleaved rounds, after one that is dropped."""
    port = free_port()
    sink = subprocess.Popen(["taskset", "-c", "1", sys.executable, "-m", "tests.bench.sink", str(port)])
    with tempfile.TemporaryDirectory(prefix="homing-bench-") as folder:
        time.sleep(0.5)
        bench = EndToEnd(Path(folder), port, count)
        try:
            found = [(bench.once(), reference(port, count)) for _ in range(rounds + 1)][1:]
            bench.home.stop()
        finally:
            bench.home.end()
            sink.terminate()
            sink.wait()
    for name, index in (("homing, everything on", 0), ("aiosmtplib pool of 10, ready bytes", 1)):
        rates, cpus = [row[index][0] for row in found], [row[index][1] for row in found]
        print(
            f"  {name:36} {statistics.median(rates):8,.0f}/s ({min(rates):,.0f}-{max(rates):,.0f})   {statistics.median(cpus):6.0f} CPU µs/message"
        )
    ratios = [ours[0] / theirs[0] for ours, theirs in found]
    print(f"  ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}); goal >= 0.40")
