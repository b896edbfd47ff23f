"""Recommendations: all pairs and bestsellers of 100,000 products over a million buyers, and what a claim reads for a thousand of them.

The store is poured directly: each buyer has five products, drawn so that a few sell much and most little, as in shops. In a process of its
own on one core; CPU time and the peak of memory count. `after a day` counts again where one in a hundred bought something more.
"""

from __future__ import annotations

import asyncio
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection

from daemon.app.recommending import Recommending
from daemon.clock import SystemClock, to_instant
from daemon.model.delivery import DAY, Instant
from daemon.store.beside import look
from daemon.store.products import recommended
from daemon.store.writer import Lane, Store
from tests.stages.intake_world import NoLog

PEOPLE, PRODUCTS, EACH = 1_000_000, 100_000, 5
CATEGORIES = 200
STRETCH = 20_000


def run(people: int = PEOPLE, products: int = PRODUCTS) -> None:
    with tempfile.TemporaryDirectory(prefix="homing-products-") as folder:
        asyncio.run(_run(Path(folder), people, products))


async def _run(folder: Path, people: int, products: int) -> None:
    store, clock = Store.open(folder / "homing.db"), SystemClock()
    now = to_instant(clock.now())
    await store.write(Lane.BULK, _stock, products, now)
    for start in range(0, people, STRETCH):
        await store.write(Lane.BULK, _buy, start, min(STRETCH, people - start), products, now, EACH)
    print(f"  {people:,} people, {people * EACH:,} lines, {products:,} products: {(folder / 'homing.db').stat().st_size >> 20:,} MB", flush=True)
    service = Recommending(store=store, clock=clock, log=NoLog())
    await _timed("first count", service)
    await store.write(Lane.BULK, _buy, people, people // 100, products, now, 1)
    await _timed("after a day", service)
    rng = random.Random(3)
    wanted = [rng.randrange(people) for _ in range(1000)]
    cpu = time.thread_time()
    found = recommended_in(folder, wanted, now)
    print(f"  a claim's 1,000 people, 50 together: {(time.thread_time() - cpu) * 1000:.0f} µs CPU a person; {found} have some", flush=True)
    await store.close()


def recommended_in(folder: Path, persons: list[int], now: Instant) -> int:
    return sum(len(look(folder / "homing.db", recommended, persons[start : start + 50], now)) for start in range(0, len(persons), 50))


async def _timed(what: str, service: Recommending) -> None:
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    await service.count()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"  {what}: {cpu:.1f} s CPU, {time.monotonic() - began:.1f} s; peak {after.ru_maxrss >> 10} MB", flush=True)


def _stock(conn: Connection, products: int, now: Instant) -> None:
    rows = ((f"p-{n}", f"Product {n}", f"c-{n % CATEGORIES}", now) for n in range(products))
    conn.exec_driver_sql("SELECT 1")
    conn.connection.driver_connection.executemany("INSERT INTO product (key, name, category, added_at) VALUES (?, ?, ?, ?)", rows)  # type: ignore[union-attr]


def _buy(conn: Connection, start: int, people: int, products: int, now: Instant, each: int) -> None:
    conn.exec_driver_sql("SELECT 1")
    conn.connection.driver_connection.executemany(  # type: ignore[union-attr]
        "INSERT OR IGNORE INTO bought (person, product, at) VALUES (?, ?, ?)", _lines(start, people, products, now, each)
    )


def _lines(start: int, people: int, products: int, now: Instant, each: int) -> Iterator[tuple[int, str, Instant]]:
    """A person keeps to some part of the shop, so that things go together."""
    rng = random.Random(start)
    for person in range(start, start + people):
        corner = rng.randrange(products)
        for _ in range(each):
            much = rng.random() < 0.3
            product = int(products * rng.random() ** 6) if much else (corner + rng.randrange(20)) % products
            yield person, f"p-{product}", now - rng.randrange(360) * DAY
