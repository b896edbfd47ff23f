"""`python -m tests.bench [NAME..]`: all benchmarks but the long ones, or those named."""

from __future__ import annotations

import compileall
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

from tests.bench import (
    audience,
    bulkheads,
    decisions,
    end_to_end,
    events,
    idle,
    importing,
    intake,
    jobs,
    loop,
    peers,
    products,
    push,
    rehearsal,
    segments,
    sms,
    smtp_channel,
    tarpit,
    ten_million,
)

BENCHES = {
    "end-to-end: 10 KB multipart over 10 connections, one core": end_to_end.run,
    "peers: end to end beside smtp-source, nodemailer and an aiosmtplib pool, without delay and at 20 ms round trip": peers.run,
    "idle: the start to the first claim, and a daemon that has nothing to do": idle.run,
    "tarpit: what one that answers too slowly costs the others": tarpit.run,
    "bulkheads: what failing providers of other channels cost one that does not fail": bulkheads.run,
    "smtp channel alone: ready-made and templated messages": smtp_channel.run,
    "sms: end to end beside a bare loop over Twilio's SDK, 100 requests at once, one core": sms.run,
    "loop: claim, policy, handover and outcome with a channel that does nothing, at 10 thousand and 10 million due": loop.run,
    "push: web push end to end beside a bare pywebpush loop and the crypto alone": push.run,
    "audience: members hashed by each plugin, and a campaign's people into the local platforms": audience.run,
    "decisions: the rules alone": decisions.run,
    "intake: its stages alone, each format at two sizes": lambda: intake.run((20_000, 200_000)),
    "jobs: 20,000 and 1,000,000 recipients through the whole daemon, from the spool to the due queue": jobs.run,
    "events: a shop's events over HTTP in batches, the daemon on one core": events.run,
    "rehearsal: decisions of a day lived ahead on a copy of the store": rehearsal.run,
    "import: handovers and unsubscribes while a million rows are taken in": importing.run,
}
LONG = {
    "segments: all shipped segments over a million recipients and ten million events (five minutes and 3 GB of disk)": segments.run,
    "products: what goes with what, of 100,000 products over a million buyers (two minutes and 250 MB of disk)": products.run,
    "ten-million: enqueue ten jobs of a million, start, send (ten minutes and 6 GB of disk)": ten_million.run,
    "one-job: enqueue one job of ten million (ten minutes and 6 GB of disk)": ten_million.run_one,
}


ROOT = Path(__file__).parents[2]


def compile_modules() -> None:
    """As pip does when it installs. From a source tree, where Python may not be allowed to keep what it compiles, each start of a daemon
    would compile two hundred modules anew: a fifth of it."""
    for package in ("daemon", "channels", "plugins"):
        compileall.compile_dir(ROOT / package, quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)


def main() -> int:
    compile_modules()
    for title, run in (BENCHES | LONG).items():
        name = title.partition(":")[0]
        if not any(word in name for word in sys.argv[1:]) and (len(sys.argv) > 1 or title in LONG):
            continue
        print(title, flush=True)
        run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
