"""Doubts to be looked up at their provider: which are due to be asked about, what they were, and what the provider says of them.

The answer is written as an operator's word would be, with the provider as the witness. Nothing is sent from here: a doubt whose
message surely never arrived is due again, and the rules decide it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, literal_column, select
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.errors import NotFoundError
from daemon.model.delivery import Instant, State
from daemon.store import schema as s
from daemon.store.campaigns import body_of
from daemon.store.doubts import Evidence, close_doubt
from daemon.store.facts import DueRow, due_rows
from daemon.store.sql import ids, in_list
from daemon.store.suppressions import SuppressionEntry, add_suppressions
from daemon.store.unsubscribe import address_on, closing_of


class Open(NamedTuple):
    """A doubt that may be asked about."""

    delivery: int
    handed_over_at: Instant


class Then(NamedTuple):
    """What a doubtful delivery was when it was handed over. `row` is as a claim saw it, its `newest` the version whose words were
    the newest then; `zones`: the person's possible ones; `exact` False: the recipient was changed since, the text may differ."""

    row: DueRow
    handed_over_at: Instant
    zones: str | None
    exact: bool


class Answer(NamedTuple):
    """What a provider says of a doubt: `state` accepted, rejected or (it never had it) due."""

    delivery: int
    state: State
    scope: str | None = None
    code: str | None = None
    detail: str | None = None
    provider_id: str | None = None


_D = s.delivery.c
_OPEN = (
    select(_D.id, _D.handed_over_at)
    .where(
        _D.state == literal_column("'in_doubt'"), _D.provider == bindparam("provider"), _D.handed_over_at >= bindparam("since"),
        _D.handed_over_at <= bindparam("until"),
    )
    .order_by(_D.id)
)  # fmt: skip
_V = s.campaign_version.c
_NEWEST = (
    select(func.max(_V.version)).where(_V.campaign == s.wave.c.campaign, _V.loaded_at <= _D.handed_over_at).correlate(s.wave, s.delivery)
)
_THEN = (
    select(
        _D.id, _D.handed_over_at, s.recipient.c.updated_at, s.touch.c.zone, func.coalesce(_NEWEST.scalar_subquery(), _D.version)
    )
    .join(s.wave, s.wave.c.id == _D.wave)
    .join(s.recipient, s.recipient.c.id == _D.person)
    .outerjoin(s.touch, (s.touch.c.person == _D.person) & (s.touch.c.at == _D.handed_over_at) & (s.touch.c.delivery == _D.id))
    .where(in_list(_D.id, "ids"), _D.state == literal_column("'in_doubt'"))
)  # fmt: skip
_REMEMBER = upsert(s.provider_ref).on_conflict_do_nothing()
_ADDRESS = (
    select(
        s.wave.c.channel, s.recipient.c.email_hash, s.recipient.c.phone_hash, s.recipient.c.updated_at, s.recipient.c.erased,
        _D.handed_over_at,
    )
    .select_from(s.delivery)
    .join(s.wave, s.wave.c.id == _D.wave)
    .join(s.recipient, s.recipient.c.id == _D.person)
    .where(_D.id == bindparam("delivery"))
)


def open_doubts(conn: Connection, provider: str, since: Instant, until: Instant) -> list[Open]:
    """The provider's doubts that were handed over between two instants."""
    return [Open._make(row) for row in conn.execute(_OPEN, {"provider": provider, "since": since, "until": until})]


def read_then(conn: Connection, numbers: Sequence[int], prepare: Callable[[int, int, str], object]) -> list[Then]:
    """What these were. `prepare(campaign, version, body)` gets each campaign version that their messages are made of."""
    rows = {row.delivery: row for row in due_rows(conn, numbers)}
    found: list[Then] = []
    wanted: set[tuple[int, int]] = set()
    for number, at, updated_at, zones, newest in conn.execute(_THEN, {"ids": ids(numbers)}):
        row = rows[number]._replace(newest=newest, attempts=max(rows[number].attempts - 1, 0))
        wanted |= {(row.campaign, row.version), (row.campaign, newest)}
        found.append(Then(row=row, handed_over_at=at, zones=zones, exact=updated_at <= at and not row.erased))
    for campaign, version in sorted(wanted):
        try:
            prepare(campaign, version, body_of(conn, campaign, version))
        except KeyError:
            continue  # a version that is gone: its messages cannot be made any more
    return found


def settle_doubts(conn: Connection, provider: str, answers: Sequence[Answer], now: Instant) -> Mapping[int, State]:
    """Write what the provider says; those that were settled meanwhile are left as they are. Returns what was settled here."""
    settled: dict[int, State] = {}
    for answer in answers:
        about = conn.execute(_ADDRESS, {"delivery": answer.delivery}).first()
        outcome = {State.ACCEPTED: "accepted", State.REJECTED: "rejected"}.get(answer.state, "unsent")
        told = answer.detail if about is not None and not about.erased else None  # its words may hold the address
        said = f"{provider} was asked{': ' + told if told else ''}"
        evidence = Evidence(f"reconciled_{outcome}", said, answer.code, answer.scope)
        try:
            settled[answer.delivery] = close_doubt(conn, answer.delivery, now, answer.state, evidence, provider_id=answer.provider_id)
        except NotFoundError:
            continue
        if answer.state is State.ACCEPTED and answer.provider_id is not None:
            conn.execute(_REMEMBER, {"provider": provider, "provider_id": answer.provider_id, "delivery": answer.delivery})
        if answer.state is State.REJECTED and answer.scope == "address":
            _suppress(conn, about, provider, answer.code, now)
    return settled


def _suppress(conn: Connection, about: Any, provider: str, code: str | None, now: Instant) -> None:
    """The address is closed, unless it may be another one since."""
    address = address_on(about, about.channel) if about is not None and about.updated_at <= about.handed_over_at else None
    if address is not None:
        scope, why, source = closing_of(provider, code)
        add_suppressions(conn, [SuppressionEntry(address, about.channel, scope, why.value, now, source)])
