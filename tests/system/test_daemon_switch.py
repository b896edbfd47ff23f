"""What operators may have to do in a hurry or after a disaster: the kill switch, and a store that was put back from a backup."""

from __future__ import annotations

import shutil
import time

import pytest

from tests.system.conftest import Build
from tests.system.daemon_world import House, document, person, wait_for

pytestmark = pytest.mark.slow


def people(prefix: str, count: int) -> list[dict[str, object]]:
    return [person(f"{prefix}-{n}") for n in range(count)]


def holds(house: House) -> dict[str, str]:
    return dict(house.status()["gate"]["holds"])


def sends_nothing(house: House, seconds: float = 1.2) -> None:
    """The number of messages stays as it is. Nothing but time can show this."""
    before, until = len(house.relay.taken()), time.monotonic() + seconds
    wait_for(lambda: time.monotonic() > until, "the time is over")
    assert len(house.relay.taken()) == before


@pytest.mark.promise("F42", "P8")
def test_stop_all_ends_sending_within_a_second_and_outlives_a_restart(build: Build):
    """No message is taken later than 1 s after the command came back; only `start --all` with the right number goes on."""
    house = build(rate="150/s")
    house.start()
    assert "Sending." in house("status").out
    house.give(document("many", people("kill", 500)))
    house.sent(100)
    said = house("stop", "--all")
    stopped_at = time.time()
    assert said.code == 0, said.err
    assert "homing start --all --expect" in said.out
    wait_for(lambda: house.status()["in_flight"] == 0, "nothing is in flight any more")
    sends_nothing(house)
    taken = house.relay.taken()
    assert max(row["at"] for row in taken) < stopped_at + 1.0
    assert 100 <= len(taken) < 500
    left = house.status()["gate"]["backlog"]
    assert left == 500 - len(taken)

    assert house.stop() == 0
    house.unleash()
    house.launch()
    code, problem = house.api("GET", "/readyz")
    assert code == 503 and "start --all" in problem["detail"]
    assert list(holds(house)) == ["kill_switch"]
    shown = house("status")
    assert "HELD, kill_switch" in shown.out and f"homing start --all --expect {left}" in shown.out
    refused = house("start", "--all", "--expect", str(left + 1))
    assert refused.code == 77
    assert f"--expect {left}" in refused.err
    sends_nothing(house, 0.5)
    assert len(house.relay.taken()) == len(taken)
    assert house("start", "--all", "--expect", str(left)).code == 0
    house.settled("many")
    assert house.relay.counts() == {f"kill-{n}@example.com": 1 for n in range(500)}


def test_stop_all_works_while_no_daemon_runs(build: Build):
    """Even before the first start, and with a config that is wrong elsewhere: the daemon starts stopped, takes jobs and sends nothing."""
    house = build()
    good = house.config.read_text()
    house.config.write_text(good + "[spol]\n")
    said = house.program("stop", "--all")
    assert said.code == 0, said.err
    assert "No daemon runs" in said.out
    house.config.write_text(good)
    house.launch()
    assert list(holds(house)) == ["kill_switch"]
    house.give(document("calm", people("calm", 5)))
    assert house.expanded("calm")["accepted"] == 5
    sends_nothing(house, 0.5)
    assert house.relay.taken() == []
    assert house("stop", "--all").code == 0
    assert house("start", "--all", "--expect", "5").code == 0
    house.settled("calm")
    assert len(house.relay.taken()) == 5


@pytest.mark.promise("F40", "P11")
def test_a_restored_store_sends_nothing_until_it_is_accepted_and_then_nobody_twice(build: Build):
    """The send journal is ahead of the copy: the start is held `restored`. What was sent since the backup is put in doubt."""
    house = build(rate="150/s")
    house.start()
    house.give(document("job", people("back", 300)))
    house.sent(50)
    house.relay.freeze()  # so that few are sent while the copy is made, however slow this machine is
    assert house("db", "backup", str(house.folder / "saved")).code == 0
    at_backup = set(house.relay.counts())
    house.relay.thaw()
    house.sent(len(at_backup) + 60)
    assert house.stop() == 0
    before = house.relay.counts()
    for name in ("homing.db-wal", "homing.db-shm"):
        (house.state / name).unlink(missing_ok=True)
    shutil.copy(house.folder / "saved" / "homing.db", house.state / "homing.db")

    house.unleash()
    house.launch()
    assert list(holds(house)) == ["restored"]
    assert "start --all" in house("status").out and "--accept-restore" in house("status").out
    left = house.status()["gate"]["backlog"]
    refused = house("start", "--all", "--expect", str(left))
    assert refused.code == 77
    assert "--accept-restore" in refused.err
    sends_nothing(house, 0.5)
    assert house.relay.counts() == before
    said = house("start", "--all", "--accept-restore", "--expect", str(left))
    assert said.code == 0, said.err
    house.settled("job")
    counts, states = house.relay.counts(), house.states()
    assert max(counts.values()) == 1
    doubted = {address for address, state in states.items() if state == "in_doubt"}
    assert set(states.values()) == {"accepted", "in_doubt"}
    assert set(before) - at_backup <= doubted <= set(before)
    assert set(counts) == set(states) and len(states) == 300
    listed = house("doubt", "list", "--json").json
    assert len(listed) == len(doubted)
    assert any("handed over after this copy" in doubt["attempts"][-1]["detail"] for doubt in listed)
    assert holds(house) == {}
