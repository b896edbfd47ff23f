"""`python -m tests.bench [NAME..]`: all benchmarks, or those named."""

from __future__ import annotations

import sys

from tests.bench import decisions, end_to_end, smtp_channel

BENCHES = {
    "end-to-end: 10 KB multipart over 10 connections, one core": end_to_end.run,
    "smtp channel alone: ready-made and templated messages": smtp_channel.run,
    "decisions: the rules alone": decisions.run,
}


def main() -> int:
    for title, run in BENCHES.items():
        if len(sys.argv) > 1 and not any(word in title for word in sys.argv[1:]):
            continue
        print(title, flush=True)
        run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
