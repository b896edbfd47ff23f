"""Clocks that jump while the daemon runs, clocks that are wrong at a start, and a daemon that was down over the end of a window."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.conftest import Build
from tests.faults.house import Troubled
from tests.system.daemon_world import document, person, wait_for

pytestmark = pytest.mark.slow


def people(prefix: str, count: int, zone: str = "Asia/Jakarta") -> list[dict[str, object]]:
    return [person(f"{prefix}-{n}", zone=zone) for n in range(count)]


def shifted(house: Troubled, seconds: int) -> list[str]:
    """`homing run` with a wall clock so far ahead, as `homing demo --at` has it."""
    return [*house.words(), "--clock-offset", str(seconds)]


def narrow(house: Troubled, start: datetime, end: datetime) -> None:
    """The window of the config, as wall time of UTC."""
    text = house.config.read_text()
    house.config.write_text(text.replace('start = "00:00"\nend = "24:00"', f'start = "{start:%H:%M}"\nend = "{end:%H:%M}"'))


@pytest.mark.promise("F32", "F33")
@pytest.mark.parametrize("jump", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_clock_that_jumps_three_hours_stops_all_grants_until_someone_accepts_it(build: Build, jump: signal.Signals) -> None:
    """Not one message more is begun in a time that is not true; what is on its way ends, and nobody gets two. After a jump back what
    had fallen due waits until that instant comes again: here, until the clock is set right."""
    house = build(rate="100/s")
    house.go(words=house.jumping())
    house.ready()
    house.give(document("jump", people("jump", 500)))
    house.sent(60)
    house.signal(jump)
    wait_for(lambda: "clock_untrusted" in house.holds(), "the jump is seen")
    wait_for(lambda: house.status()["in_flight"] == 0, "what was on its way has ended")
    house.still(1.5)
    left = house.status()["gate"]["backlog"]
    assert left == 500 - len(house.relay.taken())
    assert house("start", "--all", "--expect", str(left)).code == 77
    assert house("start", "--all", "--expect", str(left), "--accept-clock").code == 0
    if jump == signal.SIGUSR2:
        wait_for(lambda: house.status()["in_flight"] == 0 and house.status()["oldest_due"] is None, "what was in hand is sent")
        house.still(1.5)
        house.signal(signal.SIGUSR1)
        wait_for(lambda: "clock_untrusted" in house.holds(), "the second jump is seen")
        left = house.status()["gate"]["backlog"]
        assert house("start", "--all", "--expect", str(left), "--accept-clock").code == 0
    house.settled("jump")
    house.once_each(500)
    assert house.doubted() == set()
    assert house.stop() == 0


@pytest.mark.promise("F33")
def test_a_start_before_the_last_commit_is_held_and_caps_do_not_open_again(build: Build) -> None:
    """Sent three hours ahead, started with the true clock: held; accepted, the earlier messages still fill the cap."""
    house = build()
    house.config.write_text(house.config.read_text().replace("limit = 3", "limit = 1").replace("7d", "1d"))
    house.go(words=shifted(house, 3 * 3600))
    house.ready()
    house.add_campaign("again", "---\nsubject: Again\n---\n<p>Hello</p>\n", queue="again")
    house.hang_up()
    wait_for(lambda: house.events("reloaded"), "the reload is done")
    house.give(document("ahead", people("ahead", 30)))
    house.settled("ahead")
    assert len(house.relay.taken()) == 30
    assert house.stop() == 0

    house.launch()
    assert list(house.holds()) == ["clock_untrusted"]
    house.give(document("behind", people("ahead", 30), queue="again"))
    house.expanded("behind")
    left = house.status()["gate"]["backlog"]
    assert house("start", "--all", "--expect", str(left), "--accept-clock").code == 0
    wait_for(lambda: house.status()["next_due"] and house.status()["oldest_due"] is None, "all is put off")
    house.still(1.0)
    assert set(house.relay.counts().values()) == {1}
    assert "1 of 1" in house("explain", "ahead-1").out
    assert house.job("behind")["deliveries"] == {"due": 30}
    assert house.stop() == 0


@pytest.mark.promise("F35")
def test_a_backlog_that_outlives_its_window_waits_for_the_next_one(build: Build) -> None:
    """Down for nine hours with work overdue: the start is held; accepted, nothing goes outside the window; the next day all of it goes."""
    house = build(rate="50/s")
    now = datetime.now(UTC)
    narrow(house, now - timedelta(hours=2), now + timedelta(hours=2))
    house.start()
    house.give(document("backlog", people("backlog", 300, zone="UTC")))
    house.sent(40)
    house.kill()
    before = len(house.relay.taken())

    house.unleash()
    house.go(words=shifted(house, 9 * 3600))
    wait_for(house.answers, "the daemon answers")
    assert "clock_untrusted" in house.holds()
    assert "silent for" in house.holds()["clock_untrusted"]
    left = house.status()["gate"]["backlog"]
    assert house("start", "--all", "--expect", str(left), "--accept-clock").code == 0
    wait_for(lambda: house.status()["next_due"] and house.status()["oldest_due"] is None, "all is put off")
    house.still(1.5)
    assert len(house.relay.taken()) == before
    opens = datetime.fromisoformat(house.status()["next_due"])
    wanted = (now - timedelta(hours=2) + timedelta(days=1)).replace(second=0, microsecond=0)
    assert wanted <= opens <= wanted + timedelta(minutes=31)
    assert house.stop() == 0

    house.go(words=shifted(house, 24 * 3600))
    wait_for(house.answers, "the daemon answers")
    if house.holds():
        assert house("start", "--all", "--expect", str(house.status()["gate"]["backlog"]), "--accept-clock").code == 0
    house.settled("backlog")
    house.once_each(300)
    assert len(house.doubted()) <= house.pool
    assert house.stop() == 0
