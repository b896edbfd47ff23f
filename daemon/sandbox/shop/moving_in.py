"""SANDBOX, the sample shop's people brought into a daemon by the doors that `recipients import` and `events import` lead to."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar

from daemon.intake.parse import Item
from daemon.intake.people import People
from daemon.intake.tracker import Tracker
from daemon.sandbox.shop import doings
from daemon.sandbox.shop.life import Shop, iso

PIECE = 500
T = TypeVar("T")


class House(Protocol):
    """The two doors of a daemon."""

    @property
    def people(self) -> People: ...
    @property
    def tracker(self) -> Tracker: ...


async def move_in(shop: Shop, house: House) -> tuple[int, int]:
    """All recipients and all that they did up to the world's end. How many rows and events were taken."""
    rows = events = 0
    for items in _pieces(_rows(shop)):
        rows += (await house.people.take(items)).kept
    for told in _pieces(_events(shop)):
        events += (await house.tracker.take(told, historical=True)).kept
    return rows, events


def _rows(shop: Shop) -> Iterator[Item]:
    for customer in shop.customers():
        yield Item(customer.nature.number, dict(customer.row), False, "type", "a recipient is a JSON object")


def _events(shop: Shop) -> Iterator[dict[str, Any]]:
    rng = random.Random()
    for number in range(1, shop.size + 1):
        customer = shop.customer(number, rng)
        key = customer.nature.key
        for n, (at, name, properties) in enumerate(doings.past(rng, customer)):
            yield {
                "type": "track", "userId": key, "event": name, "timestamp": iso(at), "messageId": f"{key}-{n}",
                "properties": json.loads(properties),
            }  # fmt: skip


def _pieces(items: Iterator[T]) -> Iterator[Sequence[T]]:
    while piece := list(islice(items, PIECE)):
        yield piece
