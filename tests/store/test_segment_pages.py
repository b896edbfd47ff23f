"""Many and large segments on one page: statements stay within what SQLite reads, are made once, and say who is in."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, insert, text

from daemon.content.expression import parse_expression
from daemon.content.segment_file import read_segments
from daemon.journey.profile import Shop, Tier
from daemon.model.expression import COLUMNS
from daemon.model.segment import Segments
from daemon.store import schema as s
from daemon.store.recipients import person_id
from daemon.store.segment_look import MOST_NODES as SPELLED_OUT
from daemon.store.segment_look import count_matching
from daemon.store.segment_pages import END, MOST_NODES, Level, make_levels, members_of
from daemon.store.segment_sql import VALUES, size_of
from daemon.store.segment_sql import condition as as_sql
from daemon.store.sql import _compiled
from tests.store.conftest import NOW

SHOP = Shop("USD")
MOST_VARIABLES = 32_766
"""Of one statement, where SQLite was built as it comes."""


@pytest.fixture
def store(conn: Connection) -> Iterator[Connection]:
    """A thousand people, each with another `plan`."""
    with conn.begin():
        conn.execute(text("DELETE FROM recipient"))
        people = [(person_id(f"c-{n}"), f"c-{n}", json.dumps({"plan": f"p-{n}", "size": n, "share": n / 7})) for n in range(1000)]
        conn.execute(insert(s.recipient), [
            {"id": number, "key": key, "traits": traits, "created_at": NOW, "updated_at": NOW} for number, key, traits in people
        ])  # fmt: skip
        yield conn


def read(lines: list[str]) -> Segments:
    segments, problems = read_segments("\n".join(f'[s{n}]\nwhere = "{line}"' for n, line in enumerate(lines)), "segments.toml")
    assert not problems, problems[:3]
    return segments


def variables(store: Connection, level: Level) -> int:
    return _compiled(level.statement, store.dialect, ("after", "upto", *VALUES, *level.inside.values())).text.count("?")


def everybody(store: Connection, segments: Segments) -> dict[str, set[int]]:
    levels = make_levels(segments, list(segments.by_name), SHOP)
    assert max(variables(store, level) for level in levels) <= MOST_VARIABLES
    return {name: set(members) for name, members in members_of(store, levels, -1, END, SHOP, NOW).items()}


def number(*people: int) -> set[int]:
    return {person_id(f"c-{n}") for n in people}


@pytest.mark.slow
def test_sixty_lists_of_690_values_are_one_statement(store: Connection) -> None:
    """Such a file never came to an end; each list is one parameter now. Texts, whole and broken numbers, `not in`."""
    lines = ["traits.plan in (" + ", ".join(f"'p-{n * 10 + k}'" for k in range(690)) + ")" for n in range(58)]
    lines.append("traits.plan not in (" + ", ".join(f"'p-{k}'" for k in range(690)) + ")")
    lines.append("traits.size in (" + ", ".join(str(k * 2) for k in range(690)) + ")")
    segments = read(lines)
    assert len(make_levels(segments, list(segments.by_name), SHOP)) == 1
    found = everybody(store, segments)
    assert all(found[f"s{n}"] == number(*range(n * 10, min(n * 10 + 690, 1000))) for n in range(58))
    assert found["s58"] == number(*range(690, 1000))
    assert found["s59"] == number(*range(0, 1000, 2))


def test_a_level_is_cut_by_its_size(store: Connection) -> None:
    """What cannot be one parameter is asked in more statements, each within what SQLite takes; the last one is whole."""
    broken = [f"traits.share in ({', '.join(f'{(n * 70 + k) / 7!r}' for k in range(70))})" for n in range(14)]
    compared = [" or ".join(f"traits.size = {n * 10 + k} " for k in range(120)) for n in range(6)]
    segments = read([*broken, *compared])
    assert len(make_levels(segments, list(segments.by_name), SHOP)) > 2
    found = everybody(store, segments)
    assert all(found[f"s{n}"] == number(*range(n * 70, min(n * 70 + 70, 1000))) for n in range(14))
    assert all(found[f"s{14 + n}"] == number(*range(n * 10, n * 10 + 120)) for n in range(6))


def test_as_many_conditions_as_a_text_has_room_for_are_no_deeper_than_sqlite_reads(store: Connection) -> None:
    """Side by side they would be a tree 370 deep, and each reference spelled out in a preview would add another one to it."""
    wide, narrow = " or ".join(["nps = 1"] * 370), " or ".join(["nps = 1"] * 285)
    segments = read([wide, f"in_segment('s0') or {narrow}", f"in_segment('s1') or {wide} or orders = 0"])
    assert everybody(store, segments) == {"s0": set(), "s1": set(), "s2": number(*range(1000))}
    assert count_matching(store, segments, "s2", SHOP, NOW) == 1000


@pytest.mark.parametrize("most", [MOST_NODES, SPELLED_OUT])
def test_a_statement_of_the_most_nodes_has_not_too_many_parameters(store: Connection, most: int) -> None:
    """Whatever it is made of: each column, function and reading of a trait as often as there is room for."""
    columns = [f"{name} is null" for name in COLUMNS]
    traits = ["traits.a = 1", "traits.a = 'x'", "traits.a = true", "traits.a + traits.a > traits.a", "traits.a in ('a', 'b')"]
    others = ["did('a') = 1", "did('a', '3d', b = 1) = 1", "days_since('a') = 1", "has_tag('a')", "in_segment('a')", "in_campaign('a')"]
    for condition in (*columns, *traits, *others):
        tree = parse_expression(condition).tree
        text = store.dialect.statement_compiler(store.dialect, as_sql(tree, SHOP), compile_kwargs={"render_postcompile": True}).string
        assert text.count("?") * most / size_of(tree) <= MOST_VARIABLES, condition


def test_statements_are_made_once_for_a_file_and_a_shop(store: Connection) -> None:
    """Equal definitions and tiers have the same statements; another condition, selection or tier has others."""
    lines = ["tier = 'high'", "in_segment('s0') and orders >= 1"]
    asked = [(read(lines), ["s0", "s1"], SHOP), (read(lines), ["s0", "s1"], Shop("EUR", zone="Asia/Jakarta"))]
    first, again = (make_levels(*each) for each in asked)
    assert all(one.statement is other.statement for one, other in zip(first, again, strict=True))
    others = [
        (read(["tier = 'low'", lines[1]]), ["s0", "s1"], SHOP), (read(lines), ["s1"], SHOP),
        (read(lines), ["s0", "s1"], Shop("USD", tiers={"high": Tier(1, 1.0)})),
    ]  # fmt: skip
    assert all(make_levels(*each)[0].statement is not first[0].statement for each in others)
