"""Judges a run by the providers' logs alone: was each message received inside its recipient's window, by someone who may be
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
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from daemon.sandbox import mailbox, push, twilio_log
from daemon.sandbox.ads_set import Row
from daemon.sandbox.vips import VipKind
from daemon.sandbox.world import Kind, Person, browser_name

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))? )?(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)")


class Wall(NamedTuple):
    """A local wall time: ISO weekday (1 = Monday) and `HH:MM:SS`."""

    weekday: int
    time: str


Ranges = Mapping[int, Sequence[tuple[str, str]]]
"""ISO weekday -> (start, end) of `HH:MM`, half-open, none over midnight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One message that a local provider took. `at`: RFC 3339, by the sandbox's clock; `to`: the address as `Person.addresses` has it;
    `title`: a mail's subject."""

    channel: str
    at: str
    delivery: str
    to: str
    title: str = ""


def arrivals_in(folder: Path) -> list[Arrival]:
    """What the logs of a sandbox's folder say, channel by channel."""
    mails = [
        Arrival(channel="email", at=entry.at, delivery=entry.delivery, to=", ".join(entry.recipients), title=entry.subject)
        for entry in mailbox.read_log(folder)
    ]
    texts = [Arrival(channel="sms", at=entry.at, delivery=entry.delivery, to=entry.to) for entry in twilio_log.read_log(folder / "sms")]
    pushes = [
        Arrival(channel="push", at=entry["at"], delivery=entry["payload"]["id"], to=browser_name(entry["browser"]))
        for entry in push.read_log(folder / "push.ndjson")
        if "payload" in entry
    ]
    return [*mails, *texts, *pushes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One message that should not have come, or not then."""

    arrival: Arrival
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """`judged`: messages looked at; `channels`: how many of each. `by`: what computed the local times. `findings`: empty = all well."""

    judged: int
    channels: Mapping[str, int]
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


FORBIDDEN = frozenset({Kind.SUPPRESSED, Kind.NO_CONSENT, Kind.NO_ADDRESS, Kind.NEVER_OPEN, VipKind.SILENT})

NO_AUDIENCE = frozenset({VipKind.SILENT})


def _too_often(log: Sequence[tuple[Arrival, Person]], most_each: int) -> list[Finding]:
    """The same delivery twice, or one person more often than the cap allows, over whatever channels."""
    deliveries, people = Counter(arrival.delivery for arrival, _ in log), Counter(person.id for _, person in log)
    findings: list[Finding] = []
    seen: set[str] = set()
    for arrival, person in log:
        delivery, count = arrival.delivery, deliveries[arrival.delivery]
        if (count > 1 or not delivery) and delivery not in seen:
            findings.append(Finding(arrival=arrival, what=f"delivery {delivery or 'without an id'} came {count} times"))
        elif people[person.id] > most_each and person.id not in seen and count == 1:
            findings.append(Finding(arrival=arrival, what=f"{person.id} got {people[person.id]} messages"))
        seen |= {delivery, person.id}
    return findings


def judge(
    log: Sequence[Arrival], people: Iterable[Person], windows: Callable[[Arrival], Sequence[Ranges]], *, most_each: int = 1
) -> Judgement:
    """Look at every arrival. `windows`: the windows that all must be open for it, by the config and the campaign; `most_each`: what
    the frequency cap lets one person get during the run."""
    by_address = {address: person for person in people for address in person.addresses()}
    gnu = has_gnu_date()
    findings: list[Finding] = []
    known: list[tuple[Arrival, Person]] = []
    to_ask: dict[str, list[tuple[Arrival, Person]]] = defaultdict(list)
    for arrival in log:
        person = by_address.get(arrival.to)
        if person is None:
            findings.append(Finding(arrival=arrival, what=f"went to {arrival.to}, who is not one of the sample's people"))
            continue
        known.append((arrival, person))
        if person.kind in FORBIDDEN:
            findings.append(Finding(arrival=arrival, what=f"went to {person.id}, who must not be written to ({person.kind})"))
        for zone in person.zones:
            to_ask[zone].append((arrival, person))
    for zone, asked in sorted(to_ask.items()):
        walls = (walls_by_date if gnu else walls_by_zoneinfo)(zone, [arrival.at for arrival, _ in asked])
        for (arrival, person), wall in zip(asked, walls, strict=True):
            quiet = parse_ranges(person.quiet)
            if not all(inside(wall, window) for window in windows(arrival)):
                findings.append(Finding(arrival=arrival, what=f"outside the window: it was {wall.time} in {zone}"))
            elif inside(wall, quiet):
                findings.append(Finding(arrival=arrival, what=f"inside the person's quiet hours: it was {wall.time} in {zone}"))
    findings += _too_often(known, most_each)
    reached = len({person.id for _, person in known})
    by_channel = Counter(arrival.channel for arrival in log)
    return Judgement(
        judged=len(log), channels=dict(by_channel), people=reached, by="date(1)" if gnu else "zoneinfo", findings=tuple(findings)
    )  # fmt: skip


def judge_members(members: Mapping[tuple[str, str], Iterable[Row]], people: Iterable[Person]) -> list[str]:
    """Look at every member of every (platform, audience): whose hash is it, and may that person be there? What is wrong, in words."""
    known: dict[str, Person] = {}
    for person in people:
        for address in person.addresses():
            for spelling in (address, address.removeprefix("+")):  # Google wants the plus, Meta does not
                known[sha256(spelling.encode()).hexdigest()] = person
    findings = []
    for (network, name), rows in members.items():
        for row in rows:
            found = next((known[each] for each in row if each in known), None)
            if found is None:
                findings.append(f"{network}: {name} has a member who is not one of the sample's people")
            elif found.kind in NO_AUDIENCE:
                findings.append(f"{network}: {name} has {found.id}, who must not be there ({found.kind})")
    return findings
