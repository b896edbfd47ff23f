"""One advertising platform's exchange: fills batches with differences, sends them until they are taken, asks what became of them.

A bulkhead: each platform has an exchange with its own breaker, rate and pause; none waits for another, and none touches the sending lines.
All that it knows is in the store (`audience_batches`), so whatever is cut off is gone on with: the same batch, the same place in its
series. Members are hashed and written some hundreds at a time, so neither the loop nor the writer is held for more than some milliseconds.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

from daemon.clock import Clock
from daemon.dispatch.proving import CALL_SECONDS, PAUSE, Proving
from daemon.ids import Ids
from daemon.metrics import Metrics
from daemon.model.delivery import HOUR, MINUTE, SECOND, Instant, Reason
from daemon.model.words import cut
from daemon.pacing.backoff import Backoff
from daemon.pacing.breaker import Breaker
from daemon.pacing.bucket import Bucket
from daemon.store import audience_batches as b
from daemon.store import audience_results as results
from daemon.store.audience_marks import set_remote_id, trouble
from daemon.store.audience_read import note_size, to_be_sized
from daemon.store.audiences import Leaving, address_of, unwant_members
from daemon.store.writer import Lane, Writes
from plugins.audience import Audience, AudienceChannel, Member, RowRefused, SessionLost, Size, Synced
from plugins.contract import Deferred, Log, Rejected, Unknown
from plugins.http import retry_after

SLICE = 400
"""Members that are read, hashed and boarded at a time; one transaction of some 8 ms."""
PAGE = 2000
RETRIES = Backoff(base=4 * SECOND, factor=3, longest=15 * MINUTE, least=SECOND)
SIZED_EVERY = HOUR
POLLED = 20
End = Synced | SessionLost | Deferred | Rejected | Unknown


def member_of(rider: b.Rider) -> Member:
    """The person as the plugin gets it: names and places from its traits, consent as it was recorded for the channel."""
    traits: Any = json.loads(rider.traits) if rider.traits else {}

    def trait(*names: str) -> str | None:
        return next((str(value) for name in names if isinstance(value := traits.get(name), str | int) and value != ""), None)

    said: Any = "granted" if rider.granted == "granted" else "unknown"
    return Member(
        rider.key or "", rider.email, rider.phone, trait("first_name"), trait("last_name"), rider.country, trait("city"),
        trait("state", "province"), trait("postal", "postal_code", "zip"), said, said,
    )  # fmt: skip


class Exchange:
    """`stopped`: why an operator must see to it; `again()` takes that away, and every pause. `work` does all that there is to do now."""

    def __init__(
        self, *, provider: str, channel: AudienceChannel, store: Writes, clock: Clock, ids: Ids, log: Log, metrics: Metrics, bucket: Bucket,
        stopping: Callable[[], bool], holds: Callable[[], Collection[str]] = tuple,
    ) -> None:  # fmt: skip
        """`holds`: what holds all sending now (`dispatch.gate`). Then nobody is added; removals go on, unless this store may be a copy."""
        self.provider, self.channel, self.bucket = provider, channel, bucket
        self.breaker = Breaker()
        self.stopped: str | None = None
        self.rests_until: Instant = 0
        self._store, self._clock, self._ids = store, clock, ids
        self._log, self._metrics, self._stopping, self._holds = log.bind(provider=provider), metrics, stopping, holds
        self._proving = Proving(provider=provider, channel=channel, store=store, clock=clock, log=self._log, metrics=metrics)

    def again(self) -> None:
        """An operator wants it tried again at once."""
        self.stopped, self.rests_until, self.breaker = None, 0, Breaker()

    async def work(self) -> None:
        """Turn after turn, until nothing is left that can be done now."""
        while not self._stopping() and await self._turn():
            pass

    async def _turn(self) -> bool:
        """One batch further. False = nothing to do, or the platform is to be left alone."""
        batches = await self._store.read(b.open_batches, self.provider)
        for batch in batches:
            await self._clear(batch)
        if not self._may_ask():
            return False
        now = self._clock.instant()
        if polled := [batch for batch in batches if batch.state == b.SENT and batch.next_at <= now]:
            await self._proving.poll(polled[:POLLED])
        for batch in batches:
            if batch.state == b.FILLING:  # a crash came in between: what is aboard goes
                await self._store.write(Lane.BULK, b.seal, batch.id, last=False)
                return True
            held = batch.adds and batch.blocked is not None
            if batch.state == b.READY and batch.next_at <= now and batch.adds in self._kinds() and not held:
                return await self._send(batch)
        return await self._begin(batches, now) or bool(polled)

    def _kinds(self) -> Sequence[int]:
        """What may be asked for now: removals (0), additions (1)."""
        holds = set(self._holds())
        if holds & {Reason.RESTORED, Reason.STORE_DAMAGED}:
            return ()
        removals = (0,) if self.channel.capabilities.removes else ()
        return removals if holds else (*removals, 1)

    def _may_ask(self) -> bool:
        now = self._clock.instant()
        if self.stopped is not None or now < self.rests_until or not self._kinds():
            return False
        return self.breaker.allowed(now) != 0 and self.bucket.available(now) != 0

    async def _clear(self, batch: b.Batch) -> None:
        """What is settled between the store and itself: nothing is asked of the platform."""
        if batch.state == b.READY and batch.adds and batch.blocked is not None:
            while unwanted := await self._store.read(b.unwanted_aboard, batch.id, SLICE):
                await self._store.write(Lane.BULK, b.set_down, batch.id, unwanted)
        if batch.state in (b.TAKEN, b.SENT):
            await self._settle(batch.id, awaited=batch.state == b.SENT)
            if batch.state == b.TAKEN:
                await self._store.write(Lane.BULK, results.end_batch, batch.id)
        elif batch.state in (b.PROVED, b.FAILED, b.GIVEN_UP):
            refused = "failed_by_platform" if batch.state == b.GIVEN_UP else None
            undone = batch.state != b.PROVED
            act, now = results.let_go_some, self._clock.instant
            while await self._store.write(Lane.BULK, act, batch.id, SLICE, now(), undone=undone, refused=refused):
                pass
            await self._store.write(Lane.BULK, results.end_batch, batch.id)

    async def _settle(self, batch: int, *, awaited: bool) -> None:
        while await self._store.write(Lane.BULK, b.settle_some, batch, SLICE, self._clock.instant(), awaited=awaited):
            pass

    # a new batch

    async def _begin(self, batches: Sequence[b.Batch], now: Instant) -> bool:
        """Fill a batch of the audience that waits longest. Additions that a platform puts off hold up no removals, nor the other way."""
        awaited = Counter(batch.audience for batch in batches if batch.state == b.SENT)
        full = {audience for audience, count in awaited.items() if count >= b.AWAITED}
        busy = {
            kind: sorted(full | {batch.audience for batch in batches if batch.adds == kind and batch.state in (b.FILLING, b.READY)})
            for kind in (0, 1)
        }
        capabilities = self.channel.capabilities
        waiting = await self._store.read(b.next_audience, self.provider, now, busy=busy, kinds=self._kinds())
        if waiting is None:
            return False
        if waiting.remote_id is None and not await self._ensure(waiting):
            return False
        total = await self._store.read(b.count_waiting, waiting.audience, waiting.adds)
        session = self._ids.rng().getrandbits(62) + 1
        number = await self._store.write(Lane.BULK, b.make_batch, waiting.audience, waiting.adds, session=session, total=total, now=now)
        last = await self._fill(number, waiting, capabilities.batch)
        await self._store.write(Lane.BULK, b.seal, number, last=last)
        return True

    async def _ensure(self, waiting: b.Waiting) -> bool:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                made = await self.channel.ensure(Audience(name=waiting.name, description=waiting.description))
        except Exception as error:  # noqa: BLE001 - plugin isolation: it may be asked again
            made = Unknown(code=type(error).__name__)
        if isinstance(made, str):
            await self._store.write(Lane.BULK, set_remote_id, waiting.audience, made)
            self._log.info("audience_made", audience=waiting.name, remote_id=made)
            return True
        now = self._clock.instant()
        if isinstance(made, Rejected):
            await self._store.write(Lane.BULK, trouble, waiting.audience, told(made), blocked=True)
            self._log.error("audience_blocked", audience=waiting.name, code=made.code, detail=made.detail)
        else:
            self._pause(made, now)
            await self._store.write(Lane.BULK, trouble, waiting.audience, told(made), next_at=now + PAUSE)
        return isinstance(made, Rejected)  # the next audience may have its turn

    async def _fill(self, batch: int, waiting: b.Waiting, most: int) -> bool:
        """Put members aboard. True = nobody is left waiting."""
        after, count = -1, 0
        while count < most:
            asked = min(SLICE, most - count)
            found = await self._store.read(b.waiting_members, waiting.audience, waiting.adds, after, asked)
            if waiting.adds and (barred := [Leaving(waiting.audience, rider.person, rider.barred) for rider in found if rider.barred]):
                await self._store.write(Lane.BULK, unwant_members, barred, self._clock.instant())
            going, refused = self._make_ready(found, waiting.adds)
            if refused:
                await self._refuse(waiting.audience, refused)
            if going:
                count += await self._store.write(Lane.BULK, b.board, batch, waiting.audience, waiting.adds, going)
            if len(found) < asked:
                return True
            after = found[-1].person
        return not await self._store.read(b.waiting_members, waiting.audience, waiting.adds, after, 1)

    def _make_ready(self, found: Sequence[b.Rider], adds: int) -> tuple[list[b.Boarding], list[tuple[int, bytes | None, str]]]:
        """(who goes, who is refused)."""
        if not adds:
            going = [b.Boarding(rider.person, b"", rider.handle) for rider in found if rider.handle]
            return going, [(rider.person, None, "never_sent") for rider in found if not rider.handle]
        going = []
        refused: list[tuple[int, bytes | None, str]] = []
        found = [rider for rider in found if not rider.barred]
        for rider, handle in zip(found, self.channel.handles([member_of(rider) for rider in found]), strict=True):
            address = address_of(rider.email_hash, rider.phone_hash)
            if handle and rider.key:
                going.append(b.Boarding(rider.person, address, handle))
            else:
                refused.append((rider.person, address, "no_match_key"))
        return going, refused

    async def _refuse(self, audience: int, refused: Sequence[tuple[int, bytes | None, str]]) -> None:
        for start in range(0, len(refused), SLICE):
            await self._store.write(Lane.BULK, b.refuse_members, audience, refused[start : start + SLICE])
        for reason in {reason for _, _, reason in refused}:
            self._metrics.audience_refused(self.provider, reason, sum(1 for each in refused if each[2] == reason))

    # sending

    async def _send(self, batch: b.Batch) -> bool:
        """Ask the platform to take a whole batch. False = leave it alone for now."""
        aboard = await self._load(batch)
        members = [member for _, _, member in aboard.values()]
        audience = Audience(
            name=batch.name, description=batch.description, remote_id=batch.remote_id, session=batch.session, sequence=batch.sequence,
            last=bool(batch.last), total=max(batch.total, len(members)),
        )  # fmt: skip
        reported: list[Any] = []
        began = self._clock.monotonic()
        self.bucket.reserve(self._clock.instant())
        end: End = Synced()
        if members:
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    add, remove = (members, ()) if batch.adds else ((), members)
                    await self.channel.sync(audience, add, remove, reported.append)
                end = next((each for each in reported if isinstance(each, End)), Unknown(code="unreported"))
            except Exception as error:  # noqa: BLE001 - plugin isolation: the batch is sent again
                end = Unknown(code=type(error).__name__, detail=cut(str(error)))
        rows = [(aboard[each.key][:2], each.reason) for each in reported if isinstance(each, RowRefused) and each.key in aboard]
        refused = [(person, address or None, reason) for (person, address), reason in rows]
        self._metrics.audience_batch(self.provider, type(end).__name__.lower())
        self._log.info(
            "audience_batch", audience=batch.name, adds=bool(batch.adds), members=len(members), refused=len(refused), session=batch.session,
            sequence=batch.sequence, outcome=type(end).__name__, code=getattr(end, "code", None),
            seconds=round(self._clock.monotonic() - began, 3),
        )  # fmt: skip
        if refused:
            await self._refuse(batch.audience, refused)
        return await self._record(batch, end)

    async def _load(self, batch: b.Batch) -> dict[str, tuple[int, bytes, Member]]:
        """Who travels in a batch, read as it goes: those who left since they were found waiting are not aboard, or no longer wanted. Whose
        address has changed since, or who should no longer be in, is not sent (again): it may have been, so it counts as taken, and is then
        taken out by its handle."""
        aboard: dict[str, tuple[int, bytes, Member]] = {}
        after = -1
        while found := await self._store.read(b.riders, batch.id, after, SLICE):
            for rider in found:
                address = address_of(rider.email_hash, rider.phone_hash)
                if not batch.adds:
                    key = rider.key or f"#{rider.person}"
                    aboard[key] = rider.person, b"", Member(key=key, handle=rider.handle or b"")
                elif rider.key and rider.want and not rider.barred and address == rider.address:
                    aboard[rider.key] = rider.person, address, member_of(rider)
            after = found[-1].person
        return aboard

    async def _record(self, batch: b.Batch, end: End) -> bool:
        """What came of it. True = go on."""
        now = self._clock.instant()
        match end:
            case Synced():
                self.breaker.succeeded(now)
                later = self.channel.capabilities.asynchronous and end.request is not None
                poll_at = now + int(self.channel.capabilities.poll_seconds * SECOND) if later else None
                await self._store.write(
                    Lane.BULK, b.note_taken, batch, request=end.request, received=end.received, invalid=end.invalid, detail=end.detail,
                    now=now, poll_at=poll_at,
                )  # fmt: skip
                return True
            case SessionLost():
                await self._store.write(Lane.BULK, b.new_series, batch.id, self._ids.rng().getrandbits(62) + 1, now)
                if batch.tries > RETRIES.attempts:
                    await self._put_off(batch, end, now)
                return True
            case Rejected():
                await self._block(batch, end, now)
                return True
            case Deferred() if end.scope == "message":
                after = retry_after(end.after, self._clock.now())
                until = now + int((after if after is not None else PAUSE / SECOND) * SECOND)
                await self._store.write(Lane.BULK, b.put_off, batch.id, until, detail=told(end), burnt=False)
                return True
            case Deferred() | Unknown():
                self._pause(end, now)
                await self._put_off(batch, end, now)
                return False

    async def _block(self, batch: b.Batch, end: Rejected, now: Instant) -> None:
        """Nobody is added until an operator says so; a removal is tried again, since it is owed to its people. Told once each."""
        await self._store.write(Lane.BULK, trouble, batch.audience, told(end), blocked=True)
        if batch.blocked is None:
            self._log.error("audience_blocked", audience=batch.name, code=end.code, detail=end.detail)
        if not batch.adds:
            until = now + RETRIES.delay(batch.tries + 1, self._ids.rng().random())
            await self._store.write(Lane.BULK, b.put_off, batch.id, until, detail=told(end), burnt=True)
            if not batch.tries:
                self._log.error("audience_removals_refused", audience=batch.name, members=batch.members, code=end.code, detail=end.detail)

    async def _put_off(self, batch: b.Batch, end: Deferred | Unknown | SessionLost, now: Instant) -> None:
        throttled = isinstance(end, Deferred)
        until = now if throttled else now + RETRIES.delay(batch.tries + 1, self._ids.rng().random())
        await self._store.write(Lane.BULK, b.put_off, batch.id, until, detail=told(end), burnt=not throttled)
        await self._store.write(Lane.BULK, trouble, batch.audience, told(end))

    def _pause(self, end: Deferred | Unknown, now: Instant) -> None:
        """Leave the platform alone as long as it says, or as its failures ask for."""
        if isinstance(end, Deferred) and end.scope == "operator":
            self.stopped = end.detail or end.code or "the platform refuses us"
            self._log.error("provider_stopped", code=end.code, detail=end.detail)
            return
        if isinstance(end, Deferred):
            after = retry_after(end.after, self._clock.now())
            self.rests_until = now + int((after if after is not None else PAUSE / SECOND) * SECOND)
            self._log.warning("audience_rests", code=end.code, seconds=(self.rests_until - now) // SECOND)
        if not (isinstance(end, Deferred) and end.throttled):
            self.breaker.failed(now)

    # sizes

    async def measure(self, *, now_please: bool = False) -> None:
        """Ask the platform for the sizes that were asked for longest ago."""
        size: Any = getattr(self.channel, "size", None)
        now = self._clock.instant()
        if size is None or not self._may_ask():
            return
        for number, name, remote_id in await self._store.read(to_be_sized, self.provider, now + 1 if now_please else now - SIZED_EVERY, 10):
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    found: Size | None = await size(Audience(name=name, remote_id=remote_id))
            except Exception as error:  # noqa: BLE001 - plugin isolation: a size is not needed
                self._log.warning("size_failed", audience=name, error=type(error).__name__)
                found = None
            await self._store.write(Lane.BULK, note_size, number, found.least if found else None, found.most if found else None, now)

    def status(self) -> dict[str, object]:
        """For operators."""
        now = self._clock.instant()
        rests = max(self.rests_until, self.breaker.open_until)
        state = "stopped" if self.stopped is not None else "resting" if rests > now else "ready"
        return {"provider": self.provider, "state": state, "detail": self.stopped, "rests_seconds": max(0, rests - now) // SECOND}


def told(end: Deferred | Rejected | Unknown | SessionLost) -> str:
    """One line for an operator."""
    return cut(": ".join(filter(None, (type(end).__name__.lower(), end.code, end.detail)))) or "failed"


