"""Feedback ends in the same rows in whatever order it comes, how often, and whether before or after our own outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from daemon.store import engine as engines
from daemon.store.feedback import Report, hear, join_parked
from daemon.store.flight import Kind, Result, Step
from daemon.store.recover import begin
from daemon.store.writer import Store
from tests.store.conftest import NOW, World, add_job, outcome

CHANNELS = ("email", "sms")
KINDS = ("accepted", "delivered", "failed", "bounced", "complained", "unsubscribed", "resubscribed", "opened", "replied")
LOOKS = (
    "SELECT state, reason, provider, provider_id, key FROM delivery",
    "SELECT person, at, delivery, channel FROM touch",
    "SELECT hash, channel, scope, reason, source FROM suppression ORDER BY hash, channel",
    "SELECT person, channel, topic, state, source FROM consent ORDER BY person, channel",
    "SELECT person, delivery, hash, kind, event, at, code FROM feedback",
    "SELECT state, reason, n FROM tally WHERE n <> 0",
    "SELECT count(*) FROM flight",
    "SELECT count(*) FROM feedback_parked",
)

Event = Report | Kind


@st.composite
def reports(draw: st.DrawFn) -> Report:
    alone = draw(st.booleans())
    kind = draw(st.sampled_from(("complained", "unsubscribed", "resubscribed", "bounced") if alone else KINDS))
    return Report(
        provider="relay", channel="email", kind=kind, at=NOW - draw(st.integers(1, 9)), delivery=None if alone else 1,
        hash=b"h7" if alone else None, event=draw(st.sampled_from(("", "", "e1", "e2"))), code=draw(st.sampled_from((None, "c"))),
    )  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Event], list[Event]]:
    """What happens, in two orders; in the second one some of it twice. One event id is of one event, whenever it comes."""
    said = draw(st.lists(reports(), max_size=7))
    events = {(report.kind, report.event): report for report in said if report.event}
    once: list[Event] = list(dict.fromkeys(events.get((report.kind, report.event), report) for report in said))
    once.append(draw(st.sampled_from((Kind.UNKNOWN, Kind.ACCEPTED))))
    twice = [*once, *draw(st.lists(st.sampled_from([one for one in once if isinstance(one, Report)] or [None]), max_size=4))]
    return draw(st.permutations(once)), draw(st.permutations([one for one in twice if one is not None]))


def play(events: Sequence[Event], prior: str | None) -> list[Any]:
    """The rows at the end: a delivery was handed over; its outcome is one of the events."""
    writer = engines.open_writer(None)
    engines.prepare(writer)
    world = World(cast("Store", None))
    try:
        with writer.begin() as conn:
            begin(conn, NOW, "node", "nonce")
            add_job(conn, 1, people=[7])
            [claimed] = world.claim_now(conn).claimed
            world.flights.step(conn, [Step(grants=[(1, claimed.epoch)])])
            if prior:
                conn.execute(text("INSERT INTO consent VALUES (7, 'email', '*', :s, 1, 'before', NULL)"), {"s": prior})
            for event in events:
                happen(conn, world, event, outcome(claimed, event) if isinstance(event, Kind) else None)
            join_parked(conn, 0, channels=CHANNELS, now=NOW)
            return [sorted(map(tuple, conn.execute(text(look))), key=repr) for look in LOOKS]
    finally:
        writer.dispose()


def happen(conn: Connection, world: World, event: Event, result: Result | None) -> None:
    if result is not None:
        world.flights.step(conn, [Step(outcomes=[result])])
    elif isinstance(event, Report):
        hear(conn, [event], channels=CHANNELS, now=NOW)


@pytest.mark.promise("F21")
@settings(max_examples=40, deadline=None)
@given(histories(), st.sampled_from((None, "granted", "withdrawn")))
@example(([Kind.UNKNOWN, *(Report("relay", "email", k, NOW - 1, 1) for k in ("failed", "delivered"))],
          [*(Report("relay", "email", k, NOW - 1, 1) for k in ("delivered", "failed", "failed")), Kind.UNKNOWN]), None)  # fmt: skip
@example(([Kind.ACCEPTED, Report("relay", "email", "unsubscribed", NOW - 2, 1), Report("relay", "email", "resubscribed", NOW - 1, None, hash=b"h7")],
          [Report("relay", "email", "resubscribed", NOW - 1, None, hash=b"h7"), Report("relay", "email", "unsubscribed", NOW - 2, 1), Kind.ACCEPTED]), "granted")  # fmt: skip
def test_the_order_of_feedback_does_not_matter(history: tuple[list[Event], list[Event]], prior: str | None) -> None:
    """Duplicated, reordered, before our commit or after it: one end (F20, F21)."""
    one, other = history
    assert play(one, prior) == play(other, prior)
