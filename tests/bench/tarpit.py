"""One that answers too slowly beside others that do not: what it costs the others. Goal: less than 5 % of their rate.

Three shapes that an installation can have, each with and without the tarpit in the same run, round by round:

- a channel of its own behind a relay that says a byte a second, or nothing: a queue of another channel must not notice;
- one destination that hangs (RCPT, or the final dot, answered after a minute) behind the relay that serves all others;
- the first of two providers of a channel says a byte a second: the second must take over (its rate from then on; that takes 10 s).

The good relay is 20 ms away, so that its connections and not the processor set the rate: there a held connection costs most. While one
message of an unknown destination hangs it holds one of ten connections, so up to a tenth is lost then; from its second on it rests
twice as long as it took.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.end_to_end import TEMPLATE, stat
from tests.bench.home import cpu_seconds, give, pin
from tests.bench.peers import CLIENT, SINK
from tests.crash.world import Installation, job_lines
from tests.ports import free_port

PLUGIN = '''"""Letters: SMTP under another channel's name."""
from channels.smtp import SmtpChannel
from plugins import hookimpl


class Letters(SmtpChannel):
    name = "letters"
    channel = "letters"


@hookimpl
def register_channels():
    return [Letters]
'''
RELAY = '[providers.{name}]\nplugin = "{plugin}"\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\nfrom = "Kedai <hello@mail.example.com>"\n'
GIVE_UP = 90.0
SLOW_SHARE = 20
"""Every so many-th recipient is at the slow destination."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """`modes`: of the sink that everything goes through. `tarpit`: modes of another relay. `first`: the tarpit is the e-mail channel's
    first provider, else it is a channel of its own. `slow`: some recipients are at the slow destination."""

    title: str
    modes: tuple[str, ...] = ()
    tarpit: tuple[str, ...] = ()
    first: bool = False
    slow: bool = False
    rtt_ms: int = 20


SHAPES = (
    Shape(title="another channel's relay says one byte a second", tarpit=("trickle",)),
    Shape(title="another channel's relay never says a word", tarpit=("silent",)),
    Shape(title="one destination in twenty waits 60 s for RCPT", modes=("rcpt=60",), slow=True),
    Shape(title="one destination in twenty waits 60 s for the final dot", modes=("dot=60",), slow=True),
    Shape(title="one destination in twenty waits 10 s for the final dot", modes=("dot=10",), slow=True),
    Shape(title="the first of two providers says one byte a second", tarpit=("trickle",), first=True),
)


@contextlib.contextmanager
def sink(rtt_ms: int, modes: tuple[str, ...]) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen(["taskset", "-c", SINK, sys.executable, "-m", "tests.bench.sink", str(port), str(rtt_ms), *modes])
    try:
        time.sleep(0.5)
        yield port
    finally:
        process.terminate()
        process.wait()


class Home(Installation):
    """An installation whose fast queue is `lapsed`, and which may have a tarpit."""

    def __init__(self, folder: Path, port: int, shape: Shape, tarpit: int | None) -> None:
        super().__init__(folder, port, folder / "unused.log", template=TEMPLATE)
        config = folder / "config.toml"
        text = config.read_text()
        if tarpit is not None and shape.first:
            text = text.replace("[providers.relay]", RELAY.format(name="first", plugin="smtp", port=tarpit) + "[providers.relay]")
        elif tarpit is not None:
            (folder / "plugins.d").mkdir()
            (folder / "plugins.d" / "letters.py").write_text(PLUGIN)
            campaign = folder / "campaigns" / "letters"
            campaign.mkdir()
            like = (folder / "campaigns" / "winback" / "campaign.toml").read_text()
            (campaign / "campaign.toml").write_text(like.replace('["email"]', '["letters"]'))
            (campaign / "reminder.letters.liquid").write_text(TEMPLATE)
            text = text.replace("[http]", 'plugin_dirs = ["plugins.d"]\n[http]').replace("[providers.relay]", '[consent]\nletters = "implied"\n[providers.relay]')
            text += RELAY.format(name="tar", plugin="letters", port=tarpit) + '[queues.stuck]\ncampaign = "letters"\n'
        config.write_text(text)
        self.start()
        pin(self, CLIENT)


def measure(shape: Shape, count: int, *, bad: bool) -> tuple[float, float]:
    """Fast messages a second of one installation, and the CPU µs that each cost it (looked at ten times a second)."""
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(sink(shape.rtt_ms, shape.modes))
        tarpit = stack.enter_context(sink(0, shape.tarpit)) if bad and shape.tarpit else None
        home = Home(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homing-bench-"))), port, shape, tarpit)
        stack.callback(home.end)
        if tarpit is not None and not shape.first:
            give(home, "stuck", "stuck", job_lines("stuck", "s", 2000).replace('"lapsed"', '"stuck"'))
            time.sleep(1.0)  # all its places are taken
        home.run("queue", "pause", "lapsed")
        lines = job_lines("fast", "f", count + count // SLOW_SHARE).splitlines()
        for at in range(SLOW_SHARE, len(lines), SLOW_SHARE + 1):
            where = "@slow.example" if bad and shape.slow else "@example.com"
            lines[at] = lines[at].replace("@example.com", where)
        give(home, "lapsed", "fast", "\n".join(lines) + "\n")
        wanted = count if bad and shape.slow else count + count // SLOW_SHARE
        stat(port)
        assert home.pid is not None
        start, cpu = time.monotonic(), cpu_seconds(home.pid)
        home.run("queue", "resume", "lapsed")
        taken, first, last = 0, 0.0, 0.0
        while taken < wanted * 0.999 and time.monotonic() - start < GIVE_UP:
            time.sleep(0.1)
            n, begin, end = look(port)
            if n:
                taken, first, last = taken + n, first or begin, end
        seconds = max(last - first, 1e-9) if taken >= wanted * 0.999 else time.monotonic() - start
        return taken / seconds, (cpu_seconds(home.pid) - cpu) / max(taken, 1) * 1e6


def look(port: int) -> tuple[int, float, float]:
    import smtplib

    with smtplib.SMTP("127.0.0.1", port) as client:
        count, first, last = client.docmd("XSTAT")[1].split()
    return int(count), float(first), float(last)


def run(rounds: int = 3, count: int = 6000, shapes: tuple[Shape, ...] = SHAPES) -> None:
    """Print both rates and what the tarpit cost, median of interleaved rounds."""
    for shape in shapes:
        found = [(measure(shape, count, bad=False), measure(shape, count, bad=True)) for _ in range(rounds)]
        (without, cpu), (with_it, more) = (map(statistics.median, zip(*(pair[side] for pair in found), strict=True)) for side in (0, 1))
        costs = [1 - bad / good for (good, _), (bad, _) in found]
        cost = statistics.median(costs)
        verdict = "reached" if cost < 0.05 else "MISSED"
        print(f"  {shape.title:58} {without:8,.0f}/s without, {with_it:8,.0f}/s with: costs {cost:.1%}"
              f" ({min(costs):.1%} to {max(costs):.1%}); CPU µs/message {cpu:.0f} and {more:.0f}; goal < 5 %: {verdict}", flush=True)  # fmt: skip
