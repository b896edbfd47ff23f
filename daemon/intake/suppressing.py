"""INTAKE, suppressions: lists of addresses that must get nothing come in, line by line, and are kept as keyed hashes only.

A line is an address, or JSON: `{"address", "channel"?, "scope"?, "reason"?, "source"?}`. Bad lines are named and never stop good
ones. The same list again changes nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from daemon.clock import Clock
from daemon.errors import NotFoundError, UsageError
from daemon.intake.addresses import EMAIL, AddressError, address_hash, parse_address
from daemon.intake.parse import loads, show
from daemon.model.delivery import Reason
from daemon.model.job import RowError
from daemon.store.suppressions import ALL, ANY_CHANNEL, MARKETING, SuppressionEntry, SuppressionRow, add_suppressions, list_suppressions
from daemon.store.suppressions import remove_suppression as remove_row
from daemon.store.writer import Lane, Writes

CHUNK = 500
KEPT_ERRORS = 100
MAX_LINE = 4096
REASONS = (Reason.SUPPRESSED, Reason.BOUNCED, Reason.COMPLAINED)
_KEYS = frozenset({"address", "channel", "scope", "reason", "source"})


@dataclass(slots=True, kw_only=True)
class Taken:
    """What became of a list. `errors`: the first of them."""

    rows: int = 0
    added: int = 0
    known: int = 0
    rejected: int = 0
    errors: list[RowError] = field(default_factory=list)

    def reject(self, line: int, code: str, detail: str) -> None:
        self.rejected += 1
        if len(self.errors) < KEPT_ERRORS:
            self.errors.append(RowError(line=line, code=code, detail=detail))


class Suppressing:
    """The list's door. `pepper`: the secret of the hashes."""

    def __init__(self, *, store: Writes, pepper: bytes, clock: Clock) -> None:
        self._store, self._pepper, self._clock = store, pepper, clock

    async def take(self, body: AsyncIterable[bytes], defaults: Mapping[str, Any]) -> Taken:
        """Read lines and suppress their addresses. `defaults`: channel, scope, reason, source where a line names none."""
        taken = Taken()
        waiting: list[SuppressionEntry] = []
        number = 0
        async for line in lines_of(body):
            number += 1
            text = line.strip(b"\xef\xbb\xbf \t\r")
            if not text:
                continue
            taken.rows += 1
            try:
                waiting.append(self._entry(text.decode(), defaults))
            except UnicodeDecodeError:
                taken.reject(number, "encoding", "not UTF-8")
            except ValueError as error:
                taken.reject(number, error.code if isinstance(error, AddressError) else "line_invalid", str(error))
            if len(waiting) >= CHUNK:
                await self._commit(waiting, taken)
        await self._commit(waiting, taken)
        return taken

    async def _commit(self, waiting: list[SuppressionEntry], taken: Taken) -> None:
        if waiting:
            added = await self._store.write(Lane.EXIT, add_suppressions, tuple(waiting))
            taken.added += added
            taken.known += len(waiting) - added
            waiting.clear()

    def _entry(self, text: str, defaults: Mapping[str, Any]) -> SuppressionEntry:
        given = loads(text) if text.startswith("{") else {"address": text}
        for key in given:
            if key not in _KEYS:
                raise ValueError(f"unknown key {show(key)}; a line has {', '.join(sorted(_KEYS))}")
        values = {key: value for key, value in {**defaults, **given}.items() if value is not None}
        if any(not isinstance(value, str) for value in values.values()) or "address" not in values:
            raise ValueError('a line is an address, or {"address": ..} with texts')
        if any(not value.isprintable() for key, value in values.items() if key != "address"):
            raise ValueError("a control or other character that is no text")
        if not any(char == "@" or char.isdigit() for char in values["address"]):
            raise AddressError("neither an e-mail address nor a phone number")
        kind, address = parse_address(values["address"])
        scope, reason = values.get("scope", ALL), values.get("reason", Reason.SUPPRESSED)
        if scope not in (MARKETING, ALL):
            raise ValueError(f'scope is "{MARKETING}" or "{ALL}"')
        if reason not in REASONS:
            raise ValueError(f"reason is one of {', '.join(REASONS)}")
        channel = values.get("channel", "email" if kind == EMAIL else ANY_CHANNEL)
        hashed = address_hash(self._pepper, kind, address)
        return SuppressionEntry(hashed, channel, scope, str(reason), self._clock.instant(), values.get("source", "import"))

    async def remove(self, address: str, channel: str | None) -> list[SuppressionRow]:
        """Lift the suppression of one address. UsageError for what is no address, NotFoundError when it is not on the list."""
        try:
            kind, kept = parse_address(address)
        except AddressError as error:
            raise UsageError(str(error)) from None
        gone = await self._store.write(Lane.EXIT, remove_row, address_hash(self._pepper, kind, kept), channel)
        if not gone:
            raise NotFoundError("this address is not on the suppression list")
        return gone

    async def page(self, after: tuple[bytes, str] | None, limit: int) -> list[SuppressionRow]:
        return await self._store.read(list_suppressions, after, limit)


async def lines_of(body: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The lines of a body, whatever pieces it comes in; an endless one is cut."""
    rest = b""
    async for piece in body:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line[:MAX_LINE]
        rest = rest[: MAX_LINE + 1]
    if rest:
        yield rest[:MAX_LINE]
