"""Offers that people have: set aside in the claim's transaction, opened with the outcome, ended by time, order, or the message's end.

An issue belongs to (walk, step): a refused handover, a retry and another channel of the step find the same one, with the same code. What
was accepted, or may have been (a doubt), is open; what surely reached nobody gives its code back (`settle`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, bindparam, case, func, insert, literal_column, null, select, update

from daemon.model.delivery import FINAL, Instant, State
from daemon.model.offer import Issue, IssueState
from daemon.policy.deadlines import round_up
from daemon.store import schema as s
from daemon.store.codes import Mint, make_code, put_back, take_codes
from daemon.store.sql import fetch, ids, in_list, many
from daemon.store.wake import WAITS_FOR_SLOT, wake

_I = s.issue.c
ERASED = 0
"""As the person of an offer: whoever had it was erased. Two of such are not one person's."""
_OF_PERSONS = (
    select(
        _I.person, _I.id, _I.walk, _I.step, s.campaign.c.name, _I.offer, _I.rank, _I.state, func.coalesce(s.code.c.said, _I.code),
        _I.accepted_at, _I.ends_at, _I.apart,
    )
    .join(s.campaign, s.campaign.c.id == _I.campaign)
    .outerjoin(s.code, s.code.c.issue == _I.id)
    .where(in_list(_I.person, "persons"))
    .order_by(_I.id)
)  # fmt: skip


class Wanted(NamedTuple):
    """An offer that a message carries which is about to be claimed. `again`: the issue that it is already. `pool` or `pattern`: where its
    code comes from, or neither. `printed`: the end that the message names; `valid`, `zone`: how it follows from the acceptance (None:
    it is fixed)."""

    walk: int
    step: str
    person: int
    campaign: int
    offer: str
    rank: int
    again: int | None = None
    pool: str | None = None
    pattern: str | None = None
    printed: Instant | None = None
    valid: int | None = None
    zone: str | None = None
    apart: int = 0


class Reserved(NamedTuple):
    """What the message shows. `offer` None: it carries none."""

    issue: int
    offer: str
    code: str | None
    ends_at: Instant | None


def no_codes(pattern: str, walk: int, step: str, turn: int) -> str:
    """For claims of which no offer makes its own codes."""
    raise LookupError(f"nobody makes codes of the pattern {pattern} (walk {walk}, step {step}, try {turn})")


def issues_of(conn: Connection, persons: Iterable[int]) -> dict[int, list[Issue]]:
    """All that these persons have or had, the oldest first."""
    found: dict[int, list[Issue]] = {}
    for person, *row in fetch(conn, _OF_PERSONS, ("persons",), (ids(sorted(persons)),)):
        row[6] = IssueState(row[6])
        found.setdefault(person, []).append(Issue._make(row))
    return found


_FORMER = select(_I.id, _I.state).where(_I.walk == bindparam("walk"), _I.step == bindparam("step"))
_INSERT = insert(s.issue).returning(s.issue.c.id)
_INSERT_NAMES = ("walk", "step", "person", "campaign", "offer", "rank", "pool", "state", "valid", "zone", "reserved_at", "ends_at", "apart")
_AGAIN = (
    update(s.issue)
    .where(_I.id == bindparam("b_id"))
    .values(
        offer=bindparam("b_offer"), rank=bindparam("b_rank"), pool=bindparam("b_pool"), code=null(), state=literal_column("'reserved'"),
        valid=bindparam("b_valid"), zone=bindparam("b_zone"), reserved_at=bindparam("b_now"), ends_at=bindparam("b_ends"), ended_at=null(),
    )
)  # fmt: skip
_AGAIN_NAMES = ("b_id", "b_offer", "b_rank", "b_pool", "b_valid", "b_zone", "b_now", "b_ends")
_PRINTED = (
    update(s.issue)
    .where(_I.id == bindparam("b_id"), _I.state == literal_column("'reserved'"))
    .values(ends_at=bindparam("b_ends"), zone=bindparam("b_zone"))
)
_CODE = update(s.issue).where(_I.id == bindparam("b_id")).values(code=bindparam("b_code"))
_SHOWN = (
    select(_I.id, _I.offer, func.coalesce(s.code.c.said, _I.code), _I.ends_at)
    .outerjoin(s.code, s.code.c.issue == _I.id)
    .where(in_list(_I.id, "ids"))
)


def reserve(conn: Connection, wanted: Mapping[int, Wanted], mint: Mint, now: Instant) -> dict[int, Reserved]:
    """Set the offers of these deliveries aside, with their codes. Two deliveries of one (walk, step) share theirs."""
    issues: dict[int, int] = {}
    shared: dict[tuple[int, str], int] = {}
    fresh: dict[str, list[int]] = {}
    for delivery, want in sorted(wanted.items()):
        number = shared.get((want.walk, want.step)) if want.again is None else want.again
        if number is None:
            number = shared[want.walk, want.step] = _new(conn, want, now)
            if want.pattern is not None:
                code = make_code(conn, want.pattern, want.walk, want.step, number, mint, now)
                many(conn, _CODE, ("b_id", "b_code"), [(number, code)])
            elif want.pool is not None:
                fresh.setdefault(want.pool, []).append(number)
        elif want.again is not None:
            many(conn, _PRINTED, ("b_id", "b_ends", "b_zone"), [(number, want.printed, want.zone)])
        issues[delivery] = number
    for pool, numbers in fresh.items():
        codes = take_codes(conn, pool, numbers)
        many(conn, _CODE, ("b_id", "b_code"), [(number, code) for number, (code, _) in zip(numbers, codes, strict=True)])
    shown = {row[0]: Reserved._make(row) for row in fetch(conn, _SHOWN, ("ids",), (ids(sorted(set(issues.values()))),))}
    return {delivery: shown[number] for delivery, number in issues.items()}


def _new(conn: Connection, want: Wanted, now: Instant) -> int:
    """A new issue; what was returned of this step is issued once more."""
    former = fetch(conn, _FORMER, ("walk", "step"), (want.walk, want.step))
    if former:
        [(number, state)] = former
        if state != IssueState.RETURNED:
            raise LookupError(f"issue {number} of the step {want.step} is {state}, and was to be made anew")
        row = (number, want.offer, want.rank, want.pool, want.valid, want.zone, now, want.printed)
        many(conn, _AGAIN, _AGAIN_NAMES, [row])
        return int(number)
    mine = (want.walk, want.step, want.person, want.campaign, want.offer, want.rank, want.pool)
    state = IssueState.RESERVED.value
    [(number,)] = fetch(conn, _INSERT, _INSERT_NAMES, (*mine, state, want.valid, want.zone, now, want.printed, want.apart))
    return int(number)


_TO_OPEN = select(_I.id, _I.person, _I.campaign, _I.valid, _I.zone, _I.ends_at, _I.apart).where(
    in_list(_I.id, "ids"), _I.accepted_at.is_(null()), _I.state != literal_column("'returned'")
)
_OPEN = (
    update(s.issue)
    .where(_I.id == bindparam("b_id"))
    .values(
        state=case((_I.state == literal_column("'reserved'"), literal_column("'open'")), else_=_I.state),  # an order may have come first
        accepted_at=bindparam("b_at"), ends_at=bindparam("b_ends"),
    )
)
_REPLACE = (
    update(s.issue)
    .where(
        _I.person == bindparam("b_person"), _I.campaign == bindparam("b_campaign"), _I.id != bindparam("b_id"),
        _I.state == literal_column("'open'"), _I.apart == literal_column("0"),
    )
    .values(state=literal_column("'replaced'"), ended_at=bindparam("b_at"))
)  # fmt: skip


def open_issues(conn: Connection, accepted: Mapping[int, Instant]) -> None:
    """The messages that carry these were accepted, or may have been, at those instants: their ends count from then, and what the persons
    had open of the same campaign is replaced. Called in the transaction of the outcome; what is open already stays as it is."""
    found = fetch(conn, _TO_OPEN, ("ids",), (ids(sorted(accepted)),))
    for number, person, campaign, valid, zone, printed, apart in sorted(found, key=lambda row: (accepted[row[0]], row[0])):
        at = accepted[number]
        ends = printed if valid is None else max(round_up(at, valid, zone), printed or 0)
        if person != ERASED and not apart:
            many(conn, _REPLACE, ("b_person", "b_campaign", "b_id", "b_at"), [(person, campaign, number, at)])
        many(conn, _OPEN, ("b_id", "b_at", "b_ends"), [(number, at, ends)])


_EXPIRE = (
    update(s.issue)
    .where(_I.id.in_(
        select(_I.id)
        .where(_I.state == literal_column("'open'"), _I.ends_at.is_not(None), _I.ends_at <= bindparam("b_now"))
        .order_by(_I.ends_at)
        .limit(bindparam("b_n"))
    ))
    .values(state=literal_column("'expired'"), ended_at=_I.ends_at)
)
_RESERVED = (
    select(_I.id, _I.person)
    .where(_I.state == literal_column("'reserved'"), _I.id > bindparam("after"))
    .order_by(_I.id)
    .limit(bindparam("n"))
)
_MESSAGES = (
    select(_I.id, s.delivery.c.state, s.delivery.c.handed_over_at)
    .join(s.walk, s.walk.c.id == _I.walk)
    .join(
        s.wave,
        and_(s.wave.c.campaign == s.walk.c.campaign, s.wave.c.step == _I.step, s.wave.c.occurrence == s.walk.c.occurrence),
    )
    .join(s.delivery, and_(s.delivery.c.wave == s.wave.c.id, s.delivery.c.person == s.walk.c.person))
    .where(in_list(_I.id, "ids"))
)
_RETURN = (
    update(s.issue)
    .where(_I.id == bindparam("b_id"), _I.state == literal_column("'reserved'"))
    .values(state=literal_column("'returned'"), code=null(), ended_at=bindparam("b_now"))
)
STRETCH = 200


def expire(conn: Connection, now: Instant) -> int:
    """What is open past its end has expired, a stretch of it. Returns how many; fewer than STRETCH = all."""
    return many(conn, _EXPIRE, ("b_now", "b_n"), [(now, STRETCH)])


class Settled(NamedTuple):
    """`returned`: issues that came back; `woken`: deliveries that had waited for that; `after`: the cursor, None = all were looked at."""

    returned: int
    opened: int
    woken: int
    after: int | None


_ONE: Select[Any] = select(literal_column("1")).select_from(s.issue).limit(1)
_ANY_RESERVED = _ONE.where(_I.state == literal_column("'reserved'"))
_ANY_PAST = _ONE.where(_I.state == literal_column("'open'"), _I.ends_at.is_not(None), _I.ends_at <= bindparam("now"))


def to_settle(conn: Connection, now: Instant) -> bool:
    """Is anything set aside, or past its end?"""
    return bool(fetch(conn, _ANY_RESERVED) or fetch(conn, _ANY_PAST, ("now",), (now,)))


class _Over(NamedTuple):
    """Of a stretch of what is set aside: what is open after all (issue -> since when), what came to nothing (issue -> person)."""

    opened: Mapping[int, Instant]
    lost: Mapping[int, int]
    after: int | None


def _look_over(conn: Connection, after: int, now: Instant) -> _Over:
    rows = fetch(conn, _RESERVED, ("after", "n"), (after, STRETCH))
    messages: dict[int, list[tuple[State, Instant | None]]] = {}
    for number, state, at in fetch(conn, _MESSAGES, ("ids",), (ids(row[0] for row in rows),)):
        messages.setdefault(number, []).append((State(state), at))
    opened: dict[int, Instant] = {}
    lost: dict[int, int] = {}
    for number, person in rows:
        mine = messages.get(number, ())
        gone = [at or now for state, at in mine if state in (State.ACCEPTED, State.IN_DOUBT)]
        if gone:
            opened[number] = min(gone)
        elif all(state in FINAL for state, _ in mine):
            lost[number] = person
    return _Over(opened, lost, rows[-1][0] if len(rows) == STRETCH else None)


def unsettled(conn: Connection, after: int, now: Instant) -> tuple[bool, int | None]:
    """(is there anything for `settle` to do in the stretch behind `after`, the cursor): so that nothing is written for what only waits."""
    found = _look_over(conn, after, now)
    return bool(found.opened or found.lost), found.after


def settle(conn: Connection, after: int, now: Instant) -> Settled:
    """A stretch of what is set aside. Messages that have all ended unsent: it is returned, with its code. One of them was accepted after
    all, or is in doubt (a crash, a late report): it is open since its handover."""
    found = _look_over(conn, after, now)
    open_issues(conn, found.opened)
    put_back(conn, list(found.lost))
    many(conn, _RETURN, ("b_id", "b_now"), [(number, now) for number in found.lost])
    woken = wake(conn, set(found.lost.values()), now, WAITS_FOR_SLOT) if found.lost else 0
    return Settled(len(found.lost), len(found.opened), woken, found.after)


_HIS = update(s.issue).where(_I.person == bindparam("b_other")).values(person=bindparam("b_person"))
_ALL_OPEN = (
    select(_I.campaign, _I.accepted_at, _I.id)
    .where(_I.person == bindparam("person"), _I.state == literal_column("'open'"))
    .order_by(_I.campaign, _I.accepted_at, _I.id)
)  # fmt: skip
_REPLACED = update(s.issue).where(_I.id == bindparam("b_id")).values(state=literal_column("'replaced'"), ended_at=bindparam("b_at"))


def inherit_issues(conn: Connection, other: int, person: int) -> None:
    """The offers of one are another's now; of those of a campaign that are open, the last one given stays so."""
    many(conn, _HIS, ("b_other", "b_person"), [(other, person)])
    mine = fetch(conn, _ALL_OPEN, ("person",), (person,))
    many(conn, _REPLACED, ("b_id", "b_at"), [(one[2], next[1]) for one, next in pairwise(mine) if one[0] == next[0]])


_FORGET = update(s.issue).where(_I.person == bindparam("b_person")).values(person=literal_column(str(ERASED)))
_FORGET_ORDERS = (
    update(s.redemption)
    .where(s.redemption.c.person == bindparam("b_person"))
    .values(person=literal_column(str(ERASED)))
)  # fmt: skip


def forget_issues(conn: Connection, persons: Sequence[int]) -> None:
    """The persons were erased: the codes stay in the books, nobody's."""
    many(conn, _FORGET, ("b_person",), [(person,) for person in persons])
    many(conn, _FORGET_ORDERS, ("b_person",), [(person,) for person in persons])
