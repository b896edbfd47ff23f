"""The ways below SQLAlchemy Core's `execute`, in one place, for the statements that run for each delivery or each commit.

A Core statement is compiled once; from then on its text and plain tuples go to the driver (facts: a dict per row costs 13-20 µs
a delivery, and Core's own way to a result 15-20 µs a statement). `pour` puts a hundred rows into one statement, for bulk work;
`in_list` passes any number of ids as one parameter. What runs seldom goes through `conn.execute`; nothing else goes below Core.
"""

from __future__ import annotations

import json
import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, CompoundSelect, Connection, Select, Table, bindparam, func, select
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.dml import UpdateBase

Row = Sequence[Any]
Query = Select[Any] | CompoundSelect[Any]
Statement = UpdateBase | Query
POURED = 100
"""Rows of one `pour` statement. More gains nothing (measured: 20 to 100 alike), and its program takes memory."""

_encode = json.JSONEncoder(separators=(",", ":")).encode


def in_list(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """`column IN (ids)` where the parameter `name` is made by `ids()`: one parameter, one plan for any number."""
    return column.in_(select(func.json_each(bindparam(name)).table_valued("value").c.value))


def ids(values: Iterable[int | str]) -> str:
    """The parameter for `in_list`."""
    found = list(values)
    return str(found) if found and set(map(type, found)) == {int} else _encode(found)


class _Text(NamedTuple):
    """A compiled statement: `order` puts (values of `names`, constants) into the text's order; None where the values come as they are."""

    text: str
    order: Callable[[Row], tuple[Any, ...]] | None
    constants: tuple[Any, ...]


@lru_cache(maxsize=512)
def _compiled(statement: Statement, dialect: Dialect, names: tuple[str, ...]) -> _Text:
    keys = list(names) if isinstance(statement, UpdateBase) else None
    compiled = statement.compile(dialect=dialect, column_keys=keys, compile_kwargs={"render_postcompile": True})
    order, params = compiled.positiontup or (), compiled.params
    constants = {name: params[name] for name in order if name not in names}
    if unknown := [name for name, value in constants.items() if value is None]:
        raise ValueError(f"statement has parameters {sorted(unknown)} that are not among {names}")
    known = {name: place for place, name in enumerate((*names, *constants))}
    places = tuple(known[name] for name in order)
    return _Text(str(compiled), None if places == tuple(range(len(names))) else _picking(places), tuple(constants.values()))


def _picking(places: tuple[int, ...]) -> Callable[[Row], tuple[Any, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda row: tuple([row[place] for place in places])


def many(conn: Connection, statement: UpdateBase, names: tuple[str, ...], rows: Sequence[Row]) -> int:
    """Run `statement` once a row; `rows` hold ints, floats, str, bytes or None in the order of `names`. Returns rowcount.

    `statement` must be a module-level constant: it is compiled once. Values for an insert are its column names, for an
    update or delete its bindparam names. Bind processing is skipped: no other types than those.
    """
    if not rows:
        return 0
    text, order, constants = _compiled(statement, conn.dialect, names)
    if order is not None:
        rows = [order((*row, *constants)) for row in rows]
    cursor = _cursor(conn)
    if cursor is None:
        return conn.exec_driver_sql(text, list(map(tuple, rows))).rowcount
    try:
        done: int = cursor.executemany(text, rows).rowcount
    except sqlite3.Error as error:
        raise _told(conn, text, error) from error
    return done


def fetch(conn: Connection, statement: Statement, names: tuple[str, ...] = (), values: Row = ()) -> list[tuple[Any, ...]]:
    """The rows of a `select`, or of a write that returns some, as the driver's tuples; `statement`, `names` and `values` as for `many`."""
    text, order, constants = _compiled(statement, conn.dialect, names)
    if order is not None:
        values = order((*values, *constants))
    cursor = _cursor(conn)
    if cursor is None:
        return [tuple(row) for row in conn.exec_driver_sql(text, tuple(values))]
    try:
        return cursor.execute(text, values).fetchall()
    except sqlite3.Error as error:
        raise _told(conn, text, error) from error


def walk(conn: Connection, statement: Query, names: tuple[str, ...] = (), values: Row = ()) -> Iterable[tuple[Any, ...]]:
    """As `fetch`, but the rows are looked for as they are asked for: for who may stop early, before the next statement."""
    text, order, constants = _compiled(statement, conn.dialect, names)
    cursor = _cursor(conn)
    if cursor is None:
        return fetch(conn, statement, names, values)
    try:
        return cursor.execute(text, values if order is None else order((*values, *constants)))
    except sqlite3.Error as error:
        raise _told(conn, text, error) from error


@lru_cache(maxsize=128)
def _shape(statement: Query) -> Callable[[tuple[Any, ...]], Any]:
    names = list(statement.selected_columns.keys())
    shape: Any = namedtuple("Row", names)  # type: ignore[misc]  # noqa: PYI024 - its columns are the statement's
    make: Callable[[tuple[Any, ...]], Any] = shape._make
    return make


def rows(conn: Connection, statement: Query, names: tuple[str, ...] = (), values: Row = ()) -> list[Any]:
    """As `fetch`, the columns by their names."""
    return list(map(_shape(statement), fetch(conn, statement, names, values)))


def value(conn: Connection, statement: Query, names: tuple[str, ...] = (), values: Row = ()) -> Any:
    """The first column of the first row, None if there is none; as for `fetch`."""
    found = fetch(conn, statement, names, values)
    return found[0][0] if found else None


def _cursor(conn: Connection) -> sqlite3.Cursor | None:
    """The driver's own cursor, inside the transaction that is open; None where Core has to begin one, or it is another engine."""
    raw: Any = conn.connection.dbapi_connection
    return raw.cursor() if type(raw) is sqlite3.Connection and raw.in_transaction else None


def _told(conn: Connection, text: str, error: sqlite3.Error) -> BaseException:
    """As Core would tell it."""
    return DBAPIError.instance(text, None, error, sqlite3.Error, hide_parameters=True, dialect=conn.dialect)


@lru_cache(maxsize=256)
def _poured(text: str, width: int, count: int) -> str:
    row = f"({', '.join('?' * width)})"
    return text.replace("{rows}", ", ".join([row] * count))


def _portions(count: int) -> Iterator[tuple[int, int]]:
    """(from, to) of the rows of each statement: of three lengths only, since the driver keeps the program of each text."""
    start = 0
    for size in (POURED, POURED // 10, 1):
        while count - start >= size:
            yield start, start + size
            start += size


def pouring(table: Table, names: tuple[str, ...]) -> str:
    """The text for `pour` that inserts these columns."""
    unknown = set(names) - set(table.columns.keys())
    if unknown:
        raise ValueError(f"{table.name} has no columns {sorted(unknown)}")
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES {{rows}}"  # noqa: S608 - names of our own


def pour(conn: Connection, text: str, rows: Sequence[Row]) -> int:
    """Run `text` for all rows, POURED at a time, `{rows}` in it being their VALUES list (columns `column1`, `column2`..). Returns rowcount.

    Beside `many` it is not only cheaper: the driver takes the interpreter's lock once a statement and not once a row, so that bulk work
    in the writer's thread and Python at work in others do not wait for each other a thousand times.
    """
    changed = 0
    cursor = _cursor(conn) if rows else None
    for start, end in _portions(len(rows)):
        some = rows[start:end]
        statement = _poured(text, len(some[0]), len(some))
        values = tuple(chain.from_iterable(some))
        try:
            changed += (cursor.execute if cursor is not None else conn.exec_driver_sql)(statement, values).rowcount
        except sqlite3.Error as error:
            raise _told(conn, statement, error) from error
    return changed
