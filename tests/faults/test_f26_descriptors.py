"""The process runs out of file descriptors: connections wait, nothing spins, and what is sent goes on being sent."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

from tests.faults.conftest import Build
from tests.system.daemon_world import document, person, wait_for

pytestmark = pytest.mark.slow
DESCRIPTORS = 72


@pytest.mark.promise("F26")
def test_without_descriptors_the_doors_pause_without_spinning_and_sending_goes_on(build: Build) -> None:
    """More connections than descriptors: at most a fifth of a core is used, all messages go, and the doors answer when some close."""
    house = build(rate="100/s")
    house.go(descriptors=DESCRIPTORS)
    house.ready()
    house.give(document("few", [person(f"few-{n}") for n in range(500)]))
    house.sent(30)
    with contextlib.ExitStack() as stack:
        for _ in range(2 * DESCRIPTORS):
            stack.enter_context(socket.create_connection(("127.0.0.1", house.public), timeout=5))
        wait_for(lambda: house.events("connections_wait"), "no descriptor is left")
        used, began, taken = house.cpu(), time.monotonic(), len(house.relay.taken())
        wait_for(lambda: time.monotonic() > began + 2, "two seconds")
        assert len(house.relay.taken()) > taken + 50
        wait_for(lambda: len(house.relay.taken()) == 500, "all is sent without a descriptor to spare")
        used, began = house.cpu(), time.monotonic()
        wait_for(lambda: time.monotonic() > began + 3, "three seconds")
        assert house.cpu() - used < 0.6
    wait_for(lambda: house.api("GET", "/healthz")[0] == 200, "the doors answer again")
    house.settled("few")
    house.once_each(500)
    assert house.doubted() == set()
    assert house.stop() == 0
