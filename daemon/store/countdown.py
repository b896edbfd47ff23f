"""When the offer that a message brought ends: what the image that counts down shows. Reads only."""

from __future__ import annotations

from sqlalchemy import Connection, and_, bindparam, select

from daemon.model.delivery import Instant
from daemon.store import schema as s
from daemon.store.sql import fetch

_D, _I = s.delivery.c, s.issue.c
_MESSAGE = (
    select(_I.ends_at, s.recipient.c.locale)
    .select_from(s.delivery)
    .join(s.wave, s.wave.c.id == _D.wave)
    .join(s.recipient, s.recipient.c.id == _D.person)
    .where(_D.id == bindparam("delivery"), _I.ends_at.is_not(None))
)
_ENDS = _MESSAGE.join(s.issue, and_(_I.walk == _D.walk, _I.step == s.wave.c.step))
_AGAIN = (
    _MESSAGE.join(s.issue, and_(_I.person == _D.person, _I.campaign == s.wave.c.campaign))
    .where(_I.person != 0, _I.reserved_at <= _D.handed_over_at)
    .order_by(_I.id.desc())
    .limit(1)
)
"""A message that carried an open offer once more has none of its own step: it is the last one before it."""


def read_countdown(conn: Connection, delivery: int) -> tuple[Instant, str | None] | None:
    """(end of the offer, the recipient's locale); None: there is no such message, or it brought nothing that ends."""
    found = fetch(conn, _ENDS, ("delivery",), (delivery,)) or fetch(conn, _AGAIN, ("delivery",), (delivery,))
    return (found[0][0], found[0][1]) if found else None
