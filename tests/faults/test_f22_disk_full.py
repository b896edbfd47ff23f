"""The disk of the state folder fills up: a real small file system, a real daemon, judged by the mail server's log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.conftest import Build
from tests.faults.house import Troubled
from tests.system.daemon_world import document, person, wait_for

pytestmark = pytest.mark.slow
MIB = 1024 * 1024


def free(place: Path) -> int:
    status = os.statvfs(place)
    return status.f_bavail * status.f_frsize


def fill(place: Path, left: int) -> Path:
    """A file that leaves so many bytes; others write at the same time."""
    path = place / "filler"
    with path.open("wb", buffering=0) as file:
        while (room := free(place) - left) > 0:
            try:
                file.write(bytes(min(room, MIB)))
            except OSError:
                break
    return path


def start(house: Troubled, people: int) -> None:
    house.start()
    house.bearer = house.token()
    house.give(document("full", [person(f"full-{n}") for n in range(people)]))
    wait_for(lambda: (house.state / "ballast").exists(), "the ballast is made")
    house.sent(40)


@pytest.mark.promise("F22")
def test_below_the_reserve_nothing_new_is_begun_and_above_twice_of_it_all_goes_on(build: Build, small_disk: Path) -> None:
    """What is on its way ends, jobs are answered 503 with Retry-After, health says so; room alone brings it back. Nobody gets two."""
    house = build(rate="150/s", state=small_disk / "var", delay_ms=20)
    start(house, 700)
    filler = fill(small_disk, 30 * MIB)
    wait_for(lambda: house.health()["degraded"], "health says degraded")
    assert "less than 64 MiB left" in house.health()["degraded"]
    assert house.api("GET", "/readyz")[0] == 503
    status, headers = house.post_job(document("refused", [person("refused")]))
    assert (status, headers["Retry-After"]) == (503, "5")
    wait_for(lambda: house.status()["in_flight"] == 0, "what was on its way has ended")
    house.still(1.5)
    assert 40 <= len(house.relay.taken()) < 700
    assert "less than 64 MiB left" in house("status").out

    os.truncate(filler, filler.stat().st_size - 70 * MIB)  # more room than the reserve, less than twice of it: not yet
    house.still(2.0)
    filler.unlink()
    house.settled("full")
    assert house.health() == {"ok": True, "degraded": None}
    assert house.post_job(document("taken", [person("taken")]))[0] == 202
    house.settled("taken")
    house.once_each(701)
    assert house.doubted() == set()
    assert house.stop() == 0


@pytest.mark.promise("F22")
def test_with_no_byte_left_the_ballast_pays_for_what_is_on_its_way(build: Build, small_disk: Path) -> None:
    """The disk is full at one blow: all outcomes are still recorded, none ends as a doubt, and the daemon lives on."""
    house = build(rate="150/s", state=small_disk / "var", delay_ms=20)
    start(house, 700)
    filler = fill(small_disk, 0)
    wait_for(lambda: house.health()["degraded"], "health says degraded")
    wait_for(lambda: house.status()["in_flight"] == 0, "what was on its way is recorded")
    house.still(1.5)
    states = house.states()
    assert {address for address, state in states.items() if state == "accepted"} == set(house.relay.counts())
    assert house.doubted() == set()
    assert house.running()

    filler.unlink()
    wait_for(lambda: (house.state / "ballast").exists(), "the ballast is made again")
    house.settled("full")
    house.once_each(700)
    assert house.doubted() == set()
    assert house.stop() == 0


@pytest.mark.promise("F22")
def test_a_daemon_killed_on_a_full_disk_starts_on_it_and_goes_on_when_there_is_room(build: Build, small_disk: Path) -> None:
    """A start needs a few pages too: they come of the ballast that the one before it left."""
    house = build(rate="150/s", state=small_disk / "var", delay_ms=20)
    start(house, 500)
    filler = fill(small_disk, 0)
    house.kill()
    house.launch()
    assert "less than 64 MiB left" in house.health()["degraded"]
    assert not (house.state / "ballast").exists()
    house.still(1.0)
    filler.unlink()
    house.settled("full")
    house.once_each(500)
    assert len(house.doubted()) <= house.pool
    assert house.stop() == 0


@pytest.mark.promise("F23")
def test_a_full_log_volume_stops_nothing(build: Build) -> None:
    """Each line to /dev/full fails with ENOSPC: all is sent all the same, and the daemon ends with 0."""
    house = build()
    with Path("/dev/full").open("wb") as full:
        house.go(stderr=full)
        house.ready()
        house.give(document("unheard", [person(f"unheard-{n}") for n in range(100)]))
        house.settled("unheard")
        house.once_each(100)
        assert house.stop() == 0
