"""Installations for the tests in test_daemon_*.py: a mail server and a folder, ended whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.daemon_world import House, Relay

Build = Callable[..., House]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """`build()`: a House that is not started yet. `relay=False`: nothing listens at its port; `rate`: of its provider."""
    made: list[tuple[House, Relay]] = []

    def make(*, relay: bool = True, rate: str = "") -> House:
        server = Relay(tmp_path)
        if relay:
            server.start()
        house = House(tmp_path / f"house-{len(made)}", server)
        made.append((house, server))
        if rate:
            house.config.write_text(house.config.read_text().replace("pool = 10\n", f'pool = 10\nrate = "{rate}"\n'))
        return house

    yield make
    for house, server in made:
        house.end()
        server.end()
