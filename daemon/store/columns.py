"""How tables and columns are written here: the one MetaData, and short forms for the kinds of columns that there are."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text, UniqueConstraint, text

metadata = MetaData()


def table(name: str, *items: Column[object] | UniqueConstraint | Index, clustered: bool = False) -> Table:
    """clustered: rows lie in primary key order (`WITHOUT ROWID` on SQLite)."""
    return Table(name, metadata, *items, sqlite_with_rowid=not clustered)


def int_column(name: str, *, key: bool = False, null: bool = False, default: int | None = None) -> Column[object]:
    return Column(
        name, BigInteger().with_variant(Integer, "sqlite"), primary_key=key, nullable=null, autoincrement=False,
        server_default=None if default is None else text(str(default)),
    )  # fmt: skip


def text_column(name: str, *, key: bool = False, null: bool = False) -> Column[object]:
    return Column(name, Text, primary_key=key, nullable=null)
