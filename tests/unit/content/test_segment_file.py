"""`segments.toml`: all that is wrong at once, with line and nearest name; the shipped file; schedules; order of references."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.clock import iso, to_instant
from daemon.config.values import BadValue
from daemon.content.schedule import next_due, parse_every
from daemon.content.segment_file import load_segments, read_segments
from daemon.errors import ConfigError
from daemon.model.segment import circle_of

SHIPPED = Path(__file__).parents[3] / "segments.toml"


def problems(text: str) -> list[str]:
    return [str(problem) for problem in read_segments(text, "segments.toml")[1]]


def test_all_faults_come_at_once_with_their_lines() -> None:
    """Unknown keys, columns, segments, schedules, circles."""
    assert problems('''
[a]
where = "orders >= 1 and in_segment('bb')"
evry = "06:00"
[b]
where = """
orders >= 1
  and ordrs > 2
"""
exclude = ["c", "nope"]
every = "6:00"
[c]
where = "in_segment('d')"
[d]
where = "orders > 1"
exclude = ["c"]
[e]
[f]
imported = true
every = "demand"
''') == [
        'segments.toml:3: a.where: no segment "bb" (character 28); did you mean "b"?',
        'segments.toml:4: a.evry: unknown key; did you mean "every"?',
        'segments.toml:8: b.where: unknown column "ordrs" (character 7); did you mean "orders"?',
        'segments.toml:10: b.exclude: no segment "nope"',
        'segments.toml:11: b.every: must be "06:00" (daily), a cron line such as "0 6 * * mon", or "demand" (got "6:00"); did you mean "06:00"?',
        "segments.toml:12: c: refers to itself: c -> d -> c",
        'segments.toml:17: e: has no `where`: name a condition such as "orders >= 1", or `imported = true` for a list',
        "segments.toml:20: f.every: an imported list has none: it is whoever was imported",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[a\n", "segments.toml:1: "),
        ("a = 1\n", "is no segment"),
        ('["a b"]\nwhere = "orders > 1"\n', "the segment's name"),
        ("[a]\nwhere = 3\n", "a.where"),
        ('[a]\nwhere = "orders > 1"\nexclude = "b"\n', "must be a list of segments"),
        ("[a]\nwhere = \"in_segment('a')\"\n", "refers to itself: a -> a"),
    ],
)
def test_other_faults(text: str, what: str) -> None:
    assert what in problems(text)[0]


def test_no_file_is_no_segments_and_a_strange_one_is_refused(tmp_path: Path) -> None:
    assert load_segments(tmp_path / "none.toml").by_name == {}
    (tmp_path / "bad.toml").write_bytes(b"[a]\nwhere = '\xff'\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_segments(tmp_path / "bad.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_segments(tmp_path)


def test_the_shipped_file_is_good_and_ordered() -> None:
    """The blocks that a win-back needs; each comes after what it refers to."""
    segments = load_segments(SHIPPED)
    wanted = {
        "lapsed_early", "lapsed_mid", "lapsed_late", "lapsed_deep", "lapsed_30_90", "high_value_lapsed", "tier_high", "tier_medium", "tier_low", "engaged",
        "partly_engaged", "disengaged", "engaged_not_buying", "cycle_lapsed", "replenishment", "churn_risk", "active_subscribers", "open_tickets",
        "recently_engaged", "post_reactivation", "abandoned_cart", "browsed_category", "one_time_buyers", "ended_subscription", "vip", "birthday_today",
        "never_opened_push", "left_for_price", "detractors",
    }  # fmt: skip
    assert wanted <= set(segments.by_name)
    seen: set[str] = set()
    for level in segments.levels(list(segments.by_name)):
        for name in level:
            assert segments.by_name[name].refers_to <= seen, name
        seen |= set(level)
    lapsed = [name for name in segments.by_name if name.startswith("lapsed_")]
    for name in lapsed:
        assert {"active_subscribers", "open_tickets", "recently_engaged"} <= set(segments.by_name[name].exclude), name


def test_circles_are_found_wherever_they_are() -> None:
    assert circle_of({"a": ["b"], "b": ["c"], "c": []}) is None
    assert circle_of({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]


def at(*moment: int) -> int:
    return to_instant(datetime(*moment, tzinfo=UTC))  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("every", "zone", "after", "due"),
    [
        ("06:00", "Asia/Jakarta", at(2026, 11, 27, 10), "2026-11-27T23:00"),
        ("06:00", "Asia/Jakarta", at(2026, 11, 27, 23), "2026-11-28T23:00"),
        ("00:00", "Asia/Tehran", at(2022, 3, 21, 12), "2022-03-21T20:30"),  # that midnight was left out: the day begins at one
        ("02:30", "Europe/Berlin", at(2026, 3, 28, 12), "2026-03-29T01:00"),  # left out too
        ("02:30", "Europe/Berlin", at(2026, 10, 24, 12), "2026-10-25T00:30"),  # comes twice: the first
        ("02:30", "Europe/Berlin", at(2026, 10, 25, 0, 30), "2026-10-26T01:30"),
        ("0 6 * * 1-5", "Asia/Jakarta", at(2026, 11, 27, 10), "2026-11-29T23:00"),
        ("0 6 * * 0", "UTC", at(2026, 11, 27, 10), "2026-11-29T06:00"),
        ("0 6 * * 7,mon", "UTC", at(2026, 11, 29, 7), "2026-11-30T06:00"),
        ("0 6 * * fri-sun", "UTC", at(2026, 11, 28, 7), "2026-11-29T06:00"),
        ("30 2 1 * *", "UTC", at(2026, 11, 27, 10), "2026-12-01T02:30"),
        ("*/15 * * * *", "UTC", at(2026, 11, 27, 10, 15), "2026-11-27T10:30"),
        ("demand", "UTC", at(2026, 11, 27), None),
    ],
)
def test_schedules(every: str, zone: str, after: int, due: str | None) -> None:
    """Daily times and cron lines, in the zone, across changes of clocks."""
    found = next_due(parse_every(every), after, zone)
    assert (None if found is None else iso(found)[:16]) == due


@pytest.mark.parametrize("every", ["6:00", "25:00", "daily", "0 6 * *", "0 6 * * 8", "61 6 * * 1", "0 6 * * mon-", "0 6 * * mon/-1", "0 6 * * */0", "0 6 * * mon/", "0 6 * * fri-sun/8", 6])
def test_no_schedules(every: object) -> None:
    """Each is an error; none is read as something else."""
    with pytest.raises(BadValue):
        parse_every(every)
