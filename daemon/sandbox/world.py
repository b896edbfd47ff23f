"""The sample world: 2,000 lapsed customers of a small shop, the jobs that name them, and what the demo expects of each.

From a seed alone, so that two runs drop the same jobs. Everyone is made up: addresses end in example.com, numbers are
unassigned. `Person.zones` is what is true of a person, known here by hand and by zone.tab, never asked of `daemon/policy`: it
is what `verify` judges the daemon by.
"""

from __future__ import annotations

import csv
import importlib.resources
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

SIZE = 2_000
SEED = 2026
HOME_COUNTRIES = ("ID", "MY", "IR")
WINDOW = ("09:00", "21:00")
NEWS_QUEUE = "news"
NEWS_SUBJECT = "We have moved"


class Kind(StrEnum):
    """Why a person is in the sample: what the demo shows by it."""

    ORDINARY = "ordinary"
    QUIET = "own quiet hours"
    NEVER_OPEN = "quiet hours that leave no time"
    CAPPED = "had a message of another campaign"
    SUPPRESSED = "on the suppression list"
    NO_CONSENT = "without consent"
    NO_VARIABLE = "without the variable that the copy needs"
    NO_ADDRESS = "without an address"
    REFUSED = "refused by the mail server"
    LATER = "told by the mail server to come later"
    IN_DOUBT = "whose mail server hangs up after the message"
    TWICE = "named in two segments"


COUNTS: Mapping[Kind, int] = {
    Kind.QUIET: 60, Kind.NEVER_OPEN: 11, Kind.CAPPED: 80, Kind.SUPPRESSED: 40, Kind.NO_CONSENT: 40, Kind.NO_VARIABLE: 40,
    Kind.NO_ADDRESS: 12, Kind.REFUSED: 16, Kind.LATER: 11, Kind.IN_DOUBT: 11, Kind.TWICE: 24,
}  # fmt: skip
"""People of each kind, at least one in each place, so that each is met at any hour of the day; all others are ordinary."""


KUALA_LUMPUR = "Asia/Kuala_Lumpur"
LOS_ANGELES = "America/Los_Angeles"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where people live and what a job's row says of it. `zones`: all in which such a person may be; () = those of `countries`."""

    name: str
    share: int
    locales: tuple[str, ...]
    fields: Mapping[str, str]
    zones: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()


PLACES: tuple[Place, ...] = (
    Place(name="Jakarta", share=620, locales=("id", "id-ID", "en"), fields={"zone": "Asia/Jakarta"}, zones=("Asia/Jakarta",)),
    Place(name="Kuala Lumpur", share=440, locales=("ms", "ms-MY", "en"), fields={"zone": KUALA_LUMPUR}, zones=(KUALA_LUMPUR,)),
    Place(name="Tehran", share=440, locales=("fa", "fa-IR", "en"), fields={"zone": "Asia/Tehran"}, zones=("Asia/Tehran",)),
    Place(name="unknown, phone in Jakarta", share=60, locales=("id",), fields={"phone": "+6221555"}, zones=("Asia/Jakarta",)),
    Place(name="unknown, phone in Tehran", share=60, locales=("fa",), fields={"phone": "+98215555"}, zones=("Asia/Tehran",)),
    Place(name="unknown, phone in New York", share=60, locales=("en",), fields={"phone": "+1212555"}, zones=("America/New_York",)),
    Place(name="unknown, phone in Los Angeles", share=60, locales=("en",), fields={"phone": "+1310555"}, zones=(LOS_ANGELES,)),
    Place(name="unknown, country Indonesia", share=80, locales=("id",), fields={"country": "ID"}, countries=("ID",)),
    Place(name="unknown, country Australia", share=40, locales=("en",), fields={"country": "AU"}, countries=("AU",)),
    Place(name="unknown, country United States", share=40, locales=("en",), fields={"country": "US"}, countries=("US",)),
    Place(name="unknown, nothing said", share=100, locales=("en", "id", "ms", "fa"), fields={}, countries=HOME_COUNTRIES),
)

SEGMENTS: tuple[tuple[str, int, int, int], ...] = (
    ("lapsed-30-60", 800, 30, 60),
    ("lapsed-60-90", 700, 60, 90),
    ("lapsed-90-180", 500, 90, 180),
)
"""(queue, people, days since the last order from, to)."""

NAMES: Mapping[str, tuple[str, ...]] = {
    "en": ("Alice", "Ben", "Chloe", "Daniel", "Emma", "Farid", "Grace", "Henry"),
    "id": ("Adi", "Budi", "Citra", "Dewi", "Eka", "Fitri", "Indah", "Rizky"),
    "ms": ("Aisyah", "Hafiz", "Izzati", "Nadia", "Syafiq", "Farah", "Amir", "Liyana"),
    "fa": ("آرش", "مریم", "سارا", "رضا", "نیلوفر", "امیر", "لیلا", "کیان"),
}
PRODUCTS: Mapping[str, tuple[str, ...]] = {
    "en": ("running shoes", "coffee beans", "rain jacket", "headphones", "tea set"),
    "id": ("sepatu lari", "biji kopi", "jaket hujan", "headphone", "set teh"),
    "ms": ("kasut larian", "biji kopi", "baju hujan", "fon kepala", "set teh"),
    "fa": ("کفش دویدن", "دانهٔ قهوه", "بارانی", "هدفون", "سرویس چای"),
}
_ADDRESSES: Mapping[Kind, str] = {
    Kind.REFUSED: "550-rcpt.{id}@gone.example.com",
    Kind.LATER: "451-rcpt.{id}@busy.example.com",
    Kind.IN_DOUBT: "drop-dot.{id}@doubt.example.com",
}
"""The sandbox's server misbehaves for these local parts; domains of their own, so that their trouble slows nobody else."""
_QUIET: Mapping[Kind, tuple[str, ...]] = {Kind.QUIET: ("12:30-14:30", "19:00-22:00"), Kind.NEVER_OPEN: ("06:00-22:00",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One recipient: `row` as it is dropped, and what is true of them. `browser`: its number at the local push service."""

    id: str
    kind: StrEnum
    place: str
    queue: str
    zones: tuple[str, ...]
    quiet: tuple[str, ...]
    row: Mapping[str, Any]
    browser: int | None = None

    def addresses(self) -> Iterator[str]:
        """By which the local providers' logs know this person."""
        found = (self.row.get("email"), self.row.get("phone"), None if self.browser is None else browser_name(self.browser))
        return (str(address) for address in found if address is not None)

    @property
    def email(self) -> str | None:
        value = self.row.get("email")
        return str(value) if value is not None else None


def browser_name(number: int) -> str:
    """How a browser appears among addresses."""
    return f"browser {number}"


@cache
def country_zones(country: str) -> tuple[str, ...]:
    """The zones of a country by tzdata's zone.tab."""
    table = (importlib.resources.files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in table.splitlines() if not line.startswith("#")]
    return tuple(sorted(row[2] for row in rows if row[0] == country))


def make_people(seed: int = SEED) -> list[Person]:
    """The 2,000, in the order of their ids; the same for the same seed."""
    rng = random.Random(seed)
    places = _shuffled(rng, [(place, place.share) for place in PLACES])
    segments = _shuffled(rng, [(segment, segment[1]) for segment in SEGMENTS])
    kinds = _kinds(rng, places)
    return [_person(rng, f"c-{n:04}", *which) for n, which in enumerate(zip(kinds, places, segments, strict=True), 1)]


def _kinds(rng: random.Random, places: Sequence[Place]) -> list[Kind]:
    """A kind for each entry of `places`: one of each kind in each place, the rest anywhere."""
    kinds = [Kind.ORDINARY] * len(places)
    free = list(range(len(places)))
    rng.shuffle(free)
    for kind, count in COUNTS.items():
        spots = [next(n for n in free if places[n].name == place.name) for place in PLACES]
        others = [n for n in free if n not in spots]
        spots += others[: count - len(spots)]
        free = [n for n in free if n not in spots]
        for spot in spots:
            kinds[spot] = kind
    return kinds


def _shuffled(rng: random.Random, counted: Sequence[tuple[T, int]]) -> list[T]:
    items = [item for item, count in counted for _ in range(count)]
    rng.shuffle(items)
    return items


def _person(rng: random.Random, id: str, kind: Kind, place: Place, segment: tuple[str, int, int, int]) -> Person:
    queue, _, days_from, days_to = segment
    locale = rng.choice(place.locales)
    language = locale[:2]
    fields = {key: f"{value}{rng.randrange(10_000):04}" if key == "phone" else value for key, value in place.fields.items()}
    traits: dict[str, Any] = {"first_name": rng.choice(NAMES[language]), "days_since_order": rng.randrange(days_from, days_to)}
    traits["last_product"] = {"name": rng.choice(PRODUCTS[language])}
    quiet = _QUIET.get(kind, ())
    if quiet:
        traits["quiet_hours"] = list(quiet)
    row: dict[str, Any] = {"id": id, "locale": locale, **fields, "traits": traits}
    if kind is not Kind.NO_ADDRESS:
        row["email"] = _ADDRESSES.get(kind, "{id}@example.com").format(id=id)
    if kind is not Kind.NO_CONSENT:
        row["consent"] = {"email": {"at": "2020-01-15T08:00:00Z", "source": "checkout", "text": "Yes, write to me about offers."}}
    zones = place.zones or tuple(zone for country in place.countries for zone in country_zones(country))
    return Person(id=id, kind=kind, place=place.name, queue=queue, zones=zones, quiet=quiet, row=row)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleJob:
    """A job as a marketing tool would drop it. `lines`: its rows as JSON texts, bad ones among them. `bad`, `repeated`: how many
    of the rows intake must refuse, and must find twice in the same job."""

    id: str
    queue: str
    head: Mapping[str, Any]
    lines: tuple[str, ...]
    bad: int
    repeated: int

    def document(self) -> str:
        """The one JSON document of the HTTP door."""
        head = json.dumps(self.head, ensure_ascii=False)
        return head[:-1] + ', "recipients": [\n' + ",\n".join(self.lines) + "\n]}\n"

    def ndjson(self) -> str:
        """Head, then a line a recipient."""
        return "\n".join((json.dumps(self.head, ensure_ascii=False), *self.lines)) + "\n"


BAD_ROWS: tuple[Mapping[str, Any], ...] = (
    {"id": "bad-1", "email": "two@signs@example.com"},
    {"id": "bad-2", "email": "mars@example.com", "zone": "Mars/Base"},
    {"email": "nobody@example.com"},
    {"id": "bad-4", "email": "Bob <bob@example.com>"},
)


def make_jobs(people: Sequence[Person], day: str) -> list[SampleJob]:
    """One job a segment, each with bad and repeated rows; `day` (2026-11-24) goes into the ids."""
    return [_segment_job(people, index, day) for index in range(len(SEGMENTS))]


def _segment_job(people: Sequence[Person], index: int, day: str) -> SampleJob:
    queue = SEGMENTS[index][0]
    also = SEGMENTS[index - 1][0]
    rows = [person.row for person in people if person.queue == queue or (person.kind is Kind.TWICE and person.queue == also)]
    repeated = rows[:3]
    rows[100:100] = [*BAD_ROWS, *repeated]
    head = {"id": f"{queue}-{day}", "queue": queue, "campaign": "winback", "expected_count": len(rows)}
    return SampleJob(id=f"{queue}-{day}", queue=queue, head=head, lines=_lines(rows), bad=len(BAD_ROWS), repeated=len(repeated))


def _lines(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(json.dumps(row, ensure_ascii=False) for row in rows)


def make_news(people: Sequence[Person], day: str) -> SampleJob:
    """A message of another campaign, written into the job itself, to the people who shall meet the frequency cap; and to some
    whose rows lack the variable that its words need."""
    moved = {"vars": {"moved_to": "Jalan Braga 12"}}
    rows: list[Mapping[str, Any]] = [{**person.row, **moved} for person in people if person.kind is Kind.CAPPED]
    rows += [person.row for person in people if person.kind is Kind.NO_VARIABLE]
    text = "Our shop has moved to {{ vars.moved_to }}.\n\nNo more of this: {{ unsubscribe_url }}\n"
    html = '<p>Our shop has moved to {{ vars.moved_to }}.</p><p><a href="{{ unsubscribe_url }}">No more of this</a></p>'
    message = {"channel": "email", "purpose": "marketing", "topic": "news", "subject": NEWS_SUBJECT, "text": text, "html": html}
    head = {"id": f"{NEWS_QUEUE}-{day}", "queue": NEWS_QUEUE, "priority": 80, "expected_count": len(rows), "message": message}
    return SampleJob(id=f"{NEWS_QUEUE}-{day}", queue=NEWS_QUEUE, head=head, lines=_lines(rows), bad=0, repeated=0)


def write_people(people: Sequence[Person], path: Path) -> None:
    """The list that anyone can judge the logs by: `id,email,phone,browser,kind,place,queue,zones,quiet`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "email", "phone", "browser", "kind", "place", "queue", "zones", "quiet"))
        for person in people:
            zones, quiet = " ".join(person.zones), " ".join(person.quiet)
            row = person.row
            known = (person.id, row.get("email", ""), row.get("phone", ""), person.browser or "")
            writer.writerow((*known, person.kind, person.place, person.queue, zones, quiet))


def suppressed_addresses(people: Sequence[Person]) -> Iterator[str]:
    """What the shop's own unsubscribe list holds."""
    return (person.email for person in people if person.kind is Kind.SUPPRESSED and person.email is not None)
