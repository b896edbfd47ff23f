"""The examples of docs/campaigns.md are steps that the loader takes."""

from __future__ import annotations

import re
from pathlib import Path

from daemon.content.campaign_file import Surroundings, read_campaign

PAGE = Path(__file__).parents[2] / "docs" / "campaigns.md"


def test_each_example_is_a_good_step() -> None:
    """As it stands in a campaign that jobs enrol into."""
    examples = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert examples
    for example in examples:
        campaign, problems = read_campaign("winback", f"[enrol]\njobs = true\n{example}", Surroundings())
        assert (campaign is not None and len(campaign.steps), problems) == (1, [])
