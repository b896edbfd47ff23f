"""Recipients and events from files, one shown, one erased."""

from __future__ import annotations

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest

from daemon.cli import importing
from tests.system.cli_world import CliWorld, write_world


@pytest.fixture
def homing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CliWorld:
    write_world(tmp_path)
    return CliWorld(tmp_path, capsys)


def put(homing: CliWorld, name: str, *lines: str | dict[str, Any]) -> str:
    path = homing.folder / name
    data = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return str(path)


def test_recipients_come_from_csv_with_bad_rows_named(homing: CliWorld) -> None:
    """By line and field, in the file's own numbers; good ones are there."""
    path = put(homing, "people.csv", "id,email,traits.plan", "anna,anna@example.com,gold", "bad,two@@signs,", '"x', 'y",,', "citra,,silver")
    said = homing("recipients", "import", path)
    assert said.code == 1
    assert "4 rows: 2 taken, 2 rejected" in said.out
    assert "line 3 (bad): email: " in said.out
    assert "line 4 (x\\ny): id: " in said.out
    shown = homing.ok("recipients", "show", "anna")
    assert (shown["email"], shown["traits"]) == ("anna@example.com", {"plan": "gold"})
    assert "traits.plan" in homing("recipients", "show", "anna").out
    assert homing("recipients", "show", "nobody").code == 1


def test_a_wrong_column_is_told_before_anything_is_taken(homing: CliWorld) -> None:
    """With the nearest one."""
    said = homing("recipients", "import", put(homing, "people.csv", "id,emial", "a,b"))
    assert said.code == 2
    assert 'did you mean "email"' in said.err
    said = homing("events", "import", put(homing, "events.csv", "recipient,evnt", "a,b"))
    assert said.code == 2
    assert 'events.csv: unknown column "evnt"; did you mean "event"?' in said.err


def test_events_of_all_forms_come_in_once(homing: CliWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short rows, messages in Segment's format, packed CSV; again changes nothing; many pieces."""
    monkeypatch.setattr(importing, "MOST_ROWS", 2)
    ndjson = put(
        homing, "events.ndjson",
        {"recipient": "anna", "event": "Order Completed", "at": "2026-03-01T10:00:00Z", "id": "o-1", "properties": {"revenue": 10}},
        "", {"type": "track", "userId": "anna", "event": "Order Completed", "timestamp": "2026-04-01T10:00:00Z", "messageId": "o-2"},
        {"recipient": "anna", "evnt": "x"}, {"recipient": "anna", "event": "x", "at": "soon"}, "{",
        {"type": "page", "userId": "anna", "timestamp": "2026-04-02T10:00:00Z", "messageId": "p"},
    )  # fmt: skip
    said = homing("events", "import", ndjson)
    assert said.code == 1
    assert "6 rows: 3 taken, 3 rejected" in said.out
    assert [line.strip().partition(":")[0] for line in said.out.splitlines()[1:]] == ["line 4", "line 5 (anna)", "line 6"]
    packed = put(
        homing, "more.csv.gz", "recipient,event,at,id,properties.order_id,properties.revenue",
        "anna,Order Completed,2026-05-01T10:00:00Z,o-3,17,42.50", "budi,Wished,2026-05-01T10:00:00Z,w-1,,",
    )  # fmt: skip
    assert homing.ok("events", "import", packed)["kept"] == 2
    again = homing.ok("events", "import", packed)
    assert (again["kept"], again["known"]) == (0, 2)
    profile = homing.ok("recipients", "show", "anna")["profile"]
    assert (profile["orders"], profile["value"], profile["unvalued"], profile["last_visit_at"]) == (3, 52.5, 1, "2026-04-02T10:00:00.000Z")


def test_events_of_csv_are_read_as_those_of_jobs_are(homing: CliWorld) -> None:
    """Semicolons, a byte-order mark; a quote that does not end costs its own row, and not all that follow."""
    rows = [f"budi;Wished;2026-05-01T10:00:00Z;w-{n}" for n in range(3)]
    path = put(homing, "events.csv", "\ufeffrecipient;event;at;id", 'anna;"Wished;2026-05-01T10:00:00Z;w-9', *rows)
    said = homing("events", "import", path)
    assert said.code == 1
    assert "4 rows: 3 taken, 1 rejected" in said.out
    assert "line 2: not CSV: a quoted cell that does not end" in said.out
    said = homing("events", "import", put(homing, "twice.csv", "recipient,event,event", "a,b,c"))
    assert (said.code, "stands twice" in said.err) == (2, True)


def test_what_stands_before_the_place_at_which_a_file_breaks_off_is_taken(homing: CliWorld) -> None:
    """As it is said; the rows of the piece at hand as well. A byte-order mark is no part of the first row."""
    path = homing.folder / "people.ndjson"
    path.write_text('\ufeff{"id": "anna", "email": "anna@example.com"}\n{"id": "budi"}\n{"id": "cit', encoding="utf-8")
    said = homing("recipients", "import", str(path))
    assert said.code == 2
    assert "line 3: the body breaks off in its last line (cut_off); what stood before it was taken" in said.err
    assert homing.ok("recipients", "show", "anna")["email"] == "anna@example.com"
    assert homing.ok("recipients", "show", "budi")["recipient"] == "budi"
    assert "UTF-16" in homing("recipients", "import", put(homing, "wide.csv", b"i\0d\0".decode())).err
    assert "1 row: 1 taken" in homing("recipients", "import", put(homing, "one.csv", "id", "dewi")).out


def test_products_come_from_csv_and_ndjson_with_bad_rows_named(homing: CliWorld) -> None:
    """An empty cell says nothing; a column that nobody knows is told before anything is taken."""
    path = put(homing, "products.csv", "product_id,name,category,price,in_stock", "tea,Aruna,tea,12.50,", ",x,,,", "cup,Bima,cups,ten,", "a,b")
    said = homing("products", "import", path)
    assert said.code == 1
    assert "4 rows: 1 taken, 3 rejected" in said.out
    for word in ("line 3: product_id: ", "line 4: price: is a number", "line 5: 2 cells under 5 column names"):
        assert word in said.out
    path = put(homing, "products.ndjson", {"sku": 7, "title": "Citra", "in_stock": False}, "{")
    assert homing("products", "import", path).code == 1
    said = homing("products", "import", put(homing, "wrong.csv", "product_id,nme", "a,b"))
    assert said.code == 2
    assert 'did you mean "name"?' in said.err
    assert "no column product_id" in homing("products", "import", put(homing, "none.csv", "name", "a")).err
    with closing(sqlite3.connect(homing.folder / "var" / "homing.db")) as conn:
        rows = conn.execute("SELECT key, name, price, in_stock FROM product ORDER BY key").fetchall()
    assert rows == [("7", "Citra", None, 0), ("tea", "Aruna", 12_500_000, 1)]


def test_erase_asks_first(homing: CliWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """--yes does not; again says so; nothing is left to be shown."""
    homing.ok("recipients", "import", put(homing, "people.ndjson", {"id": "anna", "email": "anna@example.com"}))
    def no(*_: object, **__: object) -> None:
        raise click.Abort

    monkeypatch.setattr(click, "confirm", no)
    assert homing("erase", "anna").code == 130
    assert "1 addresses suppressed" in homing("erase", "anna", "--yes").out
    assert "was erased before" in homing("erase", "anna", "--yes").out
    shown = homing.ok("recipients", "show", "anna")
    assert (shown["erased"], shown["email"]) == (True, None)
