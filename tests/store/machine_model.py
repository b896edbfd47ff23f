"""The store as it should be, in plain Python: dictionaries that change as each act promises. Knows no table and no SQL.

Written from the design (life of a delivery), not from the store's code; where the two differ the machine fails. Each method is
one act; `rows()` is what the tables must then say.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from daemon.model.delivery import FINAL
from daemon.store.flight import Kind, Result, Step
from daemon.store.follow import Then
from tests.store.machine_driver import Rows

WAITS_FOR_SLOT = ("cap_reached", "yielded_to_priority")
SURELY_FAILED = (Kind.REJECTED, Kind.DEFERRED, Kind.HELD)


@dataclass(slots=True)
class Person:
    id: int
    key: str
    email: str | None
    zone: str
    guard: int = 0
    became: int | None = None
    """Who it is since a merge."""
    kept: bytes | None = None
    """The address that it had by then."""

    @property
    def hash(self) -> bytes | None:
        return hash_of(self.email) if self.became is None else self.kept


def hash_of(email: str | None) -> bytes | None:
    return None if email is None else b"hash of " + email.encode()


@dataclass(slots=True)
class Flight:
    epoch: int
    guards: tuple[int, ...]
    closes: int
    address: bytes | None
    claimed_at: int
    handed_over_at: int | None = None


_SERIAL = itertools.count(1)


@dataclass(slots=True)
class Delivery:
    id: int
    occurrence: int
    person: int
    job: int
    campaign: str
    not_before: int
    expires_at: int
    channel: str = "email"
    row_state: str = "planned"
    reason: str | None = None
    attempts: int = 0
    put_off: bool = False
    """The last that became of it was a provider's word."""
    doubted: bool = False
    """A second copy of a first one whose fate is unknown."""
    handed_over_at: int | None = None
    ended_at: int | None = None
    flight: Flight | None = None
    tries: list[str] = field(default_factory=list)
    follows: int | None = None
    escalates: int | None = None
    born: int = field(default_factory=_SERIAL.__next__)
    """Its own for ever. `id` is not: what a copy that is put back has never heard of may get its number in a clock that stands still."""

    @property
    def state(self) -> str:
        if self.flight is None:
            return self.row_state
        return "claimed" if self.flight.handed_over_at is None else "handed_over"

    @property
    def waits(self) -> bool:
        """It stands in the due queue."""
        return self.flight is None and self.row_state == "due"


@dataclass(slots=True)
class Job:
    id: int
    key: str
    digest: str
    queue: str
    campaign: str
    version: int
    expected: int | None
    state: str = "receiving"
    reason: str | None = None
    expanded: bool = False
    rows: int = 0
    first: int | None = None
    last: int | None = None
    cursor: int | None = None
    accepted: int = 0
    duplicate: int = 0
    finished: bool = False
    guard: int = 0
    progress: str | None = None

    @property
    def out(self) -> bool:
        return self.last is None or self.cursor == self.last


@dataclass(slots=True)
class Campaign:
    name: str
    transactional: bool
    again: int | None
    status: str = "active"
    guard: int = 1
    version: int = 1


@dataclass(slots=True)
class Queue:
    paused: bool = False
    guard: int = 0


class Model:
    """All that the store holds. `queues`: a queue stands here from its first pause on."""

    def __init__(self, campaigns: Sequence[Campaign]) -> None:
        self.persons: dict[int, Person] = {}
        self.campaigns = {campaign.name: campaign for campaign in campaigns}
        self.jobs: dict[int, Job] = {}
        self.queues: dict[str, Queue] = {}
        self.deliveries: dict[int, Delivery] = {}
        self.touches: set[tuple[int, int, int]] = set()
        self.suppressions: dict[tuple[bytes, str], tuple[str, str]] = {}
        self.withdrawn: set[tuple[int, str]] = set()
        self.unfollowed: set[int] = set()
        """After a restore that has lost sends: what the copy had is followed by nothing."""
        self.following: list[tuple[Delivery, Then]] = []
        """What the last act is to have planned on another channel; the store gives the numbers."""
        self.commit = (0, 0)

    # -- looking

    def guards(self, delivery: Delivery) -> tuple[int, ...]:
        job = self.jobs[delivery.job]
        queue = self.queues.get(job.queue, Queue())
        return (self.persons[delivery.person].guard, self.campaigns[job.campaign].guard, job.guard, queue.guard)

    def may_run(self, delivery: Delivery) -> bool:
        job = self.jobs[delivery.job]
        running = job.state == "accepted" and self.campaigns[job.campaign].status == "active"
        return running and not self.queues.get(job.queue, Queue()).paused

    def eligible(self, now: int) -> list[Delivery]:
        """What a claim may take."""
        return [d for d in self.deliveries.values() if d.waits and d.not_before <= now and self.may_run(d)]

    def reserved(self, person: int) -> list[int]:
        """Instants of the person's claims that are not handed over: they count for caps."""
        return [d.flight.claimed_at for d in self.deliveries.values() if d.person == person and d.flight and d.state == "claimed"]

    def flying_to(self, address: bytes) -> set[int]:
        return {d.person for d in self.deliveries.values() if d.flight is not None and d.flight.address == address}

    # -- the parts of acts

    def _wake(self, persons: Iterable[int], now: int, reasons: Sequence[str] | None = None) -> None:
        wanted = set(persons)
        for d in self.deliveries.values():
            if d.person not in wanted or not d.waits or (d.escalates is not None and d.reason is None):
                continue  # an escalation waits for a reaction, which nothing brings sooner
            if d.reason in reasons if reasons is not None else d.reason is not None or not d.put_off:  # a retry comes no sooner
                d.not_before = min(d.not_before, now)

    def _end(self, d: Delivery, state: str, reason: str | None, now: int) -> None:
        """A delivery ends unsent; a second copy that ends so leaves the first one's doubt."""
        if d.doubted:
            d.row_state, d.reason = "in_doubt", None
        else:
            d.row_state, d.reason, d.ended_at = state, reason, now

    def _back_to_due(self, d: Delivery, at: int) -> None:
        d.flight, d.row_state, d.reason, d.not_before, d.put_off = None, "due", None, at, False

    def _reopen(self, job: Job) -> None:
        """Rows of it come back to due: a finished job goes on."""
        job.finished = False
        if job.state == "finished":
            job.state = "accepted"

    # -- planning

    def accept(self, job: Job) -> None:
        self.jobs[job.id] = job

    def walks(self, campaign: str, person: int) -> list[Delivery]:
        return [d for d in self.deliveries.values() if d.campaign == campaign and d.person == person]

    def next_occurrence(self, campaign: Campaign, person: int, now: int) -> int | None:
        """None: walks, or lately walked, through the campaign."""
        last = 0
        for d in self.walks(campaign.name, person):
            last = max(last, d.occurrence)
            over = d.row_state in FINAL and d.ended_at is not None and campaign.again is not None and d.ended_at + campaign.again <= now
            if d.row_state != "cancelled" and not over:
                return None
        return last + 1

    def plan(self, job: Job, persons: Sequence[Person], expires_at: int, now: int, ids: Sequence[int]) -> None:
        """`persons` in order of id; `ids`: the numbers that the store gave, in the same order."""
        campaign = self.campaigns[job.campaign]
        for person in persons:
            self.persons.setdefault(person.id, person)
        given, persons = persons, list({now.id: now for now in map(self.survivor, persons)}.values())
        persons.sort(key=lambda person: person.id)
        enrol = [(self.next_occurrence(campaign, person.id, now), person.id) for person in persons]
        fresh = [(occurrence, person) for occurrence, person in enrol if occurrence is not None]
        assert len(fresh) == len(ids), f"{len(fresh)} should enrol, {len(ids)} did"
        for id, (occurrence, person) in zip(ids, fresh, strict=True):
            self.deliveries[id] = Delivery(id, occurrence, person, job.id, job.campaign, now, expires_at)
        if ids:
            job.first, job.last = ids[0] if job.first is None else job.first, ids[-1]
        job.accepted += len(ids)
        job.duplicate += len(given) - len(ids)

    def end_expansion(self, job: Job) -> None:
        job.progress = None
        job.expanded = True
        job.guard += 1
        if job.expected is not None and job.rows != job.expected:
            job.state, job.reason = "held", "count_mismatch"
        elif job.state != "paused":
            job.state = "accepted"

    # -- what follows on another channel

    def follow(self, d: Delivery, then: Then | None) -> None:
        """It ended so that something follows: unless its job was stopped, or the person has a delivery there already."""
        if then is not None and self.jobs[d.job].state not in ("cancelled", "failed") and d.id not in self.unfollowed:
            there = {o.channel for o in self.deliveries.values() if (o.campaign, o.occurrence, o.person) == (d.campaign, d.occurrence, d.person)}
            if not there.issuperset(channel for channel, _ in then.channels):
                self.following.append((d, then))

    def followed(self, ids: Sequence[int]) -> None:
        """`ids`: the numbers that the store gave, in the order of those that they follow."""
        wanted = sorted(self.following, key=lambda item: item[0].id)
        assert len(ids) == len(wanted), f"{len(wanted)} should be followed, {len(ids)} are"
        for id, (d, then) in zip(ids, wanted, strict=True):
            there = {o.channel for o in self.deliveries.values() if (o.campaign, o.occurrence, o.person) == (d.campaign, d.occurrence, d.person)}
            channel, at = next(item for item in then.channels if item[0] not in there)
            self.deliveries[id] = Delivery(
                id, d.occurrence, d.person, d.job, d.campaign, at, at + then.valid, channel, "due", follows=d.id,
                escalates=d.id if then.escalates else d.escalates,
            )  # fmt: skip
        self.following = []

    def release(self, job: Job, timed: Sequence[tuple[int, int | None, int]], cursor: int, now: int) -> None:
        """`timed`: (delivery, not_before or None, expires_at)"""
        for id, not_before, expires_at in timed:
            d = self.deliveries[id]
            d.expires_at = expires_at
            if not_before is None:
                self._end(d, "expired", "window_never_opens", now)
            else:
                d.row_state, d.not_before = "due", not_before
        job.cursor = cursor

    # -- claim, handover, record

    def judge(self, d: Delivery, verdict: str, state: str, reason: str | None, at: int | None, address: bytes | None, now: int,
              epoch: int, then: Then | None) -> None:  # fmt: skip
        """`at`: closes of a Send, until of a Defer."""
        if verdict == "send":
            d.flight = Flight(epoch, self.guards(d), min(d.expires_at, at if at is not None else d.expires_at), address, now)
        elif verdict == "defer":
            d.reason, d.not_before = reason, now if at is None else at
        elif verdict == "hold":
            d.row_state, d.reason = "held", reason
        else:
            if not d.doubted:
                self.follow(d, then)
            self._end(d, state, reason, now)

    def step(self, steps: Sequence[Step], clock: int, *, shut: bool) -> list[frozenset[int]]:
        number, highest = self.commit
        now = max(clock, highest + 1)
        flying = {id: d.flight.epoch for id, d in self.deliveries.items() if d.flight is not None}
        told = [result for step in steps for result in step.outcomes]
        results = {result.delivery: result for result in told if result.epoch == flying.get(result.delivery)}  # others are stale
        self._record(results, now)
        granted: set[tuple[int, int]] = set()
        refused: list[Delivery] = []
        for id, epoch in dict.fromkeys(pair for step in steps for pair in step.grants):
            d = self.deliveries.get(id)
            if d is None or d.flight is None or d.flight.epoch != epoch or d.flight.handed_over_at is not None:
                continue
            if not shut and d.flight.claimed_at <= now < d.flight.closes and d.flight.guards == self.guards(d):
                granted.add((id, epoch))
            else:
                refused.append(d)
        for id, _ in granted:
            d = self.deliveries[id]
            assert d.flight is not None
            d.flight.handed_over_at = now
            self.touches.add((d.person, now, id))
        for d in refused:
            self._back_to_due(d, min(clock, now))
        self._wake({d.person for d in refused}, min(clock, now), WAITS_FOR_SLOT)
        self.commit = (number + 1, now)
        return [frozenset(id for id, epoch in step.grants if (id, epoch) in granted) for step in steps]

    def _record(self, results: dict[int, Result], now: int) -> None:
        freed: set[int] = set()
        rejected: list[tuple[bytes, str]] = []
        for id, result in sorted(results.items()):
            d = self.deliveries.get(id)
            if d is None or d.flight is None or d.flight.epoch != result.epoch:
                continue  # stale
            flight = d.flight
            d.flight = None
            if result.kind in SURELY_FAILED:
                freed.add(d.person)
            if result.kind is Kind.REJECTED and result.scope == "address" and flight.address is not None:
                rejected.append((flight.address, d.channel))
            self._outcome(d, flight, result, now)
        for address, channel in rejected:
            self._forbid(address, channel, "all", "bounced")
        self.raise_guard(person for address, _ in rejected for person in self.flying_to(address))
        self._wake(freed, now, WAITS_FOR_SLOT)

    def _outcome(self, d: Delivery, flight: Flight, result: Result, now: int) -> None:
        kind = result.kind
        d.put_off = kind is not Kind.HELD
        if kind not in (Kind.ACCEPTED, Kind.HELD) and (flight.handed_over_at is not None or result.scope is not None):
            d.tries.append(kind.value)
        if kind in SURELY_FAILED:
            self.touches.discard((d.person, flight.handed_over_at or 0, d.id))
        else:
            d.handed_over_at = flight.handed_over_at if flight.handed_over_at is not None else now
            self.touches.add((d.person, d.handed_over_at, d.id))
        d.attempts += result.burnt or kind in (Kind.ACCEPTED, Kind.REJECTED, Kind.UNKNOWN)
        d.not_before = now
        if kind is Kind.ACCEPTED:
            d.row_state, d.reason, d.ended_at = "accepted", None, now
            self.follow(d, result.then if result.then is not None and result.then.escalates else None)
        elif kind is Kind.HELD:
            d.row_state, d.reason = "held", (result.reason or "render_error")
        elif kind is Kind.UNKNOWN and result.resend:
            d.row_state, d.reason, d.doubted = "due", None, True
        elif kind is Kind.UNKNOWN:
            d.row_state, d.reason = "in_doubt", None
        elif kind is Kind.REJECTED:
            if not d.doubted:
                self.follow(d, result.then)
            self._end(d, "rejected", "rejected_by_provider", now)
        elif result.exhausted:
            self._end(d, "rejected", "attempts_exhausted", now)
        else:
            d.row_state, d.reason = "due", result.reason
            d.not_before = result.again_at if result.again_at is not None else now

    # -- incarnations

    def begin(self, now: int) -> tuple[int, list[int]]:
        """(claims that are due again, deliveries that are in doubt now)"""
        returned, doubts = [], []
        for d in self.deliveries.values():
            if d.flight is None:
                continue
            if d.flight.handed_over_at is None:
                returned.append(d)
                d.flight, d.not_before = None, now
            else:
                doubts.append(d.id)
                d.tries.append("unknown")
                d.attempts += 1
                d.row_state, d.reason, d.handed_over_at, d.flight = "in_doubt", None, d.flight.handed_over_at, None
        self._wake({d.person for d in returned}, now, WAITS_FOR_SLOT)
        return len(returned), sorted(doubts)

    def journaled(self, sent: dict[int, int]) -> int:
        marked = 0
        if sent.keys() - self.deliveries.keys():
            self.unfollowed |= self.deliveries.keys()
        for id, at in sent.items():
            d = self.deliveries.get(id)
            if d is None or d.flight is not None or d.row_state not in ("planned", "due", "held"):
                continue
            d.row_state, d.reason, d.handed_over_at = "in_doubt", None, at
            d.tries.append("unknown")
            self.touches.add((d.person, at, id))
            marked += 1
        return marked

    # -- operators and recipients

    def raise_guard(self, persons: Iterable[int]) -> None:
        for person in set(persons):
            self.persons[person].guard += 1

    def change(self, person: Person, email: str | None, zone: str, now: int) -> None:
        if (person.email, person.zone) == (email, zone) or person.became is not None:
            return
        person.email, person.zone = email, zone
        person.guard += 1
        self._wake([person.id], now)
        open_campaigns = {j.campaign for j in self.jobs.values() if not j.finished and j.state in ("accepted", "held", "paused")}
        for d in self.deliveries.values():
            if d.person == person.id and d.row_state == "held" and d.reason == "zone_unknown" and d.campaign in open_campaigns:
                self._back_to_due(d, now)
                self._reopen(self.jobs[d.job])

    def survivor(self, person: Person) -> Person:
        return person if person.became is None else self.persons[person.became]

    def merge(self, other: Person, person: Person, now: int) -> bool:
        """Two people are one: all that was sent counts for him, whatever either forbade holds, what waits for the other ends."""
        person = self.survivor(person)
        if other.became is not None or other is person:
            return False
        for one in self.persons.values():
            one.became = person.id if one.became == other.id else one.became
        other.became, other.kept = person.id, other.hash
        hashes = {hash for hash in (person.hash, other.kept) if hash is not None}
        if person.email is None:
            person.email = other.email
        other.email, other.zone = None, ""
        self.raise_guard([other.id, person.id])
        words = [(channel, *word) for (hash, channel), word in self.suppressions.items() if hash in hashes and word[1] != "bounced"]
        if words:
            for hash in hashes:
                for channel, scope, reason in words:
                    self._forbid(hash, channel, scope, reason)
            self.raise_guard({who for hash in hashes for who in self.flying_to(hash)})
        self.withdrawn = {(person.id if who == other.id else who, channel) for who, channel in self.withdrawn}
        self.touches = {(person.id if who == other.id else who, at, id) for who, at, id in self.touches}
        behind = {name: max([d.occurrence for d in self.walks(name, person.id)], default=0) for name in self.campaigns}
        for d in self.deliveries.values():
            if d.person != other.id or d.state in ("planned", "claimed"):
                continue
            if d.waits or d.state == "held":
                self._end(d, "dropped", "merged", now)
            if d.state in ("handed_over", "in_doubt"):
                at = d.flight.handed_over_at if d.flight is not None else d.handed_over_at
                d.expires_at = min(d.expires_at, max(now, (at or 0) + 1))
            d.person, d.occurrence = person.id, d.occurrence + behind[d.campaign]
        self._wake([other.id, person.id], now)
        return True

    def unsubscribe(self, d: Delivery, now: int) -> bool:
        person = self.persons[d.person]
        if person.became is not None:
            return False
        changed = (person.id, d.channel) not in self.withdrawn
        self.withdrawn.add((person.id, d.channel))
        raised = {person.id}
        mine = {person.hash, *(one.kept for one in self.persons.values() if one.became == person.id)}
        for hash in mine if d.channel == "email" else ():
            if hash is not None and (hash, "email") not in self.suppressions:
                self.suppressions[hash, "email"] = ("marketing", "suppressed")
                raised |= self.flying_to(hash)
                changed = True
        if changed:
            self.raise_guard(raised)
            self._wake([person.id], now)
        return changed

    def _forbid(self, address: bytes, channel: str, scope: str, reason: str) -> None:
        old = self.suppressions.get((address, channel))
        if old is None or (old[0], scope) == ("marketing", "all"):
            self.suppressions[address, channel] = (scope, reason)

    def suppress(self, address: bytes, channel: str, scope: str, reason: str) -> None:
        self._forbid(address, channel, scope, reason)
        self.raise_guard(self.flying_to(address))

    def resolve(self, d: Delivery, now: int, *, sent: bool) -> None:
        d.tries.append("resolved_sent" if sent else "resolved_unsent")
        d.doubted = False
        if sent:
            d.row_state, d.ended_at = "accepted", now
            return
        self._back_to_due(d, now)
        d.handed_over_at = None
        self._reopen(self.jobs[d.job])
        mine = {touch for touch in self.touches if touch[2] == d.id}
        self.touches -= mine
        if mine:
            self._wake([d.person], now, WAITS_FOR_SLOT)

    def free_held(self, d: Delivery, now: int) -> None:
        self._back_to_due(d, now)
        self._reopen(self.jobs[d.job])

    def cancel_held(self, d: Delivery, now: int) -> None:
        self._end(d, "cancelled", "operator", now)

    def sweep(self, job: Job, now: int) -> None:
        for d in list(self.deliveries.values()):
            if d.job != job.id or d.flight is not None:
                continue
            if job.state == "failed" and d.row_state in ("planned", "held"):
                del self.deliveries[d.id]
            elif job.state == "cancelled" and d.row_state in ("planned", "due", "held"):
                self._end(d, "cancelled", "operator", now)

    def finish(self) -> list[str]:
        """Keys of the jobs that are finished now."""
        done = []
        for job in self.jobs.values():
            left = any(d.job == job.id and d.state in ("planned", "due", "claimed", "handed_over", "held") for d in self.deliveries.values())
            ended = (job.state == "accepted" and job.expanded and job.out) or job.state in ("cancelled", "failed")
            if job.finished or left or not ended:
                continue
            job.finished = True
            if job.state == "accepted":
                job.state = "finished"
                done.append(job.key)
        return done

    def prune(self, before: int) -> None:
        self.touches = {touch for touch in self.touches if touch[1] >= before}

    # -- what the tables must say

    def rows(self) -> Rows:
        tally: Counter[tuple[int, str, str]] = Counter()
        for d in self.deliveries.values():
            state = "claimed" if d.flight is not None else d.row_state
            tally[d.job, state, (d.reason or "") if state in FINAL or state == "held" else ""] += 1
        guards: dict[tuple[str, Any], int] = {("recipient", person.id): person.guard for person in self.persons.values()}
        guards |= {("campaign", name): campaign.guard for name, campaign in self.campaigns.items()}
        guards |= {("queue", name): queue.guard for name, queue in self.queues.items()}
        guards |= {("job", job.id): job.guard for job in self.jobs.values()}
        due = sorted((d.job, d.channel, d.not_before, d.id) for d in self.deliveries.values() if d.waits)
        return Rows(
            deliveries={
                d.id: (
                    d.occurrence, d.person, d.job, d.channel, d.state, d.reason, d.attempts, d.not_before, d.doubted, d.handed_over_at,
                    d.ended_at, d.follows, d.escalates,
                )
                for d in self.deliveries.values()
            },
            due=due,
            heads={(job, channel): at for job, channel, at, _ in reversed(due)},
            flights={
                d.id: (d.person, d.flight.epoch, d.flight.handed_over_at, d.flight.closes)
                for d in self.deliveries.values() if d.flight is not None
            },
            touches=sorted((person, at, id, self.deliveries[id].campaign) for person, at, id in self.touches),
            tally=dict(tally), guards=guards, suppressions=dict(self.suppressions), withdrawn=set(self.withdrawn),
            jobs={
                j.id: (j.key, j.state, j.reason, j.expanded, j.out, j.accepted, j.duplicate, j.finished, j.version)
                for j in self.jobs.values()
            },
            progress={j.id: j.progress for j in self.jobs.values() if j.progress is not None},
            attempts={d.id: list(d.tries) for d in self.deliveries.values() if d.tries}, commit=self.commit,
        )  # fmt: skip
