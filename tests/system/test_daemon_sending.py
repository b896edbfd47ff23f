"""Sending that is disturbed from outside: no relay, SIGTERM in the middle, SIGHUP with good and bad configs, what systemd is told."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import Build
from tests.system.daemon_world import House, document, person, wait_for

pytestmark = pytest.mark.slow


def people(prefix: str, count: int) -> list[dict[str, object]]:
    return [person(f"{prefix}-{n}") for n in range(count)]


def once_each(prefix: str, count: int) -> dict[str, int]:
    return {f"{prefix}-{n}@example.com": 1 for n in range(count)}


@pytest.mark.promise("F6")
def test_an_unreachable_relay_loses_nothing_and_is_told(build: Build):
    """All rows wait, the breaker opens, status names it; once a server listens there, each is sent exactly once."""
    house = build(relay=False)
    house.start()
    house.give(document("early", people("wait", 40)))
    provider = wait_for(lambda: next(iter(p for p in house.status()["providers"] if p["breaker"] == "open"), None), "the breaker opens")
    assert provider["provider"] == "relay"
    assert "unreachable" in provider["detail"] and str(house.relay.port) in provider["detail"]
    assert provider["retry_at"]
    said = house("status")
    assert "relay: unreachable" in said.out
    assert "Nothing is lost: it is tried again at" in said.out
    wait_for(lambda: house.job("early")["deliveries"] == {"due": 40}, "what was claimed is given back")
    assert house.status()["doubts"] == 0

    def explain() -> dict[str, Any]:
        return house("explain", "wait-7", "--json").json["enrolments"][0]["deliveries"][0]

    explained = wait_for(lambda: explain() if explain()["reason"] else None, "the rules have seen that the provider rests")
    assert (explained["state"], explained["decision"], explained["reason"]) == ("due", "defer", "breaker_open")
    assert explained["text"].startswith("Waits: the provider relay fails at the moment (unreachable")
    [rest] = house.events("smtp.relay_rests")
    assert rest["seconds"] == 1.0  # ten connections that fail together are one failure
    house.relay.start()
    house.config.write_text(house.config.read_text().replace("pool = 10", "pool = 8"))
    house.hang_up()  # a provider whose table was changed is opened anew: nobody who mended it need wait for the breaker's minute
    house.settled("early")
    assert house.relay.counts() == once_each("wait", 40)
    assert house.job("early")["deliveries"] == {"accepted": 40}


@pytest.mark.promise("F28")
def test_sigterm_in_the_middle_of_a_job_loses_and_doubles_nothing(build: Build):
    """Exit 0 well within the drain, nothing in flight or in doubt; the next start sends the rest."""
    house = build(rate="300/s")
    house.start()
    house.give(document("long", people("term", 500)))
    house.sent(100)
    assert house.stop() == 0
    taken = house.relay.counts()
    assert 100 <= taken.total() < 500
    assert house.ask("SELECT count(*) FROM flight") == [(0,)]
    states = house.states()
    assert {address for address, state in states.items() if state == "accepted"} == set(taken)
    assert "in_doubt" not in states.values()
    assert house.events("stopped") and not house.events("drain_cut_short")
    house.unleash()
    house.start()
    house.settled("long")
    assert house.relay.counts() == once_each("term", 500)


CONNECTIONS = 12
"""`pool` and the spare ones."""
PUT_OFF = """
UPDATE due SET not_before = not_before + 1800000000;
UPDATE lane SET head = head + 1800000000 WHERE head IS NOT NULL;
UPDATE delivery SET not_before = not_before + 1800000000, reason = 'rate_limited', decision = '{"rule":["slow.relay.example.com","v"]}';
"""


@pytest.mark.promise("P10", "F1")
def test_what_was_put_off_for_a_slow_destination_goes_when_a_killed_daemon_is_started_again(build: Build):
    """Its turns lie half an hour ahead, and nobody remembers them."""
    house = build()
    house.start()
    assert house("queue", "pause", "lapsed").code == 0
    house.give(document("turns", people("turn", 5)))
    wait_for(lambda: house.job("turns")["deliveries"] == {"due": 5}, "all are due")
    house.kill()
    with closing(sqlite3.connect(house.state / "homing.db")) as db:
        db.executescript(PUT_OFF)
    house.start()
    assert house("queue", "resume", "lapsed").code == 0
    house.settled("turns")
    assert house.relay.counts() == once_each("turn", 5)
    [freed] = house.events("turns_freed")
    assert freed["deliveries"] == 5


def notes(listener: socket.socket) -> list[str]:
    """What the daemon told the service manager since the last call."""
    found = []
    while True:
        try:
            found.append(listener.recv(4096, socket.MSG_DONTWAIT).decode())
        except BlockingIOError:
            return found


@pytest.mark.promise("F29")
def test_a_bad_config_changes_nothing_and_a_good_one_takes_effect(build: Build, tmp_path: Path):
    """SIGHUP: each problem in the log, the old config goes on; then a new queue with a new campaign sends, and systemd is told each
    step. Reloads in the middle of a job strand nobody."""
    house = build(rate="150/s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        told: list[str] = []

        def hears(*wanted: str) -> bool:
            told.extend(notes(listener))
            return all(any(part in note for note in told) for part in wanted)

        house.start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="400000")
        wait_for(lambda: hears("READY=1", "WATCHDOG=1"), "READY=1")
        good = house.config.read_text()
        house.give(document("old", people("old", 450)))
        house.sent(20)
        _refuse(house, good)
        wait_for(lambda: hears("RELOADING=1", "STATUS=running with the old config"), "the refused reload")
        _accept(house, good)
        for number in range(2, 5):
            house.sent(50 * number)
            house.hang_up()
            wait_for(lambda: len(house.events("reloaded")) == number, "the reload")  # noqa: B023 - asked at once
        house.give(document("new", people("new", 2), queue="fresh"))
        house.settled("new")
        house.settled("old")
        assert not hears("STOPPING=1")
        assert house.stop() == 0
        wait_for(lambda: hears("STOPPING=1"), "STOPPING=1")
    assert house.relay.counts() == {**once_each("old", 450), **once_each("new", 2)}
    assert {row["subject"] for row in house.relay.taken("new-")} == {"Fresh words"}
    assert house.relay.taken("old-")[0]["subject"].endswith("your shoes")
    assert house.relay.taken("old-")[-1]["subject"] == "Mended words"
    assert len(house.events("reload_refused")) == 1 and not house.events("reload_failed")


@pytest.mark.promise("P5", "P6")
def test_what_is_claimed_already_goes_by_the_rules_of_a_reload(build: Build):
    """A consent that is asked for from now on stops what waits for its turn in the daemon's hands too, not only what is still in the queue."""
    house = build(delay_ms=150)
    house.start()
    house.give(document("rules", people("rule", 400)))
    house.sent(10)
    house.config.write_text(house.config.read_text() + '[consent]\nemail = "explicit"\n')
    house.hang_up()
    wait_for(lambda: house.events("reloaded"), "the reload")
    taken = house.relay.counts().total()
    job = house.settled("rules")
    assert taken <= house.relay.counts().total() <= taken + CONNECTIONS < 100
    assert job["reasons"] == {"no_consent": 400 - job["deliveries"]["accepted"]}


def _refuse(house: House, good: str) -> None:
    """A config with two mistakes, and a campaign with one: all three are in the log."""
    house.config.write_text(
        good.replace("weekly", "monthly").replace('end = "24:00"', 'ende = "24:00"') + "[queues.fresh]\ncampain = 'fresh'\n"
    )
    house.hang_up()
    [event] = wait_for(lambda: house.events("reload_refused"), "the refusal")
    assert any('did you mean "end"?' in problem for problem in event["problems"])
    assert any('did you mean "campaign"?' in problem for problem in event["problems"])
    assert not (house.state / "spool" / "fresh").exists()
    assert house.status()["ready"]


def _accept(house: House, good: str) -> None:
    house.config.write_text(good)
    house.add_campaign("fresh", "---\nsubject: Fresh words\n---\n<p>Fresh</p>\n", queue="fresh")
    (house.folder / "campaigns" / "winback" / "reminder.email.liquid").write_text("---\nsubject: Mended words\n---\n<p>Mended</p>\n")
    house.hang_up()
    wait_for(lambda: house.events("reloaded"), "the reload")
    assert (house.state / "spool" / "fresh" / "new").is_dir()


@pytest.mark.promise("F28")
def test_a_second_sigterm_hurries(build: Build):
    """An operator who cannot wait for a relay that hangs: what has no answer yet is in doubt, the process ends at once."""
    house = build()
    house.relay.freeze()
    house.start()
    house.give(document("stuck", people("stuck", 30)))
    wait_for(lambda: house.status()["in_flight"], "something is in flight")
    assert house.pid is not None
    os.kill(house.pid, signal.SIGTERM)
    wait_for(lambda: house.events("stop_requested"), "the first is heard")
    assert house.stop() == 0
    assert [event["again"] for event in house.events("stop_requested")] == [False, True]
