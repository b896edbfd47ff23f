"""Values that nobody means, in files of campaigns and segments: each is a problem with file, line and key, in bounded time."""

from __future__ import annotations

import time

import pytest

from daemon.content.campaign_file import Surroundings, read_campaign
from daemon.content.segment_file import read_segments
from daemon.errors import Problem

BASE = """topic = "winback"
[enrol]
jobs = true
[offers.a]
kind = "amount"
value = 15
valid = "7d"
[[step]]
name = "one"
channels = ["email"]
"""
DEEP = "is nested more than 40 deep"
LARGE = "an integer has at most 64 bits"


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "what"),
    [
        ("value = 15", "value = " + "9" * 400, 6, "", LARGE),
        ("value = 15", "value = " + "9" * 5000, 6, "", LARGE),
        ("value = 15", "value = 0x" + "f" * 6000, 6, "", LARGE),
        ("value = 15", "value = nan", 6, "offers.a.value", "must be a number greater than 0 (got nan)"),
        ('valid = "7d"', 'valid = "' + "9" * 5000 + 'd"', 7, "offers.a.valid", "must be a duration"),
        ('valid = "7d"', "ends = 9999-12-31", 7, "offers.a.ends", "must lie between the years 2000 and 2200"),
        ("[offers.a]", "[offers." + "a." * 3000 + "b]", 4, "", DEEP),
        ("[offers.a]", '[offers."a] # b"]', 4, "offers.a] # b", "an offer's name"),
        ("topic =", "starts = 0001-01-01\ntopic =", 1, "starts", "must lie between the years 2000 and 2200"),
        ("topic =", "x = " + "[" * 3000 + "]" * 3000 + "\ntopic =", 1, "", DEEP),
        ("topic =", "x = " + "{a=" * 3000 + "1" + "}" * 3000 + "\ntopic =", 1, "", DEEP),
        ("topic =", "a." * 3000 + "b = 1\ntopic =", 1, "", DEEP),
        ("topic =", "priority = -" + "9" * 30 + "\ntopic =", 1, "", LARGE),
        ("topic =", "holdout = { share = 0x" + "f" * 6000 + " }\ntopic =", 1, "", LARGE),
        ("topic =", "from = '\u2028'\nnope = 1\ntopic =", 2, "nope", "unknown key"),
        ('channels = ["email"]', "set = { traits = { points = nan } }", 10, "step[1].set.traits", "the trait points must be a number"),
        ("jobs = true", 'segment = "s"\nanchor = "traits.\\u0000"', 4, "enrol.anchor", "must be one of"),
        ("jobs = true", 'segment = "s"\nanchor = \'traits.a"b\'', 4, "enrol.anchor", "must be one of"),
    ],
)
def test_odd_values_are_problems(old: str, new: str, line: int, key: str, what: str) -> None:
    assert old in BASE
    _, problems = read_campaign("odd", BASE.replace(old, new, 1), Surroundings())
    assert [problem for problem in problems if _says(problem, f"campaign.toml:{line}", key, what)], problems


def _says(problem: Problem, where: str, key: str, what: str) -> bool:
    return problem.where == where and problem.key == key and problem.what.startswith(what)


def test_segments_too() -> None:
    for where, what in (("[" * 3000, DEEP), ("9" * 5000, LARGE)):
        assert _says(read_segments(f"[a]\nwhere = {where}\n", "segments.toml")[1][0], "segments.toml:2", "", what)


@pytest.mark.parametrize("turned", [False, True])
def test_references_of_segments_are_followed_so_far(turned: bool) -> None:
    """A chain of them, in either order, or a circle of very many: no recursion runs out."""
    chain = [f"[s{n}]\nwhere = \"in_segment('s{n + 1}')\"\n" for n in range(1500)]
    for last, what in (('where = "orders > 1"', "a segment refers to one"), ("where = \"in_segment('s0')\"", "refers to itself: ")):
        parts = [*chain, f"[s1500]\n{last}\n"]
        [problem] = read_segments("".join(reversed(parts) if turned else parts), "segments.toml")[1]
        assert problem.what.startswith(what) and len(problem.what) < 200


def test_a_list_of_many_lines_is_read_once() -> None:
    """Not once more for each of its lines."""
    began = time.process_time()
    _, problems = read_campaign("odd", BASE + "tags = [\n" + '"x",\n' * 8000 + ']\nlong = """\n' + "y\n" * 8000 + '"""\n', Surroundings())
    assert [(problem.where, problem.key) for problem in problems] == [
        ("campaign.toml:11", "step[1].tags"),
        ("campaign.toml:8013", "step[1].long"),
    ]
    assert time.process_time() - began < 2
