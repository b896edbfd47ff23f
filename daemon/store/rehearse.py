"""What a rehearsal needs of the store: a copy as of one instant, made ready to be lived in, and what all has come to in it.

The original is opened read-only and only for the copy (SQLite's backup, in one step: a snapshot, whatever a daemon writes meanwhile).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from sqlalchemy import Connection, Subquery, bindparam, case, delete, func, select, update

from daemon.errors import StoreUnavailableError
from daemon.model.delivery import Instant
from daemon.store import engine as engines
from daemon.store import schema as s
from daemon.store.audiences import EXPIRED
from daemon.store.memory import MemoryFile
from daemon.store.meta import set_meta
from daemon.store.recover import save_gate
from daemon.store.sql import fetch

P = ParamSpec("P")
T = TypeVar("T")

IN_MEMORY = 300 << 20
"""A larger store is copied into a file, which is removed at the end."""


class CopiedFile(MemoryFile):
    """A copy of a store, to be written to as if it were the store. `folder`: where a large one is laid; its file is gone when closed."""

    def __init__(self, source: Path | None, folder: Path) -> None:
        """`source` None, or not there: an empty store. StoreUnavailableError when it cannot be read, or has another schema."""
        there = source is not None and source.exists()
        large = there and source is not None and source.stat().st_size > IN_MEMORY
        self.laid = folder / "rehearsal.db" if large else None
        self.path = None
        engine = engines.open_writer(self.laid)
        self.conn = engine.connect()
        self._raw = self.conn.connection.driver_connection  # type: ignore[assignment]
        if there and source is not None:
            _copy(source, self._raw)
        engines.prepare(engine)
        for pragma in ("synchronous=OFF", "wal_autocheckpoint=1000"):
            self._raw.execute(f"PRAGMA {pragma}")

    def do(self, act: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A transaction of its own, between those of the daemon that lives on it."""
        with engines.Transaction(self.conn):
            return act(self.conn, *args, **kwargs)

    def close(self) -> None:
        self.conn.close()
        if self.laid is not None:
            for suffix in ("", "-wal", "-shm"):
                self.laid.with_name(self.laid.name + suffix).unlink(missing_ok=True)


def _copy(source: Path, into: sqlite3.Connection) -> None:
    try:
        original = engines.connect_to_read(source)
        try:
            original.backup(into, pages=-1)
        finally:
            original.close()
    except sqlite3.Error as error:
        raise StoreUnavailableError(f"{source}: the copy failed: {error}") from None


def make_ready(conn: Connection, now: Instant) -> None:
    """A copy begins to live at `now`, whatever held the original back: no kill switch, no suspicion about clock or origin, and rates as
    after a rest. What was on its way is settled by the start of the daemon, as after a crash."""
    save_gate(conn, {})
    set_meta(conn, "commit", f"0 {now}")
    conn.execute(update(s.incarnation).values(heartbeat_at=now))
    conn.execute(delete(s.bucket))


def standing(conn: Connection) -> Mapping[tuple[str, str, str], int]:
    """(campaign, state, reason) -> deliveries, by the counts that each act keeps."""
    query = (
        select(s.campaign.c.name, s.tally.c.state, s.tally.c.reason, func.sum(s.tally.c.n))
        .join(s.job, s.job.c.id == s.tally.c.job)
        .join(s.campaign, s.campaign.c.id == s.job.c.campaign)
        .group_by(s.campaign.c.name, s.tally.c.state, s.tally.c.reason)
    )
    return {(name, state, reason): int(n) for name, state, reason, n in conn.execute(query) if n}


class AudienceName(NamedTuple):
    campaign: str
    provider: str
    name: str


class Stood(NamedTuple):
    """Of one audience: how many should be in now, and how many left since the last look, by themselves (`expired`) or not."""

    members: int
    removed: int
    expired: int


def stood(conn: Connection, since: Instant) -> Mapping[AudienceName, Stood]:
    """All audiences that have, or had, members: who should be in, whatever the platforms were told. Left since then: `since` included."""
    m = s.audience_member.c
    left, over = (m.want == 0) & (m.left_at >= since), func.coalesce(m.reason, "") == EXPIRED
    query = (
        select(
            func.coalesce(s.campaign.c.name, ""), s.audience.c.provider, s.audience.c.name, func.sum(m.want),
            func.sum(case((left & ~over, 1), else_=0)), func.sum(case((left & over, 1), else_=0)),
        )
        .select_from(s.audience_member)
        .join(s.audience, s.audience.c.id == m.audience)
        .outerjoin(s.campaign, s.campaign.c.id == s.audience.c.campaign)
        .group_by(s.audience.c.id)
        .order_by(s.audience.c.id)
    )  # fmt: skip
    return {AudienceName(*row[:3]): Stood(*map(int, row[3:])) for row in conn.execute(query)}


def people(conn: Connection) -> int:
    """How many recipients there are."""
    found: Any = conn.execute(select(func.count()).select_from(s.recipient)).scalar_one()
    return int(found)


_WAITS = ("planned", "due", "held")


def waiting(conn: Connection, campaign: str) -> Mapping[tuple[str, str], int]:
    """(step, channel) -> deliveries of the campaign that have not ended, those in flight too."""
    query = (
        select(s.wave.c.step, s.wave.c.channel, func.count())
        .join(s.campaign, s.campaign.c.id == s.wave.c.campaign)
        .join(s.delivery, s.delivery.c.wave == s.wave.c.id)
        .where(s.campaign.c.name == campaign, s.delivery.c.state.in_(_WAITS))
        .group_by(s.wave.c.step, s.wave.c.channel)
    )
    return {(step, channel): int(n) for step, channel, n in conn.execute(query)}


def audience(
    conn: Connection, campaign: str, segment: str | None, first: Sequence[tuple[str, str]]
) -> tuple[Mapping[tuple[str, str], int], int]:
    """(messages that wait or will at once, by (step, channel); people): of the campaign's jobs, or all of the segment that it enrols.
    `first`: (step, channel) of the messages that each person enrolled begins with."""
    there = dict(waiting(conn, campaign))
    if segment is None:
        return there, sum(there.values())
    people = members(conn, segment)
    return (there | dict.fromkeys(first, people) if people else there), people


def latest_due(conn: Connection, campaign: str) -> Instant | None:
    """When the last of the campaign's waiting deliveries falls due; None: none waits."""
    query = (
        select(func.max(s.delivery.c.not_before))
        .select_from(s.campaign.join(s.wave, s.wave.c.campaign == s.campaign.c.id).join(s.delivery, s.delivery.c.wave == s.wave.c.id))
        .where(s.campaign.c.name == campaign, s.delivery.c.state.in_(_WAITS))
    )
    found: Instant | None = conn.execute(query).scalar_one()
    return found


def status_of(conn: Connection, campaign: str) -> str | None:
    """The operator's word about it; None: the store has never met it."""
    found: str | None = conn.execute(select(s.campaign.c.status).where(s.campaign.c.name == campaign)).scalar()
    return found


def members(conn: Connection, segment: str) -> int:
    """How many are in a segment, as last evaluated."""
    query = select(func.count()).select_from(s.segment_member.join(s.segment, s.segment.c.id == s.segment_member.c.segment))
    return int(conn.execute(query.where(s.segment.c.name == segment)).scalar_one())


def _members(segment: str) -> Subquery:
    joined = s.segment_member.join(s.segment, s.segment.c.id == s.segment_member.c.segment)
    return select(s.segment_member.c.person).select_from(joined).where(s.segment.c.name == segment).subquery()


def _its_people(campaign: str) -> Subquery:
    number = select(s.campaign.c.id).where(s.campaign.c.name == campaign).scalar_subquery()
    messages = s.delivery.join(s.wave, s.wave.c.id == s.delivery.c.wave)
    waits = select(s.delivery.c.person).select_from(messages).where(s.wave.c.campaign == number, s.delivery.c.state.in_(_WAITS))
    walks = select(s.walk.c.person).where(s.walk.c.campaign == number, s.walk.c.state.in_(("planned", "open")))
    return waits.union(walks).subquery()


class Worth(NamedTuple):
    """People of one tier: how many, their orders, what these were worth (millionths)."""

    people: int
    orders: int
    value: int


def worth_by_tier(
    conn: Connection, campaign: str, segment: str | None, tier_of: Callable[[Mapping[str, Any]], str]
) -> Mapping[str, Worth]:
    """Of a campaign's audience, by the tier of each one's profile: the members of the segment that it enrols, or those for whom a message
    waits or a walk is open."""
    found: dict[str, Worth] = {}
    who = _its_people(campaign) if segment is None else _members(segment)
    worth = func.coalesce(s.profile.c.orders, 0), func.coalesce(s.profile.c.value, 0)
    query = select(*worth, func.count()).select_from(who).outerjoin(s.profile, s.profile.c.person == who.c.person)
    for orders, value, n in conn.execute(query.group_by(*worth)):
        tier = tier_of({"orders": orders, "value": value})
        before = found.get(tier, Worth(0, 0, 0))
        found[tier] = Worth(before.people + n, before.orders + orders * n, before.value + value * n)
    return found


def one_of_each(conn: Connection, campaigns: Sequence[str]) -> list[tuple[int, str, str, str, str]]:
    """(delivery, recipient, campaign, state, reason) of the newest delivery of each fate in these campaigns; reason "" = none. For a
    demo's eyes."""
    d, last = s.delivery.c, func.max(s.delivery.c.id)
    newest = (
        select(last.label("id"), d.state, func.coalesce(d.reason, "").label("reason"))
        .join(s.wave, s.wave.c.id == d.wave)
        .join(s.campaign, s.campaign.c.id == s.wave.c.campaign)
        .where(s.campaign.c.name.in_(list(campaigns)))
        .group_by(d.state, func.coalesce(d.reason, ""))
        .subquery()
    )
    query = (
        select(newest.c.id, s.recipient.c.key, s.campaign.c.name, newest.c.state, newest.c.reason)
        .join(s.delivery, s.delivery.c.id == newest.c.id)
        .join(s.wave, s.wave.c.id == s.delivery.c.wave)
        .join(s.campaign, s.campaign.c.id == s.wave.c.campaign)
        .join(s.recipient, s.recipient.c.id == s.delivery.c.person)
        .order_by(newest.c.state, newest.c.reason)
    )
    return [(number, key, name, state, reason) for number, key, name, state, reason in conn.execute(query)]


class Given(NamedTuple):
    """What a message carries. `occurrence`: of the walk; the rest None where it offers nothing. `ends_at`: as it was printed."""

    occurrence: int
    offer: str | None = None
    code: str | None = None
    ends_at: Instant | None = None


_GIVEN = (
    select(s.wave.c.occurrence, s.issue.c.offer, s.issue.c.code, s.issue.c.ends_at)
    .select_from(s.delivery)
    .join(s.wave, s.wave.c.id == s.delivery.c.wave)
    .outerjoin(
        s.issue,
        (s.issue.c.person == s.delivery.c.person) & (s.issue.c.campaign == s.wave.c.campaign) & (s.issue.c.step == s.wave.c.step),
    )
    .where(s.delivery.c.id == bindparam("b_id"))
    .order_by(s.issue.c.id.desc())
    .limit(1)
)


def given(conn: Connection, delivery: int) -> Given:
    """Of one message that is on its way."""
    found = fetch(conn, _GIVEN, ("b_id",), (delivery,))
    return Given(*found[0]) if found else Given(1)
