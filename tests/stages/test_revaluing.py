"""Values follow the shop's rates: at the start, and when told that they have changed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from daemon.app.revaluing import STRETCH, Revaluing
from daemon.journey.events import event_id
from daemon.journey.profile import Shop
from daemon.store.event_row import EventRow
from daemon.store.events import take_events
from daemon.store.profiles import valued_for
from daemon.store.recipients import person_id
from daemon.store.writer import Lane
from tests.stages.intake_world import IntakeWorld

OLD, NEW = Shop("USD", {"EUR": 1.0}), Shop("USD", {"EUR": 2.0})


async def test_values_follow_the_rates(tmp_path: Path) -> None:
    """More buyers than one stretch; a sweep at the start, another when poked, none in between."""
    world = await IntakeWorld.open(tmp_path)
    said = json.dumps({"revenue": 10, "currency": "EUR"})
    rows = [EventRow(person_id(f"c-{n}"), f"c-{n}", "Order Completed", event_id(str(n)), world.clock.wall, said) for n in range(STRETCH + 1)]
    await world.store.write(Lane.EVENTS, take_events, rows, Shop("USD"), world.clock.wall)
    shops = [OLD]
    service = Revaluing(store=world.store, clock=world.clock, log=world.log, shop=lambda: shops[0])
    await service.start()
    await service.ready()
    try:
        for shop, value in ((OLD, 10_000_000), (NEW, 20_000_000)):
            shops[0] = shop
            service.poke()
            async with asyncio.timeout(10):
                while not await world.store.read(valued_for, shop):
                    pass
            assert await world.sql("SELECT DISTINCT value FROM profile") == [(value,)]
    finally:
        await service.stop()
        await world.close()
