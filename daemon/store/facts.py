"""What a decision rests on: a due delivery with its person, and what else is known of the person.

Read in the claim's transaction, under the writer (PostgreSQL: under the person's lock), and by explain. Judges nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, literal_column, select, union_all

from daemon.journey.profile import Shop
from daemon.model.audience import AUDIENCE
from daemon.model.delivery import Instant, State
from daemon.model.expression import Expression
from daemon.model.journey import ACT_TOPIC
from daemon.model.offer import Issue
from daemon.policy.caps import Touch
from daemon.store import schema as s
from daemon.store.codes import free_codes
from daemon.store.experiments import decided
from daemon.store.issues import issues_of
from daemon.store.outlay import Outlay, outlay_of
from daemon.store.push import PushAddress, push_addresses
from daemon.store.segment_sql import members_matching
from daemon.store.sql import fetch, ids, in_list


class DueRow(NamedTuple):
    """One due delivery with its person, as the rules and the renderer need it. `traits` and `vars` are JSON text.

    The driver's own row under names (a frozen dataclass of so many fields costs 5 µs a delivery): read it by name only.
    """

    delivery: int
    lane: int
    not_before: Instant
    expires_at: Instant
    attempts: int
    doubted: bool
    reason: str | None
    """Why it waited, when it was last decided."""
    wave: int
    campaign: int
    campaign_name: str
    version: int
    newest: int
    """The campaign's newest loaded version: its words are used, the structure is `version`'s."""
    variant: str | None
    step: str
    channel: str
    job: int
    job_key: str
    queue: str
    priority: int
    job_window: str | None
    person: int
    recipient: str
    email: str | None
    phone: str | None
    zone: str | None
    locale: str | None
    country: str | None
    traits: str | None
    vars: str | None
    email_hash: bytes | None
    phone_hash: bytes | None
    erased: bool
    person_guard: int
    campaign_guard: int
    job_guard: int
    queue_guard: int
    escalates: int | None = None
    """The accepted delivery that this one goes after, unless its recipient reacted."""
    walk: int | None = None
    """The walk that it belongs to; those of one message have none, and what follows is of the walk."""
    walk_state: str | None = None
    walk_ended_at: Instant | None = None
    walk_end_reason: str | None = None
    held_out: int | None = None
    arms: str | None = None
    event: str | None = None
    paused_until: Instant | None = None
    """The recipient asked for a pause."""
    weekly: int = 0
    """It asked for no more than one message a week."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressionRow:
    channel: str
    scope: str
    reason: str


class Holdings(NamedTuple):
    """What says which offer a person gets: the offers that it has or had, and its profile (`value` in millionths). `free`: codes left of
    the pools that matter, the same for all persons."""

    issues: Sequence[Issue] = ()
    orders: int = 0
    discount_orders: int = 0
    value: int = 0
    free: Mapping[str, int] = MappingProxyType({})


class Needs(NamedTuple):
    """What has to be known for some (campaign, version) pairs beside: `push` may turn to a push channel, `offers` have offers, with codes
    of these `pools`. Of campaigns: `trials` has people who wait for a winner, `budgets` a budget. `conditions`: (campaign, version, step)
    -> whom its escalation is for, asked at `now`, with the tiers of `shop`; `reads`: nothing may be written for it."""

    push: Collection[tuple[int, int]] = ()
    offers: Collection[tuple[int, int]] = ()
    pools: frozenset[str] = frozenset()
    trials: Collection[int] = ()
    conditions: Mapping[tuple[int, int, str], Expression] = MappingProxyType({})
    shop: Shop = Shop()
    now: Instant = 0
    reads: bool = False
    budgets: Collection[int] = ()


NO_NEEDS = Needs()
_NOTHING: Mapping[Any, Any] = MappingProxyType({})


class Known:
    """What the store knows of one person at this instant.

    consents: (channel, topic) -> state · suppressions: (address kind, row): which of the person's addresses is suppressed and how ·
    stays: (since, until or None, campaign) of the retargeting audiences that the person is or was in · push: read only where one of the
    rows needs it · holdings: read only where a row's campaign has offers · won: (campaign, step, digest of the experiment) -> the variant
    that won; the same for all persons · reactions: what people did (not machines) about deliveries that others go after: delivery -> kind
    of feedback -> when first · left_out: (campaign, version, step) whose escalation is not for this person.

    Made once a decision: what most people have none of is one empty thing for all of them (a dataclass that makes each costs three times
    as much).
    """

    __slots__ = ("consents", "holdings", "left_out", "outlay", "push", "reactions", "stays", "suppressions", "touches", "won")

    def __init__(
        self, touches: list[Touch], consents: Mapping[tuple[str, str], str] = _NOTHING,
        suppressions: Sequence[tuple[str, SuppressionRow]] = (), stays: Sequence[tuple[Instant, Instant | None, str]] = (),
    ) -> None:  # fmt: skip
        self.touches, self.consents, self.suppressions, self.stays = touches, consents, suppressions, stays
        self.push: Sequence[PushAddress] = ()
        self.holdings: Holdings | None = None
        self.outlay: Outlay | None = None
        self.won: Mapping[tuple[int, str, str], str] = _NOTHING
        self.reactions: Mapping[int, Mapping[str, Instant]] = _NOTHING
        self.left_out: AbstractSet[tuple[int, int, str]] = frozenset()


_ENROLLER = s.job.alias("enroller")
"""The job that brought a walk; one that was cancelled takes its walks back a stretch at a time, but they are over at once."""
_COLUMNS: dict[str, ColumnElement[Any]] = {
    "delivery": s.delivery.c.id,
    "lane": s.delivery.c.lane,
    "not_before": s.delivery.c.not_before,
    "expires_at": s.delivery.c.expires_at,
    "attempts": s.delivery.c.attempts,
    "doubted": func.coalesce(s.delivery.c.key, literal_column("''")) == literal_column("'doubt'"),
    "reason": s.delivery.c.reason,
    "wave": s.delivery.c.wave,
    "campaign": s.wave.c.campaign,
    "campaign_name": s.campaign.c.name,
    "version": s.delivery.c.version,
    "newest": s.campaign.c.version,
    "variant": s.delivery.c.variant,
    "step": s.wave.c.step,
    "channel": s.wave.c.channel,
    "job": s.delivery.c.job,
    "job_key": s.job.c.key,
    "queue": s.job.c.queue,
    "priority": s.job.c.priority,
    "job_window": s.job.c.window,
    "person": s.delivery.c.person,
    "recipient": s.recipient.c.key,
    "email": s.recipient.c.email,
    "phone": s.recipient.c.phone,
    "zone": s.recipient.c.zone,
    "locale": s.recipient.c.locale,
    "country": s.recipient.c.country,
    "traits": s.recipient.c.traits,
    "vars": s.delivery.c.vars,
    "email_hash": s.recipient.c.email_hash,
    "phone_hash": s.recipient.c.phone_hash,
    "erased": s.recipient.c.erased,
    "person_guard": s.recipient.c.guard,
    "campaign_guard": s.campaign.c.guard,
    "job_guard": s.job.c.guard,
    "queue_guard": func.coalesce(s.queue.c.guard, 0),
    "escalates": s.delivery.c.escalates,
    "walk": s.delivery.c.walk,
    "walk_state": case((_ENROLLER.c.state == literal_column("'cancelled'"), literal_column("'exited'")), else_=s.walk.c.state),
    "walk_ended_at": s.walk.c.ended_at,
    "walk_end_reason": s.walk.c.end_reason,
    "held_out": s.walk.c.held_out,
    "arms": s.walk.c.arms,
    "event": s.walk.c.event,
    "paused_until": s.recipient.c.paused_until,
    "weekly": s.recipient.c.weekly,
}
"""Field of `DueRow` -> where it comes from."""
_ROWS = (
    select(*(_COLUMNS[name].label(f"f_{name}") for name in DueRow._fields))
    .select_from(s.delivery)
    .join(s.wave, s.wave.c.id == s.delivery.c.wave)
    .join(s.campaign, s.campaign.c.id == s.wave.c.campaign)
    .join(s.job, s.job.c.id == s.delivery.c.job)
    .join(s.recipient, s.recipient.c.id == s.delivery.c.person)
    .outerjoin(s.queue, s.queue.c.name == s.job.c.queue)
    .outerjoin(s.walk, s.walk.c.id == s.delivery.c.walk)
    .outerjoin(_ENROLLER, _ENROLLER.c.id == s.walk.c.job)
    .where(in_list(s.delivery.c.id, "ids"))
)
_RIVAL = (
    s.delivery.c.state == State.DUE.value,
    s.delivery.c.not_before <= bindparam("now"),
    s.job.c.state == "accepted",
    s.campaign.c.status == "active",
    func.coalesce(s.queue.c.paused, 0) == 0,
    ~select(s.flight.c.delivery).where(s.flight.c.delivery == s.delivery.c.id).exists(),
)
_RIVAL_FROM = (
    select(s.delivery.c.id)
    .join(s.wave, s.wave.c.id == s.delivery.c.wave)
    .join(s.campaign, s.campaign.c.id == s.wave.c.campaign)
    .join(s.job, s.job.c.id == s.delivery.c.job)
    .outerjoin(s.queue, s.queue.c.name == s.job.c.queue)
)
_RIVALS = _RIVAL_FROM.where(in_list(s.delivery.c.wave, "waves"), in_list(s.delivery.c.person, "persons"), *_RIVAL)
_ALONE = (
    select(s.due.c.delivery)
    .join(s.lane, s.lane.c.id == s.due.c.lane)
    .where(s.lane.c.person.is_not(None), in_list(s.lane.c.person, "persons"), s.due.c.not_before <= bindparam("now"))
)
_RIVALS_ALONE = _RIVAL_FROM.where(s.delivery.c.id.in_(_ALONE), *_RIVAL)
"""In the lanes of jobs of one recipient."""


def _no_act(topic: ColumnElement[Any]) -> ColumnElement[bool]:
    """Not of an act: that is no contact."""
    return func.coalesce(topic, literal_column("''")) != literal_column(f"'{ACT_TOPIC}'")


_TOUCHES = (
    select(s.touch.c.person, s.touch.c.at, s.touch.c.channel, s.campaign.c.name, s.touch.c.topic, s.touch.c.zone)
    .join(s.campaign, s.campaign.c.id == s.touch.c.campaign)
    .where(
        in_list(s.touch.c.person, "persons"), s.touch.c.at > bindparam("horizon"), s.touch.c.channel != AUDIENCE,
        _no_act(s.touch.c.topic),
    )
)  # fmt: skip
"""A stay in an audience counts by its days (`_STAYS`), not by the act of putting somebody there."""
_STAYS = (
    select(s.audience_member.c.person, s.audience_member.c.since, s.audience_member.c.left_at, func.coalesce(s.campaign.c.name, ""))
    .join(s.audience, s.audience.c.id == s.audience_member.c.audience)
    .outerjoin(s.campaign, s.campaign.c.id == s.audience.c.campaign)
    .where(
        in_list(s.audience_member.c.person, "persons"),
        func.coalesce(s.audience_member.c.left_at, literal_column(str(1 << 62))) > bindparam("horizon"),
    )
)
_RESERVED = (
    select(s.flight.c.person, s.flight.c.claimed_at, s.flight.c.channel, s.campaign.c.name, s.flight.c.topic, s.flight.c.zone)
    .join(s.campaign, s.campaign.c.id == s.flight.c.campaign)
    .where(in_list(s.flight.c.person, "persons"), s.flight.c.handed_over == 0, s.flight.c.channel != AUDIENCE, _no_act(s.flight.c.topic))
)
_REACTIONS = (
    select(s.feedback.c.delivery, s.feedback.c.kind, func.min(s.feedback.c.at))
    .where(in_list(s.feedback.c.person, "persons"), in_list(s.feedback.c.delivery, "deliveries"), s.feedback.c.human == 1)
    .group_by(s.feedback.c.delivery, s.feedback.c.kind)
)
_CONSENTS = select(s.consent.c.person, s.consent.c.channel, s.consent.c.topic, s.consent.c.state).where(
    in_list(s.consent.c.person, "persons")
)
_SUPPRESSED = union_all(*(
    select(s.recipient.c.id, literal_column(f"'{kind}'"), s.suppression.c.channel, s.suppression.c.scope, s.suppression.c.reason)
    .join(s.suppression, s.suppression.c.hash == column)
    .where(in_list(s.recipient.c.id, "persons"))
    for kind, column in (("email", s.recipient.c.email_hash), ("phone", s.recipient.c.phone_hash))
))  # fmt: skip
"""By way of the recipients: their hashes need not come out of the store and go in again."""


def rivals_of(conn: Connection, rows: Sequence[DueRow], waves: Iterable[int], now: Instant) -> list[DueRow]:
    """What else of these persons is due now, in these waves or in jobs of one recipient, may run, and is in nobody's hands. Most have
    nothing else: it is looked for by number, and read only where there is something. Nobody has two deliveries of one wave."""
    known = {row.delivery for row in rows}
    all_persons, mine = set(), defaultdict(set)
    for row in rows:
        all_persons.add(row.person)
        mine[row.wave].add(row.person)
    others = [wave for wave in waves if len(mine[wave]) < len(all_persons)]
    persons = ids(sorted(all_persons))
    found = fetch(conn, _RIVALS, ("waves", "persons", "now"), (ids(others), persons, now)) if others else []
    found += fetch(conn, _RIVALS_ALONE, ("persons", "now"), (persons, now))
    rivals = dict.fromkeys(delivery for (delivery,) in found if delivery not in known)
    return due_rows(conn, rivals) if rivals else []


def due_rows(conn: Connection, deliveries: Iterable[int]) -> list[DueRow]:
    """These deliveries as a claim would see them."""
    return [DueRow._make(row) for row in fetch(conn, _ROWS, ("ids",), (ids(deliveries),))]


PUSHED = frozenset({"push"})
"""The channels that reach people by push subscriptions, where nobody says otherwise."""


def known_of(
    conn: Connection, rows: Sequence[DueRow], horizon: Instant, pushed: AbstractSet[str] = PUSHED, needs: Needs = NO_NEEDS
) -> dict[int, Known]:
    """What the rules may look at of the rows' persons; touches after `horizon` only. `pushed`: channels whose rows need subscriptions."""
    known: dict[int, Known] = {}
    reached: set[int] = set()
    escalating: dict[int, int] = {}
    for row in rows:
        if row.channel in pushed or (needs.push and (row.campaign, row.version) in needs.push):
            reached.add(row.person)
        if row.escalates is not None:
            escalating[row.escalates] = row.person
        if row.person not in known:
            known[row.person] = Known([])
    persons = ids(sorted(known))
    _note_contacts(conn, known, persons, horizon)
    for person, channel, topic, state in fetch(conn, _CONSENTS, ("persons",), (persons,)):
        known[person].consents = {**known[person].consents, (channel, topic): state}
    for person, kind, channel, scope, reason in fetch(conn, _SUPPRESSED, ("persons",), (persons,)):
        known[person].suppressions = [*known[person].suppressions, (kind, SuppressionRow(channel=channel, scope=scope, reason=reason))]
    if escalating:
        _note_reactions(conn, known, rows, escalating, needs)
    if reached:
        for person, addresses in push_addresses(conn, sorted(reached)).items():
            known[person].push = addresses
    if needs.offers:
        _note_holdings(conn, known, rows, needs)
    _note_for_all(conn, known, rows, needs)
    return known


def _note_for_all(conn: Connection, known: Mapping[int, Known], rows: Sequence[DueRow], needs: Needs) -> None:
    """What is the same for all persons."""
    if needs.trials:
        won = {(campaign, *key): arm for campaign in needs.trials for key, arm in decided(conn, campaign).items()}
        for one in known.values():
            one.won = won
    if needs.budgets:
        outlay = outlay_of(conn, needs.budgets, [row.delivery for row in rows])
        for one in known.values():
            one.outlay = outlay


def _note_reactions(
    conn: Connection, known: Mapping[int, Known], rows: Iterable[DueRow], escalating: Mapping[int, int], needs: Needs
) -> None:  # fmt: skip
    """What calls escalations off: reactions to what they go after, and a `where` that does not match the person."""
    listed = ids(sorted(known)), ids(sorted(escalating))
    for delivery, kind, at in fetch(conn, _REACTIONS, ("persons", "deliveries"), listed):
        one = known[escalating[delivery]]
        one.reactions = {**one.reactions, delivery: {**one.reactions.get(delivery, {}), kind: at}}
    asked: dict[tuple[int, int, str], set[int]] = {}
    for row in rows:
        if row.escalates is not None and (key := (row.campaign, row.version, row.step)) in needs.conditions:
            asked.setdefault(key, set()).add(row.person)
    for key, persons in asked.items():
        for person in persons - members_matching(conn, needs.conditions[key], persons, needs.shop, needs.now, writes=not needs.reads):
            known[person].left_out |= {key}


def _note_contacts(conn: Connection, known: Mapping[int, Known], persons: str, horizon: Instant) -> None:
    """Touches, claims that will become some, and days in audiences."""
    for row in fetch(conn, _TOUCHES, ("persons", "horizon"), (persons, horizon)):
        known[row[0]].touches.append(Touch._make(row[1:]))
    for row in fetch(conn, _RESERVED, ("persons",), (persons,)):
        known[row[0]].touches.append(Touch._make(row[1:]))
    for person, since, until, campaign in fetch(conn, _STAYS, ("persons", "horizon"), (persons, horizon)):
        known[person].stays = [*known[person].stays, (since, until, campaign)]


_PROFILES = select(s.profile.c.person, s.profile.c.orders, s.profile.c.discount_orders, s.profile.c.value).where(
    in_list(s.profile.c.person, "persons")
)


def _note_holdings(conn: Connection, known: Mapping[int, Known], rows: Iterable[DueRow], needs: Needs) -> None:
    persons = {row.person for row in rows if row.walk is not None and (row.campaign, row.version) in needs.offers}
    issues, free = issues_of(conn, persons), free_codes(conn, needs.pools) if needs.pools else {}
    worth = {row[0]: row[1:] for row in fetch(conn, _PROFILES, ("persons",), (ids(sorted(persons)),))}
    for person in persons:
        orders, discounted, value = worth.get(person, (0, 0, 0))
        known[person].holdings = Holdings(issues.get(person, ()), orders, discounted, value, free)
