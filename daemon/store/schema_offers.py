"""The tables of offers and their codes, and of what experiments came to; a part of `store.schema`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, UniqueConstraint, text

from daemon.store.columns import int_column as _int
from daemon.store.columns import table as _table
from daemon.store.columns import text_column as _text


def _number() -> Column[object]:
    """An id that the store counts by itself."""
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, nullable=False)


issue = _table(
    "issue",
    _number(),
    _int("walk"),
    _text("step"),
    _int("person"),
    _int("campaign"),
    _text("offer"),
    _int("rank"),
    _text("pool", null=True),
    _text("code", null=True),
    _text("state"),
    _int("valid", null=True),
    _text("zone", null=True),
    _int("reserved_at"),
    _int("accepted_at", null=True),
    _int("ends_at", null=True),
    _int("ended_at", null=True),
    _int("redeemed_at", null=True),
    _text("order_key", null=True),
    _int("apart", default=0),
    UniqueConstraint("walk", "step"),
    Index("issue_person", "person"),
    Index("issue_code", "code", sqlite_where=text("code IS NOT NULL")),
    Index("issue_reserved", "id", sqlite_where=text("state = 'reserved'")),
    Index("issue_ends", "ends_at", sqlite_where=text("state = 'open' AND ends_at IS NOT NULL")),
)
"""An offer that a person has or had: one for each step of a walk whose message carries one. `state`: a `model.offer.IssueState`. `valid`,
`zone`: how its end follows from the acceptance; until then `ends_at` is what was printed. `ended_at`: when it expired, was replaced or
returned; `redeemed_at`, `order_key`: the first order that used its code. `apart`: a `model.offer.Apart`."""

code_pool = _table("code_pool", _text("name", key=True), _int("total"), _int("free"), clustered=True)
"""How many codes a pool has and has left. A code that came back counts as free again."""

code = _table(
    "code",
    _number(),
    _text("pool"),
    _text("code"),
    _text("said"),
    _int("issue", null=True),
    _int("added_at"),
    UniqueConstraint("code"),
    Index("code_free", "pool", "id", sqlite_where=text("issue IS NULL")),
    Index("code_issue", "issue", sqlite_where=text("issue IS NOT NULL")),
)
"""Codes, each once in all pools. `code`: what it is compared by, `said`: as the message shows it. `issue` null: free. The pool "" holds
those that were made here: they are never free."""

redemption = _table(
    "redemption",
    _text("code", key=True),
    _text("order_key", key=True),
    _int("person"),
    _int("at"),
    _int("refunded", default=0),
    _int("cancelled", default=0),
    Index("redemption_person", "person"),
    clustered=True,
)
"""What orders named as their coupon, ours or not: the earliest telling of each order counts."""

experiment_result = _table(
    "experiment_result",
    _int("campaign", key=True),
    _text("step", key=True),
    _text("trial", key=True),
    _text("slice", key=True),
    _text("finding"),
    _text("winner", null=True),
    _int("looked_at"),
    _int("decided_at", null=True),
    _text("body"),
    clustered=True,
)
"""What an experiment came to. `trial`: digest of its arms and metric, so that another experiment on the same step is another one.
`slice` "": all its people, else those of a tier. `body`: JSON of hypothesis, arms, numbers, as of `looked_at`; a decision is never taken
back by a later look."""

outlay = _table("outlay", _int("campaign", key=True), _text("channel", key=True), _int("micros"), clustered=True)
"""What the messages of campaigns with a budget cost so far, set aside by their claims; in millionths of the shop's currency."""

outlaid = _table("outlaid", _int("delivery", key=True))
"""The deliveries that are counted in `outlay`."""
