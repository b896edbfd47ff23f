"""Lines of keys."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.locate import find_line, locate_keys, syntax_error

SOURCE = '''\
# comment = 1
title = "x"   # with [brackets] = 1

[a]
b.c = 1
"d.e" = 2
text = """
[not.a.table]
b = 3
"""
list = [
  1,  # one = 1
  2,
]
after = { x = { y = 1 }, z = 2 }
[[t]]
n = 1
[t.inner]
m = 1
[[t]]
n = 2
[ "q r" . s ]   # header
u = 1
'''


def test_each_key_is_found_on_its_line():
    """Dotted and quoted keys, inline tables, multi-line values, arrays of tables, comments."""
    lines = locate_keys(SOURCE)
    expected = {
        ("title",): 2,
        ("a",): 4,
        ("a", "b"): 5,
        ("a", "b", "c"): 5,
        ("a", "d.e"): 6,
        ("a", "text"): 7,
        ("a", "list"): 11,
        ("a", "after"): 15,
        ("a", "after", "x", "y"): 15,
        ("t", 0): 16,
        ("t", 0, "n"): 17,
        ("t", 0, "inner", "m"): 19,
        ("t", 1): 20,
        ("t", 1, "n"): 21,
        ("q r", "s", "u"): 23,
    }
    assert {path: lines.get(path) for path in expected} == expected
    assert ("comment",) not in lines
    assert not any("not" in path for path in lines)


def test_an_absent_key_is_found_at_its_table():
    """So that "missing" has a line too."""
    lines = locate_keys(SOURCE)
    assert find_line(lines, ("t", 1, "absent")) == 20
    assert find_line(lines, ("absent",)) == 1


@pytest.mark.parametrize(("source", "line"), [("a = 1\nb = \nc = 1", 2), ("a = 1\n\nx y", 3), ('a = 1\nb = "', 2), ("a = [1,\n2", 2)])
def test_a_syntax_error_has_its_line(source: str, line: int):
    """tomllib says the line in its text, or that the document ended."""
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(source)
    assert syntax_error(caught.value, source)[0] == line


KEYS = st.from_regex(r"[a-z]{1,4}", fullmatch=True)
VALUES = st.sampled_from(["1", '"x = 1"', "[\n 1,\n 2 ]", '"""\n[x]\ny = 1\n"""', "{ p = 1, q = { r = 2 } }", "2027-03-20"])


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=4), max_size=4))
def test_every_leaf_of_any_document_is_located_where_it_was_written(tables: dict[str, dict[str, str]]):
    """The line that the walk gives is the line on which the text was put."""
    text: list[str] = []
    wanted: dict[tuple[str, ...], int] = {}
    for table, keys in tables.items():
        text.append(f"[{table}]")
        wanted[(table,)] = "\n".join(text).count("\n") + 1
        for key, value in keys.items():
            wanted[table, key] = "\n".join([*text, ""]).count("\n") + 1
            text.append(f"{key} = {value}")
    lines = locate_keys("\n".join(text))
    assert {path: lines.get(path) for path in wanted} == wanted
