"""The quick way for plain rows gives what the thorough way gives, or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.intake.addresses import EMAIL, PHONE, email_hash, hasher, phone_hash
from daemon.intake.body import plan_row
from daemon.intake.parse import Item, RowJsonError, read_object
from daemon.intake.quick import QuickRows, quick_encoder
from daemon.intake.rows import Fields, RowChecker
from daemon.model.delivery import DAY
from daemon.store.recipients import PlanRow

PEPPER = bytes(range(32))
QUICK = QuickRows(PEPPER)
CHECK = RowChecker(100 * 365 * DAY).fields
PLAIN = {
    "id": "c-1", "email": "user1@example.com", "phone": "+6281234567890", "zone": "Asia/Jakarta", "locale": "id_ID", "country": "ID",
    "traits": {"first_name": "Ana", "orders": 3, "spent": 12.5, "vip": True, "nps": None}, "vars": {"last_product": "shoes"},
}  # fmt: skip


def thorough(raw: bytes) -> PlanRow | None:
    """None = a row with an error."""
    try:
        item = read_object(7, raw)
    except RowJsonError:
        return None
    fields = CHECK(item)
    return plan_row(7, fields, PEPPER) if isinstance(fields, Fields) else None


def compare(raw: bytes) -> PlanRow | None:
    found = QUICK.of_json(7, raw)
    assert found is None or found == thorough(raw)
    return found


words = st.one_of(
    st.text(max_size=12),
    st.sampled_from([
        "", " ", "a:b", "https://example.com/x", '"', '":', "\\", "\u2028", "\x7f", "\x00", "caf\u00e9", "\ud800", "user@example.com",
        "USER@Example.COM", "a@b@c", "Asia/Jakarta", "asia/jakarta", "+6281234567890", "081234567890", "ID", "id", "en-US", "x" * 300, " c",
        "22:00-08:00",
    ]),
)  # fmt: skip
numbers = st.one_of(
    st.integers(), st.floats(allow_nan=False), st.sampled_from([0, -0.0, 10**14, 10**15, 10**39, 10**40, -(10**39), 1e300, 5e-324])
)
leaves = st.one_of(words, numbers, st.booleans(), st.none())
trees = st.recursive(leaves, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)), max_leaves=12)
objects = st.dictionaries(words | st.sampled_from(["quiet_hours", "preferred_channels"]), trees, max_size=4)
rows = st.fixed_dictionaries(
    {},
    optional={
        "id": words | numbers | st.just("c-1"), "email": words | st.just("user1@example.com"), "phone": words | st.just("+6281234567890"),
        "zone": leaves, "locale": leaves, "country": leaves, "traits": objects | leaves, "vars": objects | leaves,
        "consent": st.dictionaries(words, trees, max_size=2), "nickname": leaves,
    },
)  # fmt: skip


@given(rows, st.booleans(), st.sampled_from([(", ", ": "), (",", ":"), (" ,", " :"), (",\t", "\t: ")]), st.sampled_from(["", "\n", "\r\n", " ", "x"]))
def test_any_row_is_the_same_by_both_ways(row: dict[str, Any], ascii: bool, separators: tuple[str, str], end: str) -> None:
    """Whatever it holds, however it is written."""
    text = json.dumps(row, ensure_ascii=ascii, separators=separators) + end
    compare(text.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=40) | st.builds(lambda at, byte: bytes([*SAMPLE[:at], byte, *SAMPLE[at + 1 :]]), st.integers(0, 400), st.integers(0, 255)))
@example(b'{"id": "c", "vars": {"a" :1, "a":2}}')
@example(b'{"id": "c", "vars": {"a": 1, "a": 2}}')
@example(b'{"id": "c", "id": "d"}')
@example(b'{"id": "c", "vars": {"a":":", "b":1, "b":1}}')
@example(b'{"id": "c", "vars": {"n": 0.10000000000000000000000000000000000000000001}}')
@example(b'{"id": "c", "vars": {"n": 1000000000000.0000000000001e0000000000001}}')
@example(b'{"id": "c", "vars": {"n": 1e999}}')
@example(b'{"id": "c", "vars": {"n": NaN}}')
@example(b'{"id": ["c"], "zone": ["Asia/Jakarta"]}')
@example(b'{"id": "c", "vars": ' + b'{"a":' * 8 + b"1" + b"}" * 8 + b"}")
@example(b'{"id": "c", "vars": ' + b'{"a":' * 9 + b"1" + b"}" * 9 + b"}")
@example(b'{"id": "c", "vars": {"a": ' + b"[" * 7 + b"1" + b"]" * 7 + b"}}")
@example(b'{"id": "c", "vars": {"a": ' + b"[" * 8 + b"1" + b"]" * 8 + b"}}")
@example(b'{"id": "c", "vars": {"a": [' + b"1," * 1000 + b"1]}}")
def test_any_bytes_are_the_same_by_both_ways(raw: bytes) -> None:
    """Broken, doubled, endless, one byte changed."""
    compare(raw)


SAMPLE = json.dumps(PLAIN).encode()


@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
@pytest.mark.parametrize(
    "change",
    [
        {}, {"vars": {"url": "https://example.com/a:b"}}, {"vars": {"name": "Caf\u00e9 \u06a9\u0627\u0644\u0627"}}, {"vars": {"items": [{"sku": "a"}, {"sku": "b"}]}},
        {"id": 17}, {"email": None}, {"traits": {}},
    ],
)  # fmt: skip
def test_what_is_usual_goes_the_quick_way(change: dict[str, Any], separators: tuple[str, str]) -> None:
    """Also links in texts, names that are not English, lists of products: else it would be of no use."""
    row = {**PLAIN, **change}
    for ascii in (False, True):
        found = compare(json.dumps(row, separators=separators, ensure_ascii=ascii).encode() + b"\n")
        assert found is not None or (ascii and "url" in row["vars"])


@given(st.dictionaries(words, words, max_size=4))
def test_cells_of_a_table_are_the_same_by_both_ways(vars: dict[str, str]) -> None:
    """A CSV row whose texts have no control character."""
    value = {"id": "c-1", "email": "user1@example.com", **({"vars": vars} if vars else {})}
    if not all(text.isprintable() for pair in vars.items() for text in pair):
        return
    fields = CHECK(Item(3, value))
    found = QUICK.of_cells(3, value)
    assert found is None or (isinstance(fields, Fields) and found == plan_row(3, fields, PEPPER))


@given(trees)
def test_the_quick_encoder_writes_as_the_plain_one(tree: Any) -> None:
    """The same text for any value that JSON knows."""
    text = json.dumps({"x": tree}, ensure_ascii=False, separators=(",", ":"))
    if "Infinity" not in text:
        assert quick_encoder()({"x": tree}) == text


@pytest.mark.parametrize("address", ["user1@example.com", "USER@xn--bcher-kva.example", "\u00fcser@example.com"])
def test_hashes_of_many_are_those_of_one(address: str) -> None:
    """`hasher` is `email_hash` and `phone_hash`."""
    assert hasher(PEPPER, EMAIL)(address) == email_hash(PEPPER, address)
    assert hasher(PEPPER, PHONE)("+6281234567890") == phone_hash(PEPPER, "+6281234567890")
