"""Marketing tools that die while they write, write where they should not, and drop the same file again, while the daemon is killed too."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.faults.conftest import Build
from tests.faults.house import Troubled
from tests.system.daemon_world import lines, person, wait_for

pytestmark = pytest.mark.slow
PEOPLE = 200
TOOL = """
import pathlib, sys, time
path, text = pathlib.Path(sys.argv[1]), sys.stdin.read()
with path.open("w", buffering=1) as file:
    for line in text.splitlines(keepends=True)[:-1]:
        file.write(line)
    file.write(text.splitlines()[-1][:20])
    file.flush()
    print("half", flush=True)
    time.sleep(600)
"""


def job(house: Troubled, name: str) -> str:
    return lines(name, [person(f"{name}-{n}") for n in range(PEOPLE)])


def die_writing(house: Troubled, part: str, name: str) -> None:
    """A tool that is killed before the last line is whole, 0.5 s after it wrote the rest."""
    path = house.state / "spool" / "lapsed" / part / name
    tool = subprocess.Popen([sys.executable, "-c", TOOL, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert tool.stdin is not None and tool.stdout is not None
    with tool.stdin, tool.stdout:
        tool.stdin.write(job(house, name.partition(".")[0]))
        tool.stdin.close()
        assert tool.stdout.readline() == "half\n"
        until = time.monotonic() + 0.5
        wait_for(lambda: time.monotonic() > until, "it has been there for a while")
        tool.kill()
        tool.wait()


@pytest.mark.promise("F41", "P1")
def test_half_a_file_is_never_sent_and_the_mended_one_goes_once_however_often_it_is_dropped(build: Build) -> None:
    """Half in tmp/: not looked at. Half in new/: the whole file fails. Mended under the same name, the daemon killed at once; dropped
    again twice: the first receipt, and nobody gets two."""
    house = build()
    house.start()
    die_writing(house, "tmp", "shoes.ndjson")
    assert not house.job("shoes")
    die_writing(house, "new", "shoes.ndjson")
    part, reason = house.moved("lapsed", "shoes.ndjson")
    assert part == "failed", reason
    assert house.relay.taken() == []

    whole = job(house, "shoes")
    (house.state / "spool" / "lapsed" / "failed" / "shoes.ndjson").unlink()
    house.drop("lapsed", "shoes.ndjson", whole)
    house.kill()
    house.start()
    part, first = house.moved("lapsed", "shoes.ndjson")
    assert (part, first["accepted"]) == ("done", PEOPLE)
    house.settled("shoes")
    for again in ("shoes.ndjson", "again.ndjson"):
        done = house.state / "spool" / "lapsed" / "done" / again
        done.unlink(missing_ok=True)
        house.drop("lapsed", again, whole)
        part, receipt = house.moved("lapsed", again)
        assert (part, receipt["job"], receipt["received_at"]) == ("done", "shoes", first["received_at"])
    house.settled("shoes")
    house.once_each(PEOPLE)
    assert house.doubted() == set()
    assert house.stop() == 0
