"""Judges a world by its events: the invariants I1-I14. Nothing of the daemon is imported, and its tables are not asked.

What was acknowledged (jobs, words of operators, unsubscribes) and what relays saw is the truth; the published final states are
compared with it. Windows and caps are computed anew here, from the tables as written and `zoneinfo`.

| | rule |
|---|---|
| I1 | each row of an acknowledged job ends in one known state, or is counted as double or bad |
| I2 | a message is taken by relays at most once (twice, the second marked, where the campaign asks for it after a doubt) |
| I3 | what was taken is `accepted` or `in_doubt`; what is `accepted` was taken |
| I4 | doubts without a relay's fault are at most the connections that were open when the daemon died or could write nothing down |
| I5 | no marketing message beyond a cap, doubts counted |
| I6 | no message outside the windows, in any zone in which the person may be |
| I7 | none after a suppression was answered |
| I8 | none later than a second after the kill switch; none of what was paused or cancelled |
| I9 | only what was asked for, and no more of a job than its receipt says |
| I10 | ends stay ends; a doubt ends by a word only; nothing vanishes |
| I11 | tries are spaced, few, and within the message's life; none after a final answer |
| I12 | when faults have stopped, all work ends |
| I13 | no queue starves while another is served |
| I14 | no message of a walk after a purchase that ends it was answered |
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

from tests.simulation.calendar import HOUR, SECOND, Person, parse_span
from tests.simulation.events import Acked, Bought, Counted, End, Event, Fault, Intent, Received, Resolved, Row, Seen, Suppressed, Switch

SLACK = SECOND // 10
"""From a handover's commit to its first byte at the relay pass at most some hundredths of a second."""
KILL = SECOND
GRACE = 30 * HOUR
"""From an acknowledgement to the first instant at which a message may go: a night, a Sunday, a fault."""
LEAST_PAUSE = 15 * SECOND
MOST_TRIES = 5
EXPANSION = 5 * SECOND
"""By then a job is planned and released when nothing is broken."""
BATCH = 50
ENDS = frozenset({"accepted", "rejected", "dropped", "expired", "cancelled", "held_out"})
RESTS = ENDS | {"in_doubt", "held"}
OPEN = frozenset({"planned", "due", "claimed", "handed_over"})
ON_RECORD = frozenset({"store_broken", "ended", "ended_full"})
"""Ends at which what the daemon knew was not written down, whatever was open then."""
CUT_SHORT = "cut_short"
"""Told to stop a second time, it waits for no answers any more: what is open then may end in doubt, as at a kill."""


class Book(Protocol):
    """The rules as plain tables."""

    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def campaigns(self) -> Mapping[str, Mapping[str, Any]]: ...


class Case:
    """The events, sorted by what they are about."""

    def __init__(self, events: Sequence[Event], book: Book) -> None:
        self.events, self.book = events, book
        self.jobs = {event.job: event for event in events if isinstance(event, Acked)}
        self.rows: dict[Intent, Row] = {(job.job, row.recipient): row for job in self.jobs.values() for row in job.rows}
        self.received = sorted((e for e in events if isinstance(e, Received)), key=lambda e: e.began)
        self.by_intent: dict[Intent, list[Received]] = defaultdict(list)
        self.by_person: dict[str, list[Received]] = defaultdict(list)
        for event in self.received:
            self.by_intent[event.job, event.recipient].append(event)
            self.by_person[event.recipient].append(event)
        self.counted = {event.job: event for event in events if isinstance(event, Counted)}
        self.unsent = {(e.job, e.recipient) for e in events if isinstance(e, Resolved) and not e.sent}
        self.resolved = {(e.job, e.recipient) for e in events if isinstance(e, Resolved)}
        self.end = next((event for event in events if isinstance(event, End)), None)
        self.pool = int(book.config["providers"]["relay"]["pool"])
        self._people: dict[tuple[str | None, str | None], Person] = {}

    def campaign(self, event: Received) -> Mapping[str, Any]:
        return self.book.campaigns[self.jobs[event.job].campaign]

    def person(self, event: Received) -> Person:
        row = self.rows[event.job, event.recipient]
        key = row.zone, row.country
        if key not in self._people:
            self._people[key] = Person.of(row.zone, row.country, self.book.config["homing"])
        return self._people[key]


def check(events: Sequence[Event], book: Book) -> list[str]:
    """All that is broken, one text each, with the invariant's number first."""
    case = Case(events, book)
    found = list(_asked_for(case))
    if found:  # what was never asked for cannot be judged further
        return found
    for rule in (_ends, _once, _states, _doubts, _caps, _windows, _suppressed, _bought, _switches, _plan, _monotone, _tries, _liveness, _fair):
        found += rule(case)
    return found


def _asked_for(case: Case) -> Iterator[str]:
    for event in case.received:
        if (event.job, event.recipient) not in case.rows:
            yield f"I9 {event.recipient} got a message of {event.job} that nobody asked for"


def _ends(case: Case) -> Iterator[str]:
    if case.end is None:
        yield "I12 the world did not come to its end"
        return
    published: dict[str, set[str]] = defaultdict(set)
    for (job, recipient), (state, reason) in case.end.states.items():
        published[job].add(recipient)
        if state not in RESTS | OPEN or (state == "held" and not reason):
            yield f"I1 {job}/{recipient} is {state!r} ({reason!r}), which is no state"
        if job in case.jobs and (job, recipient) not in case.rows:
            yield f"I1 {job}/{recipient} was never in the job"
    for job, acked in case.jobs.items():
        count = case.counted.get(job)
        if count is None:
            yield f"I1 {job} was acknowledged and is not known"
            continue
        if count.state in ("failed", "cancelled") and count.accepted + count.duplicate + count.rejected < len(acked.rows):
            continue  # ended before it was planned whole
        if count.rows != len(acked.rows) or count.rows != count.accepted + count.duplicate + count.rejected:
            yield f"I1 {job} has {len(acked.rows)} rows; the receipt says {count}"
        if len(published[job]) != count.accepted:
            yield f"I1 {job}: {count.accepted} rows were accepted, {len(published[job])} deliveries are published"


def _once(case: Case) -> Iterator[str]:
    for (job, recipient), tries in case.by_intent.items():
        took = [event for event in tries if event.taken]
        if len(took) < 2:
            continue
        campaign = case.campaign(took[0])
        again = campaign.get("on_doubt") == "resend_once" and campaign["purpose"] == "transactional"
        if len(took) == 2 and again and not took[0].answer and took[1].copy:
            continue
        yield f"I2 {job}/{recipient} was taken {len(took)} times, at {[event.at for event in took]}"


def _states(case: Case) -> Iterator[str]:
    if case.end is None:
        return
    took = {(event.job, event.recipient) for event in case.received if event.taken}
    for intent in sorted(took):
        state = case.end.states.get(intent, ("absent", ""))[0]
        if state not in ("accepted", "in_doubt"):
            yield f"I3 {'/'.join(intent)} was taken by a relay and is {state}"
    for intent, (state, _) in case.end.states.items():
        if state == "accepted" and intent not in took:
            yield f"I3 {'/'.join(intent)} is accepted and no relay took it"


def _doubts(case: Case) -> Iterator[str]:
    if case.end is None:
        return
    by_relay = {(event.job, event.recipient) for event in case.received if not event.answer}
    own = [intent for intent, (state, _) in case.end.states.items() if state == "in_doubt" and intent not in by_relay]
    allowed = 0
    for event in case.events:
        if isinstance(event, Fault) and (event.ended or event.kind in ON_RECORD or event.kind == CUT_SHORT):
            allowed += case.pool if event.kind in ON_RECORD else min(event.connections, case.pool)
    if len(own) > allowed:
        yield f"I4 {len(own)} doubts are the daemon's own, {allowed} connections were open when it died: {own[:5]}"


def _caps(case: Case) -> Iterator[str]:
    caps = case.book.config.get("cap", ())
    for recipient, all_of in case.by_person.items() if caps else ():
        touches = [e for e in all_of if (e.taken or not e.answer) and (e.job, e.recipient) not in case.unsent]
        for number, event in enumerate(touches):
            if case.campaign(event)["purpose"] != "marketing":
                continue
            before = touches[:number]
            for cap in caps:
                if (used := _used(case, cap, event, before)) >= cap["limit"]:
                    yield f"I5 {recipient} got {event.job} at {event.began} with {used} of {cap['limit']} used of cap {cap['name']}"


def _used(case: Case, cap: Mapping[str, Any], event: Received, before: Sequence[Received]) -> int:
    """Of a cap at the moment of a message: rolling, or in the fullest of the zones' days."""
    if "rolling" in cap:
        period = parse_span(cap["rolling"]) - SLACK
        return sum(event.began - other.began < period for other in before)
    person = case.person(event)
    return max((person.same_day(zone, event.began, [other.began for other in before], SLACK) for zone in person.zones), default=0)


def _windows(case: Case) -> Iterator[str]:
    for event in case.received:
        campaign = case.campaign(event)
        if campaign.get("ignore_window"):
            continue
        tables = [table for table in (case.book.config.get("window", {}), campaign.get("window")) if table is not None]
        person = case.person(event)
        if not person.zones:
            yield f"I6 {event.job}/{event.recipient} was sent to at {event.began}, though nobody knows where they live"
        elif (shut := person.shut(tables, event.began)) and (shut := shut & person.shut(tables, event.began - SLACK)):
            yield f"I6 {event.job}/{event.recipient} was sent to at {event.began}, outside the window in {sorted(shut)}"


def _suppressed(case: Case) -> Iterator[str]:
    for word in case.events:
        if not isinstance(word, Suppressed):
            continue
        for event in case.by_person.get(word.recipient, ()):
            if event.began > word.at + SLACK and (word.all or case.campaign(event)["purpose"] == "marketing"):
                yield f"I7 {event.job}/{event.recipient} was sent to at {event.began}, suppressed since {word.at}"


def _bought(case: Case) -> Iterator[str]:
    for word in case.events:
        if isinstance(word, Bought):
            for event in case.by_person.get(word.recipient, ()):
                if event.began > word.at + SLACK and event.job in word.jobs:
                    yield f"I14 {event.job}/{event.recipient} was sent to at {event.began}, bought at {word.at}"


def _switches(case: Case) -> Iterator[str]:
    since: dict[str, int] = {}
    spans: list[tuple[str, int, int]] = []
    for word in case.events:
        if isinstance(word, Switch):
            if word.on:
                since.setdefault(word.what, word.at)
            elif (begun := since.pop(word.what, None)) is not None:
                spans.append((word.what, begun, word.at))
    spans += [(what, begun, 1 << 62) for what, begun in since.items()]
    for what, begun, over in spans:
        slack = KILL if what == "kill" else SLACK
        for event in case.received:
            if begun + slack < event.began < over and _concerns(case, what, event):
                yield f"I8 {event.job}/{event.recipient} was sent to at {event.began}, {what} was stopped from {begun} to {over}"


def _concerns(case: Case, what: str, event: Received) -> bool:
    kind, _, name = what.partition(":")
    job = case.jobs[event.job]
    return {"kill": True, "queue": job.queue == name, "campaign": job.campaign == name, "job": job.job == name}[kind]


def _plan(case: Case) -> Iterator[str]:
    took = Counter(job for job, _ in {(event.job, event.recipient) for event in case.received if event.taken})
    for job, n in took.items():
        count = case.counted.get(job)
        if count is not None and n > count.accepted:
            yield f"I9 {n} of {job} were taken, {count.accepted} were planned"


def _monotone(case: Case) -> Iterator[str]:
    last: dict[Intent, str] = {}
    for event in case.events:
        if isinstance(event, Seen):
            states = dict(event.states)
        elif isinstance(event, End):
            states = {intent: state for intent, (state, _) in event.states.items()}
        else:
            continue
        for intent, before in last.items():
            now = states.get(intent, "absent")
            if now == before:
                continue
            back = now == "planned" or now == "absent"
            woken = before == "in_doubt" and intent not in case.resolved
            if before in ENDS or back or woken:
                yield f"I10 {'/'.join(intent)} was {before} and is {now}"
        last = states


def _tries(case: Case) -> Iterator[str]:
    for (job, recipient), tries in case.by_intent.items():
        valid = parse_span(case.campaign(tries[0])["step"][0]["valid"])
        if tries[-1].began > case.jobs[job].at + GRACE + valid:
            yield f"I11 {job}/{recipient} was sent to at {tries[-1].began}, long after its life"
        if sum(event.answer == "451" for event in tries) > MOST_TRIES:
            yield f"I11 {job}/{recipient} was tried {len(tries)} times"
        for event, following in pairwise(tries):
            if event.answer[:1] == "5" and (job, recipient) not in case.unsent:
                yield f"I11 {job}/{recipient} was refused for good at {event.at} and sent again at {following.began}"
            elif event.answer[:1] == "4" and following.began - event.at < LEAST_PAUSE - SLACK and not _clock_moved(case, event, following):
                yield f"I11 {job}/{recipient} was tried again {(following.began - event.at) / SECOND:.3f} s after a refusal"


def _clock_moved(case: Case, event: Received, following: Received) -> bool:
    """Was the pause counted by a clock that was wrong then, or set in between? A jump lasts until the next start."""
    wrong = False
    for fault in case.events:
        if isinstance(fault, Fault) and fault.at <= following.began:
            if fault.kind in ("clock_back", "clock_forward"):
                wrong = True
            elif fault.ended and fault.at < event.at:
                wrong = False
    return wrong


def _liveness(case: Case) -> Iterator[str]:
    if case.end is None:
        return
    left = Counter(state for state, _ in case.end.states.values() if state in OPEN)
    if left:
        some = [intent for intent, (state, _) in case.end.states.items() if state in OPEN][:5]
        yield f"I12 not ended when the world did: {dict(left)}, such as {some}"
    for error in case.end.errors:
        yield f"I12 somebody around the daemon failed: {error}"


def _fair(case: Case) -> Iterator[str]:
    """While a message was ready all along, its queue got at least half of its fair share of what was tried.

    Ready: its window was open from the start, nothing was sent to its person before, and nothing was broken or stopped meanwhile. What
    one claim may take (the connections' room, or two seconds of the rate) is not a share yet.
    """
    relay = case.book.config["providers"]["relay"]
    room = min(case.pool * BATCH, 2 * int(relay["rate"].removesuffix("/s")) if "rate" in relay else 1 << 30)
    weights = {name: table.get("weight", 1) for name, table in case.book.config.get("queues", {}).items()}
    troubles = [e.at for e in case.events if isinstance(e, Fault | Switch) or (isinstance(e, Received) and e.answer != "250")]
    firsts = [tries[0] for tries in case.by_intent.values()]
    firsts.sort(key=lambda event: event.began)
    began = [event.began for event in firsts]
    for event in firsts:
        ready = case.jobs[event.job].at + EXPANSION
        if bisect_left(began, event.began) - bisect_right(began, ready) <= room:
            continue
        tried = Counter(case.jobs[other.job].queue for other in firsts if ready < other.began < event.began)
        own = case.jobs[event.job].queue
        others = tried.total() - tried[own]
        weight = sum(weights.get(name, 1) for name in tried if name != own)
        if others <= room + 2 * (tried[own] + 1) * weight / weights.get(own, 1):
            continue
        if any(ready - EXPANSION <= at <= event.began for at in troubles) or case.by_person[event.recipient][0] is not event:
            continue
        if not _shut_between(case, event, ready):
            yield f"I13 {event.job}/{event.recipient} waited from {ready} to {event.began} while {dict(tried)} were tried; its queue is {own}"


def _shut_between(case: Case, event: Received, ready: int) -> bool:
    tables = [table for table in (case.book.config.get("window", {}), case.campaign(event).get("window")) if table is not None]
    if case.campaign(event).get("ignore_window"):
        return False
    return any(case.person(event).shut(tables, at) for at in range(ready - EXPANSION, event.began, 60 * SECOND))
