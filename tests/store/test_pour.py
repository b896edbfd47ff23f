"""`pour`: many rows to a statement, and the same outcome as one at a time."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from daemon.store import schema as s
from daemon.store.sql import POURED, pour, pouring
from daemon.store.writer import Lane
from tests.store.conftest import World

INSERT = pouring(s.due, ("lane", "not_before", "delivery"))
MOVE = "UPDATE due SET not_before = v.column2 FROM (VALUES {rows}) AS v WHERE due.delivery = v.column1"


@pytest.mark.parametrize("count", [0, 1, POURED - 1, POURED, POURED + 1, 3 * POURED + 7])
async def test_every_row_is_written_once_and_counted(world: World, count: int) -> None:
    """Whatever the number is in hundreds."""

    def act(conn: Connection) -> tuple[int, int]:
        written = pour(conn, INSERT, [(1, i, i) for i in range(count)])
        return written, pour(conn, MOVE, [(i, 1000 + i) for i in range(count + 5)])

    assert await world.store.write(Lane.BULK, act) == (count, count)
    assert await world.sql("SELECT lane, not_before, delivery FROM due ORDER BY 2") == [(1, 1000 + i, i) for i in range(count)]


def test_a_column_that_is_none_is_refused() -> None:
    """When the text is made, not when it runs."""
    with pytest.raises(ValueError, match="colour"):
        pouring(s.due, ("lane", "colour"))
