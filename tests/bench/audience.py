"""Retargeting audiences on one core: rows normalised, hashed and batched by each plugin; then a campaign's people all the way into the
local platforms.

CPU time of this process (the platforms run in it too, so their share is measured apart and told). Goal: 300,000 rows/s hashed.
"""

from __future__ import annotations

import asyncio
import json
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from channels.audience_google import rows as google
from channels.audience_meta import rows as meta
from plugins import Member
from tests.stages.audience_world import AudienceWorld, audience_world

ROWS = 100_000
WALKS = 100_000
SLICE = 500
FIRST = ("Sari", "Budi", "سارا", "Nurul", "Ahmad", "Mary", "Siti", "محمد", "Aisyah", "Rizal")
LAST = ("Lestari", "Santoso", "رضایی", "binti Osman", "Wijaya", "Smith")


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def people(count: int, *, whole: bool) -> list[Member]:
    """With an e-mail address and a phone; `whole`: names and places too."""
    return [
        Member(
            f"c-{n}", f"Person.{n}@Example.com", f"+62811{n:07d}",
            *((FIRST[n % 10], LAST[n % 6], "ID", f"City {n % 200}", None, f"{40000 + n % 900}") if whole else ()),
        )
        for n in range(count)
    ]  # fmt: skip


def encode_meta(members: Sequence[Member]) -> int:
    columns = meta.columns_of(members)
    slices = [meta.rows_to_add(members[start : start + SLICE], columns) for start in range(0, len(members), SLICE)]
    return len(meta.payload_of(columns, slices).encode())


def encode_google(members: Sequence[Member]) -> int:
    slices = [google.members_to_add(members[start : start + SLICE], consent=False) for start in range(0, len(members), SLICE)]
    return len(f'{{"audienceMembers":[{",".join(slices)}]}}'.encode())


def handles(handle: Callable[[Member], bytes], members: Sequence[Member]) -> int:
    return len([handle(member) for member in members])


def best(work: Callable[[Sequence[Member]], object], members: Sequence[Member]) -> float:
    """Rows a second of CPU, batch by batch of 10,000, the best of three."""
    rates = []
    for _ in range(3):
        began = cpu()
        for start in range(0, len(members), 10_000):
            work(members[start : start + 10_000])
        rates.append(len(members) / (cpu() - began))
    return max(rates)


def hashing() -> None:
    for name, encode, handle in (("meta", encode_meta, meta.handle_of), ("google", encode_google, google.handle_of)):
        short, whole = people(ROWS, whole=False), people(ROWS, whole=True)
        print(f"  {name}: e-mail and phone {best(encode, short):,.0f} rows/s; with names and places {best(encode, whole):,.0f} rows/s;", end="")
        print(f" handles {best(partial(handles, handle), short):,.0f} rows/s", flush=True)


async def follow(world: AudienceWorld, network: str) -> None:
    began, wall = cpu(), time.monotonic()
    await world.walk(range(WALKS))
    print(f"    {WALKS:,} walks written by the bench itself: {cpu() - began:.1f} s CPU")
    began, wall = cpu(), time.monotonic()
    await world.desired.compare()
    print(f"    compared, made desired: {(cpu() - began) / WALKS * 1e6:.1f} us CPU a member, {time.monotonic() - wall:.1f} s")
    began, wall = cpu(), time.monotonic()
    await world.exchanges[network].work()
    took, lasted = cpu() - began, time.monotonic() - wall
    began = cpu()
    await platform_share(world, network)
    share = cpu() - began
    print(f"    filled, hashed, sent, acknowledged: {took / WALKS * 1e6:.1f} us CPU a member with the local platform", end="")
    print(f" (about {share / WALKS * 1e6:.1f} of it the platform's reading), {lasted:.1f} s, {WALKS / lasted:,.0f} members/s")
    began, wall = cpu(), time.monotonic()
    await world.desired.watch()
    print(f"    watched, nobody leaves: {(cpu() - began) / WALKS * 1e6:.2f} us CPU a member, {time.monotonic() - wall:.2f} s")
    began = cpu()
    await world.desired.compare()
    print(f"    compared again, nothing differs: {(cpu() - began) / WALKS * 1e6:.1f} us CPU a member")
    held = world.held(network)
    assert held > WALKS * 0.99, held


async def platform_share(world: AudienceWorld, network: str) -> None:
    """What reading such requests costs the local platform: the same JSON, the same looks at each row."""
    members = people(10_000, whole=False)
    text = unquote(f"[{meta.rows_to_add(members, meta.REMOVED)}]")
    for _ in range(WALKS // 10_000):
        for row in json.loads(text):
            assert all(not value or meta.hashed("") != value for value in row)


def run() -> None:
    hashing()
    for network in ("meta", "google"):
        print(f"  {network}, end to end:")
        with tempfile.TemporaryDirectory() as folder:

            async def work(folder: str = folder, network: str = network) -> None:
                async with audience_world(Path(folder), [network]) as world:
                    await follow(world, network)

            asyncio.run(work())
