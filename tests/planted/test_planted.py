"""Each planted bug is caught by the test that is on record for it, and can still be planted."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.planted.bugs import BUGS
from tests.planted.layers import LAYERS, ROOT
from tests.planted.plant import Bug, Swap, Uprooted, replaced
from tests.planted.record import read_record, sure


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_the_code_that_a_bug_replaces_is_there(bug: Bug) -> None:
    """Exactly once, and what takes its place is Python."""
    assert set(bug.layers) <= set(LAYERS)
    for module in bug.modules:
        path = next(swap.source() for swap in bug.swaps if swap.module == module)
        compile(replaced(bug.swaps, module, path.read_text(encoding="utf-8")), str(path), "exec")


def test_code_that_has_moved_on_is_not_passed_over() -> None:
    """Neither gone nor there twice: the bug would not be planted, or not where it was meant."""
    for text in ("", "x = 1\nx = 1\n"):
        with pytest.raises(Uprooted, match="stands there"):
            Swap(module="m", old="x = 1\n", new="x = 2\n").apply(text)


def test_every_bug_is_on_record() -> None:
    """A bug that nothing catches is a hole in the tests, and so is one that only a lucky draw catches."""
    record = read_record()
    assert [name for name in BUGS if sure(record.get(name, {})) is None] == []


def test_every_test_on_record_is_still_there() -> None:
    """Under its name: who gives a test another one finds out here, and writes the record anew."""
    named = {one.by.partition("[")[0] for caught in read_record().values() for one in caught.values() if "::" in one.by}
    gone = [by for by in sorted(named) if not re.search(rf"\bdef {by.rpartition('::')[2]}\(", (ROOT / by.partition("::")[0]).read_text())]
    assert gone == []


@pytest.mark.slow
def test_every_bug_is_caught_by_the_test_on_record() -> None:
    """Each in a process of its own, by one test."""
    done = subprocess.run([sys.executable, "-m", "tests.planted", "--known"], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
