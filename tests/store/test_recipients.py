"""Recipients as rows: only what is named changes, what may forbid a send is fenced, nothing lifts a suppression."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from daemon.model.delivery import Decision, Reason, Verdict
from daemon.store.recipients import NAMED, PlanRow, person_id, read_recipient, upsert_recipients
from daemon.store.writer import Lane
from tests.store.conftest import LATER, NOW, World, add_job


def row(person: int, key: str, *, line: int = 1, traits: dict[str, Any] | None = None, consents: dict[str, Any] | None = None, **named: Any) -> PlanRow:
    hashes = {f"{kind}_hash": f"#{named[kind]}".encode() for kind in ("email", "phone") if named.get(kind)}
    return PlanRow(
        person, line, key, named.get("email"), named.get("phone"), named.get("zone"), named.get("locale"), named.get("country"),
        sum(NAMED[name] for name in named), json.dumps(traits, separators=(",", ":")) if traits else None, hashes.get("email_hash"),
        hashes.get("phone_hash"), None, consents,
    )  # fmt: skip


async def write(world: World, *rows: PlanRow) -> frozenset[int]:
    return (await world.store.write(Lane.BULK, upsert_recipients, rows, world.now)).collisions


async def guard(world: World, person: int) -> int:
    [(value,)] = await world.sql("SELECT guard FROM recipient WHERE id = :p", p=person)
    return int(value)


@given(st.text(min_size=1, max_size=30))
def test_a_person_s_number_is_positive_63_bit_and_its_own(key: str) -> None:
    """From the key alone, never 0."""
    assert 0 < person_id(key) < 1 << 63
    assert person_id(key) == person_id(key)
    assert person_id(key) != person_id(key + "x")


async def test_a_row_sets_clears_and_leaves(world: World) -> None:
    """Named values are written, named nulls clear, the rest stays; an address brings its hash along."""
    await write(world, row(5, "c", email="a@b.co", phone="+628111234567", zone="Asia/Jakarta", traits={"a": 1, "b": 2}))
    await write(world, row(5, "c", email=None, locale="id", traits={"a": None, "c": 3}))
    assert await world.sql("SELECT email, email_hash, phone, zone, locale, traits FROM recipient") == [
        (None, None, "+628111234567", "Asia/Jakarta", "id", '{"b":2,"c":3}')
    ]


async def test_new_recipients_lie_behind_those_that_are_there(world: World) -> None:
    """In order of arrival, whatever their ids: a job's rows are written and read together, not each among those of all others."""
    await write(world, row(500, "first"), row(900, "second", line=2))
    await write(world, row(100, "third"), row(700, "fourth", line=2))
    assert await world.sql("SELECT key FROM recipient ORDER BY rowid") == [("first",), ("second",), ("third",), ("fourth",)]


async def test_a_row_that_says_nothing_new_writes_nothing(world: World) -> None:
    """A nightly export of everyone costs reads, not writes."""
    await write(world, row(5, "c", email="a@b.co", traits={"a": 1}))
    world.now += 1000
    await write(world, row(5, "c", email="a@b.co", traits={"a": 1}))
    assert await world.sql("SELECT guard, updated_at FROM recipient") == [(0, NOW)]


async def test_what_may_forbid_a_send_raises_the_guard(world: World) -> None:
    """Address, number, zone, country, quiet hours; not a locale, not a name."""
    await write(world, row(5, "c", email="a@b.co"))
    expected = 0
    for changes, raises in (
        ({"locale": "id"}, 0), ({"traits": {"first_name": "Ana"}}, 0), ({"email": "x@b.co"}, 1), ({"phone": "+628111234567"}, 1),
        ({"zone": "Asia/Jakarta"}, 1), ({"country": "ID"}, 1), ({"traits": {"quiet_hours": ["22:00-08:00"]}}, 1), ({"zone": None}, 1),
        ({"zone": None}, 0),
    ):  # fmt: skip
        await write(world, row(5, "c", **changes))  # type: ignore[arg-type]
        expected += raises
        assert await guard(world, 5) == expected, changes


async def test_a_changed_address_refuses_what_is_claimed(world: World) -> None:
    """P6: the claim was decided on the old address, so its handover is not granted; it is decided anew."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [claimed] = (await world.claim()).claimed
    await write(world, row(7, "p-7", email="new@example.com"))
    assert await world.step(grants=[claimed]) == frozenset()
    [again] = (await world.claim()).claimed
    assert again.row.email == "new@example.com"
    assert await world.step(grants=[again]) == {1}


async def test_a_zone_frees_what_was_held_for_want_of_one(world: World) -> None:
    """Hold `zone_unknown` ends when the recipient gets a zone (design §4.8); others stay held."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    world.decide = lambda row: Decision(verdict=Verdict.HOLD, reason=Reason.ZONE_UNKNOWN, key=f"recipient:{row.recipient}")
    await world.claim()
    assert await world.tally() == {("held", "zone_unknown"): 2}
    await write(world, row(7, "p-7", zone="Asia/Jakarta"))
    assert await world.tally() == {("held", "zone_unknown"): 1, ("due", ""): 1}
    world.decide = lambda row: Decision(verdict=Verdict.SEND, closes=LATER)
    assert [claimed.row.recipient for claimed in (await world.claim()).claimed] == ["p-7"]


async def test_consent_is_granted_by_its_proof_and_never_older_than_a_withdrawal(world: World) -> None:
    """A newer grant counts, an older one does not; the suppression list is not touched."""
    await world.sql("INSERT INTO suppression VALUES (x'01', 'sms', 'marketing', 'suppressed', 1, NULL)")
    grant = {"at": 100, "source": "checkout", "text": "Yes", "topic": "*"}
    await write(world, row(5, "c", consents={"sms": grant}))
    await world.sql("UPDATE consent SET state = 'withdrawn', at = 200")
    await write(world, row(5, "c", consents={"sms": grant}))
    assert await world.sql("SELECT state, at FROM consent") == [("withdrawn", 200)]
    await write(world, row(5, "c", consents={"sms": {**grant, "at": 300}}))
    assert await world.sql("SELECT state, at, source, text, topic FROM consent") == [("granted", 300, "checkout", "Yes", "*")]
    assert await world.sql("SELECT count(*) FROM suppression") == [(1,)]


async def test_an_erased_recipient_stays_erased(world: World) -> None:
    """A later row brings nothing back."""
    await write(world, row(5, "c", email="a@b.co"))
    await world.sql("UPDATE recipient SET email = NULL, erased = 1")
    await write(world, row(5, "c", email="a@b.co", traits={"x": 1}, consents={"email": {"at": 9, "source": "s", "text": None, "topic": "*"}}))
    assert await world.sql("SELECT email, traits, (SELECT count(*) FROM consent) FROM recipient") == [(None, None, 0)]


async def test_two_keys_with_one_number_are_told_apart(world: World) -> None:
    """The second is refused (`recipient_id_collision`), the first untouched."""
    await write(world, row(5, "first", email="a@b.co"))
    assert await write(world, row(5, "second", line=9, email="x@b.co"), row(6, "third", line=10)) == {9}
    assert await world.sql("SELECT key, email FROM recipient ORDER BY id") == [("first", "a@b.co"), ("third", None)]


async def test_a_recipient_is_read_with_consents_and_suppressions(world: World) -> None:
    """By its own key; another key is nobody."""
    await write(world, row(person_id("c"), "c", email="a@b.co", consents={"sms": {"at": 9, "source": "s", "text": None, "topic": "*"}}))
    await world.sql("INSERT INTO suppression VALUES (:h, 'email', 'marketing', 'bounced', 1, NULL)", h=b"#a@b.co")
    view = await world.store.read(read_recipient, "c")
    assert view is not None
    assert (view.recipient.key, view.recipient.email, view.consents[0].state) == ("c", "a@b.co", "granted")
    assert list(view.suppressions) == [("email", "marketing", "bounced")]
    assert await world.store.read(read_recipient, "d") is None
