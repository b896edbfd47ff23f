"""What operators see of audiences: members by state, what failed and why, and how far the platform's own count is away (drift)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select

from daemon.model.audience import MemberState
from daemon.model.delivery import Instant
from daemon.store import schema as s

_M, _A, _B, _F = s.audience_member.c, s.audience.c, s.audience_batch.c, s.audience_failure.c
_PENDING = (MemberState.ADD, MemberState.REMOVE, MemberState.ADDING, MemberState.REMOVING)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceView:
    """One audience. `acknowledged`: those that the platform took in and was not told to take out; `unproved`: of these (and of the removed)
    those whose result is awaited; `refused`: by reason; `failed`: rows that the platform counts as not taken, by its reason; `oldest`:
    since when the first waits; `batches` by state; `least`, `most`: the platform's own count."""

    id: int
    campaign: str
    provider: str
    name: str
    remote_id: str | None
    origin: str
    wanted: int = 0
    acknowledged: int = 0
    to_add: int = 0
    to_remove: int = 0
    unproved: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    batches: Mapping[str, int] = field(default_factory=dict)
    oldest: Instant | None = None
    synced_at: Instant | None = None
    received: int = 0
    least: int | None = None
    most: int | None = None
    sized_at: Instant | None = None
    blocked: str | None = None
    trouble: str | None = None

    @property
    def pending(self) -> int:
        return self.to_add + self.to_remove


_STATES = select(
    _M.audience, _M.state, func.count(), func.sum(_M.want), func.min(_M.changed_at), func.count(_M.batch)
).group_by(_M.audience, _M.state)  # fmt: skip
_REFUSED = (
    select(_M.audience, func.coalesce(_M.reason, "refused"), func.count())
    .where(_M.state == MemberState.REFUSED.value)
    .group_by(_M.audience, _M.reason)
)
_FAILED = select(_F.audience, _F.reason, _F.n)
_BATCHES = select(_B.audience, _B.state, func.count()).where(_B.state != "done").group_by(_B.audience, _B.state)
_ALL = (
    select(s.audience, func.coalesce(s.campaign.c.name, "").label("of"))
    .outerjoin(s.campaign, s.campaign.c.id == _A.campaign)
    .order_by(_A.provider, _A.name, _A.id)
)


def read_audiences(conn: Connection, provider: str | None = None) -> list[AudienceView]:
    """All audiences, or those of one provider. Counts all members: about 0.3 s a million."""
    counts: dict[int, list[Any]] = {}
    for row in conn.execute(_STATES):
        counts.setdefault(row[0], []).append(row)
    grouped: list[dict[int, dict[str, int]]] = []
    for query in (_REFUSED, _FAILED, _BATCHES):
        found: dict[int, dict[str, int]] = {}
        for audience, key, n in conn.execute(query):
            found.setdefault(audience, {})[str(key)] = int(n)
        grouped.append(found)
    refused, failed, batches = grouped
    return [
        AudienceView(
            id=row.id, campaign=row.of, provider=row.provider, name=row.name, remote_id=row.remote_id, origin=row.origin,
            **_counted(counts.get(row.id, ())), refused=refused.get(row.id, {}), failed=failed.get(row.id, {}),
            batches=batches.get(row.id, {}), synced_at=row.synced_at, received=row.received, least=row.least, most=row.most,
            sized_at=row.sized_at, blocked=row.blocked, trouble=row.trouble,
        )
        for row in conn.execute(_ALL)
        if provider is None or row.provider == provider
    ]  # fmt: skip


def _counted(rows: Sequence[Any]) -> dict[str, Any]:
    state = {MemberState(row[1]): int(row[2]) for row in rows}
    waiting = [row[4] for row in rows if MemberState(row[1]) in _PENDING]
    return {
        "wanted": sum(int(row[3]) for row in rows),
        "acknowledged": state.get(MemberState.IN, 0),
        "to_add": state.get(MemberState.ADD, 0) + state.get(MemberState.ADDING, 0),
        "to_remove": state.get(MemberState.REMOVE, 0) + state.get(MemberState.REMOVING, 0),
        "unproved": sum(int(row[5]) for row in rows if MemberState(row[1]) in (MemberState.IN, MemberState.OUT)),
        "oldest": min(waiting, default=None),
    }


_SIZED = select(_A.id, _A.name, _A.remote_id).where(_A.remote_id.is_not(None)).order_by(_A.sized_at, _A.id)


def to_be_sized(conn: Connection, provider: str, before: Instant, limit: int) -> list[tuple[int, str, str]]:
    """(audience, name, the platform's id) of those whose size was last asked for before then, or never."""
    query = _SIZED.where(_A.provider == provider, func.coalesce(_A.sized_at, 0) < before).limit(limit)
    return [(row.id, row.name, row.remote_id) for row in conn.execute(query)]


def note_size(conn: Connection, audience: int, least: int | None, most: int | None, now: Instant) -> None:
    """What the platform says; None = it did not say, and is not asked again at once."""
    values: dict[str, Any] = {"sized_at": now} | ({"least": least, "most": most} if least is not None else {})
    conn.execute(s.audience.update().where(_A.id == audience).values(values))
