"""Installations for the tests in test_daemon_*.py: a mail server and a folder, ended whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.daemon_world import House, Relay

Build = Callable[..., House]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """`build(delay_ms=0, relay=True)`: a House that is not started yet; `relay=False`: nothing listens at its port."""
    made: list[tuple[House, Relay]] = []

    def make(*, delay_ms: int = 0, relay: bool = True) -> House:
        server = Relay(tmp_path, delay_ms=delay_ms)
        if relay:
            server.start()
        house = House(tmp_path / f"house-{len(made)}", server)
        made.append((house, server))
        return house

    yield make
    for house, server in made:
        house.end()
        server.end()
