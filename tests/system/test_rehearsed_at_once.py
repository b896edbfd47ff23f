"""A rehearsal's channels answer inside the claim: what is decided is what it is when each message goes its way through handover and outcome."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.app.setup import read_setup
from daemon.clock import iso
from daemon.dispatch import loop
from daemon.sandbox.house import Ports
from daemon.simulate.rehearsal import Calendar, Sent, Wish, rehearse
from tests.system.cli_world import CliWorld
from tests.system.test_rehearsed_day import START, Message, furnish

LIMITED = """
rate = "40/m"
warm_up = { start = "2031-01-06", first_day = 30, growth = 2.0, until = 1000 }
"""


class _Nobody:
    """No channel is one of these."""


def lived(folder: Path) -> tuple[Calendar, Counter[Message]]:
    went: Counter[Message] = Counter()

    def took(sent: Sent) -> None:
        went[Message(sent.recipient, sent.campaign, sent.step, sent.channel, iso(sent.at)[:16])] += 1

    return rehearse(read_setup(folder / "config.toml", {}), Wish(days=3, start=START + timedelta(hours=1), grain=0.05, took=took)), went


@pytest.mark.slow
def test_answers_at_once_change_nothing_of_what_is_decided(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Three days of the campaigns of `test_rehearsed_day`, under a rate, a warm-up and a daily sum for SMS, with a template that lacks a variable for
    some: the same messages in the same minutes, and the same ends. (What waits for a slot may be looked at once more when its touch is some
    milliseconds younger than its claim.)"""
    furnish(tmp_path, Ports(smtp=1, sms=2, inbox=3, ads=4, push=5), CliWorld(tmp_path, capsys))
    config = tmp_path / "config.toml"
    text = config.read_text().replace("[providers.texts]", LIMITED + "[providers.texts]")
    config.write_text(text + 'prices = { ID = 0.04, "*" = 0.05 }\ndaily_spend = 0.3\n')
    (tmp_path / "campaigns" / "lapsed" / "hello.email.liquid").write_text(
        '---\nsubject: Hello\n---\n<p>{% if recipient.id contains "1" %}{{ vars.missing }}{% endif %} <a href="{{ unsubscribe_url }}">no</a></p>\n'
    )
    calendar, went = lived(tmp_path)
    totals = calendar.totals()
    assert totals.deferred["rate_limited"] and totals.deferred["cap_reached"] and totals.ended["held", "render_error"]
    assert totals.sent["sms"] and totals.sent["sms"] < 23
    assert calendar.days[0].sent["email"] == 30
    monkeypatch.setattr(loop, "AnswersAtOnce", _Nobody)
    slowly, also = lived(tmp_path)
    assert went == also
    for one, other in zip(calendar.days, slowly.days, strict=True):
        assert (one.planned, one.sent, one.ended, one.waiting) == (other.planned, other.sent, other.ended, other.waiting)
    assert calendar.final == slowly.final
    assert calendar.cost == slowly.cost


@pytest.mark.slow
def test_nothing_is_read_where_only_counts_are_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without words, the same counts: no template is looked at."""
    furnish(tmp_path, Ports(smtp=1, sms=2, inbox=3, ads=4, push=5), CliWorld(tmp_path, capsys))
    setup = read_setup(tmp_path / "config.toml", {})
    read, unread = (rehearse(setup, Wish(days=3, start=START, words=words)) for words in (True, False))
    assert read.as_json() == unread.as_json()
