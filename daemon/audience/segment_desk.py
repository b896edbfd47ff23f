"""AUDIENCE, the desk of segments: what operators and other stages ask about them. Comes from `daemon/web`; `segmenting` does the work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from daemon.audience.segmenting import Segmenting
from daemon.clock import Clock, iso
from daemon.content.schedule import next_due
from daemon.errors import NotFoundError, UsageError, nearest
from daemon.journey.alive import Model
from daemon.journey.profile import Shop
from daemon.model.delivery import DAY, Instant
from daemon.model.segment import DEMAND, Segment
from daemon.store.churn import Adopted, Forecast, Signs, adopt_forecast, adopt_model, order_times, signs_after
from daemon.store.recipients import person_id
from daemon.store.segment_look import count_matching, some_matching
from daemon.store.segments import Known, end_import, import_members, known_segments, members_after
from daemon.store.writer import Lane, Writes

GOING = 500
"""Members of one transaction that leave a list."""
PORTION = 2000


@dataclass(slots=True, kw_only=True)
class Taken:
    """A piece of an imported list. `since`: of the whole import; `known`: were in it; `unknown`: ids that no recipient has."""

    segment: str
    since: Instant
    rows: int = 0
    kept: int = 0
    known: int = 0
    left: int = 0
    unknown: list[str] = field(default_factory=list)


class SegmentDesk:
    """`shop()` and `zone()` as of now."""

    def __init__(
        self, *, store: Writes, clock: Clock, segmenting: Segmenting, shop: Callable[[], Shop], zone: Callable[[], str]
    ) -> None:
        self._store, self._clock, self._segmenting, self._shop, self._zone = store, clock, segmenting, shop, zone

    async def list(self) -> list[dict[str, Any]]:
        """All of the file, and the imported lists that it does not name."""
        known = await self._store.read(known_segments)
        defined = self._segmenting.segments.by_name
        found = [self._row(segment, known.get(name)) for name, segment in defined.items()]
        lists = [Segment(name=name, expression=None) for name, row in known.items() if name not in defined and row.digest is None]
        return found + [self._row(segment, known.get(segment.name)) for segment in lists]

    def _row(self, segment: Segment, row: Known | None) -> dict[str, Any]:
        imported = segment.expression is None
        at = row.evaluated_at if row is not None else None
        due = None if imported or at is None else next_due(segment.every, at, self._zone())
        return {
            "segment": segment.name, "title": segment.title, "where": segment.expression.text if segment.expression else None,
            "exclude": [*segment.exclude], "every": None if imported else segment.every, "imported": imported,
            "members": row.members if row is not None else None, "evaluated_at": None if at is None else iso(at),
            "next_at": None if due is None else iso(due),
        }  # fmt: skip

    async def preview(self, name: str, limit: int) -> dict[str, Any]:
        """How many match now, how many were in as last evaluated, and some of them. NotFoundError."""
        known = await self._store.read(known_segments)
        segments, shop, now = self._segmenting.segments, self._shop(), self._clock.instant()
        if name not in segments.by_name:
            if name not in known or known[name].digest is not None:
                near = nearest(name, [*segments.by_name, *known])
                raise NotFoundError(f'no segment "{name}"' + (f'; did you mean "{near}"?' if near else ""))
            segments = type(segments)(by_name={**segments.by_name, name: Segment(name=name, expression=None)})
        row = self._row(segments.by_name[name], known.get(name))
        matching = await self._store.read(count_matching, segments, name, shop, now)
        some = await self._store.read(some_matching, segments, name, shop, now, limit)
        return {**row, "at": iso(now), "matching": matching, "sample": some}

    async def members(self, name: str) -> AsyncIterator[Sequence[str]]:
        """The ids of who is in it, some at a time: of one on demand, or never looked at, as of now; else as last evaluated.
        NotFoundError."""
        segment = self._segmenting.segments.by_name.get(name)
        known = await self._store.read(known_segments)
        if segment is None and (name not in known or known[name].digest is not None):
            near = nearest(name, [*self._segmenting.segments.by_name, *known])
            raise NotFoundError(f'no segment "{name}"' + (f'; did you mean "{near}"?' if near else ""))
        fresh = name not in known or known[name].evaluated_at is None
        if segment is not None and segment.expression is not None and (fresh or segment.every == DEMAND):
            await self._segmenting.evaluate([name])
        after = -1
        while some := await self._store.read(members_after, name, after, PORTION):
            yield [key for _, key in some]
            after = some[-1][0]

    async def evaluate(self, names: Sequence[str]) -> dict[str, int]:
        """Evaluate these (none: all) now."""
        return await self._segmenting.evaluate(names)

    async def take(self, name: str, recipients: Sequence[str], since: Instant | None, *, last: bool, replace: bool) -> Taken:
        """A piece of an imported list. `since` of the first piece's answer goes with all later ones; with the `last` one, and if it is to
        `replace` the list, whoever was in no piece leaves. UsageError for a segment that has a condition."""
        defined = self._segmenting.segments.by_name.get(name)
        if defined is not None and defined.expression is not None:
            raise UsageError(f'the segment "{name}" has a condition in the file of segments: nobody can be imported into it')
        now = self._clock.instant()
        taken = Taken(segment=name, since=now if since is None else min(since, now), rows=len(recipients))
        persons = {person_id(key): key for key in recipients}
        kept = await self._store.write(Lane.BULK, import_members, name, list(persons), taken.since, self._shop(), now)
        taken.kept, taken.known = kept.fresh, kept.inside
        taken.unknown = [persons[person] for person in kept.unknown]
        after: int | None = -1 if replace else None
        while last:
            after, left = await self._store.write(Lane.BULK, end_import, name, taken.since, after, GOING, self._shop(), now)
            taken.left += left
            if after is None:
                break
        return taken

    async def order_times(self, after: int, limit: int) -> tuple[Sequence[Sequence[Instant]], int | None]:
        """What a model of churn is learned from: see `store.churn`."""
        return await self._store.read(order_times, after, limit)

    async def signs(self, after: int, limit: int, model: Model, horizon_days: int) -> tuple[Sequence[tuple[Signs, bool]], int | None]:
        """What a forecast is learned from: people's signs as they were that long ago, and whether an order came since."""
        then = self._clock.instant() - horizon_days * DAY
        found, following = await self._store.read(signs_after, after, limit, model, then)
        return [(signs, came) for _, signs, came in found], following

    async def adopt(self, model: Model, people: int, forecast: Forecast | None) -> int:
        """Take models, and bring everybody's scores up to date by them. Returns how many were looked at."""
        await self._store.write(Lane.BULK, adopt_model, Adopted(model=model, people=people, fitted_at=self._clock.instant()))
        if forecast is not None:
            await self._store.write(Lane.BULK, adopt_forecast, forecast)
        scored = await self._segmenting.score()
        await self._segmenting.foretell()
        return scored
