"""A channel plugin that does whatever it should not, in a running daemon: its own messages are settled, everybody else's go on."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest

from tests.system.conftest import Build
from tests.system.daemon_world import House, person, wait_for

pytestmark = pytest.mark.slow

MOODY = '''
"""Does to each message what its recipient is called."""
import asyncio
import sys
import time
from dataclasses import dataclass

from plugins import Accepted, Capabilities, hookimpl


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    file: str


class Moody:
    name, channel, address, settings_type = "moody", "carrier", "email", Settings
    capabilities = Capabilities(concurrency=4, batch=1)

    async def start(self, context):
        self.file = context.settings.file

    async def send(self, batch, session):
        [message] = batch
        mood = message.recipient.partition("-")[0]
        if mood == "before":
            raise ValueError("before the handover")
        if message.id not in await session.handover([message.id]):
            return
        with open(self.file, "a") as log:
            print(message.recipient, file=log)
        if mood == "after":
            raise ValueError("after the handover")
        elif mood == "nonsense":
            session.report(message.id, "it went well, I think")
        elif mood == "cancelled":
            raise asyncio.CancelledError
        elif mood == "exits":
            sys.exit(3)
        elif mood == "hangs":
            await asyncio.get_running_loop().create_future()
        elif mood == "blocks":
            time.sleep(2.5)
            session.report(message.id, Accepted())
        elif mood == "leaks":
            self.kept = [asyncio.ensure_future(asyncio.sleep(3600)) for _ in range(100)]
            session.report(message.id, Accepted())
        elif mood == "good":
            session.report(message.id, Accepted())

    async def stop(self):
        raise RuntimeError("not even this")


@hookimpl
def register_channels():
    return [Moody]
'''


@pytest.fixture
def house(build: Build, tmp_path: Path) -> House:
    """With a second provider, `moody`, whose log is moody.log."""
    house = build()
    (house.folder / "plugins.d").mkdir()
    (house.folder / "plugins.d" / "moody.py").write_text(MOODY)
    text = house.config.read_text().replace("[homing]\n", '[homing]\nplugin_dirs = ["plugins.d"]\n')
    house.config.write_text(f'{text}[providers.moody]\nplugin = "moody"\nfile = "{house.folder}/moody.log"\n')
    return house


def carry(house: House, job: str, *names: str, apart: bool = False) -> None:
    """A transactional job over the moody channel. `apart`: each at a domain of its own, none of which can hold up the others'."""
    message = {"channel": "carrier", "purpose": "transactional", "text": "Hello"}
    rows = [{"id": name, "email": f"{name}@{f'{name}.' if apart else ''}example.com", "zone": "Asia/Jakarta"} for name in names]
    house.give(json.dumps({"id": job, "queue": "lapsed", "message": message, "expected_count": len(rows), "recipients": rows}))


def state_of(house: House, *names: str) -> dict[str, str]:
    found = {name: house.state_of(f"{name}@example.com") for name in names}
    return {name: rows[-1][0] if rows else "" for name, rows in found.items()}


@pytest.mark.promise("F43", "P2", "P3")
def test_whatever_a_plugin_does_costs_its_own_messages_only(house: House) -> None:
    """Raised before the handover: due again. Raised, cancelled, exited, silent or nonsense after it: in doubt, carried once, and
    the next message is carried. The relay's messages go on all the while; the daemon ends with 0 though the plugin's stop raises."""
    house.start()
    bad = ("after-1", "nonsense-1", "silent-1", "cancelled-1", "cancelled-2", "cancelled-3", "cancelled-4", "exits-1")
    good = [f"good-{number}" for number, _ in enumerate(bad)]
    for name, next_ in zip(bad, good, strict=True):  # a good one after each: five errors in a row would open the breaker for 10 s
        carry(house, f"job-{name}", name)
        house.settled(f"job-{name}")
        carry(house, f"job-{next_}", next_)
        house.settled(f"job-{next_}")
    carry(house, "leaks", "leaks-1")
    house.settled("leaks")
    carry(house, "other", "before-1")
    house.give(json.dumps({"id": "mail", "queue": "lapsed", "recipients": [person("mail-1"), person("mail-2")]}))
    house.settled("mail")
    assert house.relay.counts("mail") == {"mail-1@example.com": 1, "mail-2@example.com": 1}
    assert state_of(house, *bad) == dict.fromkeys(bad, "in_doubt")
    assert state_of(house, *good, "leaks-1") == dict.fromkeys((*good, "leaks-1"), "accepted")
    assert state_of(house, "before-1")["before-1"] in ("due", "claimed")
    carried = (house.folder / "moody.log").read_text().split()
    assert sorted(carried) == sorted([*bad, *good, "leaks-1"])
    assert len(house("doubt", "list", "--json").json) == len(bad)
    assert house.stop() == 0


@pytest.mark.promise("F43", "F31", "P10")
def test_a_plugin_that_hangs_or_blocks_holds_up_its_own_line_only(house: House) -> None:
    """Hanging: its places are taken, mail goes on. Blocking the loop: not one ping goes to the service manager, who would restart
    the daemon; when it lets go, all goes on."""
    log = house.folder / "moody.log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(house.folder / "notify"))
        house.start(NOTIFY_SOCKET=str(house.folder / "notify"), WATCHDOG_USEC="1000000")
        manager.setblocking(False)
        carry(house, "block", "blocks-1")
        wait_for(lambda: log.exists() and "blocks-1" in log.read_text(), "it blocks")
        drained(manager)
        time.sleep(1.5)  # within the 2.5 s of the plugin
        assert b"WATCHDOG=1" not in drained(manager)
        house.settled("block")
        wait_for(lambda: b"WATCHDOG=1" in drained(manager), "pings again")
    carry(house, "hang", *(f"hangs-{number}" for number in range(1, 7)), apart=True)
    wait_for(lambda: log.read_text().count("hangs") == 4, "all places hang")
    house.give(json.dumps({"id": "mail", "queue": "lapsed", "recipients": [person("mail-1")]}))
    house.settled("mail")
    assert house.relay.counts("mail") == {"mail-1@example.com": 1}
    assert state_of(house, "blocks-1")["blocks-1"] == "accepted"


def drained(manager: socket.socket) -> bytes:
    """All that was said to the service manager since the last time."""
    found = b""
    try:
        while True:
            found += manager.recv(4096) + b"\n"
    except BlockingIOError:
        return found
