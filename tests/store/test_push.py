"""Push subscriptions in the store: whose a browser is, how many one may have, what consent comes and goes with them, and how they end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.store.flight import Kind
from daemon.store.push import (
    MOST,
    Subscribed,
    Subscribing,
    endpoint_hash,
    leave,
    leave_all,
    push_addresses,
    read_subscriptions,
    replace_subscription,
    subscribe,
    subscribe_known,
)
from daemon.store.recipients import person_id
from daemon.store.unsubscribe import withdraw
from daemon.store.writer import Lane, Store
from tests.store.conftest import World, add_job, outcome

NOW = 1_800_000_000_000_000


def asked(n: int, source: str = "page") -> Subscribing:
    return Subscribing(
        endpoint=f"https://push.example/{n}", address=f'{{"endpoint":"https://push.example/{n}"}}', channel="push", family="Firefox",
        source=source, text="Yes, please",
    )  # fmt: skip


async def run(store: Store, act: object, *args: object, **named: object) -> object:
    return await store.write(Lane.EXIT, act, *args, **named)  # type: ignore[arg-type]


async def consent(store: Store, key: str) -> object:
    found = await store.read(lambda conn: conn.exec_driver_sql("SELECT state, at, source, text FROM consent WHERE person = ?", (person_id(key),)).all())
    return [tuple(row) for row in found]


async def guard(store: Store, key: str) -> int:
    return int(await store.read(lambda conn: conn.exec_driver_sql("SELECT guard FROM recipient WHERE id = ?", (person_id(key),)).scalar_one()))


@pytest.fixture
async def store(tmp_path):  # type: ignore[no-untyped-def]
    opened = Store.open(tmp_path / "homing.db")
    yield opened
    await opened.close()


async def test_a_browser_and_its_persons_consent_come_together(store: Store) -> None:
    """With source, instant and the words; a recipient that nobody knew becomes one."""
    done = await run(store, subscribe_known, "c-1", asked(1), now=NOW)
    assert (done.recipient, done.fresh, done.total) == ("c-1", True, 1)  # type: ignore[attr-defined]
    assert await consent(store, "c-1") == [("granted", NOW, "page", "Yes, please")]
    again = await run(store, subscribe, person_id("c-1"), asked(1), now=NOW + 5)
    assert (again.fresh, again.total) == (False, 1)  # type: ignore[attr-defined]
    [row] = await store.read(read_subscriptions, "c-1")
    assert (row.created_at, row.last_seen_at, row.family) == (NOW, NOW + 5, "Firefox")


async def test_a_page_that_remembers_undoes_no_withdrawal(store: Store) -> None:
    """Told again while the consent stands, the browser is registered (again), without a new one; after the person has withdrawn it by
    whatever way, or has never given it, nothing is."""
    await run(store, subscribe_known, "c-1", asked(1), now=NOW)
    told = replace(asked(1, "reminder"), again=True)
    await store.write(Lane.EXIT, lambda conn: conn.exec_driver_sql("DELETE FROM push_subscription"))
    assert await run(store, subscribe, person_id("c-1"), told, now=NOW + 1) == Subscribed(recipient="c-1", fresh=True, total=1)
    assert await consent(store, "c-1") == [("granted", NOW, "page", "Yes, please")]
    await run(store, withdraw, person_id("c-1"), "push", None, source="unsubscribe:page", now=NOW + 2)
    done = await run(store, subscribe, person_id("c-1"), told, now=NOW + 3)
    assert done == Subscribed(recipient="c-1", fresh=False, total=0, withdrawn=True)
    assert [row[0] for row in await consent(store, "c-1")] == ["withdrawn"]  # type: ignore[attr-defined]
    await run(store, subscribe_known, "c-2", asked(2), now=NOW)
    await store.write(Lane.EXIT, lambda conn: conn.exec_driver_sql("DELETE FROM consent WHERE person = ?", (person_id("c-2"),)))
    done = await run(store, subscribe, person_id("c-2"), told, now=NOW + 3)  # another visitor's token at the same browser
    assert done == Subscribed(recipient="c-2", fresh=False, total=1)
    assert await consent(store, "c-2") == []


async def test_a_browser_belongs_to_whom_it_was_registered_for_last(store: Store) -> None:
    """Who had it before loses it, and what is claimed for them is decided anew."""
    await run(store, subscribe_known, "c-1", asked(1), now=NOW)
    before = await guard(store, "c-1")
    await run(store, subscribe_known, "c-2", asked(1), now=NOW + 1)
    assert await guard(store, "c-1") == before + 1
    assert await store.read(read_subscriptions, "c-1") == [] and len(await store.read(read_subscriptions, "c-2")) == 1


async def test_a_person_keeps_the_browsers_that_were_seen_last(store: Store) -> None:
    """Nobody can fill the table by one token; the claim gets the newest first."""
    for n in range(MOST + 3):
        await run(store, subscribe_known, "c-1", asked(n), now=NOW + n)
    found = (await store.read(push_addresses, [person_id("c-1"), 7]))[person_id("c-1")]
    assert [address.hash for address in found] == [endpoint_hash(f"https://push.example/{n}") for n in range(MOST + 2, 2, -1)]


async def test_an_unknown_or_erased_person_gets_no_subscription(store: Store) -> None:
    """A token outlives its person."""
    assert await run(store, subscribe, 5, asked(1), now=NOW) is None
    await run(store, subscribe_known, "c-1", asked(1), now=NOW)
    await run(store, lambda conn: conn.exec_driver_sql("UPDATE recipient SET erased = 1"))
    assert await run(store, subscribe_known, "c-1", asked(2), now=NOW) is None
    assert await run(store, replace_subscription, "https://push.example/1", asked(2), now=NOW) is None
    assert await store.read(read_subscriptions, "c-1") is None


async def test_a_new_endpoint_in_place_of_an_old_one_is_no_new_consent(store: Store) -> None:
    """The browser does it by itself, also after the person has said no to something."""
    await run(store, subscribe_known, "c-1", asked(1), now=NOW)
    assert await run(store, replace_subscription, "https://push.example/1", asked(2), now=NOW + 9) is not None
    assert await run(store, replace_subscription, "https://push.example/1", asked(3), now=NOW + 9) is None
    [row] = await store.read(read_subscriptions, "c-1")
    assert row.address == asked(2).address and row.created_at == NOW
    assert await consent(store, "c-1") == [("granted", NOW, "page", "Yes, please")]


async def test_the_last_browser_that_leaves_takes_the_consent_along(store: Store) -> None:
    """One of two leaves the other; each raises the guard, so that nothing claimed still goes."""
    for n in (1, 2):
        await run(store, subscribe_known, "c-1", asked(n), now=NOW)
    before = await guard(store, "c-1")
    assert await run(store, leave, "https://push.example/1", channel="push", now=NOW + 1, source="push:page")
    assert await consent(store, "c-1") == [("granted", NOW, "page", "Yes, please")]
    assert await run(store, leave, "https://push.example/2", channel="push", now=NOW + 2, source="push:page")
    assert await consent(store, "c-1") == [("withdrawn", NOW + 2, "push:page", None)]
    assert await guard(store, "c-1") == before + 2
    assert not await run(store, leave, "https://push.example/2", channel="push", now=NOW + 3, source="push:page")


async def test_the_shop_takes_all_of_a_recipient_off(store: Store) -> None:
    """And who subscribes again later has consented again."""
    for n in (1, 2):
        await run(store, subscribe_known, "c-1", asked(n), now=NOW)
    assert await run(store, leave_all, "c-1", channel="push", now=NOW + 1, source="api") == 2
    assert await run(store, leave_all, "c-9", channel="push", now=NOW + 1, source="api") is None
    await run(store, subscribe_known, "c-1", asked(1), now=NOW + 2)
    assert await consent(store, "c-1") == [("granted", NOW + 2, "page", "Yes, please")]


async def test_who_leaves_after_a_clock_was_set_back_has_left(store: Store) -> None:
    """The consent lies after the withdrawal by the clock, and stands no more; nor does a page that remembers bring it back."""
    for key, act in (("c-1", lambda: run(store, leave_all, "c-1", channel="push", now=NOW - 5, source="shop")),
                     ("c-2", lambda: run(store, leave, "https://push.example/2", channel="push", now=NOW - 5, source="push:page"))):  # fmt: skip
        browser = asked(int(key[-1]))
        await run(store, subscribe_known, key, browser, now=NOW)
        await act()
        assert (await consent(store, key))[0][:2] == ("withdrawn", NOW - 5)  # type: ignore[index]
        told = await run(store, subscribe, person_id(key), replace(browser, again=True), now=NOW - 4)
        assert told.withdrawn  # type: ignore[attr-defined]
    await run(store, subscribe, person_id("c-1"), asked(1), now=NOW - 6)  # said before, told later: no consent that stands
    assert (await consent(store, "c-1"))[0][0] == "withdrawn"  # type: ignore[index]


async def test_a_claim_knows_the_browsers_also_of_a_rival(world: World) -> None:
    """An e-mail's rival is a push: without its address it would not contend for the slot."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7], priority=10)
    await world.store.write(Lane.BULK, add_job, 2, people=[7], priority=90, first_id=100)
    await world.sql("INSERT INTO push_subscription VALUES (x'01', 7, 'a browser', NULL, 1, 1)")
    await world.sql("UPDATE wave SET channel = 'push' WHERE id = 2")
    await world.claim(share=lambda lanes: [(1, 10)])
    assert world.rivals == {100} and [address.text for address in world.seen_known[7].push] == ["a browser"]


async def test_who_has_no_push_to_come_is_not_looked_up(world: World) -> None:
    """It costs the other channels nothing."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    await world.sql("INSERT INTO push_subscription VALUES (x'01', 7, 'a browser', NULL, 1, 1)")
    await world.claim()
    assert list(world.seen_known[7].push) == []


async def test_what_an_outcome_says_is_gone_goes_with_it(world: World) -> None:
    """In the same transaction; a stale outcome removes nothing."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    for hash in ("01", "02"):
        await world.sql(f"INSERT INTO push_subscription VALUES (x'{hash}', 7, 'a browser', NULL, 1, 1)")
    [claimed] = (await world.claim()).claimed
    await world.step(grants=[claimed])
    await world.step(outcomes=[outcome(claimed, Kind.ACCEPTED, gone=[b"\x02"])._replace(epoch=claimed.epoch + 1)])
    assert await world.sql("SELECT count(*) FROM push_subscription") == [(2,)]
    await world.step(outcomes=[outcome(claimed, Kind.ACCEPTED, gone=[b"\x02"])])
    assert await world.sql("SELECT hash FROM push_subscription") == [(b"\x01",)]
