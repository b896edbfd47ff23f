"""The examples of docs/campaigns.md are campaigns, or steps of one, that the loader takes."""

from __future__ import annotations

import re
from pathlib import Path

from daemon.content.campaign_file import Surroundings, read_campaign

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "campaigns.md"


def test_each_example_is_good_as_it_stands() -> None:
    """Whole, or as the step of a campaign that jobs enrol into."""
    examples = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert examples
    for example in examples:
        whole = example if "[enrol]" in example else f"[enrol]\njobs = true\n{example}"
        campaign, problems = read_campaign("winback", whole, Surroundings())
        assert problems == []
        assert campaign is not None
        assert campaign.steps


def test_each_rule_of_lint_is_told_of() -> None:
    """By its name, with its level."""
    page = PAGE.read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| (.+?) \| (error|warning) \|", page, re.MULTILINE))
    levels = {rule: level for names, level in told.items() for rule in re.findall(r"`([a-z-]+)`", names)}
    source = "".join((ROOT / "daemon" / "reports" / f"lint_{part}.py").read_text(encoding="utf-8") for part in ("sequence", "words", "reach"))
    used = set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', source))
    assert {rule for rule in levels if rule != "file"} == used
