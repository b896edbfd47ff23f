"""The language of segments and triggers: what passes, what is refused with which words, and where."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.content.expression import MOST_TEXT, ExpressionError, parse_expression
from daemon.journey.matching import matches
from daemon.model.expression import COLUMNS, FUNCTIONS, Expression, Scope

MEMORY = sqlite3.connect(":memory:")
GOOD = (
    "orders >= 1 and days_since_order >= 30 and days_since_order < 90",
    "tier = 'high' and in_segment('lapsed_30_90') and did('Product Viewed', '14d') >= 1",
    "value > 100 or not (nps <= 6) and country in ('ID', 'MY')",
    "did('Order Completed', '30d', revenue > 100 and currency = 'USD') = 0",
    "did('Order Completed', '30d', 'revenue > 100') = 0",
    "days_since('Checkout Started') between 0 and 2",
    "traits.plan like 'g%' and traits.\"a b\".c is not null",
    "subscription_active and not has_tag('vip') and tags is not null",
    "days_since_order >= 1.25 * cycle_days - (2 + 1) / 3",
    "ORDERS > 1 -- with a remark\n AND In_Segment('x')",
    "last_order_at >= '2026-01-01' and last_order_at < '2026-02-01T00:00+07:00'",
    "country = 'it''s'",
)


@pytest.mark.parametrize("text", GOOD)
def test_good_ones_pass(text: str) -> None:
    assert parse_expression(text).tree


@pytest.mark.parametrize(
    ("text", "what", "suggestion", "place"),
    [
        ("ordrs >= 1", 'unknown column "ordrs"', "orders", (0, 1)),
        ("orders >= 1 and\n  day_since_order < 3", 'unknown column "day_since_order"', "days_since_order", (1, 3)),
        ("orders >= 1 and in_segmnt('x')", 'unknown function "in_segmnt"', "in_segment", (0, 17)),
        ("in_segment('lapsd')", 'no segment "lapsd"', "lapsed", (0, 12)),
        ('tier = "high"', 'unknown column "high"; a trait is written traits.high, a text \'high\'', None, (0, 8)),
        ("orders >", 'cannot be read at ">"', None, (0, 8)),
        ("orders > 1 and and nps > 3", 'cannot be read at "and"', None, (0, 16)),
        ("country = 'x", "a quote is not closed", None, (0, 11)),
        ("orders = 1; drop table x", '";" ends nothing here: one condition', None, (0, 11)),
        ("orders = 'x'", "compares a number with a text", None, (0, 1)),
        ("orders = null", "nothing equals null: write `is null` or `is not null`", None, None),
        ("1 = 1", "compares two fixed values: always the same", None, None),
        ("orders", "orders is a number: compare it with something", None, (0, 1)),
        ("did('X', '3d')", "did(..) is a number: compare it, as in did(..) >= 1", None, (0, 1)),
        ("did('X', '3') > 1", 'the period must be a duration such as "30m", "24h" or "7d" (got "3")', None, None),
        ("did('X', '99999d') > 1", "the period '99999d' must be longer than 0 and at most 3650d", None, None),
        ("did('X', '3d', did('Y') > 1) > 1", '"did": functions speak of recipients; here only the event\'s properties are known', None, (0, 16)),
        ("last_order_at > 'soon'", "'soon' is no date: write '2026-11-22', or '2026-11-22T09:00+07:00'", None, None),
        ("tags = 'x'", "tags are asked for with has_tag('..')", None, None),
        ("country in (1, 'a')", "compares a text with a number", None, None),
        ("subscription_active > true", "is true or false: it is neither larger nor smaller", None, None),
        ("-- nothing", "is empty: name a condition, such as orders >= 1", None, None),
        ("", "is empty: name a condition, such as orders >= 1", None, None),
        ("traits.a.b.c.d.e = 1", "goes deeper than 4 names", None, None),
    ],
)  # fmt: skip
def test_faults_are_named_with_their_place(text: str, what: str, suggestion: str | None, place: tuple[int, int] | None) -> None:
    """In words for the marketer, with the nearest name, line and column."""
    with pytest.raises(ExpressionError) as found:
        parse_expression(text, segments=["lapsed", "x"])
    assert (found.value.what, found.value.suggestion) == (what, suggestion)
    if place is not None:
        assert (found.value.line, found.value.column) == place


@pytest.mark.parametrize(
    "text",
    [
        "select 1", "(select 1)", "exists(select 1 from recipient)", "orders in (select 1)", "country || 'x' = 'x'", "cast(orders as text) = '1'", "orders::text = '1'",
        "case when orders > 1 then true end", "coalesce(orders, 1) > 1", "lower(country) = 'id'", "orders = ?", "orders = :x", "orders = $1", "@x = 1", "traits[1] = 2",
        "orders % 2 = 1", "interval '1 day'", "distinct orders", "load_extension('x')", "recipient.email = 'x'", "orders > 1 union select 1", "a.b.c.d.e.f", "if = 1",
        "country glob 'x'", "orders > all (1)", "x'41' = country", "true", "not", "()", "orders > 1e999", "orders > 1e", "orders > . 2.5", "traits.* = 1", "country = '\0'", "has_tag('\0')", 'traits."a""b" = 1', "country collate nocase = 'x'",
    ],
)  # fmt: skip
def test_everything_else_of_sql_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_expression(text)


@pytest.mark.parametrize(
    "text", ["not " * 300 + "subscription_active", "(" * 300 + "orders > 1" + ")" * 300, "+".join(["orders"] * 700) + " > 1", "- " * 99 + "1 = orders", "orders > 1 and " * 1000 + "orders > 1"]
)  # fmt: skip
def test_depth_and_length_have_limits(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"nested|words and signs|characters"):
        parse_expression(text)


def test_not_like_is_the_opposite_of_like() -> None:
    """Wherever the `not` stands."""
    for text in ("currency not like 'U%'", "not currency like 'U%'"):
        filter = parse_expression(text, scope=Scope.EVENT)
        assert [matches(filter, {"currency": word}) for word in ("USD", "EUR")] == [False, True], text


@given(st.text("ab%_", max_size=8), st.text("abA", max_size=8))
def test_like_is_what_the_database_says(pattern: str, text: str) -> None:
    [[expected]] = MEMORY.execute("SELECT ? LIKE ?", (text, pattern)).fetchall()
    assert matches(parse_expression(f"x like '{pattern}'", scope=Scope.EVENT), {"x": text}) == bool(expected)


def test_like_takes_one_pass_over_a_text_from_outside() -> None:
    """It runs where everything is written."""
    filter = parse_expression("x like '%a%a%a%a%a%b'", scope=Scope.EVENT)
    began = time.process_time()
    assert not matches(filter, {"x": "a" * 20_000})
    assert time.process_time() - began < 0.5


def test_a_name_behind_something_else_is_no_property() -> None:
    """What stands before the dot would be overheard."""
    for text in ("did('x').y = 1", "f(x).y.z = 1", "abs(x).y = 1", "a[1].b = 1"):
        with pytest.raises(ExpressionError):
            parse_expression(text, scope=Scope.EVENT)


def test_a_long_list_of_alternatives_is_no_depth() -> None:
    """Two hundred conditions side by side."""
    text = " or ".join(f"traits.x = '{n}'" for n in range(200))
    assert len(text) < MOST_TEXT
    assert parse_expression(text)


def test_what_it_refers_to() -> None:
    """Columns, segments and events, for cycles and for who only wants to know."""
    found: Expression = parse_expression("tier = 'high' and not in_segment('a') and did('X', '1d') > days_since('Y')")
    assert (found.columns, found.segments, found.events) == ({"tier"}, {"a"}, {"X", "Y"})


def test_filters_of_events_know_properties_only() -> None:
    filter = parse_expression("value > 100 and currency = 'USD'", scope=Scope.EVENT)
    assert matches(filter, {"value": "120.5", "currency": "USD"})
    assert not matches(filter, {"value": "much", "currency": "USD"})
    assert not matches(filter, {})
    assert not matches(parse_expression("not (value > 100)", scope=Scope.EVENT), {})
    with pytest.raises(ExpressionError, match="only the event's properties"):
        parse_expression("has_tag('x')", scope=Scope.EVENT)


WORDS = st.sampled_from([
    *COLUMNS, *(f"{name}(" for name in FUNCTIONS), "(", ")", ",", "and", "or", "not", "in", "like", "between", "is", "null", "true", "'x'", "'14d'", "3", "1.5", "=", "<", ">=",
    "+", "-", "*", "/", "traits.a", "select", "from", "case", "when", "--", "/*", ";", "'", '"', "[", "::", "\n", "{", "interval", "cast(", "if", "exists(", "%", ".", "\x00", "é",
])  # fmt: skip


@given(st.lists(WORDS, max_size=25).map(" ".join), st.sampled_from(Scope))
@settings(max_examples=400, deadline=None)
def test_nothing_but_our_own_error_comes_of_any_text(text: str, scope: Scope) -> None:
    """Whatever is written, it is a tree or an ExpressionError with a place inside the text."""
    try:
        parse_expression(text, scope=scope)
        place = 0
    except ExpressionError as error:
        place = error.offset
    assert 0 <= place <= len(text)


def test_the_parser_is_loaded_at_the_first_expression() -> None:
    """A daemon without segments neither waits for sqlglot nor has it in memory."""
    code = "import sys, daemon.content.expression, daemon.store.segment_sql; assert 'sqlglot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
