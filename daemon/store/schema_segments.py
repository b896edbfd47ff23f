"""The tables of segments and of who is in them, a part of `store.schema`."""

from __future__ import annotations

from sqlalchemy import Column, Float, UniqueConstraint

from daemon.store.columns import int_column as _int
from daemon.store.columns import table as _table
from daemon.store.columns import text_column as _text

segment = _table(
    "segment",
    _int("id", key=True),
    _text("name"),
    _text("digest", null=True),
    _int("members", default=0),
    _int("evaluated_at", null=True),
    UniqueConstraint("name"),
)
"""A segment that was evaluated or imported at least once. `digest` of the definition that its members are by; null: an imported list.
`evaluated_at`: the `now` of the last whole evaluation."""

segment_member = _table("segment_member", _int("segment", key=True), _int("person", key=True), _int("since"), clustered=True)
"""Who is in a segment since when: as last evaluated, page by page in the order of persons."""

segment_run = _table(
    "segment_run",
    _int("id", key=True),
    _text("segments"),
    _int("at"),
    _int("reached", default=0),
    _text("quiet", null=True),
)
"""The evaluation that is under way. `segments`: JSON, names in the order in which they are evaluated; `at`: its `now`; `reached`: all
persons up to this one are done. `quiet`: those of them that never were evaluated, whose first members did not just enter."""

category_cycle = _table(
    "category_cycle", _text("category", key=True), Column("days", Float, nullable=False), _int("people"), clustered=True
)
"""Days between two orders on average, of the people whose last product is of this category."""
