"""Merge: two recipients are one person from now on; one transaction in lane EVENTS, bounded by what is known of the one that goes.

The survivor has what either had: events, reactions, contacts, offers, segments, browsers, what either forbade; what it lacks of an
address or a trait it takes from the other. What was on its way to the other is dropped, its open walks end (`store.merge_sends`). The
other's row stays as an id that means the survivor (`store.merged`), with the hashes of its addresses, for an erasure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, bindparam, delete, insert, literal_column, null, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.journey.profile import Shop
from daemon.model.delivery import Instant, Reason
from daemon.store import schema as s
from daemon.store.audiences import inherit_stays
from daemon.store.event_row import EventRow
from daemon.store.exits import ending_events, note_inherited, watched_since
from daemon.store.issues import inherit_issues
from daemon.store.merge_sends import inherit_sends
from daemon.store.merged import AWAY, owner_of
from daemon.store.preferences import inherit_preferences
from daemon.store.products import inherit_products
from daemon.store.profiles import inherit_profile
from daemon.store.push import inherit_subscriptions
from daemon.store.recipients import KNOWN, KnownRow, free_zone_holds, person_id
from daemon.store.redemptions import inherit_redemptions
from daemon.store.segments import inherit_memberships
from daemon.store.sql import fetch, ids, in_list, many
from daemon.store.sunset import bring_back_either
from daemon.store.suppressions import ANY_CHANNEL, SuppressionEntry, add_suppressions
from daemon.store.wake import wake


class Merged(NamedTuple):
    """`dropped`: deliveries of the other that ended; `ended`: its walks; `woken`: rows of either that are decided anew now."""

    dropped: int = 0
    ended: int = 0
    woken: int = 0


_R = s.recipient.c
_KNOWN: Select[Any] = select(literal_column("1")).select_from(s.merged).where(s.merged.c.person == bindparam("person"))
_BECOME = insert(s.merged)
_ON = update(s.merged).where(s.merged.c.survivor == bindparam("b_other")).values(survivor=bindparam("b_survivor"))
_FILL = (
    update(s.recipient)
    .where(_R.id == bindparam("b_id"))
    .values(
        {name: bindparam(f"b_{name}") for name in ("email", "phone", "zone", "locale", "country", "traits", "email_hash", "phone_hash")}
        | {"guard": _R.guard + literal_column("1"), "updated_at": bindparam("b_now")}
    )
)
_FILL_NAMES = ("b_id", "b_email", "b_phone", "b_zone", "b_locale", "b_country", "b_traits", "b_email_hash", "b_phone_hash", "b_now")
_AWAY = (
    update(s.recipient)
    .where(_R.id == bindparam("b_id"))
    .values(
        {name: null() for name in ("email", "phone", "zone", "locale", "country", "traits")}
        | {"erased": literal_column(str(AWAY)), "guard": _R.guard + literal_column("1"), "updated_at": bindparam("b_now")}
    )
)


def merge(conn: Connection, previous: str, person: int, shop: Shop, now: Instant) -> Merged | None:
    """The recipient `previous` is `person` from now on. None where nothing was to be done: they are one already, `previous` became somebody
    else before (the first word counts), one of them was erased, or nobody has that id yet: then it is kept as another of this person's."""
    survivor, _ = owner_of(conn, person, "")
    other = person_id(previous)
    if other == survivor or fetch(conn, _KNOWN, ("person",), (other,)):
        return None
    found = {row[0]: KnownRow._make(row) for row in fetch(conn, KNOWN, ("ids",), (ids([other, survivor]),))}
    mine, theirs = found.get(survivor), found.get(other)
    if mine is None or mine.erased or (theirs is not None and (theirs.erased or theirs.key != previous)):
        return None
    many(conn, _BECOME, ("person", "survivor", "at"), [(other, survivor, now)])
    many(conn, _ON, ("b_other", "b_survivor"), [(other, survivor)])
    if theirs is None:
        return None
    whole = _filled(mine, theirs)
    bring_back_either(conn, other, survivor)
    many(conn, _AWAY, ("b_id", "b_now"), [(other, now)])
    many(conn, _FILL, _FILL_NAMES, [(survivor, *whole[2:10], now)])
    _unite_wishes(conn, mine, theirs)
    _inherit_events(conn, theirs, mine, now)
    many(conn, _REACTIONS, ("b_other", "b_survivor"), [(other, survivor)])
    inherit_profile(conn, other, survivor, shop, now)
    inherit_products(conn, other, survivor)
    inherit_preferences(conn, other, survivor)
    inherit_issues(conn, other, survivor)
    inherit_redemptions(conn, other, survivor)
    inherit_memberships(conn, other, survivor)
    inherit_stays(conn, other, survivor, now)
    inherit_subscriptions(conn, other, survivor)
    sends = inherit_sends(conn, other, survivor, now)
    freed = free_zone_holds(conn, [survivor], now) if whole[4:7] != mine[4:7] or whole.phone != mine.phone else 0
    return Merged(sends.dropped, sends.ended, wake(conn, [other, survivor], now) + freed)


def _filled(mine: KnownRow, theirs: KnownRow) -> KnownRow:
    """What the survivor is like from now on: its own words, and the other's where it had none. An address goes with its hash."""
    own, more = (json.loads(one.traits) if one.traits else {} for one in (mine, theirs))
    traits = json.dumps({**more, **own}, ensure_ascii=False, separators=(",", ":")) if more.keys() - own.keys() else mine.traits
    for kind in ("email", "phone"):
        if getattr(mine, kind) is None:
            mine = mine._replace(**{kind: getattr(theirs, kind), f"{kind}_hash": getattr(theirs, f"{kind}_hash")})
    return mine._replace(
        zone=mine.zone or theirs.zone, locale=mine.locale or theirs.locale, country=mine.country or theirs.country, traits=traits
    )


_C = s.consent.c
_CONSENTS = select(_C.channel, _C.topic, _C.state, _C.at, _C.source, _C.text).where(_C.person == bindparam("person"))
_say = upsert(s.consent)
_SAY = _say.on_conflict_do_update(
    index_elements=[_C.person, _C.channel, _C.topic], set_={name: _say.excluded[name] for name in ("state", "at", "source", "text")}
)
_UNSAID = delete(s.consent).where(_C.person == bindparam("b_person"))
_STRICT = ("granted", "pending", "withdrawn")
_LISTED = select(s.suppression.c.channel, s.suppression.c.scope, s.suppression.c.reason, s.suppression.c.at, s.suppression.c.source).where(
    s.suppression.c.hash == bindparam("hash")
)
_OF_THE_ADDRESS = frozenset({Reason.BOUNCED.value, Reason.INVALID_ADDRESS.value, Reason.ERASED.value})
"""Suppressions that say something of an address and nothing of whose it is."""


def _unite_wishes(conn: Connection, mine: KnownRow, theirs: KnownRow) -> None:
    """Of two words on a channel and topic the later one counts, of two of one instant the stricter. Whoever asked not to be contacted
    under one address is not contacted under any of the two either."""
    said = {row[:2]: row[2:] for row in fetch(conn, _CONSENTS, ("person",), (mine.id,))}
    for channel, topic, *word in fetch(conn, _CONSENTS, ("person",), (theirs.id,)):
        own = said.get((channel, topic))
        if own is None or (word[1], _STRICT.index(word[0])) > (own[1], _STRICT.index(own[0])):
            said[channel, topic] = tuple(word)
    many(conn, _UNSAID, ("b_person",), [(theirs.id,)])
    many(conn, _SAY, ("person", "channel", "topic", "state", "at", "source", "text"), [
        (mine.id, *key, *word) for key, word in sorted(said.items())
    ])  # fmt: skip
    hashes = {
        kind: [hash for one in (mine, theirs) if (hash := getattr(one, f"{kind}_hash")) is not None] for kind in ("email", "phone")
    }  # fmt: skip
    entries: set[SuppressionEntry] = set()
    for known in hashes.values():
        for channel, *word in {tuple(row) for hash in known for row in fetch(conn, _LISTED, ("hash",), (hash,))}:
            if word[1] not in _OF_THE_ADDRESS:
                concerned = known if channel != ANY_CHANNEL else [one for all in hashes.values() for one in all]
                entries |= {SuppressionEntry(hash, channel, *word) for hash in concerned}
    add_suppressions(conn, sorted(entries, key=lambda entry: (entry.hash, entry.channel, entry.at, entry.reason)))


_E = s.event.c
_COLUMNS = ("person", "name", "id", "at", "received_at", "properties")
_MOVED: ColumnElement[int] = bindparam("b_survivor", type_=BigInteger)
_KEEP = (
    insert(s.event)
    .prefix_with("OR IGNORE")
    .from_select(_COLUMNS, select(_MOVED, *(_E[name] for name in _COLUMNS[1:])).where(_E.person == bindparam("b_other")))
)
_ENDING = (
    select(s.event_name.c.name, _E.id, _E.at, _E.properties)
    .join(s.event_name, s.event_name.c.id == _E.name)
    .where(_E.person == bindparam("person"), in_list(s.event_name.c.name, "names"), _E.at > bindparam("since"))
    .order_by(_E.at, _E.id)
)
_GONE = delete(s.event).where(_E.person == bindparam("b_person"))
_REACTIONS = update(s.feedback).where(s.feedback.c.person == bindparam("b_other")).values(person=bindparam("b_survivor"))


def _inherit_events(conn: Connection, theirs: KnownRow, mine: KnownRow, now: Instant) -> None:
    """What either did, both did: it ends the walks of either as if that had been known at once."""
    rows = [*_as_done_by(conn, theirs, mine, now), *_as_done_by(conn, mine, theirs, now)]
    many(conn, _KEEP, ("b_survivor", "b_other"), [(mine.id, theirs.id)])
    many(conn, _GONE, ("b_person",), [(theirs.id,)])
    note_inherited(conn, rows, now)


def _as_done_by(conn: Connection, one: KnownRow, other: KnownRow, now: Instant) -> Sequence[EventRow]:
    """What of one's may end a walk of the other."""
    since = watched_since(conn, other.id, now)
    if since is None:
        return ()
    found = fetch(conn, _ENDING, ("person", "names", "since"), (one.id, ids(sorted(ending_events(conn))), since))
    return [EventRow(other.id, other.key, name, number, at, said) for name, number, at, said in found]
