"""The file of what is to be tried: each mistake with its line, all at once; and how many people an idea takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.content.roadmap import load_roadmap, read_roadmap
from daemon.errors import ConfigError
from daemon.journey.trial import people_needed

GOOD = """[[test]]
hypothesis = "mornings beat evenings"
campaign = "standard"
base = 0.1
lift = 0.02
impact = 9
confidence = 6
ease = 3
"""


def test_an_idea_is_read_with_its_priority() -> None:
    """The mean of the three; 5 where nothing is said."""
    ideas, problems = read_roadmap(GOOD + '[[test]]\nhypothesis = "x"\ncampaign = "cart"\n', "roadmap.toml")
    assert problems == []
    assert [(idea.campaign, idea.priority) for idea in ideas] == [("standard", 6.0), ("cart", 5.0)]


@pytest.mark.parametrize(
    ("change", "line", "what"),
    [
        (("impact = 9", "impact = 11"), 6, "10"), (("impact = 9", "impakt = 9"), 6, 'did you mean "impact"'), (("base = 0.1", "base = 10"), 4, "between 0 and 1"),
        (("lift = 0.02", "lift = true"), 5, "must be a share"), (("base = 0.1", "base = 0.99"), 5, "below 1 together"),
        (('campaign = "standard"\n', ""), 1, "missing"), (("[[test]]", "[test]"), 1, "must be a table"), (("[[test]]", "[[test"), 1, ""),
    ],
)  # fmt: skip
def test_each_mistake_has_its_line(change: tuple[str, str], line: int, what: str) -> None:
    """And says what would be right."""
    _, problems = read_roadmap(GOOD.replace(*change), "roadmap.toml")
    assert problems
    assert problems[0].where == f"roadmap.toml:{line}"
    assert what in str(problems[0])


def test_a_file_that_is_none_and_one_that_is_not_there(tmp_path: Path) -> None:
    """Without a file there is no roadmap; one of other bytes is told."""
    assert load_roadmap(tmp_path) == ()
    (tmp_path / "roadmap.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_roadmap(tmp_path)


@pytest.mark.parametrize(("base", "lift", "about"), [(0.10, 0.03, 3000), (0.10, 0.02, 6500)])
def test_people_needed_are_those_of_the_documented_figures(base: float, lift: float, about: int) -> None:
    """docs/experiments.md; half the lift needs four times the people."""
    assert people_needed(base, lift) == pytest.approx(about, rel=0.03)
    assert 3.5 < people_needed(base, lift / 2) / people_needed(base, lift) < 4.2
