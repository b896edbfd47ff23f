"""What is dropped into the daemon that gets killed: people in several zones and several jobs at once, so that caps and windows are
really contested, and the installation that they are dropped into.

Six campaigns: four whose window is open all day, one whose window closes while it runs, one whose window opens then. The last two are
the same wall time for everybody, so it is outside for most zones. Three in four people are in the first four, so that the day's cap
leaves each with one that must wait until tomorrow; the others are in the first and the last two. The short cap makes all of them wait.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.crash.world import CAMPAIGN, TEMPLATE, Installation
from tests.crash.zoo import WORDS

ZONES = ("UTC", "Asia/Jakarta", "Asia/Kathmandu", "America/Chicago", "Pacific/Auckland", "America/St_Johns")
OPEN = ("open-1", "open-2", "open-3", "open-4")
CLOSING, OPENING = "closing", "opening"
SHORT_SECONDS, SHORT_LIMIT, DAY_LIMIT = 15, 1, 3
DOT_SECONDS = 4
RELAYS = 4
WAYWARD = 61
"""One person in so many has an address that the server treats as its first word says."""
RARE = {"garbage": 1, "hang": 4, "drip": 4, "bye": 4, "nodata": 6}
"""At most so many of those: each costs the relay, or a connection, some seconds."""

CONFIG = f"""
[homing]
state_dir = "var"
campaigns = "campaigns"
default_zone = "UTC"
[http]
listen = "127.0.0.1:{{admin}}"
public_listen = "127.0.0.1:{{public}}"
[window]
start = "00:00"
end = "24:00"
[[cap]]
name = "short"
limit = {SHORT_LIMIT}
rolling = "{SHORT_SECONDS}s"
[[cap]]
name = "day"
limit = {DAY_LIMIT}
calendar = "day"
[intake]
unexpected_max = 1000000
[providers.relay]
plugin = "smtp"
host = "127.0.0.1"
port = {{ports[0]}}
relays = [{{relays}}]
tls = "none"
pool = {{pool}}
dot_seconds = {DOT_SECONDS}
from = "Kedai <hello@mail.example.com>"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A campaign's window as wall time: minutes of the day, half-open; over midnight when it ends before it starts."""

    start: int
    end: int

    def hours(self) -> str:
        return f"mon-sun {self.start // 60:02}:{self.start % 60:02}-{self.end // 60:02}:{self.end % 60:02}"

    def holds(self, local: datetime) -> bool:
        """Is this wall time inside? Judged here, not by the daemon's own rules."""
        minute = local.hour * 60 + local.minute
        return self.start <= minute < self.end if self.start < self.end else minute >= self.start or minute < self.end


def windows(now: float, *, closes_in: float, opens_in: float) -> dict[str, Window]:
    """The two narrow windows around now: UTC wall time; each edge at the next full minute after so many seconds."""

    def minute(seconds: float) -> int:
        moment = datetime.fromtimestamp(now + seconds, UTC) + timedelta(seconds=59)
        return (moment.hour * 60 + moment.minute) % 1440

    closing, opening = minute(closes_in), minute(opens_in)
    return {
        CLOSING: Window(start=(closing - 90) % 1440, end=closing),
        OPENING: Window(start=opening, end=(opening + 2) % 1440),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One recipient: the same in every job."""

    key: str
    email: str
    zone: str


def people(count: int) -> list[Person]:
    """`count` persons, the wayward ones among them spread evenly."""
    left = dict.fromkeys(WORDS, count) | RARE
    made = []
    for n in range(count):
        word = WORDS[(n // WAYWARD) % len(WORDS)] if n % WAYWARD == 7 else ""
        if word:
            left[word] -= 1
        name = f"{word}.p-{n}" if word and left[word] >= 0 else f"p-{n}"
        zone = ZONES[(n + n // 4) % len(ZONES)] if n % 8 else "UTC"
        made.append(Person(key=f"p-{n}", email=f"{name}@example.com", zone=zone))
    return made


def jobs(crowd: list[Person]) -> Iterator[tuple[str, list[Person]]]:
    """(campaign, people) of each job."""
    narrow = crowd[::4]
    yield CLOSING, narrow
    yield OPEN[0], crowd
    for campaign in OPEN[1:]:
        yield campaign, [one for n, one in enumerate(crowd) if n % 4]
    yield OPENING, narrow


def job_text(campaign: str, crowd: list[Person]) -> str:
    """The job as NDJSON; its id is the campaign's name."""
    rows: list[Mapping[str, Any]] = [{"id": campaign, "queue": campaign, "expected_count": len(crowd)}]
    rows += [{"id": one.key, "email": one.email, "zone": one.zone, "vars": {"last_product": "shoes"}} for one in crowd]
    return "\n".join(map(json.dumps, rows)) + "\n"


class Contest(Installation):
    """The installation with these campaigns; its relays are one server's ports."""

    def __init__(self, folder: Path, ports: list[int], log: Path, *, closes_in: float, opens_in: float) -> None:
        super().__init__(folder, ports[0], log)
        self.windows = windows(time.time(), closes_in=closes_in, opens_in=opens_in)
        text = CONFIG.format(admin=self.admin, public=self.public, ports=ports, pool=self.pool,
                             relays=", ".join(f'"127.0.0.1:{port}"' for port in ports[1:]))  # fmt: skip
        for name in (*OPEN, CLOSING, OPENING):
            there = folder / "campaigns" / name
            there.mkdir()
            window = self.windows.get(name)
            narrow = f'[window]\nhours = ["{window.hours()}"]\n' if window else ""
            (there / "campaign.toml").write_text(CAMPAIGN + narrow)
            (there / "reminder.email.liquid").write_text(TEMPLATE)
            text += f'[queues.{name}]\ncampaign = "{name}"\n'
        (folder / "config.toml").write_text(text)

    def drop(self, crowd: list[Person]) -> dict[tuple[str, str], Person]:
        """All jobs, by the three doors in turn. Returns who was dropped in: (campaign, address) -> person."""
        doors = (self.spool, self.enqueue, self.post)
        dropped = {}
        for n, (campaign, persons) in enumerate(jobs(crowd)):
            doors[n % len(doors)](campaign, job_text(campaign, persons), queue=campaign)
            dropped |= {(campaign, one.email): one for one in persons}
        return dropped
