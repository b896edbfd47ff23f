"""JSON documents and NDJSON: rows come out as they went in, from any place, and what is wrong costs only itself."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon.intake import parse_document
from daemon.intake.body import read_opening, sniff_format
from daemon.intake.parse import MAX_ROW_BYTES, BodyError, Format, RowJsonError, loads
from daemon.intake.parse_document import scan_document
from tests.unit.intake.readers import as_file, read_all

HEAD = {"id": "j", "queue": "q"}


def document(*rows: str, head: str = '"id": "j", "queue": "q", ', tail: str = "") -> str:
    return "{" + head + '"recipients": [' + ", ".join(rows) + "]" + tail + "}"


def ndjson(*rows: str) -> str:
    return "\n".join([json.dumps(HEAD), *rows]) + "\n"


def both(*rows: str) -> list[tuple[Format, str]]:
    return [(Format.JSON, document(*rows)), (Format.NDJSON, ndjson(*rows))]


BAD_ROWS = [
    ("depth", "[" * 10_000 + "]" * 10_000, "row|json_depth"),
    ("deep object", '{"vars": ' + '{"a":' * 10_000 + "1" + "}" * 10_000 + "}", "json_depth"),
    ("1e400", '{"id": "a", "vars": {"x": 1e400}}', "number"),
    ("NaN", '{"id": "a", "vars": {"x": NaN}}', "number"),
    ("Infinity", '{"id": "a", "vars": {"x": -Infinity}}', "number"),
    ("5,000 digits", '{"id": ' + "9" * 5000 + "}", "number"),
    ("a key twice", '{"id": "a", "id": "b"}', "duplicate_key"),
    ("a key twice inside", '{"id": "a", "vars": {"x": 1, "x": 2}}', "duplicate_key"),
    ("no object", "[1, 2]", "row"),
    ("a number", "17", "row"),
    ("a text", '"c-1"', "row"),
    ("no JSON", '{"id": "a", }', "json"),
    ("bare words", "{id: a}", "json"),
    ("a million characters", '{"id": "' + "x" * 1_000_000 + '"}', "too_long"),
]


@pytest.mark.promise("B11", "B19")
@pytest.mark.parametrize(("what", "row", "code"), BAD_ROWS, ids=[name for name, _, _ in BAD_ROWS])
@pytest.mark.parametrize("format", [Format.JSON, Format.NDJSON])
def test_b11_b19_a_bad_row_is_named_and_the_good_ones_go_on(format: Format, what: str, row: str, code: str) -> None:
    """Depth, NaN, infinite and endless numbers, a key twice, a huge line: the row is bad, its neighbours are not."""
    good = '{"id": "good"}'
    body = dict(both(good, row, good))[format]
    head, items = read_all(body, format)
    assert head == HEAD
    assert [item.value for item in items] == [{"id": "good"}, None, {"id": "good"}]
    assert items[1].code in code.split("|")
    first = 1 if format is Format.JSON else 2
    assert [item.line for item in items] == [first, first + 1, first + 2]


@pytest.mark.promise("B8")
@pytest.mark.parametrize("format", [Format.JSON, Format.NDJSON])
def test_b8_bytes_that_are_not_utf8_make_the_row_bad(format: Format) -> None:
    """Latin-1 in one row: code `encoding`, with its line."""
    body = dict(both('{"id": "good"}', '{"id": "caf\udce9"}', '{"id": "good"}'))[format].encode("utf-8", "surrogateescape")
    _, items = read_all(body, format)
    assert [item.code for item in items] == ["", "encoding", ""]


@pytest.mark.promise("B8")
@pytest.mark.parametrize("format", [Format.JSON, Format.NDJSON])
def test_b8_a_byte_order_mark_is_no_part_of_the_body(format: Format) -> None:
    """A UTF-8 mark is skipped."""
    body = b"\xef\xbb\xbf" + dict(both('{"id": "a"}'))[format].encode()
    head, items = read_all(body, format)
    assert (head, [item.value for item in items]) == (HEAD, [{"id": "a"}])


@pytest.mark.promise("B8")
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("format", list(Format))
def test_b8_utf16_is_refused_as_a_whole(encoding: str, format: Format) -> None:
    """With or without a mark."""
    body = {Format.CSV: "id,email\na,b\n", **dict(both('{"id": "a"}'))}[format].encode(encoding)
    with pytest.raises(BodyError) as caught:
        read_all(body, format)
    assert caught.value.code == "encoding"


@pytest.mark.promise("B4")
@pytest.mark.parametrize("format", list(Format))
def test_b4_an_empty_body_has_no_rows(format: Format) -> None:
    """0 bytes, and a head alone."""
    assert read_opening(as_file(b""), format).head is None
    head = {Format.CSV: "id,email\n", Format.NDJSON: json.dumps(HEAD) + "\n", Format.JSON: document()}[format]
    assert read_all(head, format)[1] == []


@pytest.mark.promise("F41")
@pytest.mark.parametrize(
    "body",
    [
        '{"id": "j", "recipients": [{"id": "a"}',
        '{"id": "j", "recipients": [{"id": "a"}, {"id": "b"',
        '{"id": "j", "recipients": [{"id": "a"}]',
        '{"id": "j", "recipients": [{"id": "a"}], "queue": "q',
        '{"id": "j", "recipients": [{"id": "a"}], "queue',
        '{"id": "j", "recipients": [{"id": "a"},',
        '{"id": "j"',
        '{"id',
        "{",
        '{"id": "j", "expected_count": 1',
    ],
)
def test_f41_a_document_that_breaks_off_is_refused_whole(body: str) -> None:
    """Whatever it breaks off in."""
    with pytest.raises(BodyError) as caught:
        scan_document(as_file(body))
    assert caught.value.code == "cut_off"


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "17",
        '{"id": "j"} {"id": "k"}',
        '{"id": "j",}',
        '{"id": "j" "queue": "q"}',
        '{"id": "j", "recipients": [{"id": "a"} {"id": "b"}]}',
        '{"id": "j", "recipients": [{"id": "a"},]}',
        '{"id": "j", "recipients": []]}',
        '{"id": "j", "id": "k"}',
        '{"recipients": [], "recipients": []}',
        '{"id": NaN}',
        "{id: 1}",
        '{"id": }',
        '{"id": "j", "recipients": [,]}',
    ],
)
def test_what_is_no_json_object_is_refused_whole(body: str) -> None:
    """Two values, stray commas, a key twice, no object."""
    with pytest.raises(BodyError) as caught:
        scan_document(as_file(body))
    assert caught.value.code == "json"


def test_keys_after_the_recipients_belong_to_the_head() -> None:
    """`id`, `queue` and `expected_count` may come last."""
    head, items = read_all('{"recipients": [{"id": "a"}], "id": "j", "queue": "q", "expected_count": 1}', Format.JSON)
    assert head == {"id": "j", "queue": "q", "expected_count": 1}
    assert len(items) == 1


@pytest.mark.promise("F41")
def test_f41_ndjson_that_breaks_off_in_its_last_line_is_refused_whole() -> None:
    """Half a last line is no bad row: nobody knows what else is missing."""
    with pytest.raises(BodyError) as caught:
        read_all(ndjson('{"id": "a"}') + '{"id": "b", "ema', Format.NDJSON)
    assert (caught.value.code, caught.value.line) == ("cut_off", 3)


def test_ndjson_needs_no_line_break_at_its_end() -> None:
    """A last line that is whole JSON is a row; empty lines are none."""
    _, items = read_all(ndjson("", '{"id": "a"}', "  ") + '{"id": "b"}', Format.NDJSON)
    assert [(item.line, item.value) for item in items] == [(3, {"id": "a"}), (5, {"id": "b"})]


@pytest.mark.parametrize(
    ("body", "code"), [("[1]\n", "head"), ("{nope\n", "json"), ('"x"\n', "head"), ('{"id": "a"' + " " * 1_100_000 + "}\n", "head")]
)
def test_the_head_of_ndjson_is_an_object_in_the_first_line(body: str, code: str) -> None:
    """Else the body is refused."""
    with pytest.raises(BodyError) as caught:
        read_all(body, Format.NDJSON)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("body", "format"),
    [
        (document('{"id": "a"}'), Format.JSON),
        (document('{"id": "a"}') + "\n", Format.JSON),
        (json.dumps({**HEAD, "recipients": []}, indent=1), Format.JSON),
        (ndjson('{"id": "a"}'), Format.NDJSON),
        ("", Format.JSON),
    ],
)
def test_an_unnamed_body_is_looked_into(body: str, format: Format) -> None:
    """One object over several lines or with recipients is a document; an object a line is NDJSON."""
    assert sniff_format(as_file(body)) is format


def test_an_unnamed_body_that_is_neither_is_refused() -> None:
    """CSV has to be named."""
    with pytest.raises(BodyError, match="CSV"):
        sniff_format(as_file("id,email\n"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
rows = st.lists(st.dictionaries(st.text(max_size=8), json_values, max_size=5), max_size=12)


@settings(deadline=None, max_examples=50)
@given(rows, st.sampled_from([None, 1, "\t"]), st.booleans(), st.integers(16, 400))
@example([{"a": ["x" * 50] * 20}] * 3, None, True, 16)
def test_rows_of_a_document_are_what_json_reads(rows: list[dict[str, Any]], indent: int | str | None, ascii: bool, block: int) -> None:
    """Over any spelling, and any place at which the file is cut into blocks."""
    body = json.dumps({"a": 1, "recipients": rows, "z": {"recipients": [1]}}, indent=indent, ensure_ascii=ascii)
    before = parse_document.BLOCK
    parse_document.BLOCK = block
    try:
        head, items = read_all(body.encode("utf-8", "surrogatepass"), Format.JSON)
    finally:
        parse_document.BLOCK = before
    assert head == {"a": 1, "z": {"recipients": [1]}}
    assert [item.value for item in items if item.code != "encoding"] == [
        row for row, item in zip(rows, items, strict=True) if item.code != "encoding"
    ]


@settings(deadline=None, max_examples=50)
@given(rows, st.booleans())
def test_rows_of_ndjson_are_what_json_reads(rows: list[dict[str, Any]], ascii: bool) -> None:
    """Each line on its own."""
    body = "\n".join(json.dumps(row, ensure_ascii=ascii) for row in [HEAD, *rows]) + "\n"
    _, items = read_all(body.encode("utf-8", "surrogatepass"), Format.NDJSON)
    assert [item.value for item in items if not item.code] == [row for row, item in zip(rows, items, strict=True) if not item.code]


@pytest.mark.promise("B11")
@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=300), st.sampled_from(list(Format)))
@example(b'{"recipients":[\\', Format.JSON)
@example(b'{"recipients":["\\', Format.JSON)
@example(b"\xff", Format.CSV)
def test_any_bytes_are_read_or_refused(body: bytes, format: Format) -> None:
    """No body crashes a reader."""
    try:
        _, items = read_all(body, format)
    except BodyError:
        return
    assert all((item.value is None) == bool(item.code) for item in items)


@pytest.mark.promise("F41")
@settings(deadline=None, max_examples=50)
@given(rows, st.data())
def test_a_document_cut_anywhere_is_never_taken_for_whole(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    """P1 the other way round: what was cut off is not accepted."""
    body = json.dumps({"id": "j", "recipients": rows}).encode()
    cut = data.draw(st.integers(1, len(body) - 1))
    with pytest.raises(BodyError):
        scan_document(as_file(body[:cut]))


@given(st.text(max_size=60))
def test_loads_agrees_with_json_on_what_is_json(text: str) -> None:
    """Stricter than the library, never laxer."""
    try:
        found = loads(text)
    except RowJsonError:
        return
    assert found == json.loads(text)


def test_a_row_of_exactly_the_limit_passes() -> None:
    """The limit is on bytes of the row, its line break not counted."""
    for size, code in ((MAX_ROW_BYTES, ""), (MAX_ROW_BYTES + 1, "too_long")):
        row = '{"id": "' + "x" * (size - 10) + '"}'
        for format, body in both(row):
            assert [item.code for item in read_all(body, format)[1]] == [code]


@pytest.mark.promise("B11")
def test_a_key_that_stands_twice_among_very_many_is_found_quickly() -> None:
    """In linear time: a head may have a megabyte of keys."""
    keys = ",".join(f'"k{number}": 1' for number in range(60_000))
    began = time.process_time()
    with pytest.raises(RowJsonError, match="k59999"):
        loads(f'{{{keys}, "k59999": 2}}')
    assert time.process_time() - began < 2
