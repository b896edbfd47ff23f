"""Waves and lanes, found or made, and the numbers of deliveries: what every act that plans a delivery needs.

A wave is (campaign, step, occurrence, channel) as one small number, a lane the line of due rows of (job, priority, way): a
channel, or one provider of it.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, insert, select

from daemon.model.delivery import Instant
from daemon.store import schema as s
from daemon.store.meta import get_meta, set_meta
from daemon.store.sql import many, value

EPOCH_2020_MS = 1_577_836_800_000
ID_BITS = 22

WaveKey = tuple[int, str, int, str]
"""(campaign, step, occurrence, channel)"""
LaneKey = tuple[int, int, str]
"""(job, priority, way: see `way_of`)"""

_WAVE_NAMES = ("campaign", "step", "occurrence", "channel")
_LANE_NAMES = ("job", "priority", "channel")
_WAVE = select(s.wave.c.id).where(*(s.wave.c[name] == bindparam(name) for name in _WAVE_NAMES))
_LANE = select(s.lane.c.id).where(*(s.lane.c[name] == bindparam(name) for name in _LANE_NAMES))
_LAST_WAVE, _LAST_LANE, _NEW_WAVE, _NEW_LANE = select(func.max(s.wave.c.id)), select(func.max(s.lane.c.id)), insert(s.wave), insert(s.lane)


def wave_of(conn: Connection, key: WaveKey) -> int:
    """Its number; a new one if there is none yet."""
    number = value(conn, _WAVE, _WAVE_NAMES, key)
    if number is None:
        number = (value(conn, _LAST_WAVE) or 0) + 1
        many(conn, _NEW_WAVE, ("id", *_WAVE_NAMES), [(number, *key)])
    return int(number)


def lane_of(conn: Connection, key: LaneKey, queue: str, campaign: int) -> int:
    """Its number; a new one of this queue and campaign if there is none yet."""
    number = value(conn, _LANE, _LANE_NAMES, key)
    if number is None:
        number = (value(conn, _LAST_LANE) or 0) + 1
        many(conn, _NEW_LANE, ("id", "queue", "campaign", *_LANE_NAMES), [(number, queue, campaign, *key)])
    return int(number)


def take_ids(conn: Connection, count: int, now: Instant, bits: int) -> int:
    """The first of `count` free ids: time above, `bits` (random) below, always above the last."""
    last = get_meta(conn, "next_delivery_id")
    first = max(int(last or 1), (now // 1000 - EPOCH_2020_MS << ID_BITS) | bits)
    set_meta(conn, "next_delivery_id", str(first + count))
    return first
