"""APP, portions: a provider's limits and warm-up, made of its config and of what the store kept of them over the restart."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from datetime import time as midnight
from zoneinfo import ZoneInfo

from daemon.clock import to_datetime, to_instant
from daemon.config import ProviderTable, Rate
from daemon.config.schema import WarmUpTable
from daemon.dispatch.portion import Portion
from daemon.model.delivery import Instant
from daemon.pacing.bucket import Bucket
from daemon.pacing.limits import Limits
from daemon.pacing.warmup import ALL, Curve, Day, Ration


def open_bucket(name: str, rate: Rate | None, saved: Mapping[str, str]) -> Bucket:
    """A bucket under the config's rate, as it was saved."""
    return Bucket.from_state(json.loads(saved[name]) if name in saved else None, rate=rate.per_second if rate else None)


def open_portion(provider: str, table: ProviderTable, zone: str, saved: Mapping[str, str]) -> Portion:
    """`zone`: whose days a warm-up counts."""
    buckets = {name.lower(): open_bucket(f"domain:{provider}:{name.lower()}", rate, saved) for name, rate in table.domains.items()}
    limits = Limits(buckets, (table.warm_up.domains if table.warm_up else {}))
    if (slowed := saved.get(f"slowed:{provider}")) is not None:
        limits.load(json.loads(slowed))
    if table.warm_up is None:
        return Portion(limits)
    kept = saved.get(f"warm_up:{provider}")
    return Portion(limits, Ration(curves_of(table.warm_up), days_of(zone), json.loads(kept) if kept is not None else None))


def states_of(provider: str, portion: Portion, now: Instant) -> dict[str, str]:
    """What the store keeps, by the names under which `open_portion` finds it."""
    states = {f"domain:{provider}:{name}": json.dumps(bucket.to_state()) for name, bucket in portion.limits.buckets.items()}
    states[f"slowed:{provider}"] = json.dumps(portion.limits.to_state(now))
    if portion.ration:
        states[f"warm_up:{provider}"] = json.dumps(portion.ration.to_state())
    return states


def curves_of(table: WarmUpTable) -> dict[str, Curve]:
    """Name -> its curve: that of the provider, and those of groups of domains."""
    start = date.fromisoformat(table.start).toordinal()
    curves = {ALL: Curve(start=start, first_day=table.first_day, growth=table.growth, until=table.until)}
    for name, share in table.domains.items():
        curves[name.lower()] = Curve(start=start, first_day=share.first_day, growth=table.growth, until=share.until)
    return curves


def days_of(zone: str) -> Callable[[Instant], Day]:
    """The days of a zone. One that begins twice, or not at midnight, begins where its wall clock first shows it."""
    place = ZoneInfo(zone)

    def day_of(now: Instant) -> Day:
        today = to_datetime(now).astimezone(place).date()
        begins, ends = (to_instant(datetime.combine(day, midnight.min, place)) for day in (today, today + timedelta(days=1)))
        return today.toordinal(), min(begins, now), max(ends, now + 1)

    return day_of
