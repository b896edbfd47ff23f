"""Draws docs/planted-bugs.md: which bug is caught by what, as the last full run of `tests.planted` put it on record."""

from __future__ import annotations

from tests.planted.bugs import BUGS
from tests.planted.layers import LAYERS
from tests.planted.record import Caught, read_record

INTRODUCTION = """\
# Planted bugs, and what catches them

A test suite is worth what it would notice. Each of these bugs breaks a promise in a way in which real senders have broken it; it is
planted by replacing a piece of the code as it is imported, and the layers of tests that can see it are run. A bug that nothing catches
fails `make planted`, and so does a piece of code that is no longer there to be replaced. `make planted ARGS="--bug NAME"` plants one;
`ARGS="--all --write"` runs every layer and writes this page's record anew. Each bug must be caught for sure: by a plain test, or by a
written example of a property. `make test` runs that test for each. What is drawn (by Hypothesis, by a seed) comes second, *by chance*: a
draw moves with any line of the code.

Layers: `rules` pure rules · `store` acts on a real SQLite file · `machine` the store's state machine, its scripts and then what it draws ·
`smtp`, `sms`, `push` the channels against real servers · `stages` one stage against the store · `people` events, profiles, erasing ·
`audiences` members, their batches and the platform · `simulation` the whole daemon, whole histories by seed.
"""


def planted_page() -> str:
    record = read_record()
    lines = [INTRODUCTION, f"{len(BUGS)} bugs.\n", "| bug | what goes wrong | first caught by | also caught by |", "|---|---|---|---|"]
    for name, bug in BUGS.items():
        caught = sorted(((layer, record[name][layer]) for layer in LAYERS if layer in record.get(name, {})), key=lambda one: one[1].chance)
        first = _place(*caught[0]) if caught else "nothing"
        others = "<br>".join(_place(layer, one) for layer, one in caught[1:]) or "-"
        lines.append(f"| `{name}` | {bug.what} | {first} | {others} |")
    return "\n".join(lines) + "\n"


def _place(layer: str, caught: Caught) -> str:
    if caught.how.startswith("example "):
        return f"by chance: machine, {caught.how.split(':')[0]}"
    if layer == "simulation":
        return f"by chance: simulation, {caught.by}"
    return f"{'by chance: ' * caught.chance}{layer}: `{caught.by}`"


def problems() -> list[str]:
    """Bugs that nothing on record catches."""
    record = read_record()
    remedy = "run `make planted ARGS='--all --write'`"
    return [f"tests/planted/caught.toml: nothing catches {name}; {remedy}" for name in BUGS if not record.get(name)]
