"""What the audit reads and keeps: the facts behind handovers, how far it came, and what it found.

Three rows of `meta`: `audit` (cursor and counts), `audit.rules` (which rules were in force when), `audit.findings` (the newest
ones, bounded). The cursor moves in the transaction that keeps what was found on the way, so nothing is found twice or lost.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DatabaseError

from daemon.clock import iso
from daemon.errors import GuardRefusedError, StoreUnavailableError
from daemon.ids import encode_id
from daemon.model.delivery import Instant
from daemon.store import engine as engines
from daemon.store import schema as s
from daemon.store.meta import get_meta, set_meta
from daemon.store.sql import fetch, ids, in_list

KEPT_FINDINGS = 200
"""Findings that are kept with all they say; beyond, the oldest are only counted."""


class SentRow(NamedTuple):
    """One delivery that the journal says was handed over. `traits`, `job_window`: JSON text."""

    delivery: int
    state: str
    handed_over_at: Instant | None
    in_flight_at: Instant | None
    expires_at: Instant
    campaign: int
    campaign_name: str
    version: int
    channel: str
    job_window: str | None
    person: int
    zone: str | None
    phone: str | None
    country: str | None
    traits: str | None
    created_at: Instant
    updated_at: Instant
    held_out: int | None
    """Of its walk; None = it has none."""
    paused_until: Instant | None


class TouchRow(NamedTuple):
    """One touch of a person, with the campaign version that it was sent under."""

    person: int
    at: Instant
    delivery: int
    channel: str
    topic: str | None
    zone: str | None
    campaign: int
    campaign_name: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SentFacts:
    """`bodies`: (campaign, version) -> the stored version. `doubtful`: deliveries that a restored store was told of by the journal.
    `merged`: person -> when somebody became this person last."""

    rows: Mapping[int, SentRow]
    touches: Mapping[int, Sequence[TouchRow]]
    bodies: Mapping[tuple[int, int], str]
    doubtful: frozenset[int]
    merged: Mapping[int, Instant]


_SENT = (
    select(
        s.delivery.c.id, s.delivery.c.state, s.delivery.c.handed_over_at, s.flight.c.handed_over_at.label("in_flight_at"),
        s.delivery.c.expires_at, s.wave.c.campaign, s.campaign.c.name, s.delivery.c.version, s.wave.c.channel, s.job.c.window,
        s.delivery.c.person, s.recipient.c.zone, s.recipient.c.phone, s.recipient.c.country, s.recipient.c.traits,
        s.recipient.c.created_at, s.recipient.c.updated_at, s.walk.c.held_out, s.recipient.c.paused_until,
    )
    .join(s.wave, s.wave.c.id == s.delivery.c.wave)
    .join(s.campaign, s.campaign.c.id == s.wave.c.campaign)
    .join(s.job, s.job.c.id == s.delivery.c.job)
    .join(s.recipient, s.recipient.c.id == s.delivery.c.person)
    .outerjoin(s.flight, s.flight.c.delivery == s.delivery.c.id)
    .outerjoin(s.walk, s.walk.c.id == s.delivery.c.walk)
    .where(in_list(s.delivery.c.id, "ids"))
)  # fmt: skip
_TOUCHES = (
    select(
        s.touch.c.person, s.touch.c.at, s.touch.c.delivery, s.touch.c.channel, s.touch.c.topic, s.touch.c.zone, s.touch.c.campaign,
        s.campaign.c.name, func.coalesce(s.delivery.c.version, s.campaign.c.version),
    )
    .join(s.campaign, s.campaign.c.id == s.touch.c.campaign)
    .outerjoin(s.delivery, s.delivery.c.id == s.touch.c.delivery)
    .where(in_list(s.touch.c.person, "persons"))
)  # fmt: skip
_BODIES = select(s.campaign_version.c.campaign, s.campaign_version.c.version, s.campaign_version.c.body).where(
    in_list(s.campaign_version.c.campaign, "campaigns")
)
_MERGED = (
    select(s.merged.c.survivor, func.max(s.merged.c.at)).where(in_list(s.merged.c.survivor, "persons")).group_by(s.merged.c.survivor)
)  # fmt: skip
_TOLD = select(s.attempt.c.delivery, s.attempt.c.code).where(in_list(s.attempt.c.delivery, "ids"))


def read_sent(conn: Connection, deliveries: Sequence[int], known: frozenset[tuple[int, int]]) -> SentFacts:
    """The facts behind these deliveries. `known`: campaign versions whose bodies the caller has already."""
    rows = {row[0]: SentRow._make(row) for row in fetch(conn, _SENT, ("ids",), (ids(deliveries),))}
    touches: dict[int, list[TouchRow]] = defaultdict(list)
    persons = ids(sorted({row.person for row in rows.values()}))
    for row in fetch(conn, _TOUCHES, ("persons",), (persons,)):
        touches[row[0]].append(TouchRow._make(row))
    wanted = {(t.campaign, t.version) for found in touches.values() for t in found} | {(r.campaign, r.version) for r in rows.values()}
    wanted -= known
    bodies = {}
    if wanted:
        for campaign, version, body in fetch(conn, _BODIES, ("campaigns",), (ids(sorted({campaign for campaign, _ in wanted})),)):
            if (campaign, version) in wanted:
                bodies[campaign, version] = body
    zoneless = sorted({t.delivery for found in touches.values() for t in found if t.zone is None})
    told = {delivery for delivery, code in fetch(conn, _TOLD, ("ids",), (ids(zoneless),)) if code == "journal"} if zoneless else ()
    merged = dict(fetch(conn, _MERGED, ("persons",), (persons,)))
    return SentFacts(rows=rows, touches=touches, bodies=bodies, doubtful=frozenset(told), merged=merged)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`at`: audited up to this instant of the send journal; None = no daemon with an audit ran yet. `judged`, `unjudged`, `found`:
    counts since the beginning; `accepted`: how many of the findings an operator has seen and accepted."""

    at: Instant | None = None
    judged: int = 0
    unjudged: int = 0
    found: int = 0
    accepted: int = 0

    @property
    def open(self) -> int:
        """Findings that wait for an operator."""
        return self.found - self.accepted


def read_progress(conn: Connection) -> Progress:
    kept = get_meta(conn, "audit")
    return Progress(**json.loads(kept)) if kept else Progress()


def _keep_progress(conn: Connection, progress: Progress) -> None:
    plain = {name: getattr(progress, name) for name in ("at", "judged", "unjudged", "found", "accepted")}
    set_meta(conn, "audit", json.dumps(plain))


def begin_audit(conn: Connection, at: Instant) -> Progress:
    """How far it is; a first one begins at `at`: what was sent before is judged by no rule, since none was kept."""
    progress = read_progress(conn)
    if progress.at is None:
        progress = Progress(at=at - 1)  # a send of this very instant is judged
        _keep_progress(conn, progress)
    return progress


def read_rules(conn: Connection) -> str | None:
    return get_meta(conn, "audit.rules")


def keep_rules(conn: Connection, book: str) -> None:
    set_meta(conn, "audit.rules", book)


def keep_audit(conn: Connection, at: Instant, judged: int, unjudged: int, findings: Sequence[Mapping[str, Any]]) -> Progress:
    """The cursor moves on to `at`; what was found on the way is kept."""
    old = read_progress(conn)
    progress = Progress(
        at=at, judged=old.judged + judged, unjudged=old.unjudged + unjudged, found=old.found + len(findings), accepted=old.accepted
    )  # fmt: skip
    if findings:
        kept = [*_read_kept(conn), *findings][-KEPT_FINDINGS:]
        set_meta(conn, "audit.findings", json.dumps(kept, separators=(",", ":")))
    _keep_progress(conn, progress)
    return progress


def _read_kept(conn: Connection) -> list[dict[str, Any]]:
    kept = get_meta(conn, "audit.findings")
    return json.loads(kept) if kept else []


def open_findings(conn: Connection) -> tuple[Progress, Sequence[Mapping[str, Any]]]:
    """What no operator has accepted yet: the newest `KEPT_FINDINGS` of them, the oldest first, deliveries by their public id."""
    progress = read_progress(conn)
    kept = _read_kept(conn)
    newest = kept[max(0, len(kept) - progress.open) :] if progress.open else []
    return progress, [{**finding, "delivery": encode_id(finding["delivery"]), "at": iso(finding["at"])} for finding in newest]


def findings_json(progress: Progress, findings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """As the API and `homing check` show it."""
    return {
        "audited_to": iso(progress.at) if progress.at is not None else None,
        "judged": progress.judged,
        "unjudged": progress.unjudged,
        "found": progress.found,
        "open": progress.open,
        "findings": list(findings),
    }


def findings_of(database: Path) -> dict[str, Any]:
    """The same, straight from the file, beside a running daemon too. StoreUnavailableError."""
    engine = engines.open_reader(database)
    try:
        with engine.begin() as conn:
            return findings_json(*open_findings(conn))
    except DatabaseError as error:
        raise StoreUnavailableError(f"{database}: not readable as a store: {error.orig}") from None
    finally:
        engine.dispose()


def accept_findings(conn: Connection, expect: int) -> Progress:
    """The operator has seen them all. GuardRefusedError names the number if it is another."""
    old = read_progress(conn)
    if expect != old.open:
        raise GuardRefusedError(f"the audit has {old.open} findings that wait, not {expect}; look at them with `homing check`")
    progress = Progress(at=old.at, judged=old.judged, unjudged=old.unjudged, found=old.found, accepted=old.found)
    _keep_progress(conn, progress)
    return progress
