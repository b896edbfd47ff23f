"""INTAKE, codes: lists of codes come in for the pools of offers, line by line, and the books of what became of them are read.

A list has a code a line, or is CSV with a column `code`. Bad lines and codes that are there already are named and never stop good ones;
the same list again changes nothing. What was held for want of a code goes on at once.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from daemon.clock import Clock
from daemon.config.values import BadValue, parse_name
from daemon.errors import UsageError
from daemon.intake.suppressing import lines_of
from daemon.journey.codes import fault, normal
from daemon.model.job import RowError
from daemon.store.campaigns import must_know
from daemon.store.codes import Added, NewCode, Pool, add_codes, list_pools, pools_that_differ, wake_for_codes
from daemon.store.issued import IssuedCode, issued_codes
from daemon.store.redemptions import Line, Strange, books, strange_uses, unbalanced
from daemon.store.writer import Lane, Writes

CHUNK = 500
KEPT_ERRORS = 100
COLUMN = "code"
_HEADER = re.compile(r"((promo(tion)?|discount|offer)[ _-]?)?(coupon|voucher|code)s?([ _-]?codes?)?", re.IGNORECASE)
"""What exports call such a column: it would be given to a customer."""


@dataclass(slots=True, kw_only=True)
class Stocked:
    """What became of a list. `known`: were there already; `errors`: the first of what is wrong, by line; `woken`: deliveries that waited
    for a code and are due now."""

    pool: str
    rows: int = 0
    added: int = 0
    known: int = 0
    rejected: int = 0
    woken: int = 0
    free: int = 0
    errors: list[RowError] = field(default_factory=list)

    def say(self, line: int, code: str, detail: str) -> None:
        if len(self.errors) < KEPT_ERRORS:
            self.errors.append(RowError(line=line, code=code, detail=detail))


class Books(NamedTuple):
    """`wrong`: sentences about counts that do not add up; empty when all is well."""

    lines: list[Line]
    pools: list[Pool]
    wrong: list[str]


class Stocking:
    """The door of codes. `changed`: something waiting has become due."""

    def __init__(self, *, store: Writes, clock: Clock, changed: Callable[[], None]) -> None:
        self._store, self._clock, self._changed = store, clock, changed

    async def take(self, pool: str, body: AsyncIterable[bytes]) -> Stocked:
        """Read lines and put their codes into a pool. UsageError for what is no name of a pool."""
        try:
            done = Stocked(pool=parse_name(pool))
        except BadValue as error:
            raise UsageError(f"the pool: {error.what}") from None
        waiting: dict[str, NewCode] = {}
        column: _Column | None = None
        number = 0
        async for line in lines_of(body):
            number += 1
            text = line.strip(b"\xef\xbb\xbf \t\r").decode("utf-8", "replace")
            if number == 1 and (column := _Column.of(text)) is not None:
                continue
            if text:
                done.rows += 1
                self._read(number, column.take(text) if column else text, waiting, done)
            if len(waiting) >= CHUNK:
                await self._commit(waiting, done)
        await self._commit(waiting, done)
        await self._wake(done)
        done.errors.sort(key=lambda error: error.line or 0)
        return done

    def _read(self, line: int, text: str, waiting: dict[str, NewCode], done: Stocked) -> None:
        """One code of a list."""
        said = text.strip()
        wrong = fault(said)
        if line == 1 and _HEADER.fullmatch(said):
            wrong = f"is the name of a column: call it {COLUMN}"
        if wrong is None and said[0] == said[-1] == '"':
            wrong = f"stands in quotes: a list in CSV begins with the names of its columns, one of them {COLUMN}"
        if wrong is None and said.startswith(('{"', "[")):
            wrong = "is JSON: a list has a code a line, or is CSV"
        if wrong is None and ("," in said or ";" in said):
            wrong = f"has a comma or semicolon: a list of several columns begins with their names, one of them {COLUMN}"
        code = normal(said)
        if wrong is not None or code is None:
            done.rejected += 1
            done.say(line, "code_invalid", f"{said[:40]!r} {wrong or 'is no code'}")
        elif code in waiting:
            done.known += 1
            done.say(line, "duplicate", f"{said} stands in line {waiting[code].line} already")
        else:
            waiting[code] = NewCode(line, code, said)

    async def _commit(self, waiting: dict[str, NewCode], done: Stocked) -> None:
        if not waiting:
            return
        added: Added = await self._store.write(Lane.INTAKE, add_codes, done.pool, tuple(waiting.values()), self._clock.instant())
        lines = {each.line: each.said for each in waiting.values()}
        done.added += added.added
        done.known += len(added.known)
        for line, what in added.known:
            done.say(line, "duplicate", f"{lines[line]} {what}")
        waiting.clear()

    async def _wake(self, done: Stocked) -> None:
        after: int | None = 0
        while after is not None and done.added:
            woken, after = await self._store.write(Lane.INTAKE, wake_for_codes, done.pool, after, self._clock.instant())
            done.woken += woken
        if done.woken:
            self._changed()
        pools = await self._store.read(list_pools)
        done.free = next((pool.free for pool in pools if pool.name == done.pool), 0)

    async def books(self, campaign: str | None = None) -> Books:
        """Each offer that was issued, by state, and each pool; with whatever does not add up. NotFoundError: no such campaign."""
        if campaign is not None:
            await self._store.read(must_know, campaign)
        lines = await self._store.read(books, campaign)
        wrong = [f"{name}, {offer}: {off} issued in no known state" for (name, offer), off in unbalanced(lines).items()]
        differ = await self._store.read(pools_that_differ)
        wrong += [f"pool {name or 'of codes made here'}: {kept.free} of {kept.total} kept, {true.free} of {true.total} there"
                  for name, (kept, true) in sorted(differ.items())]  # fmt: skip
        return Books(lines, await self._store.read(list_pools), wrong)

    async def strange(self, after: tuple[str, str], limit: int) -> list[Strange]:
        """Uses of codes that the books do not explain, behind (code, order)."""
        return await self._store.read(strange_uses, after, limit)

    async def codes(self, after: int, limit: int, campaign: str | None, offer: str | None, state: str | None) -> list[IssuedCode]:
        """Codes that were given out, behind the issue `after`; `state` as for `issued_codes`. NotFoundError: no such campaign."""
        if campaign is not None:
            await self._store.read(must_know, campaign)
        return await self._store.read(functools.partial(issued_codes, campaign=campaign, offer=offer, state=state), after, limit)


class _Column(NamedTuple):
    """Where in a line of CSV the code stands."""

    place: int
    sign: str

    @classmethod
    def of(cls, header: str) -> _Column | None:
        """None: the first line is no header."""
        sign = max(",;\t", key=header.count)
        names = [name.strip().casefold() for name in next(csv.reader([header], delimiter=sign), [])]
        return cls(names.index(COLUMN), sign) if COLUMN in names else None

    def take(self, line: str) -> str:
        cells = next(csv.reader([line], delimiter=self.sign), [])
        return cells[self.place] if self.place < len(cells) else ""
