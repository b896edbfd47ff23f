"""docs/playbook.md names tests, campaigns, segments and rules that exist."""

from __future__ import annotations

import re
from pathlib import Path

from daemon.content.segment_file import load_segments

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "playbook.md").read_text(encoding="utf-8")


def test_each_test_that_it_names_is_there() -> None:
    """The file, and in it the test."""
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 40
    for file, test in named:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert not test or re.search(rf"^(async )?def {test}\(", text, re.MULTILINE), f"{file}::{test}"


def test_each_campaign_and_segment_that_it_names_is_there() -> None:
    """By the folder and by the shipped file."""
    folders = {path.name for path in (ROOT / "campaigns").iterdir() if path.is_dir()}
    segments = set(load_segments(ROOT / "segments.toml").by_name)
    told = {name for words in re.findall(r"(?:campaigns?|segments?) (`\w+`(?:(?:,| \.\.| and)? ?`\w+`)*)", PAGE) for name in re.findall(r"`(\w+)`", words)}
    assert len(told) > 25
    assert told <= folders | segments, told - folders - segments
