"""The message of a claimed delivery: what the templates are given of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.clock import SystemClock
from daemon.content.campaigns import load_campaigns
from daemon.dispatch.render import MessageWriter
from daemon.dispatch.work import Envelope, Plan, PlanBook
from daemon.ids import SystemIds, encode_id
from daemon.links import JOIN_PERIOD, KeyRing, Links
from daemon.model.delivery import DAY, SECOND
from daemon.store.claim import Claimed
from daemon.store.facts import DueRow
from plugins.contract import Message

NOW = 1_780_000_000_000_000
PERSON = 77
CAMPAIGN = """
status = "active"
purpose = "transactional"
[enrol]
jobs = true
[[step]]
name = "note"
channels = ["letter"]
"""


def envelope(folder: Path, text: str) -> Envelope:
    (folder / "winback").mkdir()
    (folder / "winback" / "campaign.toml").write_text(CAMPAIGN)
    (folder / "winback" / "note.letter.liquid").write_text(text)
    plan = Plan.compile(load_campaigns(folder).versions["winback"], {"currency": "USD"})
    fields = dict.fromkeys(DueRow._fields) | dict(DueRow._field_defaults)
    fields |= {"delivery": 5, "person": PERSON, "recipient": "c-1", "campaign_name": "winback", "campaign": 1, "version": 1, "newest": 1, "step": "note", "channel": "letter", "attempts": 0, "doubted": False}
    row = DueRow(**fields)  # type: ignore[arg-type]
    return Envelope(claimed=Claimed(row, 1, "post", NOW + DAY, "UTC"), public_id=encode_id(5), plan=plan)


@pytest.mark.parametrize("text", ["Join: https://shop.example.com/?push={{ push_join_token }}", "Nothing of it"])
def test_a_template_that_asks_for_it_gets_the_token_by_which_a_browser_joins(tmp_path: Path, text: str) -> None:
    """Of this recipient, for as long as any; who does not ask costs nothing."""
    links = Links(KeyRing.fresh(SystemIds()), "https://go.shop.example.com")
    made = MessageWriter(PlanBook({}), links, {"letter": "recipient"}, SystemClock()).render(envelope(tmp_path, text), now=NOW)
    assert isinstance(made, Message)
    _, joins, token = made.text.strip().partition("push=")
    if joins:
        assert links.read_join(token, NOW / SECOND + JOIN_PERIOD) == PERSON
        assert links.read_join(token, NOW / SECOND + 2 * JOIN_PERIOD) is None
    assert bool(joins) is (len(links._bound) > 1)
