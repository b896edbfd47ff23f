"""The tables of notices, a part of `store.schema`: what is to be told to `[[notify]]`, and how far each target was told."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, text

from daemon.store.columns import int_column as _int
from daemon.store.columns import table as _table
from daemon.store.columns import text_column as _text

notice = _table(
    "notice",
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, nullable=False),
    _text("type"),
    _int("at", null=True),
    _int("person", null=True),
    _int("delivery", null=True),
    _int("walk", null=True),
    _int("job", null=True),
    _text("detail", null=True),
    _int("noted_at", null=True),
    Index("notice_new", "id", sqlite_where=text("noted_at IS NULL")),
)
"""A fact that somebody wants to be told, written by triggers in the transaction of the fact (`store.notices`): only where `[[notify]]` asks
for its type. `id` counts in order of commits; the last row is never removed, so that no number comes twice. `at` null: the fact has no
instant of its own. `noted_at`: the first look at it, before it is told: its age counts from there, since a fact may be told late. `detail`:
JSON of what may change later."""

notice_target = _table(
    "notice_target",
    _text("name", key=True),
    _int("cursor"),
    _int("tries", default=0),
    _int("again_at", null=True),
    _int("failing_since", null=True),
    _text("error", null=True),
    _int("told", default=0),
    _int("lost", default=0),
    clustered=True,
)
"""`name`: digest of the url. `cursor`: the last notice that is done with, told or passed over. `tries`: failed ones of the next one."""
