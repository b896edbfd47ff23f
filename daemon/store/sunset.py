"""Sunset: who reacted to no step of a campaign gets no more marketing (`[after] finish = "sunset"`), until he buys.

A suppression of his addresses, as of the end of his walk. An order since that walk began lifts it, and one that was told before keeps it
from being made: in whatever order they come, they lead to the same. Called in the transaction of the end, of the events, of a merge.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, literal_column, or_, select

from daemon.model.delivery import Instant, Reason
from daemon.store import schema as s
from daemon.store.enrolling import walked_campaigns
from daemon.store.sql import fetch, ids, in_list, many
from daemon.store.suppressions import ANY_CHANNEL, MARKETING, SuppressionEntry, add_suppressions
from daemon.store.wake import raise_guards, wake

_R, _S, _W = s.recipient.c, s.suppression.c, s.walk.c
_SUNSET: ColumnElement[str] = literal_column(f"'{Reason.SUNSET.value}'")
_HASHES = select(_R.id, _R.email_hash, _R.phone_hash).where(in_list(_R.id, "persons"))
_BOUGHT = select(s.profile.c.person, s.profile.c.last_order_at).where(
    in_list(s.profile.c.person, "persons"), s.profile.c.last_order_at.is_not(None)
)
_SILENCED = (
    select(_R.id, _S.hash, _S.at)
    .join(s.suppression, or_(_S.hash == _R.email_hash, _S.hash == _R.phone_hash))
    .where(in_list(_R.id, "persons"), _S.channel == literal_column(f"'{ANY_CHANNEL}'"), _S.reason == _SUNSET)
)
_SINCE = (
    select(_W.person, func.min(_W.since_at))
    .where(in_list(_W.campaign, "campaigns"), in_list(_W.person, "persons"), _W.end_reason == _SUNSET)
    .group_by(_W.person)
)
_LIFT = delete(s.suppression).where(
    _S.hash == bindparam("b_hash"), _S.channel == literal_column(f"'{ANY_CHANNEL}'"), _S.reason == _SUNSET
)


def let_go(conn: Connection, silent: Mapping[int, Instant], now: Instant) -> None:
    """No marketing goes to these persons any more (person -> when his walk began), unless he has bought since."""
    if not silent:
        return
    bought = dict(fetch(conn, _BOUGHT, ("persons",), (ids(sorted(silent)),)))
    persons = [person for person, since in sorted(silent.items()) if bought.get(person, since) <= since]
    hashes = {hash for _, *found in fetch(conn, _HASHES, ("persons",), (ids(persons),)) for hash in found if hash is not None}
    add_suppressions(conn, [SuppressionEntry(hash, ANY_CHANNEL, MARKETING, Reason.SUNSET.value, now, "sunset") for hash in sorted(hashes)])
    raise_guards(conn, persons)
    wake(conn, persons, now)


def bring_back(conn: Connection, bought: Mapping[int, Instant]) -> None:
    """These persons bought (person -> when last): if that was since the beginning of the walk that let them go, marketing may go to them
    again. Before the order ends that walk otherwise."""
    silenced = fetch(conn, _SILENCED, ("persons",), (ids(sorted(bought)),)) if bought else []
    if not silenced:
        return
    persons = ids(sorted({person for person, _, _ in silenced}))
    since = dict(fetch(conn, _SINCE, ("campaigns", "persons"), (ids(walked_campaigns(conn)), persons)))
    lifted = {hash for person, hash, at in silenced if bought[person] > min(at, since.get(person, at))}
    many(conn, _LIFT, ("b_hash",), [(hash,) for hash in sorted(lifted)])


def bring_back_either(conn: Connection, one: int, other: int) -> None:
    """They are about to be one person: what either bought counts for the other."""
    last = dict(fetch(conn, _BOUGHT, ("persons",), (ids(sorted([one, other])),)))
    bring_back(conn, {person: last[also] for person, also in ((one, other), (other, one)) if also in last})
