"""What became of batches that a platform took and answers later: asked for, and ended in any case.

A part of a platform's exchange (`dispatch.exchange`). A result that does not come within two days never does: additions then stand as
they were taken, and removals, which are owed, are asked for again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from daemon.clock import Clock
from daemon.metrics import Metrics
from daemon.model.delivery import HOUR, MINUTE, SECOND, Instant
from daemon.store import audience_batches as b
from daemon.store import audience_results as results
from daemon.store.audience_marks import note_failures
from daemon.store.writer import Lane, Writes
from plugins.audience import AudienceChannel, Polled
from plugins.contract import Log

CALL_SECONDS = 300.0
FAILED_PAUSE = 10 * MINUTE
PAUSE = 60 * SECOND
"""After a Deferred that names no time, and before a removal that came to nothing is tried again."""
LONGEST = 48 * HOUR
"""A result is waited for no longer, from when the batch was taken."""
NEVER_TOLD = "the platform never said what became of it"


class Proving:
    """`poll(batches)` asks for the results of these, each of them in the state `sent`."""

    def __init__(
        self, *, provider: str, channel: AudienceChannel, store: Writes, clock: Clock, log: Log, metrics: Metrics
    ) -> None:  # fmt: skip
        self._provider, self._channel, self._store = provider, channel, store
        self._clock, self._log, self._metrics = clock, log, metrics

    async def poll(self, batches: Sequence[b.Batch]) -> None:
        now = self._clock.instant()
        asked = {batch.request: batch for batch in batches if batch.request}
        poll: Any = getattr(self._channel, "poll", None)
        answered = True
        try:
            async with asyncio.timeout(CALL_SECONDS):
                told_of: Sequence[Polled] = await poll(list(asked)) if poll is not None else ()
        except Exception as error:  # noqa: BLE001 - plugin isolation: asked again
            self._log.warning("poll_failed", error=type(error).__name__)
            told_of, answered = (), False
        answers = {each.request: each for each in told_of}
        for request, batch in asked.items():
            await self._proved(batch, answers.get(request), now, may_end=answered)

    async def _proved(self, batch: b.Batch, answer: Polled | None, now: Instant, *, may_end: bool) -> None:
        state = "processing" if answer is None else answer.state
        if answer is None or state == "processing":
            if may_end and now - (batch.sent_at or batch.began_at) > LONGEST:
                state = "unknown"
                await self._give_up(batch, now)
            else:
                waited = max(now - batch.next_at, 0) + int(self._channel.capabilities.poll_seconds * SECOND)
                await self._store.write(Lane.BULK, b.put_off, batch.id, now + min(waited, 30 * MINUTE), detail="processing", burnt=False)
        elif state in ("success", "partial"):
            await self._store.write(
                Lane.BULK, results.finish, batch, received=answer.received, failed=answer.failed, detail=answer.detail, now=now
            )  # fmt: skip
            for reason, n in answer.failed.items():
                self._metrics.audience_refused(self._provider, reason, n)
        else:
            detail = answer.detail or f"{state}: {', '.join(answer.failed) or 'the platform says no more'}"
            next_at = now + (FAILED_PAUSE if batch.adds else PAUSE)
            await self._store.write(Lane.BULK, results.fail_batch, batch, detail=detail, next_at=next_at)
            await self._store.write(Lane.BULK, note_failures, batch.audience, {f"batch_{state}": batch.members}, now)
            self._log.error("audience_batch_failed", audience=batch.name, members=batch.members, detail=detail)
        self._metrics.audience_batch(self._provider, f"result_{state}")

    async def _give_up(self, batch: b.Batch, now: Instant) -> None:
        """Nobody is asked any more. Who was added counts as being there, so is taken out by its handle in the end."""
        self._log.error("audience_batch_unproved", audience=batch.name, adds=bool(batch.adds), members=batch.members)
        if batch.adds:
            await self._store.write(Lane.BULK, results.finish, batch, received=None, failed={}, detail=NEVER_TOLD, now=now)
        else:
            await self._store.write(Lane.BULK, results.fail_batch, batch, detail=NEVER_TOLD, next_at=now + PAUSE)
