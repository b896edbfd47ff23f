"""CSV: columns, cells, and what is wrong with them (facts: reliability §9, B8-B10, B19)."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.intake.parse import BodyError, Format
from daemon.intake.parse_csv import read_csv_head
from tests.unit.intake.readers import as_file, read_all


def values(body: str | bytes) -> list[object]:
    return [item.value if item.value is not None else item.code for item in read_all(body, Format.CSV)[1]]


def test_cells_become_fields_vars_and_traits() -> None:
    """`vars.X` and `traits.X` are the sender's own; an empty cell names nothing."""
    body = 'id,email,zone,vars.last_product,traits.first_name\nc-1,a@b.co,Asia/Jakarta,"shoes, red",Ana\nc-2,,,,\n'
    assert values(body) == [
        {"id": "c-1", "email": "a@b.co", "zone": "Asia/Jakarta", "vars": {"last_product": "shoes, red"}, "traits": {"first_name": "Ana"}},
        {"id": "c-2"},
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_header_says_the_delimiter(delimiter: str, end: str) -> None:
    """Comma, or what a header without commas has."""
    assert values(f"id{delimiter}email{end}c-1{delimiter}a@b.co{end}") == [{"id": "c-1", "email": "a@b.co"}]


@pytest.mark.promise("B10", "B19")
@pytest.mark.parametrize(
    ("header", "word"),
    [
        ("id,email,email", "stands twice"),
        ("id,emial", 'did you mean "email"'),
        ("id,last_product", "vars.last_product or traits.last_product"),
        ("email,phone", 'no column "id"'),
        ("id,", "unknown column"),
        ("id,vars.", "unknown column"),
        ("id," + ",".join(f"vars.c{i}" for i in range(10_000)), "at most 1000"),
        ('id,"email', "cannot be read"),
    ],
)
def test_b10_b19_wrong_columns_refuse_the_file(header: str, word: str) -> None:
    """Twice, unknown, missing, too many: the file as a whole, with what to do."""
    with pytest.raises(BodyError, match=word) as caught:
        read_all(header + "\nx,y,z\n", Format.CSV)
    assert (caught.value.code, caught.value.line) == ("columns", 1)


def test_lines_that_end_in_a_lone_carriage_return_are_named_in_our_words() -> None:
    """As old spreadsheets write them: Python's own words speak to programmers of a "universal-newline mode"."""
    with pytest.raises(BodyError, match="lines end in LF or CRLF"):
        read_all("id,email\ra,a@b.co\r", Format.CSV)


def test_a_row_with_more_or_fewer_cells_is_bad() -> None:
    """Code `columns`; the rows around it are read."""
    assert values("id,email\na,a@b.co\nb\nc,c@d.co,x\nd,d@e.co\n") == [
        {"id": "a", "email": "a@b.co"}, "columns", "columns", {"id": "d", "email": "d@e.co"},
    ]  # fmt: skip


def test_a_stray_quote_costs_its_own_row() -> None:
    """Reading goes on behind the line in which the quote was opened, not behind the next quote."""
    rows = [f"c-{i},x" for i in range(2000)]
    body = "id,vars.x\n" + 'a,"broken\n' + "\n".join(rows) + "\n"
    found = values(body)
    assert found[0] == "csv"
    assert found[1:] == [{"id": f"c-{i}", "vars": {"x": "x"}} for i in range(2000)]


def test_a_quoted_cell_may_go_over_lines_and_lines_are_counted_as_they_stand() -> None:
    """Such a cell is suspect (a line break is a control character), and the next row knows its line."""
    items = read_all('id,vars.x\na,"one\ntwo"\nb,y\n', Format.CSV)[1]
    assert [(item.line, item.suspect) for item in items] == [(2, True), (4, False)]


@pytest.mark.promise("F41")
@pytest.mark.parametrize("body", ['id,email\na,a@b.co\nb,"b@c', "id,email\na,a@b.co\nb"])
def test_f41_csv_that_breaks_off_is_refused_whole(body: str) -> None:
    """In a quoted cell, or with cells missing in a last line that has no end."""
    with pytest.raises(BodyError) as caught:
        read_all(body, Format.CSV)
    assert caught.value.code == "cut_off"


def test_csv_needs_no_line_break_at_its_end() -> None:
    """A last line with all its cells is a row."""
    assert values("id,email\na,a@b.co") == [{"id": "a", "email": "a@b.co"}]


@pytest.mark.promise("B8")
def test_b8_latin1_makes_the_row_bad_and_a_mark_is_skipped() -> None:
    """Code `encoding` with the line; the header may follow a byte-order mark."""
    body = b"\xef\xbb\xbfid,vars.x\na,caf\xe9\nb,cafe\n"
    assert values(body) == ["encoding", {"id": "b", "vars": {"x": "cafe"}}]


@pytest.mark.promise("B19")
def test_b19_a_line_of_a_million_characters_is_bad_and_skipped() -> None:
    """In constant memory."""
    found = values("id,vars.x\na," + "x" * 1_000_000 + "\nb,y\n")
    assert found == ["too_long", {"id": "b", "vars": {"x": "y"}}]


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(min_size=1, max_size=10), st.text(max_size=20), st.text(max_size=20)), max_size=12))
def test_what_the_csv_module_writes_is_read_back(rows: list[tuple[str, str, str]]) -> None:
    """Any cells: quoting, line breaks, delimiters."""
    rows = [tuple(cell.replace("\r", "").replace("\0", "").encode("utf-8", "ignore").decode() or "x" for cell in row) for row in rows]  # type: ignore[misc]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["id", "vars.a", "traits.b"])
    writer.writerows(rows)
    items = read_all(out.getvalue(), Format.CSV)[1]
    assert [item.value for item in items] == [{"id": i, "vars": {"a": a}, "traits": {"b": b}} for i, a, b in rows]


@pytest.mark.promise("B10", "B19")
@pytest.mark.parametrize("name", ["a\x05b", "\u202e", "x" * 100_000, "vars", "\x1b[2J"])
def test_b10_a_wrong_column_is_quoted_short_and_printable(name: str) -> None:
    """Whatever stands in the first line: it goes to logs, receipts and answers."""
    with pytest.raises(BodyError) as caught:
        read_csv_head(as_file(f"id,{name}\n"))
    assert caught.value.detail.isprintable()
    assert len(caught.value.detail) < 400


def test_empty_lines_before_the_column_names_are_no_empty_body() -> None:
    """An export that begins with a blank line has its rows all the same, and each has the line where it stands."""
    _, items = read_all("\n \r\nid,email\nc-1,a@b.co\nc-2,b@b.co\n", Format.CSV)
    assert [(item.line, item.value) for item in items] == [(4, {"id": "c-1", "email": "a@b.co"}), (5, {"id": "c-2", "email": "b@b.co"})]
    with pytest.raises(BodyError, match="emial") as caught:
        read_all("\nid,emial\n", Format.CSV)
    assert caught.value.line == 2
