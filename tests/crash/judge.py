"""Judges a run by the server's log, by what was dropped in and by what `homing doubt list` names. Knows none of the daemon's rules.

A message is handed over between the server's 354 (`begun`) and the end of its content (`at`); each rule is held to be broken only
when it is broken at every instant in between. What is in doubt and never reached the server has the one instant that the list names.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from tests.crash.contest import DAY_LIMIT, SHORT_LIMIT, SHORT_SECONDS, Person, Window
from tests.crash.zoo import TAKEN, UNSURE

Pair = tuple[str, str]
"""(campaign, address): what is sent once."""


class Touch(NamedTuple):
    """One message on its way to a person: the two instants between which it was handed over, in seconds of UTC."""

    begun: float
    at: float
    campaign: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What the daemon says became of a delivery."""

    id: str
    state: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """`doubts`: pair -> instant of the handover. `now`: when the daemon had been stopped. `connections`: that were open at a kill."""

    dropped: Mapping[Pair, Person]
    log: Sequence[Mapping[str, Any]]
    ended: Mapping[Pair, Ended]
    doubts: Mapping[Pair, float]
    windows: Mapping[str, Window]
    kills: int
    connections: int
    now: float


def judge(seen: Evidence) -> list[str]:
    """All that is broken, in words."""
    sent = _sent(seen)
    touches = _touches(seen, sent)
    return [
        *_whole(seen),
        *_once(seen, sent),
        *_doubts(seen, sent),
        *_caps(seen, touches),
        *_in_windows(seen, touches),
        *_left(seen, touches),
    ]


def _sent(seen: Evidence) -> dict[Pair, list[Mapping[str, Any]]]:
    """The lines that say: this may be, or is, in the server's hands."""
    of_id = {ended.id: pair for pair, ended in seen.ended.items()}
    sent: dict[Pair, list[Mapping[str, Any]]] = defaultdict(list)
    for row in seen.log:
        if row["kind"] in TAKEN | UNSURE:
            sent[of_id.get(row["delivery"], (f"no such delivery: {row['delivery']}", row["to"]))].append(row)
    return sent


def _touches(seen: Evidence, sent: Mapping[Pair, Sequence[Mapping[str, Any]]]) -> dict[str, list[Touch]]:
    """Address -> its touches in order of time; a doubt counts, wherever it ended."""
    found: dict[str, list[Touch]] = defaultdict(list)
    for (campaign, address), rows in sent.items():
        found[address] += [Touch(row["begun"], row["at"], campaign) for row in rows]
    for pair, at in seen.doubts.items():
        if pair not in sent:
            found[pair[1]].append(Touch(at, at, pair[0]))
    for touches in found.values():
        touches.sort(key=lambda touch: touch.at)
    return found


def _whole(seen: Evidence) -> Iterator[str]:
    """Nobody who was dropped in is missing, nobody else is there."""
    yield from _some("lost: dropped in, and the daemon does not know of", seen.dropped.keys() - seen.ended.keys())
    yield from _some("of nobody's dropping", seen.ended.keys() - seen.dropped.keys())


def _once(seen: Evidence, sent: Mapping[Pair, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """Said to be sent = taken by the server, once; what may have been taken is never sent again."""
    yield from _some("doubled", [pair for pair, rows in sent.items() if len(rows) > 1])
    yield from _some("sent to the wrong address", [pair for pair, rows in sent.items() if any(row["to"] != pair[1] for row in rows)])
    accepted = {pair for pair, ended in seen.ended.items() if ended.state == "accepted"}
    taken = {pair for pair, rows in sent.items() if any(row["kind"] in TAKEN for row in rows)}
    yield from _some("lost: accepted by the store, never taken by the server", accepted - taken)
    refused = {pair for pair, ended in seen.ended.items() if ended.state == "rejected"}
    yield from _some("given up though the server did not refuse it", [pair for pair in refused if not pair[1].startswith("never.")])


def _doubts(seen: Evidence, sent: Mapping[Pair, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """Each send whose fate the daemon does not know is named, and there are no more than can be."""
    in_doubt = {pair for pair, ended in seen.ended.items() if ended.state == "in_doubt"}
    known = {pair for pair, ended in seen.ended.items() if ended.state == "accepted"}
    yield from _some("silent: with the server, neither accepted nor in the list of doubts", sent.keys() - known - seen.doubts.keys())
    yield from _some("in doubt and not in the list", in_doubt - seen.doubts.keys())
    yield from _some("in the list and not in doubt", seen.doubts.keys() - in_doubt)
    bound = seen.kills * seen.connections + sum(row["kind"] in UNSURE for row in seen.log)
    if len(seen.doubts) > bound:
        yield f"{len(seen.doubts)} in doubt, more than {bound}"


def _caps(seen: Evidence, touches: Mapping[str, Sequence[Touch]]) -> Iterator[str]:
    zones = {one.email: ZoneInfo(one.zone) for one in seen.dropped.values()}
    short, day = [], []
    for address, list_ in touches.items():
        pairs = zip(list_, list_[SHORT_LIMIT:], strict=False)
        short += [address for first, second in pairs if second.at - first.begun < SHORT_SECONDS]
        surely = [touch for touch in list_ if _date(touch.begun, zones[address]) == _date(touch.at, zones[address])]
        most = max(Counter(_date(touch.at, zones[address]) for touch in surely).values(), default=0)
        day += [address] * (most > DAY_LIMIT)
    yield from _some(f"more than {SHORT_LIMIT} in {SHORT_SECONDS} s", short)
    yield from _some(f"more than {DAY_LIMIT} in a day", day)


def _date(at: float, zone: ZoneInfo) -> object:
    return datetime.fromtimestamp(at, zone).date()


def _in_windows(seen: Evidence, touches: Mapping[str, Sequence[Touch]]) -> Iterator[str]:
    outside = []
    for (campaign, address), one in seen.dropped.items():
        if (window := seen.windows.get(campaign)) is None:
            continue
        zone = ZoneInfo(one.zone)
        outside += [
            (campaign, address)
            for touch in touches.get(address, ())
            if touch.campaign == campaign and not any(window.holds(datetime.fromtimestamp(at, zone)) for at in (touch.begun, touch.at))
        ]
    yield from _some("outside the window", outside)


def _left(seen: Evidence, touches: Mapping[str, Sequence[Touch]]) -> Iterator[str]:
    """What is not sent has a cause that stands up."""
    odd, idle = [], []
    for pair, ended in seen.ended.items():
        if ended.state in ("accepted", "in_doubt", "rejected") or pair not in seen.dropped:
            continue
        if ended.state != "due":
            odd.append((*pair, ended.state, ended.reason))
        elif not may_wait(seen, pair, touches.get(pair[1], ())):
            idle.append((*pair, ended.reason))
    yield from _some("ended, or stuck, in a state that nothing here leads to", odd)
    yield from _some("left unsent without a cause", idle)


def may_wait(seen: Evidence, pair: Pair, touches: Sequence[Touch]) -> bool:
    """The window is closed, a cap is full, or the server put it off."""
    one, window = seen.dropped[pair], seen.windows.get(pair[0])
    zone = ZoneInfo(one.zone)
    if window is not None and not window.holds(datetime.fromtimestamp(seen.now, zone)):
        return True
    if sum(_date(touch.at, zone) == _date(seen.now, zone) for touch in touches) >= DAY_LIMIT:
        return True
    if sum(seen.now - touch.at < SHORT_SECONDS + 2 for touch in touches) >= SHORT_LIMIT:
        return True
    put_off = (row for row in seen.log if row["to"] == pair[1] and row["kind"] in ("later", "bye", "nodata"))
    return any(row["delivery"] in (None, seen.ended[pair].id) for row in put_off)


def _some(what: str, found: Any) -> Iterator[str]:
    if listed := list(found):
        yield f"{len(listed)} {what}: {sorted(map(str, listed))[:4]}"
