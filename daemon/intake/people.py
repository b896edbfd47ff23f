"""INTAKE, people: recipients that come by themselves, without a job; what is known of one; and erasing one.

The same rules as for a job's row, by the same code: only what a row names is changed, null clears, consent needs its time and source, and
a bad row never stops a good one. Comes from `daemon/web`, ends in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daemon.clock import Clock
from daemon.errors import IntakeError, NotFoundError
from daemon.intake.body import plan_row
from daemon.intake.parse import Item
from daemon.intake.rows import Fields, RowChecker
from daemon.intake.tracker import REFUSED, Tracker
from daemon.model.delivery import Instant
from daemon.model.job import RowError
from daemon.store.erase import Erased, erase_recipient
from daemon.store.profiles import read_profile
from daemon.store.recipients import RecipientView, read_recipient
from daemon.store.tracking import Message
from daemon.store.writer import Lane, Writes
from plugins.contract import Log


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """`profile`: the columns of the table, None = no event is known. `at`: when it was read."""

    view: RecipientView
    profile: Mapping[str, Any] | None
    at: Instant


@dataclass(slots=True, kw_only=True)
class Imported:
    """`lines` of `errors`: of the body, from 1."""

    rows: int = 0
    kept: int = 0
    rejected: int = 0
    errors: list[RowError] = field(default_factory=list)


class People:
    """The door. `tracker` writes; `woken`: waiting deliveries became due."""

    def __init__(
        self, *, store: Writes, pepper: bytes, clock: Clock, log: Log, tracker: Tracker, woken: Callable[[], None] = lambda: None
    ) -> None:
        self._store, self._pepper, self._clock, self._log, self._tracker, self._woken = store, pepper, clock, log, tracker, woken

    async def put(self, key: str, row: Any) -> Person:
        """Set what the row names. IntakeError names each wrong field; NotFoundError if the recipient was erased."""
        if isinstance(row, dict) and row.get("id", key) != key:
            raise IntakeError("invalid-job", "the body's id is not the path's")
        value = {**row, "id": key} if isinstance(row, dict) else None
        checked = self._checked(Item(1, value, True, "type", "a recipient is a JSON object"))
        if not isinstance(checked, Message):
            raise IntakeError("invalid-job", f"the recipient is not valid: {checked[0].detail}", checked)
        [how] = await self._tracker.commit([checked])
        if how != "kept":
            raise NotFoundError(REFUSED[how])
        return await self.show(key)

    async def take(self, items: Sequence[Item]) -> Imported:
        """Many rows; bad ones are named."""
        done = Imported(rows=len(items))
        messages: list[Message] = []
        lines: list[int] = []
        for item in items:
            checked = self._checked(item)
            if isinstance(checked, Message):
                messages.append(checked)
                lines.append(item.line)
            else:
                done.rejected += 1
                done.errors += checked
        for line, message, how in zip(lines, messages, await self._tracker.commit(messages), strict=True):
            done.kept += how == "kept"
            if how != "kept":
                done.rejected += 1
                key = message.trait.key if message.trait is not None else None
                done.errors.append(RowError(line=line, recipient=key, code=how, detail=REFUSED[how]))
        done.errors.sort(key=lambda error: error.line or 0)
        return done

    def _checked(self, item: Item) -> Message | list[RowError]:
        fields = RowChecker(self._clock.instant()).fields(item)
        if not isinstance(fields, Fields):
            return fields
        if fields.vars:
            detail = "belong to a job; what is of the recipient goes into traits"
            return [RowError(line=item.line, recipient=fields.id, field="vars", code="unknown_field", detail=detail)]
        return Message(trait=plan_row(item.line, fields, self._pepper))

    async def show(self, key: str) -> Person:
        """NotFoundError if there is none."""
        now = self._clock.instant()
        view = await self._store.read(read_recipient, key)
        if view is None:
            raise NotFoundError("no recipient has this id")
        return Person(view=view, profile=await self._store.read(read_profile, view.recipient.id, now), at=now)

    async def erase(self, key: str, *, source: str) -> Erased:
        """In force when it returns. NotFoundError if there is none."""
        done = await self._store.write(Lane.EXIT, erase_recipient, key, now=self._clock.instant(), source=source)
        if done is None:
            raise NotFoundError("no recipient has this id")
        self._log.info("recipient_erased", fresh=done.fresh, dropped=done.dropped, woken=done.woken)
        if done.woken:
            self._woken()
        return done
