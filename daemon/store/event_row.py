"""An event on its way into the store: what `events` keeps, and what follows from it in `exits`, `redemptions` and `products`."""

from __future__ import annotations

import json
from typing import NamedTuple

from daemon.journey.events import Happening
from daemon.model.delivery import Instant


class EventRow(NamedTuple):
    """One event, ready for the store. `id`: hash of its message's id; `seen`: its person was about (where the name does not say)."""

    person: int
    key: str
    name: str
    id: int
    at: Instant
    properties: str | None = None
    seen: bool = True

    @property
    def happening(self) -> Happening:
        """As the journey reads it."""
        return Happening(self.name, self.at, self.id, json.loads(self.properties or "{}"))
