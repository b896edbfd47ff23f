"""`python -m tests.planted`: plant each bug, run the layers from the cheapest on, and say which one catches it, and how soon.

  --bug NAME    that one only, every layer that can see it
  --all         every layer that can see a bug, not only the first that does
  --known       only the tests that are on record (tests/planted/caught.toml): quick, for `make test`
  --write       put what was found on record, for docs/planted-bugs.md

Exit 1 if a bug is caught by nothing, or only in what was drawn, or if something fails without any bug.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

from tests.planted.bugs import BUGS
from tests.planted.layers import LAYERS, Seen, run, warm_up
from tests.planted.plant import Bug
from tests.planted.record import Caught, read_record, sure, write_record


def hunt(bug: Bug, layers: tuple[str, ...], *, everywhere: bool) -> Iterator[tuple[str, Seen]]:
    """(layer, what it saw), until one has caught the bug for sure; `everywhere`: to the end."""
    for layer in LAYERS:
        if layer in layers:
            seen = run(layer, bug)
            yield layer, seen
            if seen.uprooted or (seen.by is not None and not seen.chance and not everywhere):
                return


def controls(layers: set[str]) -> list[str]:
    """Layers that fail without any bug: what they say of one is worth nothing."""
    wrong = []
    for layer in LAYERS:
        if layer not in layers:
            continue
        began = time.monotonic()
        seen = run(layer, None)
        show("(no bug)", layer, seen, time.monotonic() - began)
        if seen.by is not None:
            wrong.append(f"{layer}: {seen.by} fails without any bug: {seen.how}")
    return wrong


def recall(record: dict[str, dict[str, Caught]]) -> list[str]:
    """Each bug with the first test on record that catches it for sure. What is wrong."""
    wrong = []
    for name, bug in BUGS.items():
        if (found := sure(record.get(name, {}))) is None:
            wrong.append(f"{name}: nothing on record catches it for sure; run `make planted ARGS=--write`")
            continue
        layer, caught = found
        seen = run(layer, bug, only=caught.by)
        if seen.by is None:
            wrong.append(f"{name}: {caught.by} does not catch it {'any more' if not seen.uprooted else seen.uprooted}")
    return wrong


def show(name: str, layer: str, seen: Seen, seconds: float) -> None:
    verdict = seen.uprooted or (seen.by and f"{'by chance, ' * seen.chance}{seen.by}") or f"- {seen.how}"
    print(f"{name:32} {layer:11} {seconds:5.1f} s  {verdict}  {seen.how if seen.by else ''}"[:220], flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bug", choices=sorted(BUGS))
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--known", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    warm_up()
    record = read_record()
    if options.known:
        wrong = recall(record)
        print("\n".join(wrong) or f"all {len(BUGS)} bugs are caught by the tests on record")
        return 1 if wrong else 0
    chosen = [BUGS[options.bug]] if options.bug else list(BUGS.values())
    wrong = controls({layer for bug in chosen for layer in bug.layers})
    found: dict[str, dict[str, Caught]] = {}
    for bug in chosen:
        found[bug.name] = {}
        began = time.monotonic()
        for layer, seen in hunt(bug, bug.layers, everywhere=options.all or options.bug is not None):
            show(bug.name, layer, seen, time.monotonic() - began)
            began = time.monotonic()
            if seen.uprooted:
                wrong.append(f"{bug.name}: {seen.uprooted}")
            elif seen.by is not None:
                found[bug.name][layer] = Caught(by=seen.by, how=seen.how, chance=seen.chance)
        if sure(found[bug.name]) is None:
            wrong.append(f"{bug.name}: caught by {'chance only: write its example down' if found[bug.name] else 'nothing'}")
    if options.write:
        write_record({**record, **found}, BUGS)
    print("\n".join(wrong) or f"{len(chosen)} bugs planted, all caught; nothing fails without one", file=sys.stderr if wrong else sys.stdout)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
