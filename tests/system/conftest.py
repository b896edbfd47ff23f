"""Installations for the tests in test_daemon_*.py: a mail server and a folder, ended whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.daemon_world import House, Relay
from tests.system.second_look import findings_of

Build = Callable[..., House]
NAMED = """---
subject: A word for {{ recipient.first_name }}
---
<p>Hello {{ recipient.first_name }}. <a href="{{ unsubscribe_url }}">Unsubscribe</a></p>
"""


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One daemon for all tests that leave it as it was: each uses people and jobs of its own. Queues `lapsed`, and `named`, `mended`
    and `second` whose templates need a first name."""
    folder = tmp_path_factory.mktemp("shop")
    relay = Relay(folder).start()
    house = House(folder / "house", relay)
    for name in ("named", "mended", "second"):
        house.add_campaign(name, NAMED, queue=name)
    house.start()
    yield house
    code = house.stop()
    house.end()
    relay.end()
    assert code == 0, house.tail()
    assert findings_of(house.state) == []
    assert not [event for name in ("send_failed", "outcomes_not_recorded", "plugin_fault") for event in house.events(name)]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """`build()`: a House that is not started yet. `relay=False`: nothing listens at its port, `delay_ms`: it answers so late; `rate`: of its
    provider."""
    made: list[tuple[House, Relay]] = []

    def make(*, relay: bool = True, rate: str = "", delay_ms: int = 0) -> House:
        server = Relay(tmp_path, delay_ms=delay_ms)
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
    for house, _ in made:
        assert findings_of(house.state) == []
