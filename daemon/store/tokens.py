"""Bearer tokens of the API: made by an operator, shown once, kept as SHA-256 only (contract: HTTP).

A token is 256 random bits, so its plain digest cannot be searched for; the look-up is by digest and the comparison takes the
same time for any wrong one. Scopes are AREA:read or AREA:write; `admin` has all areas.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from daemon.errors import NotFoundError, UsageError, nearest
from daemon.model.delivery import Instant
from daemon.store import schema as s

AREAS = ("jobs", "recipients", "events", "reports", "operate", "admin")
SCOPES = tuple(f"{area}:{mode}" for area in AREAS for mode in ("read", "write"))
SECRET_BYTES = 32
PREFIX = "homing_"
NAME_LIMIT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """A token without its secret."""

    name: str
    scopes: frozenset[str]
    created_at: Instant
    revoked_at: Instant | None = None


def digest(text: str) -> bytes:
    """What the store keeps of a token."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def spell(secret: bytes) -> str:
    """The text that is shown once: `homing_` and 43 characters."""
    return PREFIX + base64.urlsafe_b64encode(secret).rstrip(b"=").decode("ascii")


def check_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes if all exist and there is one. Raises UsageError that names the nearest."""
    wanted = frozenset(scopes)
    for scope in sorted(wanted - set(SCOPES)):
        near = nearest(scope, SCOPES)
        hint = f'; did you mean "{near}"?' if near else f"; scopes are {', '.join(SCOPES)}"
        raise UsageError(f'unknown scope "{scope}"{hint}')
    if not wanted:
        raise UsageError(f"a token needs at least one scope of {', '.join(SCOPES)}")
    return wanted


def allows(held: frozenset[str], needed: str) -> bool:
    """`admin:write` allows everything, `admin:read` all reading; else the scope itself is needed."""
    return needed in held or "admin:write" in held or (needed.endswith(":read") and "admin:read" in held)


_BY_HASH = select(s.token.c.hash, s.token.c.name, s.token.c.scopes, s.token.c.created_at, s.token.c.revoked_at)


def create_token(conn: Connection, *, name: str, scopes: frozenset[str], secret: bytes, now: Instant) -> str:
    """Keep a new token and give its text, which nobody can read again. `secret`: SECRET_BYTES of `Ids.token_bytes`.

    Raises UsageError if the name is empty, too long or taken by a token that is not revoked.
    """
    if not name or len(name) > NAME_LIMIT or not name.isprintable():
        raise UsageError(f"a token's name has 1 to {NAME_LIMIT} printable characters")
    taken = conn.execute(select(s.token.c.name).where(s.token.c.name == name, s.token.c.revoked_at.is_(None))).first()
    if taken is not None:
        raise UsageError(f'there is a token named "{name}" already; revoke it first or choose another name')
    text = spell(secret)
    conn.execute(insert(s.token).values(hash=digest(text), name=name, scopes=" ".join(sorted(scopes)), created_at=now))
    return text


def list_tokens(conn: Connection) -> list[TokenRow]:
    """All tokens, revoked ones too, oldest first."""
    return [_row(row) for row in conn.execute(_BY_HASH.order_by(s.token.c.created_at, s.token.c.name))]


def revoke_token(conn: Connection, *, name: str, now: Instant) -> TokenRow:
    """The token stops working at commit. Raises NotFoundError if none of that name is in force."""
    row = conn.execute(_BY_HASH.where(s.token.c.name == name, s.token.c.revoked_at.is_(None))).first()
    if row is None:
        raise NotFoundError(f'no token in force is named "{name}"')
    conn.execute(update(s.token).where(s.token.c.hash == row.hash).values(revoked_at=now))
    return dataclasses.replace(_row(row), revoked_at=now)


def find_token(conn: Connection, wanted: bytes) -> TokenRow | None:
    """The token in force with this digest, or None: for no token, a wrong one and a revoked one alike."""
    row = conn.execute(_BY_HASH.where(s.token.c.hash == bindparam("wanted")), {"wanted": wanted}).first()
    found = row.hash if row is not None else bytes(len(wanted))
    same = hmac.compare_digest(found, wanted)
    return _row(row) if row is not None and same and row.revoked_at is None else None


def _row(row: Any) -> TokenRow:
    return TokenRow(name=row.name, scopes=frozenset(row.scopes.split()), created_at=row.created_at, revoked_at=row.revoked_at)
