"""What follows a delivery on another channel, planned in the transaction that ends it: its replacement, or its escalation.

A replacement exists only once the former surely reached nobody (it was dropped, or its address failed for sure), an escalation only
once the former was accepted; nothing ever follows a doubt. Unique on (wave, person) as every delivery, so that what follows is
planned once however often its cause is told. It is due from the start: its job's release cursor has nothing to do with it. After a
restore that has lost sends, nothing follows what the copy had: it may have been followed already.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, func, insert, literal_column, select, update

from daemon.content.version import step_from_plain
from daemon.model.delivery import Instant, State
from daemon.model.job import JobState
from daemon.store import schema as s
from daemon.store.due import put_due
from daemon.store.held import open_lanes
from daemon.store.meta import UNFOLLOWED, get_meta
from daemon.store.sql import fetch, ids, in_list, many
from daemon.store.tallies import Tallies
from daemon.store.waves import ID_BITS, take_ids, wave_of


class Then(NamedTuple):
    """Where to go on: the first of these channels on which the person has no delivery of the step yet, from that instant on, for
    `valid` microseconds. `escalates`: the former was accepted, and what follows depends on what comes of it."""

    channels: Sequence[tuple[str, Instant]]
    valid: int
    escalates: bool = False


class _Former(NamedTuple):
    id: int
    wave: int
    person: int
    job: int
    version: int
    variant: str | None
    vars: str | None
    escalates: int | None
    campaign: int
    step: str
    occurrence: int
    ends: Instant | None
    walk: int | None


_FORMER = (
    select(
        s.delivery.c.id, s.delivery.c.wave, s.delivery.c.person, s.delivery.c.job, s.delivery.c.version, s.delivery.c.variant,
        s.delivery.c.vars, s.delivery.c.escalates, s.wave.c.campaign, s.wave.c.step, s.wave.c.occurrence, s.job.c.expires_at,
        s.delivery.c.walk,
    )
    .join(s.wave, s.wave.c.id == s.delivery.c.wave)
    .join(s.job, s.job.c.id == s.delivery.c.job)
    .where(in_list(s.delivery.c.id, "ids"), s.job.c.state != JobState.CANCELLED.value, s.job.c.state != JobState.FAILED.value)
)  # fmt: skip
_THERE = (
    select(s.delivery.c.person, s.wave.c.campaign, s.wave.c.step, s.wave.c.occurrence, s.wave.c.channel)
    .join(s.wave, s.wave.c.id == s.delivery.c.wave)
    .where(in_list(s.delivery.c.wave, "waves"), in_list(s.delivery.c.person, "persons"))
)
_WAVES = select(s.wave.c.id, s.wave.c.step, s.wave.c.occurrence).where(s.wave.c.campaign == bindparam("b_campaign"))
_INSERT = insert(s.delivery)
_NAMES = (
    "id", "wave", "person", "job", "version", "variant", "state", "lane", "not_before", "expires_at", "vars", "follows", "escalates",
    "walk",
)  # fmt: skip


def follow(conn: Connection, wanted: Mapping[int, Then], now: Instant) -> dict[int, str]:
    """Plan what follows these deliveries. Returns the channel of each that is followed; the others have nowhere left to go, or no
    time: their job's own end comes first, or it was cancelled."""
    if not wanted:
        return {}
    unfollowed = int(get_meta(conn, UNFOLLOWED) or 0)
    formers = sorted(_Former._make(row) for row in fetch(conn, _FORMER, ("ids",), (ids(wanted),)) if row[0] >= unfollowed)
    there = _channels_there(conn, formers)
    chosen: list[tuple[_Former, str, Instant, Instant]] = []
    for former in formers:
        then, taken = wanted[former.id], there[former.person, former.campaign, former.step, former.occurrence]
        found = next(((channel, at) for channel, at in then.channels if channel not in taken), None)
        if found is None:
            continue
        channel, at = found
        ends = at + then.valid if former.ends is None else min(at + then.valid, former.ends)
        if ends > at:
            taken.add(channel)
            chosen.append((former, channel, at, ends))
    _plan(conn, chosen, wanted, now)
    return {former.id: channel for former, channel, _, _ in chosen}


_V = s.campaign_version.c
_ACCEPTED = (
    select(s.wave.c.step, s.delivery.c.handed_over_at, func.json_extract(_V.body, literal_column("'$.campaign.steps'")))
    .join(s.wave, s.wave.c.id == s.delivery.c.wave)
    .join(s.campaign_version, and_(_V.campaign == s.wave.c.campaign, _V.version == s.delivery.c.version))
    .where(s.delivery.c.id == bindparam("b_id"), s.delivery.c.escalates.is_(None))
)


def follow_settled(conn: Connection, delivery: int, now: Instant) -> None:
    """What was in doubt, or was to be tried again, turned out to be accepted: its step may escalate, counted from its handover.
    What turned out to be rejected has no replacement: a later report may yet take that back."""
    for name, at, steps in fetch(conn, _ACCEPTED, ("b_id",), (delivery,)):
        step = next((step for step in map(step_from_plain, json.loads(steps or "[]")) if step.name == name), None)
        if step is not None and step.escalate is not None:
            due = max(now, (now if at is None else at) + step.escalate.after)
            follow(conn, {delivery: Then([(channel, due) for channel in step.escalate.to], step.valid, escalates=True)}, now)


_OTHER = s.wave.alias("other")
_GOES_AFTER = s.delivery.alias("goes_after")
_WAITS = (
    select(_GOES_AFTER.c.person)
    .select_from(s.delivery)
    .join(s.wave, s.wave.c.id == s.delivery.c.wave)
    .join(_OTHER, and_(*(_OTHER.c[name] == s.wave.c[name] for name in ("campaign", "step", "occurrence"))))
    .join(_GOES_AFTER, and_(_GOES_AFTER.c.wave == _OTHER.c.id, _GOES_AFTER.c.person == s.delivery.c.person))
    .where(s.delivery.c.id == bindparam("b_id"), _GOES_AFTER.c.escalates == bindparam("b_id"))
)
_ANEW = update(s.recipient).where(s.recipient.c.id.in_(_WAITS)).values(guard=s.recipient.c.guard + literal_column("1"))


def note_reaction(conn: Connection, delivery: int) -> None:
    """A recipient reacted: an escalation that is claimed already loses its leave, and is decided anew."""
    conn.execute(_ANEW, {"b_id": delivery})


def _channels_there(conn: Connection, formers: Iterable[_Former]) -> dict[tuple[int, int, str, int], set[str]]:
    """(person, campaign, step, occurrence) -> the channels on which there is a delivery."""
    steps = {(former.campaign, former.step, former.occurrence) for former in formers}
    waves = [
        wave
        for campaign in sorted({campaign for campaign, _, _ in steps})
        for wave, step, occurrence in fetch(conn, _WAVES, ("b_campaign",), (campaign,))
        if (campaign, step, occurrence) in steps
    ]
    there: dict[tuple[int, int, str, int], set[str]] = defaultdict(set)
    persons = ids(sorted({former.person for former in formers}))
    for person, campaign, step, occurrence, channel in fetch(conn, _THERE, ("waves", "persons"), (ids(waves), persons)):
        there[person, campaign, step, occurrence].add(channel)
    return there


def _plan(conn: Connection, chosen: Sequence[tuple[_Former, str, Instant, Instant]], wanted: Mapping[int, Then], now: Instant) -> None:
    if not chosen:
        return
    bits = chosen[0][0].id & ((1 << ID_BITS) - 1)  # as random as those of the former
    first = take_ids(conn, len(chosen), now, bits)
    lanes = open_lanes(conn, {(former.job, channel, 0) for former, channel, _, _ in chosen})
    rows: list[tuple[Any, ...]] = []
    tallies = Tallies()
    for number, (former, channel, at, ends) in enumerate(chosen, first):
        wave = wave_of(conn, (former.campaign, former.step, former.occurrence, channel))
        escalates = former.id if wanted[former.id].escalates else former.escalates
        lane = lanes[former.job, channel, 0]
        rows.append((
            number, wave, former.person, former.job, former.version, former.variant, State.DUE.value, lane, at, ends, former.vars,
            former.id, escalates, former.walk,
        ))  # fmt: skip
        tallies.add(former.job, State.DUE, "")
    many(conn, _INSERT, _NAMES, rows)
    put_due(conn, [(row[7], row[8], row[0]) for row in rows])
    tallies.write(conn)
