"""Judges a run by the mail server's log alone: was each message received inside its recipient's window, by someone who may be
written to, none twice, and nobody more often than the cap allows?

Independent on purpose: the windows are computed by date(1) over tzdata's zone files (or by `zoneinfo` where there is no GNU
date), never by `daemon/policy`. A person who may be in several zones must be inside the window in each of them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import NamedTuple
from zoneinfo import ZoneInfo

from daemon.sandbox.mailbox import Entry
from daemon.sandbox.world import Kind, Person

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))? )?(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)")


class Wall(NamedTuple):
    """A local wall time: ISO weekday (1 = Monday) and `HH:MM:SS`."""

    weekday: int
    time: str


Ranges = Mapping[int, Sequence[tuple[str, str]]]
"""ISO weekday -> (start, end) of `HH:MM`, half-open, none over midnight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One message that should not have come, or not then."""

    entry: Entry
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """`judged`: messages looked at. `by`: what computed the local times. `findings`: empty = all well."""

    judged: int
    people: int
    by: str
    findings: tuple[Finding, ...]


def parse_ranges(hours: Iterable[str]) -> Ranges:
    """`["mon-sat 09:00-20:00", "sun 10:00-18:00"]` by weekday. ValueError for what this simple reader does not know."""
    found: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for text in hours:
        match = _HOURS.fullmatch(text)
        if match is None or match["start"] >= match["end"]:
            raise ValueError(f"not a plain range of hours: {text}")
        first = DAYS.index(match["first"]) if match["first"] else 0
        last = DAYS.index(match["last"]) if match["last"] else first if match["first"] else 6
        for day in range(first, last + 1):
            found[day + 1].append((match["start"], match["end"]))
    return found


def inside(wall: Wall, ranges: Ranges) -> bool:
    return any(start <= wall.time[: len(start)] < end for start, end in ranges.get(wall.weekday, ()))


def walls_by_date(zone: str, instants: Sequence[str]) -> list[Wall]:
    """Local times by date(1). `instants`: RFC 3339."""
    program = shutil.which("date") or "date"
    environ = {**os.environ, "TZ": zone, "TZDIR": str(resources.files("tzdata") / "zoneinfo"), "LC_ALL": "C"}
    answer = subprocess.run(  # noqa: S603 - the system's date, fed with our own lines
        [program, "-f", "-", "+%u %H:%M:%S"], input="\n".join(instants) + "\n", env=environ, capture_output=True, text=True, check=True
    )
    return [Wall(int(line.partition(" ")[0]), line.partition(" ")[2]) for line in answer.stdout.splitlines()]


def walls_by_zoneinfo(zone: str, instants: Sequence[str]) -> list[Wall]:
    """The same by the standard library."""
    local = [datetime.fromisoformat(instant).astimezone(ZoneInfo(zone)) for instant in instants]
    return [Wall(moment.isoweekday(), moment.strftime("%H:%M:%S")) for moment in local]


def has_gnu_date() -> bool:
    """date(1) reads many instants at once only where it is GNU's."""
    program = shutil.which("date")
    if program is None:
        return False
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - the system's date
    return "GNU" in answer.stdout


FORBIDDEN = frozenset({Kind.SUPPRESSED, Kind.NO_CONSENT, Kind.NO_ADDRESS, Kind.NEVER_OPEN})


def _too_often(log: Sequence[Entry], most_each: int) -> list[Finding]:
    """The same delivery twice, or one person more often than the cap allows."""
    deliveries, recipients = Counter(entry.delivery for entry in log), Counter(entry.recipients for entry in log)
    findings: list[Finding] = []
    seen: set[object] = set()
    for entry in log:
        delivery, count = entry.delivery, deliveries[entry.delivery]
        if (count > 1 or not delivery) and delivery not in seen:
            findings.append(Finding(entry=entry, what=f"delivery {delivery or 'without an id'} came {count} times"))
        elif recipients[entry.recipients] > most_each and entry.recipients not in seen and count == 1:
            findings.append(Finding(entry=entry, what=f"{', '.join(entry.recipients)} got {recipients[entry.recipients]} messages"))
        seen |= {delivery, entry.recipients}
    return findings


def judge(
    log: Sequence[Entry], people: Iterable[Person], windows: Callable[[Entry], Sequence[Ranges]], *, most_each: int = 1
) -> Judgement:
    """Look at every entry. `windows`: the windows that all must be open for it, by the config and the campaign; `most_each`: what
    the frequency cap lets one person get during the run."""
    by_address = {person.email: person for person in people if person.email is not None}
    gnu = has_gnu_date()
    findings: list[Finding] = []
    to_ask: dict[str, list[tuple[Entry, Person]]] = defaultdict(list)
    for entry in log:
        person = by_address.get(entry.recipients[0]) if len(entry.recipients) == 1 else None
        if person is None:
            findings.append(Finding(entry=entry, what=f"went to {', '.join(entry.recipients)}, who is not one of the sample's people"))
            continue
        if person.kind in FORBIDDEN:
            findings.append(Finding(entry=entry, what=f"went to {person.id}, who must not be written to ({person.kind})"))
        for zone in person.zones:
            to_ask[zone].append((entry, person))
    for zone, asked in sorted(to_ask.items()):
        walls = (walls_by_date if gnu else walls_by_zoneinfo)(zone, [entry.at for entry, _ in asked])
        for (entry, person), wall in zip(asked, walls, strict=True):
            quiet = parse_ranges(person.quiet)
            if not all(inside(wall, window) for window in windows(entry)):
                findings.append(Finding(entry=entry, what=f"outside the window: it was {wall.time} in {zone}"))
            elif inside(wall, quiet):
                findings.append(Finding(entry=entry, what=f"inside the person's quiet hours: it was {wall.time} in {zone}"))
    findings += _too_often(log, most_each)
    reached = len({entry.recipients for entry in log})
    return Judgement(judged=len(log), people=reached, by="date(1)" if gnu else "zoneinfo", findings=tuple(findings))
