"""Web: who may do what. Bearer tokens with scopes on TCP; on the control socket the kernel vouches for the user.

No, a malformed, a wrong and a revoked token get the same 401 after the same work (B33). Only those are counted against their
sender: a good token is never told to wait. A found token is kept for a second, so a scraper with one costs no look-up a scrape.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from daemon.clock import Clock
from daemon.store.tokens import PREFIX, TokenRow, allows, digest, find_token
from daemon.store.writer import Writes
from daemon.web.addresses import Networks, Strikes, client_of
from daemon.web.connection import Connection
from daemon.web.problems import ProblemError

KEPT_SECONDS = 1.0
MOST_KEPT = 1000
MOST_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks. `name` goes to the log: the token's, or `uid:N`."""

    name: str
    scopes: frozenset[str]


class Access:
    """The admin listener's door."""

    def __init__(self, store: Writes, clock: Clock, trusted: Networks, bad_tokens: int) -> None:
        self._store, self._clock, self._trusted = store, clock, trusted
        self._strikes = Strikes(clock, bad_tokens)
        self._kept: dict[bytes, tuple[float, TokenRow]] = {}

    async def admit(self, request: web.Request, scope: str, *, key: str | None = None) -> Caller:
        """The caller, if `scope` is among what it may do. `key`: the token, where it does not stand in the head as a bearer. Raises 401,
        403 or (after many wrong tokens) 429."""
        uid = request.protocol.uid if isinstance(request.protocol, Connection) else None
        if uid is not None:
            return Caller(name=f"uid:{uid}", scopes=frozenset({"admin:write"}))
        row = await self._find(_bearer(request) if key is None else _token(key))
        if row is None:
            wait = self._strikes.strike(client_of(request, self._trusted))
            if wait:
                raise ProblemError("rate-limited", "too many requests with a wrong token", headers={"Retry-After": str(round(wait))})
            raise ProblemError("unauthorized", "the request has no valid bearer token")
        if not allows(row.scopes, scope):
            raise ProblemError("forbidden", f"this needs a token with the scope {scope}")
        return Caller(name=row.name, scopes=row.scopes)

    def forget(self) -> None:
        """Tokens were changed."""
        self._kept.clear()

    async def _find(self, text: str) -> TokenRow | None:
        wanted = digest(text)
        now = self._clock.monotonic()
        kept = self._kept.get(wanted)
        if kept is not None and now - kept[0] < KEPT_SECONDS:
            return kept[1]
        row = await self._store.read(find_token, wanted)
        if row is not None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[wanted] = (now, row)
        return row


def _bearer(request: web.BaseRequest) -> str:
    """The token's text; "" (which no token is) when there is none, or two, or it is no text a token could be."""
    given = request.headers.getall("Authorization", [])
    scheme, _, text = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return _token(text) if scheme.lower() == "bearer" else ""


def _token(text: str) -> str:
    text = text.strip()
    return text if text.startswith(PREFIX) and len(text) <= MOST_CHARACTERS else ""
