"""What providers report after an outcome, as rows and in its effects (design: feedback). Lane EXIT, one transaction a request.

A report names its delivery by our id, by the provider's, or an address alone. It is kept once, however often it comes
(`feedback`), and has its effects under the person's guard: on a doubt (`store.proofs`), on consent and suppression
(`store.wishes`). Reports that come before what they are about are parked, without words, and tried again. The order in which reports come,
and how often, does not change how it ends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, literal_column, or_, select, tuple_
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.model.campaign import REACTIONS
from daemon.model.delivery import HOUR, Instant, Reason, State
from daemon.store import profiles, proofs, wishes
from daemon.store import schema as s
from daemon.store.follow import note_reaction
from daemon.store.merged import joined_since
from daemon.store.proofs import About, find_deliveries
from daemon.store.sql import fetch, rows

PARKED_FOR = 72 * HOUR
"""A report whose delivery is not known by then is of nothing that we sent."""
JOINED = 200
"""Parked reports that one transaction looks at, at most."""
NO_HASH = b""


class Report(NamedTuple):
    """One thing learned, made ready. `channel`: the provider's; `hash`: of the address that it names; `event` "" = without an id."""

    provider: str
    channel: str
    kind: str
    at: Instant
    delivery: int | None = None
    provider_id: str | None = None
    hash: bytes | None = None
    event: str = ""
    code: str | None = None
    detail: str | None = None
    human: bool = True


class Heard(NamedTuple):
    """What became of a report. `how`: recorded | known (came before) | parked | foreign (of nothing that this provider was given) |
    erased. `settled`: the state that its delivery has through it. `woken`: waiting rows that are due now. `waits`: it is tried again
    when its delivery is known, or its outcome recorded."""

    how: str
    delivery: int | None = None
    settled: State | None = None
    woken: int = 0
    waits: bool = False


_F = s.feedback.c
_ONCE = select(s.feedback.c.kind).where(
    s.feedback.c.provider == bindparam("provider"), s.feedback.c.event == bindparam("event"), s.feedback.c.event != literal_column("''")
)
_insert = upsert(s.feedback)


def _order(row: Any, wordless: str) -> Any:
    return tuple_(row.at, func.coalesce(row.code, literal_column("''")), func.coalesce(row.detail, literal_column(wordless)))


_LAST_WORD = (_F.kind == literal_column("'unsubscribed'")) & (_F.event == literal_column("''"))
_RECORD = _insert.on_conflict_do_update(
    index_elements=[*s.feedback.primary_key.columns],
    set_={name: _insert.excluded[name] for name in ("at", "code", "detail")},
    where=or_(
        ~_LAST_WORD & (_order(_insert.excluded, "x''") < _order(_F, "x''")),  # a blob sorts behind all words: these are kept
        _LAST_WORD & (_order(_insert.excluded, "''") > _order(_F, "''")),
    ),
)
"""The same one twice is kept as it was said first; but STOP as it was said last where it has no id: a START may have come in between."""
_REFS = select(s.provider_ref.c.delivery).where(
    s.provider_ref.c.provider == bindparam("provider"), s.provider_ref.c.provider_id == bindparam("provider_id")
)
_ERASED = select(s.suppression.c.hash).where(
    s.suppression.c.hash == bindparam("hash"), s.suppression.c.reason == literal_column(f"'{Reason.ERASED.value}'")
).limit(1)  # fmt: skip
_REMEMBER = upsert(s.provider_ref).on_conflict_do_nothing()


def hear(conn: Connection, reports: Sequence[Report], *, channels: Sequence[str], now: Instant) -> Sequence[Heard]:
    """Take reports in: rows and effects. `channels`: all that a complaint closes. One answer for each."""
    return [_hear(conn, report, channels, now) for report in reports]


def hear_device(
    conn: Connection, delivery: int, kinds: Sequence[str], *, channels: Sequence[str], now: Instant
) -> list[tuple[Report, Heard]]:  # fmt: skip
    """What the recipient's own device says of a delivery, proven by the token that came with it. Empty: there is no such delivery, or
    nobody was given it."""
    found = find_deliveries(conn, [delivery])
    provider = (found[0].flight_provider if found[0].flying else found[0].provider) if found else None
    if provider is None:
        return []
    reports = [Report(provider=provider, channel=found[0].channel, kind=kind, at=now, delivery=delivery) for kind in kinds]
    return list(zip(reports, hear(conn, reports, channels=channels, now=now), strict=True))


def _hear(conn: Connection, report: Report, channels: Sequence[str], now: Instant) -> Heard:
    report = report._replace(at=min(report.at, now))
    if report.event and report.kind in conn.execute(_ONCE, {"provider": report.provider, "event": report.event}).scalars():
        return Heard("known", report.delivery)
    if report.delivery is None and report.provider_id is None:
        return _of_address(conn, report, channels, now) if report.hash is not None else Heard("foreign")
    found = find_deliveries(conn, _numbers(conn, report))
    if not found:
        if report.delivery is not None:
            return Heard("foreign")
        park(conn, report, now)
        woken = _of_address(conn, report, channels, now).woken if report.hash is not None and report.kind in wishes.WISHES else 0
        return Heard("parked", woken=woken, waits=True)
    heard = [_of_delivery(conn, report, about, channels, now) for about in found]
    return next((one for one in heard if one.how == "recorded"), heard[0])


def _numbers(conn: Connection, report: Report) -> list[int]:
    if report.delivery is not None:
        return [report.delivery]
    return list(conn.execute(_REFS, {"provider": report.provider, "provider_id": report.provider_id}).scalars())


def _of_delivery(conn: Connection, report: Report, about: About, channels: Sequence[str], now: Instant) -> Heard:
    if not proofs.was_given_to(conn, about, report.provider):
        return Heard("foreign", about.id)
    if about.erased or about.erased is None:
        return Heard("erased", about.id)
    if report.provider_id is not None:
        conn.execute(_REMEMBER, {"provider": report.provider, "provider_id": report.provider_id, "delivery": about.id})
    address = report.hash if report.hash is not None else _address_of(conn, report, about)
    _record(conn, report, about.person, about.id, about.channel, address if report.kind in wishes.WISHES else None)
    if report.human and report.kind in REACTIONS:
        note_reaction(conn, about.id)
        profiles.note_reaction(conn, about.person, report.kind, report.at, now)
    settled, early = proofs.settle(conn, about, report.kind, report.provider, report.provider_id, report.code, now)
    if early:
        park(conn, report, now)
    woken = wishes.follow(conn, report.kind, report.provider, about.person, about.channel, address, channels, now)
    return Heard("recorded", about.id, settled, woken, early)


def _address_of(conn: Connection, report: Report, about: About) -> bytes | None:
    """The address that its person has now; None where it is dead, and may have been that of somebody who became this person since."""
    if report.kind == "bounced" and joined_since(conn, about.person, about.handed_over_at or 0):
        return None
    return wishes.address_of(about)


def _of_address(conn: Connection, report: Report, channels: Sequence[str], now: Instant) -> Heard:
    """All recipients that have the address, now or later: what is suppressed is its hash. Of one that was erased no words are kept."""
    if report.detail is not None and conn.execute(_ERASED, {"hash": report.hash}).first() is not None:
        report = report._replace(detail=None)
    _record(conn, report, 0, 0, report.channel, report.hash)
    return Heard("recorded", woken=wishes.follow(conn, report.kind, report.provider, 0, report.channel, report.hash, channels, now))


def _record(conn: Connection, report: Report, person: int, number: int, channel: str, address: bytes | None) -> None:
    conn.execute(
        _RECORD,
        {
            "person": person, "delivery": number, "hash": address or NO_HASH, "kind": report.kind, "provider": report.provider,
            "event": report.event, "human": int(report.human), "channel": channel, "at": report.at, "code": report.code,
            "detail": report.detail,
        },
    )  # fmt: skip


def park(conn: Connection, report: Report, now: Instant) -> None:
    """Keep a report that came too early; the same one twice is kept once. Without its words (a reply's, a provider's with a number in
    it): whose they are is not known yet, so an erasure could not find them."""
    hashed = report.hash.hex() if report.hash is not None else None
    item = json.dumps({**report._asdict(), "detail": None, "hash": hashed}, separators=(",", ":"))
    digest = hashlib.blake2b(item.encode(), digest_size=16).digest()
    conn.execute(_PARK, {"id": conn.execute(_NEXT).scalar_one(), "digest": digest, "item": item, "received_at": now})


_PARK = upsert(s.feedback_parked).on_conflict_do_nothing(index_elements=[s.feedback_parked.c.digest])
_NEXT = select(func.coalesce(func.max(s.feedback_parked.c.id), 0) + 1)
_PARKED = (
    select(s.feedback_parked.c.id, s.feedback_parked.c.item, s.feedback_parked.c.received_at)
    .where(s.feedback_parked.c.id > bindparam("after"))
    .order_by(s.feedback_parked.c.id)
    .limit(bindparam("limit"))
)


class Joined(NamedTuple):
    """`heard`: reports that found their deliveries, with what became of them. `after`: go on behind this one; None = that was all."""

    heard: Sequence[tuple[Report, Heard]]
    after: int | None
    looked: int = 0
    """Reports that it looked at."""


_ANY_PARKED = select(s.feedback_parked.c.id).limit(literal_column("1"))


def any_parked(conn: Connection) -> bool:
    return bool(fetch(conn, _ANY_PARKED))


def join_parked(conn: Connection, after: int, *, channels: Sequence[str], now: Instant, limit: int = JOINED) -> Joined:
    """Try parked reports again, at most `limit` of them behind `after`; those that are too old are forgotten."""
    parked = rows(conn, _PARKED, ("after", "limit"), (after, limit))
    heard: list[tuple[Report, Heard]] = []
    gone: list[int] = []
    for row in parked:
        fields = json.loads(row.item)
        report = Report(**{**fields, "hash": bytes.fromhex(fields["hash"]) if fields["hash"] is not None else None})
        found = find_deliveries(conn, _numbers(conn, report))
        if not found or any(proofs.may_move(about) for about in found):
            if now - row.received_at > PARKED_FOR:
                gone.append(row.id)
            continue
        gone.append(row.id)
        heard += [(report, _of_delivery(conn, report, about, channels, now)) for about in found]
    if gone:
        conn.execute(delete(s.feedback_parked).where(s.feedback_parked.c.id.in_(gone)))
    return Joined(heard, parked[-1].id if len(parked) == limit else None, len(parked))


class FeedbackRow(NamedTuple):
    """One report as explain shows it; `delivery` 0 = about the address alone."""

    delivery: int
    kind: str
    at: Instant
    provider: str
    code: str | None
    detail: str | None
    human: bool


_COLUMNS = (_F.delivery, _F.kind, _F.at, _F.provider, _F.code, _F.detail, _F.human)
_OF_PERSON = select(*_COLUMNS).where(_F.person == bindparam("person"))


def feedback_of(conn: Connection, person: int) -> list[FeedbackRow]:
    """All that was reported about a person's deliveries, in the order in which it happened."""
    rows = conn.execute(_OF_PERSON, {"person": person})
    return sorted((FeedbackRow._make((*row[:6], bool(row[6]))) for row in rows), key=lambda row: (row.at, row.delivery, row.kind))
