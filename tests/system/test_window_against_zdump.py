"""Window answers against another implementation of zones: `zdump` of the C library, reading the same tzdata files.

Nothing of Python's zoneinfo is used for judging: wall time = UTC + the offset that zdump prints, membership and the next
opening by walking on in steps of a quarter of an hour (all edges of offsets and of the windows used here lie on that grid).
"""

from __future__ import annotations

import importlib.resources
import random
import re
import shutil
import subprocess
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from daemon.policy.check import check_row
from daemon.policy.zones import zone_names

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("zdump") is None, reason="zdump is not installed")]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUARTER = 900
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_HEAD = re.compile(r'TZ="(.*)"')


@cache
def offsets() -> dict[str, tuple[list[int], list[int]]]:
    """Zone -> (seconds from which an offset holds, the offsets), 2024-2031, by `zdump -i`."""
    folder = str(importlib.resources.files("tzdata") / "zoneinfo")
    names = sorted(zone_names())
    run = subprocess.run(
        ["zdump", "-i", "-c", "2024,2031", *(f"{folder}/{name}" for name in names)], capture_output=True, text=True, check=True
    )
    found: dict[str, tuple[list[int], list[int]]] = {}
    zone = ""
    for line in run.stdout.splitlines():
        if head := _HEAD.match(line):
            zone = head[1].removeprefix(folder + "/")
            found[zone] = ([], [])
        elif line:
            day, clock, shift, *_ = line.split("\t")
            offset = _offset(shift)
            found[zone][0].append(-(10**12) if day == "-" else _local(day, clock) - offset)
            found[zone][1].append(offset)
    assert set(found) == set(names)
    return found


def _offset(text: str) -> int:
    """`+0545`, `-08`, `+103000` in seconds."""
    digits = text[1:].ljust(6, "0")
    seconds = int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + int(digits[4:])
    return -seconds if text[0] == "-" else seconds


def _local(day: str, clock: str) -> int:
    """Wall time after a change, as seconds since 1970 in that wall time; `03`, `01:30`, `23:59:59`."""
    hour, minute, second = ([*map(int, clock.split(":")), 0, 0])[:3]
    moment = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(hours=hour, minutes=minute, seconds=second)
    return int(moment.timestamp())


def inside(zone: str, start: int, end: int, days: set[int], second: int) -> bool:
    """Is the wall time in [start, end) minutes on one of the days; overnight by the day it opened on?"""
    changes, values = offsets()[zone]
    local = second + values[bisect_right(changes, second) - 1]
    weekday, minute = (local // 86_400 + 3) % 7, local % 86_400 // 60
    if start < end:
        return weekday in days and start <= minute < end
    return (weekday in days and minute >= start) or ((weekday - 1) % 7 in days and minute < end)


def expected(zone: str, start: int, end: int, days: set[int], second: int) -> dict[str, Any]:
    """The answer, walking on by quarters of an hour."""
    if inside(zone, start, end, days, second):
        return {"open": True, "next_open": text(second)}
    step = -(-second // QUARTER) * QUARTER
    while not inside(zone, start, end, days, step):
        step += QUARTER
    return {"open": False, "next_open": text(step)}


def text(second: int) -> str:
    return (EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


def row(zone: str, start: int, end: int, days: set[int], second: int) -> dict[str, Any]:
    made: dict[str, Any] = {"zone": zone, "start": clock(start), "end": clock(end), "at": text(second)}
    return made if len(days) == 7 else made | {"days": [DAYS[day] for day in sorted(days)]}


def clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


EVERY = set(range(7))
WINDOWS = [(540, 1260), (120, 150), (0, 60), (1320, 360), (90, 180), (0, 1440)]


@pytest.mark.promise("F34", "P5")
def test_every_zone_and_transition_agrees_with_zdump() -> None:
    """2024-2030, at -61 .. +61 s around each change."""
    rows = 0
    for zone, (changes, _) in offsets().items():
        for change in changes[1:]:
            for index, step in enumerate((-61, -60, -1, 0, 1, 59, 60, 61)):
                start, end = WINDOWS[(index + change // 3600) % len(WINDOWS)]
                given = row(zone, start, end, EVERY, change + step)
                assert check_row(given) == expected(zone, start, end, EVERY, change + step), given
                rows += 1
    assert rows > 20_000


def test_ten_thousand_random_rows_agree_with_zdump() -> None:
    """Any zone, any range on the grid, any days, any second of the seven years."""
    rng = random.Random(2026)
    zones = sorted(offsets())
    first, last = int(datetime(2024, 1, 2, tzinfo=UTC).timestamp()), int(datetime(2030, 12, 20, tzinfo=UTC).timestamp())
    for _ in range(10_000):
        zone = rng.choice(zones)
        start, end = rng.sample(range(0, 1440, 15), 2)
        if rng.random() < 0.1:
            end = 1440
        days = set(rng.sample(range(7), rng.randint(1, 7)))
        second = rng.randrange(first, last)
        given = row(zone, start, end, days, second)
        assert check_row(given) == expected(zone, start, end, days, second), given
