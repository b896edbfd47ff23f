"""What a line must bring to the store: outcomes of send calls, what is given back unsent, rows that need not wait any longer.

A store that is out of reach for a while (full disk) is asked again: what is known must not end as a doubt, and what was not sent must not
stay claimed, in nobody's hands. When the daemon ends it is asked a few times more; what it cannot take then the next start settles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from daemon.clock import Clock
from daemon.dispatch.outcome import given_back
from daemon.dispatch.session import SendSession
from daemon.dispatch.work import Envelope
from daemon.errors import StoreUnavailableError
from daemon.model.delivery import Decision
from daemon.pacing.destinations import Waiting
from daemon.store.due import bring_forward
from daemon.store.flight import Flights, Step
from daemon.store.writer import Lane, Writes
from plugins.contract import Log

RECORD_SECONDS = 1.0
"""How soon outcomes are brought to the store again that it could not take."""
LAST_TRIES = 3
"""So often it is asked when the daemon ends."""


class Records:
    """`wake`: something is due that was not. `log` knows the provider."""

    def __init__(self, *, store: Writes, flights: Flights, clock: Clock, log: Log, wake: Callable[[], None]) -> None:
        self._store, self._flights, self._clock, self._log, self._wake = store, flights, clock, log, wake
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False

    def end(self) -> None:
        """The daemon ends: what the store cannot take now is left to the next start."""
        self._ending = True

    async def settled(self) -> None:
        """What was begun by `soon` has been recorded."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def soon(
        self, envelopes: Sequence[Envelope], turns: Sequence[Decision] = (), sessions: Sequence[SendSession] = (),
        freed: Sequence[Waiting] = (),
    ) -> None:  # fmt: skip
        """`give_back` beside everything else."""
        task = asyncio.get_running_loop().create_task(self.give_back(envelopes, turns, sessions, freed))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def give_back(
        self, envelopes: Sequence[Envelope], turns: Sequence[Decision] = (), sessions: Sequence[SendSession] = (),
        freed: Sequence[Waiting] = (),
    ) -> None:  # fmt: skip
        """Claimed and not begun: due again, at once or at their `turns`. `sessions`: what they know is recorded too. `freed`: rows that
        wait for turns and are due now."""
        now = self._clock.instant()
        rest = [given_back(envelope, now, turns[place] if turns else None) for place, envelope in enumerate(envelopes)]

        async def record() -> None:
            if rest:
                await self._store.join(Lane.HANDOVER, self._flights.step, Step(outcomes=rest))
            for session in sessions:
                await session.flush()
            if freed:
                await self._store.write(Lane.BULK, bring_forward, freed, now)

        try:
            await self._until_taken(record)
        except StoreUnavailableError as failure:
            self._log.error("outcomes_not_recorded", error=str(failure))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake()
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._log.error("outcomes_not_recorded", error=f"{type(failure).__name__}: {failure}")

    async def finish(self, session: SendSession, error: str | None) -> None:
        """A send call is over: what it left open is settled, also when its sender is cancelled meanwhile."""
        try:
            try:
                await self._until_taken(lambda: session.finish(error))
            except asyncio.CancelledError:
                await self._until_taken(lambda: session.finish(error))  # what the store had not answered is said again; twice is harmless
                raise
        except Exception as failure:  # noqa: BLE001 - supervision: the flights stay, and the next start puts them in doubt
            self._log.error("outcomes_not_recorded", error=f"{type(failure).__name__}: {failure}")

    async def _until_taken(self, record: Callable[[], Awaitable[None]]) -> None:
        """Ask the store until it takes it; StoreUnavailableError: the daemon ends, and it did not in its last tries."""
        tries = LAST_TRIES
        while True:
            try:
                return await record()
            except StoreUnavailableError as failure:
                tries -= self._ending
                if not tries:
                    raise
                self._log.error("outcomes_put_off", error=str(failure))
                await self._clock.sleep(RECORD_SECONDS)


def is_cancelled() -> bool:
    """We are asked to stop; else a plugin let a cancellation of its own escape: that must not cost the line its sender."""
    return (task := asyncio.current_task()) is None or task.cancelling() > 0
