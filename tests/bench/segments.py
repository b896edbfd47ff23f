"""A million recipients with profiles and ten million events; all shipped segments evaluated on one core, twice; rows poured directly.

The first evaluation finds everybody in them for the first time; the second, a day later, only what a day has changed. Then eleven in a
hundred people have new orders, and the third takes in who moved, each with its event. In a process of its own, whose memory is said.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import resource
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daemon.audience.segmenting import Segmenting
from daemon.clock import SystemClock
from daemon.content.segment_file import load_segments
from daemon.journey.profile import Shop
from daemon.log import configure, get_log
from daemon.model.delivery import DAY
from daemon.model.segment import Segments
from daemon.store import engine as engines
from daemon.store.segments import known_segments
from daemon.store.writer import Store

ROOT = Path(__file__).parents[2]
NAMES = (
    "Order Completed", "Page Viewed", "Product Viewed", "Product Added", "Checkout Started", "Email Opened", "Product List Viewed", "Store Entered",
    "Signed Up", "Subscription Cancelled",
)  # fmt: skip
EVENTS_EACH = 10
PORTION = 20_000


class ShiftedClock(SystemClock):
    """The machine's own, some days ahead: what a day has changed without waiting for it."""

    days = 0.0

    def instant(self) -> int:
        return super().instant() + round(self.days * DAY)


def run(people: int = 1_000_000) -> None:
    folder = Path(tempfile.mkdtemp(prefix="homing-segments-"))
    try:
        began = time.monotonic()
        _in_process(_fill, folder / "homing.db", people)
        size = (folder / "homing.db").stat().st_size / 2**30
        print(f"  {people:,} recipients, {people * EVENTS_EACH:,} events poured in {time.monotonic() - began:.0f} s, {size:.1f} GiB", flush=True)
        _in_process(_evaluate, folder / "homing.db")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _in_process(target: Any, *args: Any) -> None:
    process = multiprocessing.get_context("spawn").Process(target=target, args=args)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"the bench failed ({process.exitcode})")


def _fill(path: Path, people: int) -> None:
    """Rows as the store would have them, in the order of persons."""
    engine = engines.open_writer(path)
    engines.prepare(engine)
    engine.dispose()
    rng = random.Random(1)
    now = SystemClock().instant()
    with sqlite3.connect(path, isolation_level=None) as conn:
        conn.execute("PRAGMA journal_mode=WAL")
        conn.execute("PRAGMA synchronous=OFF")
        conn.executemany("INSERT INTO event_name VALUES (?, ?)", list(enumerate(NAMES, 1)))
        persons = sorted({rng.getrandbits(63) for _ in range(people)})
        for start in range(0, len(persons), PORTION):
            some = persons[start : start + PORTION]
            conn.execute("BEGIN")
            known = [_person(person, rng, now) for person in some]
            rows = [row for row, _, _ in known]
            rng.shuffle(rows)  # recipients lie in the order of arrival
            conn.executemany(f"INSERT INTO recipient (id, key, email, zone, locale, country, traits, created_at, updated_at) VALUES ({_marks(9)})", rows)
            conn.executemany(
                "INSERT INTO profile (person, orders, value, returns, discount_orders, first_order_at, previous_order_at, last_order_at, last_product,"
                " last_open_at, last_click_at, last_visit_at, last_seen_at, score, score_until, tickets_open, subscription_active, lapse_reason, nps, p_alive)"
                f" VALUES ({_marks(20)})", [profile for _, profile, _ in known if profile is not None],
            )  # fmt: skip
            conn.executemany(f"INSERT OR IGNORE INTO event VALUES ({_marks(6)})", [event for _, _, events in known for event in events])
            conn.execute("COMMIT")
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _person(person: int, rng: random.Random, now: int) -> tuple[tuple[Any, ...], tuple[Any, ...] | None, list[tuple[Any, ...]]]:
    key = f"c-{person}"
    country, zone, locale = rng.choice((("ID", "Asia/Jakarta", "id"), ("MY", "Asia/Kuala_Lumpur", "ms"), ("IR", "Asia/Tehran", "fa")))
    traits = {"first_name": "Ann", "plan": rng.choice(("basic", "gold")), "birthday": f"19{rng.randrange(60, 99)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"}
    if rng.random() < 0.02:
        traits["tags"] = ["vip"]  # type: ignore[assignment]
    created = now - rng.randrange(1, 900) * DAY
    recipient = (person, key, f"{key}@example.com", zone, locale, country, json.dumps(traits), created, created)
    orders = min(int(rng.expovariate(0.45)), 40)
    last = now - round(rng.betavariate(0.8, 2.5) * 500 * DAY) if orders else None
    first = last - (orders - 1) * rng.randrange(15, 90) * DAY if last is not None else None
    visit = now - round(rng.expovariate(1 / 60) * DAY)
    opened = now - round(rng.expovariate(1 / 45) * DAY)
    recent = sum(3 for at in (last,) if at is not None and at > now - 30 * DAY) + (1 if opened > now - 30 * DAY else 0)
    until = min((at + 30 * DAY for at in (last, opened) if at is not None and at > now - 30 * DAY), default=None)
    profile = (
        person, orders, orders * rng.randrange(10, 200) * 1_000_000, int(rng.random() < 0.1), int(orders * rng.random()), first,
        None, last, f'{{"category":"c{rng.randrange(50)}","name":"shoes"}}', opened, None, visit, max(visit, opened), recent, until,
        int(rng.random() < 0.02), int(rng.random() < 0.05), rng.choice((None, None, None, "price")), rng.choice((None, None, 3, 9)), rng.random(),
    )  # fmt: skip
    said = '{"category":"shoes","price":49.5,"product_id":"p-123","url":"https://shop.example/p/123"}'
    events = [
        (person, rng.randrange(1, len(NAMES) + 1), rng.getrandbits(63), now - round(rng.expovariate(1 / 100) * DAY), now, said) for _ in range(EVENTS_EACH)
    ]  # fmt: skip
    return recipient, profile, sorted(events)


def _evaluate(path: Path) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    asyncio.run(_rounds(path))


async def _rounds(path: Path) -> None:
    segments = load_segments(ROOT / "segments.toml")
    configure(stream=sys.stderr, clock=SystemClock(), key=b"bench", level="warning", environ={})
    print(f"  {len(segments.by_name)} segments; one core", flush=True)
    store, clock = Store.open(path), ShiftedClock()
    service = Segmenting(store=store, clock=clock, log=get_log(), segments=segments, shop=Shop, zone=lambda: "UTC")
    for what in _days(clock):
        begun, cpu = time.monotonic(), time.process_time()
        members = await service.evaluate([])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"  {what}: {time.monotonic() - begun:.1f} s, {time.process_time() - cpu:.1f} s CPU; {sum(members.values()):,} memberships; peak {peak:.0f} MB",
            flush=True,
        )  # fmt: skip
    print("  " + ", ".join(f"{name} {row.members:,}" for name, row in (await store.read(known_segments)).items()))
    await _each(service, segments)
    await store.close()


def _days(clock: ShiftedClock) -> Iterator[str]:
    yield "first evaluation"
    yield "again, nothing changed"
    clock.days = 1.0
    yield "a day later"


async def _each(service: Segmenting, segments: Segments) -> None:
    """The dearest one by one."""
    took: list[tuple[float, str]] = []
    for name in segments.by_name:
        cpu = time.process_time()
        await service.evaluate([name])
        took.append((time.process_time() - cpu, name))
    print("  the dearest alone: " + ", ".join(f"{name} {seconds:.2f} s" for seconds, name in sorted(took, reverse=True)[:8]))
