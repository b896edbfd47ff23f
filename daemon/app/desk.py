"""The operators' desk: what the API and the command line ask for (`web.Operations`), done with the store's acts and the gate.

Counts before deeds: what concerns many asks for `expect`, and refuses another number. Long deeds go a stretch a transaction.
The running daemon has one desk; `homing` without a daemon makes one of its own under the state lock, with no providers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.app.campaign_answers import listed, shown
from daemon.app.planning import first_messages, refusal, stands_against
from daemon.app.setup import Setup
from daemon.clock import Clock, iso
from daemon.config import Config
from daemon.content.differences import differences, places
from daemon.content.version import CampaignVersion
from daemon.disk import Disk
from daemon.dispatch.gate import Gate
from daemon.dispatch.stop_file import make_stop_file, remove_stop_file
from daemon.dispatch.sync import audience_status
from daemon.errors import GuardRefusedError, NotFoundError, UsageError
from daemon.ids import encode_id
from daemon.model.campaign import CampaignStatus
from daemon.model.delivery import Instant, Reason
from daemon.store import audit, doubts, held, move, operate, recover
from daemon.store.jobs import cancel_job
from daemon.store.rehearse import audience
from daemon.store.writer import Lane, Writes
from daemon.web.operations import Json, Page, Selection

ACCEPTABLE = {Reason.CLOCK_UNTRUSTED: "--accept-clock", Reason.RESTORED: "--accept-restore"}
"""Holds that an operator may accept, and the word for it."""


async def _nothing() -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What only a running daemon has; without one, nothing.

    wake: something may be due · providers: one object each · reload: as SIGHUP does · accept_restore: this store is the true one
    (new nonce in store and journal) · clock_accepted: instants are counted from now on · test: send a campaign's steps to test addresses ·
    setup: everything as it was read · findings: so many of the audit's are open · audiences: the platforms, one object each ·
    sync_audiences: bring them up to date now · notices: the targets of [[notify]], one object each.
    """

    wake: Callable[[], None] = lambda: None
    providers: Callable[[], Sequence[Json]] = tuple
    reload: Callable[[], Awaitable[None]] | None = None
    accept_restore: Callable[[], Awaitable[None]] | None = None
    clock_accepted: Callable[[], Awaitable[None]] = _nothing
    test: Callable[[str, Sequence[str], str | None, str | None], Awaitable[Json]] | None = None
    setup: Callable[[], Setup] | None = None
    findings: Callable[[int], None] = lambda _: None
    audiences: Callable[[], Sequence[Json]] = tuple
    sync_audiences: Callable[[str | None], Awaitable[None]] | None = None
    notices: Callable[[], Sequence[Json]] = tuple


class Desk:
    """Fulfils `web.Operations`. `config` is asked each time, since a reload changes it."""

    def __init__(
        self, *, store: Writes, clock: Clock, gate: Gate, disk: Disk, config: Callable[[], Config], hooks: Hooks | None = None
    ) -> None:  # fmt: skip
        self._store, self._clock, self._gate, self._disk, self._config = store, clock, gate, disk, config
        self._hooks = hooks or Hooks()
        self._deeds = asyncio.Lock()  # two releases at a time would each count what the other frees

    # queues

    async def list_queues(self) -> Sequence[Json]:
        facts = await self._store.read(operate.queue_facts, self._clock.instant())
        lying = {name for name, each in facts.items() if each.paused or each.jobs or each.deliveries}  # else only walks may come, one day
        return [self._queue(name, facts.get(name)) for name in sorted({*lying, *self._config().queues})]

    def _queue(self, name: str, facts: operate.QueueFacts | None) -> Json:
        table = self._config().queues.get(name)
        return {
            "queue": name,
            "paused": facts.paused if facts else False,
            "campaign": table.campaign or None if table else None,
            "weight": table.weight if table else None,
            "jobs": facts.jobs if facts else 0,
            "deliveries": dict(facts.deliveries) if facts else {},
            "oldest_due": _text(facts.oldest_due) if facts else None,
            "next_due": _text(facts.next_due) if facts else None,
        }

    async def _known_queue(self, name: str) -> operate.QueueFacts | None:
        facts = (await self._store.read(operate.queue_facts, self._clock.instant())).get(name)
        if facts is None and name not in self._config().queues:
            raise NotFoundError(f'no queue is named "{name}"; `homing queue list` shows them')
        return facts

    async def _set_paused(self, name: str, *, paused: bool) -> Json:
        await self._known_queue(name)
        await self._store.write(Lane.EXIT, operate.set_queue_paused, name, self._clock.instant(), paused=paused)
        self._hooks.wake()
        return self._queue(name, await self._known_queue(name))

    async def pause_queue(self, name: str) -> Json:
        return await self._set_paused(name, paused=True)

    async def resume_queue(self, name: str) -> Json:
        return await self._set_paused(name, paused=False)

    async def cancel_queue(self, name: str, *, expect: int | None) -> Json:
        async with self._deeds:
            await self._known_queue(name)
            keys, count = await self._store.read(operate.waiting_in_queue, name)
            check_count(expect, count, f'deliveries of {len(keys)} jobs in queue "{name}"')
            ended = [await self._store.write(Lane.EXIT, operate.cancel_waiting, key) for key in keys]
        done = [n for n in ended if n is not None]
        left = await self._store.read(operate.walks_left, name)
        return {"queue": name, "cancelled": len(done), "deliveries": sum(done), "walks_left": left}

    # campaigns

    async def list_campaigns(self) -> Sequence[Json]:
        return [listed(facts) for facts in await self._store.read(operate.campaign_facts)]

    async def _facts(self, name: str) -> operate.CampaignFacts:
        found = await self._store.read(operate.campaign_facts, name)
        if not found:
            raise NotFoundError(f'no campaign is named "{name}"; `homing campaigns list` shows them')
        return found[0]

    async def show_campaign(self, name: str) -> Json:
        facts = await self._facts(name)
        return shown(facts)

    async def _set_status(self, name: str, status: CampaignStatus) -> Json:
        await self._store.write(Lane.EXIT, operate.set_campaign_status, name, status, self._clock.instant())
        self._hooks.wake()
        return listed(await self._facts(name))

    async def start_campaign(self, name: str) -> Json:
        """GuardRefusedError for what could not go as it is written."""
        facts = await self._facts(name)
        if self._hooks.setup is not None:
            version = CampaignVersion.from_json(facts.body)
            campaign = version.campaign
            there, _ = await self._store.read(audience, name, campaign.enrol.segment, first_messages(campaign))
            if found := stands_against(self._hooks.setup(), version, there, self._clock.instant()):
                raise GuardRefusedError(refusal(name, found))
        return await self._set_status(name, CampaignStatus.ACTIVE)

    async def pause_campaign(self, name: str) -> Json:
        return await self._set_status(name, CampaignStatus.PAUSED)

    async def resume_campaign(self, name: str) -> Json:
        facts = await self._facts(name)
        if facts.status not in (CampaignStatus.PAUSED, CampaignStatus.ACTIVE):
            raise GuardRefusedError(f'campaign "{name}" is {facts.status}, not paused; `homing campaigns start {name}` starts it')
        return await self._set_status(name, CampaignStatus.ACTIVE)

    async def move_campaign(self, name: str, *, dry_run: bool) -> Json:
        campaign, newest, older = await self._store.read(move.open_versions, name)
        to = CampaignVersion.from_json(await self._store.read(move.body_of_version, campaign, newest))
        found: list[Json] = []
        moved = 0
        for number, (walks, body) in sorted(older.items()):
            version = CampaignVersion.from_json(body)
            found.append({"version": number, "walks": walks, "changes": differences(version, to)})
            steps = places(version.campaign, to.campaign)
            after: move.Cursor | None = None if dry_run else move.FIRST
            while after is not None:
                done, after = await self._store.write(
                    Lane.BULK, move.move_some, campaign, number, newest, steps, self._clock.instant(), after
                )
                moved += done
        if moved:
            self._hooks.wake()
        return {"campaign": name, "to": newest, "from": found, "moved": moved}

    async def archive_campaign(self, name: str) -> Json:
        return await self._set_status(name, CampaignStatus.ARCHIVED)

    async def test_campaign(self, name: str, *, to: Sequence[str], locale: str | None, recipient: str | None) -> Json:
        await self._facts(name)
        allowed = {address.casefold() for address in self._config().homing.test_addresses}
        wanted = list(to) or list(self._config().homing.test_addresses)
        if not wanted:
            raise GuardRefusedError("[homing] test_addresses names no address: test sends go nowhere else")
        for address in wanted:
            if address.casefold() not in allowed:
                raise GuardRefusedError(f'"{address}" is not among [homing] test_addresses: test sends go nowhere else')
        if self._hooks.test is None:
            raise UsageError("a test send needs the running daemon: start `homing run` first")
        return await self._hooks.test(name, wanted, locale, recipient)

    # held and in doubt

    async def list_held(self, selection: Selection, *, after: Sequence[str | int] | None, limit: int) -> Page:
        position = (int(after[0]), str(after[1])) if after else None
        groups = await self._store.read(held.list_held, _where(selection), position, limit)
        more = groups[-1].position if len(groups) == limit else None
        return Page(items=[_group(group) for group in groups], next=more)

    async def release_held(self, selection: Selection, *, expect: int | None) -> Json:
        where = _where(selection)
        async with self._deeds:
            count = await self._store.read(held.count_held, where)
            check_count(expect, count, "held deliveries")
            await self._store.write(Lane.EXIT, held.release_held_jobs, where)
            await self._in_stretches(held.release_some_held, where, count)
        self._hooks.wake()
        return {"released": count}

    async def cancel_held(self, selection: Selection, *, expect: int | None) -> Json:
        where = _where(selection)
        async with self._deeds:
            count = await self._store.read(held.count_held, where)
            check_count(expect, count, "held deliveries")
            for key in await self._store.read(held.held_job_keys, where):
                await self._store.write(Lane.EXIT, cancel_job, key)
            await self._in_stretches(held.cancel_some_held, where, count)
        return {"cancelled": count}

    async def _in_stretches(self, act: Callable[..., int], where: held.HeldWhere, most: int) -> None:
        """At most as many as were counted: what came to be held meanwhile was not meant."""
        while most > 0:
            done = await self._store.write(Lane.BULK, act, where, self._clock.instant(), min(held.CHUNK, most))
            if not done:
                return
            most -= done

    async def list_doubts(self, *, after: Sequence[str | int] | None, limit: int) -> Page:
        found = await self._store.read(doubts.list_doubts, int(after[0]) if after else 0, limit)
        return Page(items=[_doubt(doubt) for doubt in found], next=(found[-1].delivery,) if len(found) == limit else None)

    async def resolve_doubt(self, delivery: int, *, sent: bool) -> Json:
        state = await self._store.write(Lane.EXIT, doubts.resolve_doubt, delivery, self._clock.instant(), sent=sent)
        self._hooks.wake()
        return {"delivery": encode_id(delivery), "state": state.value}

    # the kill switch

    async def gate(self) -> Json:
        holds = self._gate.reasons()
        return {"open": not holds, "holds": holds, "backlog": await self._store.read(operate.count_backlog)}

    async def stop_all(self, *, detail: str) -> Json:
        make_stop_file(self._config().homing.state_dir, detail, self._disk)
        self._gate.latch(Reason.KILL_SWITCH, detail)
        await self._store.write(Lane.EXIT, recover.save_gate, self._gate.latched())
        self._hooks.wake()
        return await self.gate()

    async def start_all(self, *, expect: int, accept_clock: bool, accept_restore: bool) -> Json:
        async with self._deeds:
            count = await self._store.read(operate.count_backlog)
            check_count(expect, count, "waiting deliveries")
            accepted = {Reason.CLOCK_UNTRUSTED: accept_clock, Reason.RESTORED: accept_restore}
            for reason, word in ACCEPTABLE.items():
                if reason in self._gate.latched() and not accepted[reason]:
                    raise GuardRefusedError(f"sending is also held: {self._gate.latched()[reason]} ({reason.value}); accept it with {word}")
            if accept_restore:
                await self._accept_restore()
            if accept_clock and Reason.CLOCK_UNTRUSTED in self._gate.latched():
                await self._store.write(Lane.EXIT, recover.accept_clock, self._clock.instant())
                await self._hooks.clock_accepted()
            remove_stop_file(self._config().homing.state_dir, self._disk)
            self._gate.open(Reason.KILL_SWITCH, *(reason for reason, yes in accepted.items() if yes))
            await self._store.write(Lane.EXIT, recover.save_gate, self._gate.latched())
        self._hooks.wake()
        return await self.gate()

    async def _accept_restore(self) -> None:
        """Only of a store that a start found to be a copy: else the journal names what this very store has in hand, or has settled."""
        if Reason.RESTORED not in self._gate.latched():
            raise GuardRefusedError(
                "the store is not held as restored, so there is nothing to accept; whether it is a copy, the start of `homing run` finds"
                " out: say it without --accept-restore"
            )
        if self._hooks.accept_restore is not None:
            await self._hooks.accept_restore()

    # the audit

    async def audit(self) -> Json:
        return audit.findings_json(*await self._store.read(audit.open_findings))

    async def accept_findings(self, *, expect: int) -> Json:
        async with self._deeds:
            await self._store.write(Lane.EXIT, audit.accept_findings, expect)
        self._hooks.findings(0)
        return await self.audit()

    # audiences

    async def audiences(self, *, provider: str | None) -> Json:
        return await audience_status(self._store, self._hooks.audiences(), provider)

    async def sync_audiences(self, *, provider: str | None) -> Json:
        if self._hooks.sync_audiences is None:
            raise UsageError("a sync needs the running daemon: start `homing run` first")
        await self._hooks.sync_audiences(provider)
        return await self.audiences(provider=provider)

    # the daemon itself

    async def providers(self) -> Sequence[Json]:
        return self._hooks.providers()

    async def notices(self) -> Sequence[Json]:
        return self._hooks.notices()

    async def reload(self) -> Json:
        if self._hooks.reload is None:
            raise UsageError("no daemon runs here: the next `homing run` reads config and campaigns anew")
        await self._hooks.reload()
        return {"reloaded": True}


def check_count(expect: int | None, count: int, what: str) -> None:
    """The guard of `expect`. GuardRefusedError names the number that would be right."""
    if expect is None:
        raise GuardRefusedError(f"this concerns {count} {what}; if that is what you mean, say --expect {count}")
    if expect != count:
        raise GuardRefusedError(f"this concerns {count} {what}, not {expect}; look again, then say --expect {count}")


def _text(at: Instant | None) -> str | None:
    return None if at is None else iso(at)


def _where(selection: Selection) -> held.HeldWhere:
    return held.HeldWhere(
        reason=selection.reason, campaign=selection.campaign, queue=selection.queue, job=selection.job, delivery=selection.delivery
    )


def _group(group: held.HeldGroup) -> Json:
    facts: Mapping[str, Any] = (group.decision or {}).get("facts") or {}
    example = None
    if group.delivery is not None:
        example = {"delivery": encode_id(group.delivery), "recipient": group.recipient, "detail": facts.get("detail") or facts or None}
    return {
        "kind": "job" if group.whole else "deliveries",
        "reason": group.reason,
        "campaign": group.campaign,
        "queue": group.queue,
        "job": group.job_key,
        "count": group.count,
        "since": _text(group.since),
        "key": group.key,
        "remedy": group.remedy,
        "example": example,
    }


def _doubt(doubt: doubts.Doubt) -> Json:
    return {
        "delivery": encode_id(doubt.delivery),
        "recipient": doubt.recipient,
        "campaign": doubt.campaign,
        "step": doubt.step,
        "channel": doubt.channel,
        "provider": doubt.provider,
        "job": doubt.job,
        "handed_over_at": _text(doubt.handed_over_at),
        "attempts": [{"n": a.n, "at": iso(a.at), "outcome": a.outcome, "code": a.code, "detail": a.detail} for a in doubt.attempts],
    }
