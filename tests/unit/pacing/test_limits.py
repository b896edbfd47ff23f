"""Limits by destination: which one a domain comes under, and what a destination's "slower" does."""

from __future__ import annotations

import json

import pytest

from daemon.model.delivery import HOUR, MINUTE, SECOND
from daemon.pacing import limits as module
from daemon.pacing.bucket import Bucket
from daemon.pacing.limits import Groups, Limits

NOW = 1_795_322_411 * SECOND


def test_a_group_is_all_domains_whose_mail_hosts_lie_below_a_name() -> None:
    """The longest pattern wins; a host of another name that only ends alike is none."""
    groups = Groups(["gmail.com", "*.google.com", "*.mail.google.com", "*"])
    for domain, hosts in {
        "shop.example": ["ASPMX.L.GOOGLE.COM.", "backup.example.net"],
        "deep.example": ["a.mail.google.com"],
        "own.example": ["google.com"],
        "false.example": ["evilgoogle.com"],
        "none.example": [],
    }.items():
        groups.learn(domain, hosts, NOW + HOUR)
    found = {domain: groups.of(domain, NOW) for domain in ("shop.example", "deep.example", "own.example", "false.example", "none.example")}
    assert found == {
        "shop.example": "*.google.com", "deep.example": "*.mail.google.com", "own.example": "*.google.com", "false.example": None,
        "none.example": None,
    }  # fmt: skip
    assert groups.wanted(10) == []


def test_what_is_not_known_is_asked_for_once_and_stands_for_itself() -> None:
    """Until the answer is there, and again when it has run out, though it still holds until there is a better one."""
    groups = Groups(["*.google.com"])
    assert [groups.of("a.example", NOW) for _ in range(3)] == [None] * 3
    assert groups.wanted(10) == ["a.example"]
    assert groups.wanted(10) == []
    groups.learn("a.example", ["x.google.com"], NOW + HOUR)
    assert groups.of("a.example", NOW + HOUR - 1) == "*.google.com"
    assert groups.wanted(10) == []
    assert groups.of("a.example", NOW + HOUR) == "*.google.com"
    assert groups.wanted(10) == ["a.example"]


def test_without_a_pattern_nothing_is_looked_up() -> None:
    """No name server hears of whom we write to unless the config asks for groups."""
    groups = Groups(["gmail.com", "*"])
    assert groups.of("a.example", NOW) is None
    assert groups.wanted(10) == []


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest answers go; what wants a look-up beyond the bound asks again."""
    monkeypatch.setattr(module, "REMEMBERED", 3)
    monkeypatch.setattr(module, "WANTED", 2)
    groups = Groups(["*.google.com"])
    for number in range(5):
        groups.of(f"d{number}.example", NOW)
        groups.learn(f"d{number}.example", ["x.google.com"], NOW + HOUR)
    assert len(groups._known) == 3
    assert len(groups._wanted) <= 2


def test_domains_of_a_group_share_its_rate() -> None:
    """2/s for all that Google takes: the second domain gets the turn behind the first one's; a named domain has its own."""
    limits = Limits({"*.google.com": Bucket(rate=2.0), "gmail.com": Bucket(rate=10.0)})
    for domain in ("a.example", "b.example", "gmail.com"):
        limits.groups.learn(domain, ["aspmx.l.google.com"], NOW + HOUR)
    turns = [limits.turn(domain, NOW, taken=False) for domain in ("a.example", "b.example", "a.example", "gmail.com", "other.example")]
    assert [turn and (turn.name, turn.at - NOW) for turn in turns] == [
        ("*.google.com", 0), ("*.google.com", SECOND // 2), ("*.google.com", SECOND), ("gmail.com", 0), None,
    ]  # fmt: skip


def test_a_destination_that_says_slower_gets_half_of_what_it_was_sent() -> None:
    """20/s went there: it has 10/s from now on, its neighbour what it likes; it climbs back by steps and is then forgotten."""
    limits = Limits()
    for number in range(200):
        limits.sent("busy.example", NOW + number * SECOND // 20)
    now = NOW + 10 * SECOND
    assert not limits
    limits.throttle("busy.example", now, 0)
    turns = [turn for _ in range(21) if (turn := limits.turn("busy.example", now, taken=False))]
    assert (turns[-1].at - turns[0].at) / SECOND == pytest.approx(2.0, rel=0.2)
    assert turns[0].per_second == pytest.approx(10, rel=0.1)
    assert limits.turn("quiet.example", now, taken=False) is None
    limits.throttle("busy.example", now + 6 * SECOND, 0)
    again = limits.turn("busy.example", now + 6 * SECOND, taken=True)
    assert again is not None
    assert again.per_second == pytest.approx(5, rel=0.1)
    later = limits.turn("busy.example", now + 36 * SECOND, taken=True)
    assert later is not None
    assert later.per_second is not None
    assert 6 < later.per_second < 12
    limits.forget(now + HOUR)
    assert not limits


def test_a_pause_that_the_destination_asks_for_is_kept() -> None:
    """Retry-After: nothing goes there before."""
    limits = Limits()
    limits.throttle("busy.example", NOW, 90 * SECOND)
    turn = limits.turn("busy.example", NOW, taken=False)
    assert turn is not None
    assert turn.at >= NOW + 90 * SECOND


def test_a_group_is_slowed_as_a_whole_and_over_a_restart() -> None:
    """What one domain's answer says holds for all that the same hosts serve, after a restart too."""
    limits = Limits({"*.google.com": Bucket(rate=100.0)})
    for domain in ("a.example", "b.example"):
        limits.groups.learn(domain, ["aspmx.l.google.com"], NOW + HOUR)
    limits.throttle("a.example", NOW, 0)
    turn = limits.turn("b.example", NOW, taken=True)
    assert turn is not None
    assert turn.per_second == 50.0
    limits.throttle("c.example", NOW, 30 * SECOND)
    again = Limits()
    again.load(json.loads(json.dumps(limits.to_state(NOW))))
    kept = again.turn("c.example", NOW, taken=False)
    assert kept is not None
    assert kept.at == NOW + 30 * SECOND
    again.rebase(NOW - HOUR)
    back = again.turn("c.example", NOW - HOUR, taken=False)
    assert back is not None
    assert back.at < NOW - HOUR + MINUTE


def test_slowed_destinations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attack of throttle answers from everywhere takes no memory without end; those that are well again make room."""
    monkeypatch.setattr(module, "CUT", 3)
    limits = Limits()
    for number in range(5):
        limits.throttle(f"d{number}.example", NOW, 0)
    assert len(limits.slowed) == 3
    limits.throttle("late.example", NOW + 2 * HOUR, 0)
    assert set(limits.slowed) == {"late.example"}
