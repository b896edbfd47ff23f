"""The suppression list: wider wins, the same again is nothing, and it is in force for what is claimed just now."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from daemon.clock import SystemClock
from daemon.errors import NotFoundError, UsageError
from daemon.intake.addresses import email_hash
from daemon.intake.suppressing import MAX_LINE, Suppressing
from daemon.store.suppressions import SuppressionEntry, add_suppressions, list_suppressions, remove_suppression
from daemon.store.writer import Lane
from tests.store.conftest import NOW, World, add_job

PEPPER = bytes(range(32))


def entry(hash: bytes, scope: str = "all", reason: str = "suppressed", channel: str = "email") -> SuppressionEntry:
    return SuppressionEntry(hash, channel, scope, reason, NOW, "test")


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_wider_replaces_narrower_and_never_the_other_way(world: World) -> None:
    """Someone who asked for silence is not brought back to `marketing only` by a later list."""
    add = [entry(b"a", "marketing"), entry(b"b", "all", "complained")]
    assert await world.store.write(Lane.EXIT, add_suppressions, add) == 2
    again = [entry(b"a", "all", "bounced"), entry(b"b", "marketing")]
    assert await world.store.write(Lane.EXIT, add_suppressions, again) == 1
    rows = await world.store.read(list_suppressions, None, 10)
    assert [(row.hash, row.scope, row.reason) for row in rows] == [(b"a", "all", "bounced"), (b"b", "all", "complained")]


async def test_list_is_paged_and_one_channel_can_be_lifted(world: World) -> None:
    """Position = hash and channel; removing without a channel removes all of them."""
    many = [entry(bytes([n]), channel=channel) for n in range(3) for channel in ("*", "email")]
    await world.store.write(Lane.EXIT, add_suppressions, many)
    first = await world.store.read(list_suppressions, None, 4)
    rest = await world.store.read(list_suppressions, (first[-1].hash, first[-1].channel), 4)
    assert [(row.hash, row.channel) for row in (*first, *rest)] == [(each.hash, each.channel) for each in many]
    assert len(await world.store.write(Lane.EXIT, remove_suppression, b"\x00", "email")) == 1
    assert len(await world.store.write(Lane.EXIT, remove_suppression, b"\x01", None)) == 2
    assert len(await world.store.read(list_suppressions, None, 10)) == 3


@pytest.mark.promise("F44", "P6")
async def test_suppression_refuses_what_is_claimed_just_now(world: World) -> None:
    """Between claim and handover the list grew: nothing is granted."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    claimed = (await world.claim()).claimed
    await world.store.write(Lane.EXIT, add_suppressions, [entry(b"h7")])
    assert await world.step(grants=claimed) == {c.row.delivery for c in claimed if c.row.person == 8}


async def test_lines_come_in_any_pieces_and_bad_ones_are_named(world: World) -> None:
    """Plain and JSON lines, over the edges of pieces, with a mark and blank lines; each bad one with its number and code."""
    door = Suppressing(store=world.store, pepper=PEPPER, clock=SystemClock())
    body = pieces(
        b"\xef\xbb\xbfanna@exam", b'ple.com\r\n\n{"address": "+6281234567890"}\nno address\n',
        b'{"address": "x@example.com", "scope": "everything"}\n{"adress": "x@example.com"}\n', b"y" * (MAX_LINE * 3), b"\nlast@example.com",
    )  # fmt: skip
    taken = await door.take(body, {"source": "old system"})
    assert (taken.rows, taken.added, taken.rejected) == (7, 3, 4)
    assert [(error.line, error.code) for error in taken.errors] == [
        (4, "address_invalid"), (5, "line_invalid"), (6, "line_invalid"), (7, "address_invalid")
    ]  # fmt: skip
    rows = await door.page(None, 10)
    assert {row.source for row in rows} == {"old system"}
    assert {row.channel for row in rows} == {"email", "*"}
    assert email_hash(PEPPER, "anna@example.com") in {row.hash for row in rows}


async def test_lifting_wants_an_address_that_is_on_the_list(world: World) -> None:
    """Whatever the case it is written in."""
    door = Suppressing(store=world.store, pepper=PEPPER, clock=SystemClock())
    await door.take(pieces(b"Anna@Example.com\n"), {})
    assert len(await door.remove("anna@example.COM", None)) == 1
    with pytest.raises(NotFoundError):
        await door.remove("anna@example.com", None)
    with pytest.raises(UsageError):
        await door.remove("nobody", None)


@pytest.mark.promise("B9", "B11", "B8")
@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"address": "a@example.com", "source": "\\ud800"}', "line_invalid"),
        (b'{"\\ud800": 1}', "line_invalid"),
        (b'{"address": "\\ud800@example.com"}', "address_invalid"),
        (b'{"address": ' + b"[" * 4000, "line_invalid"),
        (b'{"address": ' + b"9" * 4000 + b"}", "line_invalid"),
        (b'{"address": "a@example.com", "address": "b@example.com"}', "line_invalid"),
        (b"\xff\xfea@example.com", "encoding"),
    ],
)
async def test_a_line_that_is_no_text_or_no_json_costs_itself_only(world: World, line: bytes, code: str) -> None:
    """Half pairs, nesting, endless numbers, bytes that are not UTF-8: the lines around it count."""
    door = Suppressing(store=world.store, pepper=PEPPER, clock=SystemClock())
    taken = await door.take(pieces(b"first@example.com\n", line, b"\nlast@example.com"), {})
    assert (taken.rows, taken.added, [(error.line, error.code) for error in taken.errors]) == (3, 2, [(2, code)])
    assert all(error.detail.isprintable() for error in taken.errors)
