"""From a checked config to compiled rules; what only the rules can see is reported with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config.load import parse_config
from daemon.errors import ConfigError
from daemon.model.delivery import DAY
from daemon.policy.caps import OnCap
from daemon.policy.periods import Calendar
from daemon.policy.rules import Rules, compile_rules

SMALL = """
[homing]
state_dir = "var"
default_zone = "Asia/Jakarta"
[providers.relay]
plugin = "smtp"
"""


def compiled(text: str) -> Rules:
    return compile_rules(parse_config(SMALL + text, path=Path("config.toml"), environ={}))


def test_smallest_config_has_the_default_window() -> None:
    """09:00-21:00, no cap, e-mail implied, unknown zones intersect."""
    rules = compiled("")
    assert rules.window.texts() == ["09:00-21:00"]
    assert (rules.caps, rules.horizon, rules.unknown_zone, rules.default_zone) == ((), 0, "intersect", "Asia/Jakarta")
    assert rules.consent["email"] == "implied"
    assert rules.version.startswith("sha256:")


def test_tables_become_rules() -> None:
    """Windows by channel and country, caps of all kinds with their weights."""
    rules = compiled(
        """
        [window]
        hours = ["mon-fri 09:00-12:00", "sat 22:00-02:00"]
        closed = ["2027-03-20"]
        [window.channels.sms]
        start = "10:00"
        end = "20:00"
        [window.countries.US]
        days = ["mon-sat"]
        [weights]
        push = 0.2
        [[cap]]
        name = "weekly"
        limit = 3
        rolling = "7d"
        channels = ["email"]
        topics = ["news"]
        campaign = "winback"
        [[cap]]
        name = "units"
        limit = 2.5
        calendar = "week"
        channels = ["push", "email"]
        count = "units"
        on_cap = "drop"
        """
    )
    assert rules.window.texts() == ["mon-fri 09:00-12:00", "sat 22:00-02:00", "closed 2027-03-20"]
    assert rules.channel_windows["sms"].texts() == ["10:00-20:00"]
    assert rules.country_windows["US"].texts() == ["mon-sat 00:00-24:00"]
    weekly, units = rules.caps
    assert (weekly.limit, weekly.rolling, weekly.channels, weekly.topics, weekly.campaign) == (3, 7 * DAY, {"email"}, {"news"}, "winback")
    assert (units.limit, units.calendar, units.on_cap, units.weight("push"), units.weight("call")) == (
        2500,
        Calendar.WEEK,
        OnCap.DROP,
        200,
        1000,
    )


def test_all_problems_come_at_once_with_their_lines() -> None:
    """A bad range, a closed week, a message heavier than its cap, half a touch, a rule of later."""
    with pytest.raises(ConfigError) as caught:
        compiled(
            """
            [window]
            start = "9"
            [window.channels.sms]
            hours = ["mon 09:00-12:00"]
            closed = ["mon"]
            [window.countries.US]
            days = ["mon-fry"]
            [[cap]]
            name = "units"
            limit = 2
            rolling = "7d"
            count = "units"
            [[cap]]
            name = "half"
            limit = 1.5
            rolling = "7d"
            [consent.countries.CA]
            email_days = 730
            """
        )
    lines = str(caught.value).splitlines()
    assert len(lines) == 6
    for expected in (
        "config.toml:9: window.start: must be a time of day",
        "window.channels.sms.closed: leaves no open hour",
        'window.countries.US.days: no such day (got "fry"); did you mean "fri"?',
        "cap[1].limit: one message over sms weighs 3 units",
        "cap[2].limit: must be a whole number of touches (got 1.5)",
        "consent.countries.CA: is not supported yet",
    ):
        assert any(expected in line for line in lines), (expected, lines)
