"""A slot that a claim had reserved and that was not used is free at once for whoever waits for it."""

from __future__ import annotations

import pytest

from daemon.store.claim import Claimed
from daemon.store.flight import Kind, release
from daemon.store.writer import Lane
from tests.store.conftest import LATER, NOW, World, add_job, outcome

WAITING = 11


async def claimed_and_waiting(world: World) -> Claimed:
    """One person, two deliveries: one is claimed, the other was deferred because of that reservation."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    (claimed,) = (await world.claim()).claimed
    await world.store.write(Lane.BULK, add_job, 2, people=[7], first_id=WAITING)
    await world.sql("UPDATE delivery SET reason = 'cap_reached', not_before = :at WHERE id = :i", at=LATER, i=WAITING)
    await world.sql("UPDATE due SET not_before = :at WHERE delivery = :i", at=LATER, i=WAITING)
    return claimed


async def due_at(world: World) -> int:
    [(at,)] = await world.sql("SELECT not_before FROM due WHERE delivery = :i", i=WAITING)
    return int(at)


@pytest.mark.parametrize("kind", [Kind.HELD, Kind.REJECTED, Kind.DEFERRED])
async def test_reservation_that_ends_before_the_handover_wakes_who_waits(world: World, kind: Kind) -> None:
    """Held for a missing variable, refused or put off before any byte of content: nothing was sent, so nobody need wait."""
    claimed = await claimed_and_waiting(world)
    await world.step([outcome(claimed, kind, scope="message", again_at=LATER)])
    assert await due_at(world) == NOW


async def test_grant_that_is_given_back_wakes_who_waits(world: World) -> None:
    """A claim that was not handed over goes back to due, and so does what waited for its slot: the rules decide both anew."""
    claimed = await claimed_and_waiting(world)
    await world.store.write(Lane.HANDOVER, release, {(claimed.row.delivery, claimed.epoch)}, world.now)
    assert await due_at(world) == NOW


@pytest.mark.parametrize("kind", [Kind.ACCEPTED, Kind.UNKNOWN])
async def test_used_slot_stays_used(world: World, kind: Kind) -> None:
    """Accepted or in doubt: the slot counts, and who waits goes on waiting."""
    claimed = await claimed_and_waiting(world)
    assert await world.step(grants=[claimed]) == {claimed.row.delivery}
    await world.step([outcome(claimed, kind)])
    assert await due_at(world) == LATER
