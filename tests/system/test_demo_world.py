"""The sample world and its judge: the same world from the same seed, and a judge that does not ask the daemon."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace

import phonenumbers
import pytest

from daemon.sandbox import verify, vips, world
from daemon.sandbox.verify import Arrival
from daemon.sandbox.vips import VipKind
from daemon.sandbox.world import Kind, Person

PEOPLE = world.make_people()
VIPS = vips.make_vips()


def test_world_is_the_same_for_the_same_seed() -> None:
    """Two runs drop the same jobs; another seed gives another world."""
    assert world.make_people() == PEOPLE
    assert world.make_people(7) != PEOPLE


def test_world_has_its_2000_people() -> None:
    """As the issue counts them: in three cities and in unknown zones, in three segments, with ids and addresses of their own."""
    assert len(PEOPLE) == 2_000
    assert len({person.id for person in PEOPLE}) == 2_000
    addresses = [person.email for person in PEOPLE if person.email]
    assert len(set(addresses)) == len(addresses)
    assert {person.queue for person in PEOPLE} == {"lapsed-30-60", "lapsed-60-90", "lapsed-90-180"}
    assert {person.row["locale"][:2] for person in PEOPLE} == {"en", "id", "ms", "fa"}


def test_each_kind_lives_in_each_place() -> None:
    """At any hour of the day some place is open, and there every kind of person is met."""
    counts = Counter(person.kind for person in PEOPLE)
    assert {kind: counts[kind] for kind in world.COUNTS} == dict(world.COUNTS)
    assert {(person.kind, person.place) for person in PEOPLE} == {(kind, place.name) for kind in Kind for place in world.PLACES}


def test_phone_numbers_are_possible_ones() -> None:
    """Intake refuses numbers that cannot be."""
    numbers = [person.row["phone"] for person in PEOPLE if "phone" in person.row]
    assert numbers
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(number)) for number in numbers)


def test_jobs_name_everyone_once_and_the_odd_rows_besides() -> None:
    """Each person stands in a job; the bad, repeated and twice-named rows come on top and are counted in the head."""
    jobs = world.make_jobs(PEOPLE, "2026-11-24")
    rows = [json.loads(line) for job in jobs for line in job.lines]
    assert {row.get("id") for row in rows} >= {person.id for person in PEOPLE}
    extra = sum(job.bad + job.repeated for job in jobs) + world.COUNTS[Kind.TWICE]
    assert len(rows) == len(PEOPLE) + extra
    assert [job.head["expected_count"] for job in jobs] == [len(job.lines) for job in jobs]


def test_document_and_ndjson_say_the_same() -> None:
    """The HTTP form and the file form of a job hold the same head and rows."""
    job = world.make_jobs(PEOPLE, "2026-11-24")[2]
    document = json.loads(job.document())
    rows = document.pop("recipients")
    head, *lines = job.ndjson().splitlines()
    assert (json.loads(head), [json.loads(line) for line in lines]) == (document, rows)


RANGES = verify.parse_ranges(["mon-sat 09:00-20:00", "sun 10:00-18:00"])


@pytest.mark.parametrize(
    ("wall", "expected"),
    [
        (verify.Wall(1, "09:00:00"), True), (verify.Wall(1, "08:59:59"), False), (verify.Wall(6, "19:59:59"), True),
        (verify.Wall(6, "20:00:00"), False), (verify.Wall(7, "09:30:00"), False), (verify.Wall(7, "17:59:59"), True),
    ],
)  # fmt: skip
def test_ranges_are_half_open(wall: verify.Wall, expected: bool) -> None:
    """The first second of a range is inside, the last instant is not."""
    assert verify.inside(wall, RANGES) is expected


def test_reader_of_ranges_refuses_what_it_does_not_know() -> None:
    """A range over midnight would be judged wrongly, so it is not judged."""
    with pytest.raises(ValueError, match="22:00-02:00"):
        verify.parse_ranges(["sat 22:00-02:00"])


NOON = "2026-11-24T06:00:00.000000Z"
INSTANTS = ["2026-11-24T02:00:00.000000Z", "2026-03-08T07:30:00.500000Z", "2026-11-01T05:59:59.999999Z"]


@pytest.mark.skipif(not verify.has_gnu_date(), reason="needs GNU date")
@pytest.mark.parametrize("zone", ["Asia/Jakarta", "Asia/Tehran", "America/New_York", "Australia/Lord_Howe"])
def test_date_and_zoneinfo_agree(zone: str) -> None:
    """The two ways to know a local time give the same, half hours and daylight saving included."""
    assert verify.walls_by_date(zone, INSTANTS) == verify.walls_by_zoneinfo(zone, INSTANTS)


def entry_for(person: Person, at: str, delivery: str = "A") -> Arrival:
    return Arrival(channel="email", at=at, delivery=delivery, to=person.email or "")


def someone(place: str, kind: Kind = Kind.ORDINARY) -> Person:
    return next(person for person in PEOPLE if person.place == place and person.kind is kind)


def judged(*log: Arrival) -> list[str]:
    return [finding.what for finding in verify.judge(log, [*PEOPLE, *VIPS], lambda _: [RANGES]).findings]


def test_judge_finds_a_message_outside_the_window() -> None:
    """09:00 in Jakarta is inside; a second before is not."""
    person = someone("Jakarta")
    assert judged(entry_for(person, "2026-11-24T02:00:00.000000Z")) == []
    assert judged(entry_for(person, "2026-11-24T01:59:59.999999Z")) == ["outside the window: it was 08:59:59 in Asia/Jakarta"]


def test_judge_wants_every_possible_zone_open() -> None:
    """Someone in Indonesia, nobody knows where: 09:00 in Jayapura is too early, 09:00 in Jakarta is not."""
    person = someone("unknown, country Indonesia")
    assert judged(entry_for(person, "2026-11-24T02:00:00.000000Z")) == []
    assert len(judged(entry_for(person, "2026-11-24T00:00:00.000000Z"))) == 3


def test_judge_knows_quiet_hours_strangers_and_doubles() -> None:
    """The person's own quiet hours, an address outside the sample, the same delivery twice."""
    quiet, ordinary = someone("Jakarta", Kind.QUIET), someone("Jakarta")
    assert "quiet hours: it was 13:00:00" in judged(entry_for(quiet, NOON))[0]
    stranger = replace(entry_for(ordinary, NOON), to="x@example.net")
    assert "not one of the sample's people" in judged(stranger)[0]
    assert judged(entry_for(ordinary, NOON), entry_for(ordinary, NOON)) == ["delivery A came 2 times"]
    assert "must not be written to" in judged(entry_for(someone("Jakarta", Kind.SUPPRESSED), NOON))[0]
    (often,) = judged(entry_for(ordinary, NOON), entry_for(ordinary, NOON, "B"))
    assert often.endswith("got 2 messages")


def test_the_judge_counts_a_person_over_all_channels() -> None:
    """A push and an SMS to one person are two messages; each address leads to its owner."""
    person = next(person for person in VIPS if person.kind is VipKind.BROWSER)
    browser, phone = Arrival(channel="push", at=NOON, delivery="A", to="browser 1"), str(person.row["phone"])
    assert judged(browser) == []
    (often,) = judged(browser, Arrival(channel="sms", at=NOON, delivery="B", to=phone))
    assert often == f"{person.id} got 2 messages"
    silent = next(person for person in VIPS if person.kind is VipKind.SILENT)
    assert "must not be written to" in judged(Arrival(channel="sms", at=NOON, delivery="A", to=str(silent.row["phone"])))[0]


def test_the_best_customers_are_the_same_for_the_same_seed() -> None:
    """Numbers are mobile ones, each its own; browsers are numbered as they will be made; each kind lives in each place."""
    assert vips.make_vips() == VIPS
    numbers = [str(person.row["phone"]) for person in VIPS]
    assert len(set(numbers)) == len(VIPS) == 3 * sum(vips.PER_PLACE.values())
    types = {phonenumbers.number_type(phonenumbers.parse(number)) for number in numbers}
    assert types == {phonenumbers.PhoneNumberType.MOBILE}
    browsers = [person.browser for person in VIPS if person.browser is not None]
    assert browsers == list(range(1, len(browsers) + 1))
    assert len({(person.kind, person.place) for person in VIPS}) == len(VipKind) * len(vips.PLACES)


def test_members_are_known_by_their_hashes() -> None:
    """With and without the plus; a stranger and someone who agreed to nothing are found."""
    fine = next(person for person in VIPS if person.kind is VipKind.PHONE)
    silent = next(person for person in VIPS if person.kind is VipKind.SILENT)

    def row(number: str) -> tuple[str, str]:
        return "", hashlib.sha256(number.encode()).hexdigest()

    number = str(fine.row["phone"])
    assert verify.judge_members({("google", "vip"): [row(number)], ("meta", "vip"): [row(number[1:])]}, VIPS) == []
    found = verify.judge_members({("meta", "vip"): [row(str(silent.row["phone"])[1:]), row("123")]}, VIPS)
    assert [silent.id in found[0], "not one of the sample" in found[1]] == [True, True]
