"""A rehearsal in which providers refuse: dead addresses are suppressed and fallen back from, refusals are tried again, as in the real daemon."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from daemon.app.setup import read_setup
from daemon.dispatch import loop
from daemon.sandbox.house import Ports
from daemon.simulate.rehearsal import Calendar, Sent, Wish, rehearse
from daemon.simulate.rehearsal.fates import Fates
from plugins.contract import Accepted, Deferred, Rejected
from tests.system.cli_world import CONFIG, CliWorld, row, write_world
from tests.system.test_rehearsed_day import START, furnish

WORDS = ("rehearse", "--days", "4", "--start", "2031-01-06T00:00+07:00")
SMS = '[providers.texts]\nplugin = "console"\nchannel = "sms"\n[consent]\nemail = "implied"\nsms = "implied"\n'


@pytest.fixture
def homing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CliWorld:
    """Two campaigns, a day apart, for two hundred people with a mail address and a telephone."""
    write_world(tmp_path, config=CONFIG + SMS)
    folder = tmp_path / "campaigns" / "winback"
    (folder / "campaign.toml").write_text((folder / "campaign.toml").read_text().replace('["email"]', '["email", "sms"]'))
    (folder / "reminder.sms.liquid").write_text("Hello. STOP ends it.\n")
    shutil.copytree(folder, tmp_path / "campaigns" / "second")
    world = CliWorld(tmp_path, capsys)
    for campaign, day in (("winback", 6), ("second", 7)):
        people = [row(f"c-{n}", phone=f"+6281110{n:04}") for n in range(200)]
        job = world.job(campaign, people, campaign=campaign, not_before=f"2031-01-0{day}T00:00:00+07:00")
        world.ok("enqueue", "lapsed-45", str(job))
    return world


def test_dead_addresses_are_suppressed_and_fallen_back_from(homing: CliWorld) -> None:
    """On the first day each dead address is refused once and its person reached by SMS; on the second nobody writes there."""
    said = homing.ok(*WORDS, "--bounces", "0.1")
    first, second = said["days"][:2]
    dead = first["refused"]["bounced"]
    assert 10 < dead < 40  # of 200 mail addresses, and the telephones of their people
    assert first["ended"]["rejected:rejected_by_provider"] == dead
    assert "refused" not in second
    assert second["ended"]["dropped:bounced"] == 200 - first["sent"]["email"]
    assert first["sent"] == second["sent"]
    assert 160 < first["sent"]["email"] < 195
    assert first["sent"]["email"] + first["sent"]["sms"] > 190
    assert said["notes"] == ["10.0% of addresses bounce, 0.0% of attempts are refused for now"]
    assert said == homing.ok(*WORDS, "--bounces", "0.1")
    assert said != homing.ok(*WORDS, "--bounces", "0.1", "--seed", "2")
    counted = homing.ok(*WORDS, "--bounces", "0.1", "--quick")
    assert [day["sent"] for day in counted["days"]] == [day["sent"] for day in said["days"]]
    shown = homing(*WORDS, "--bounces", "0.1").out
    assert "bounced" in shown.splitlines()[0]


def test_refusals_are_tried_again_and_end_after_the_last_attempt(homing: CliWorld) -> None:
    """Some: all come later on the same day. All: nothing goes, each after its five attempts."""
    said = homing.ok(*WORDS, "--refusals", "0.2")
    assert said["totals"]["sent"] == {"email": 400}
    assert 60 < said["totals"]["refused"]["refused"] < 140
    none = homing.ok(*WORDS, "--refusals", "1")
    assert none["totals"]["sent"] == {}
    assert none["totals"]["refused"] == {"refused": 2000}
    assert none["totals"]["ended"] == {"rejected:attempts_exhausted": 400}


def test_without_shares_nothing_is_refused_and_nothing_is_said_of_it(homing: CliWorld) -> None:
    """The same bytes as without the options; a share is between 0 and 1."""
    plain, zero = homing("--json", *WORDS).out, homing("--json", *WORDS, "--bounces", "0", "--refusals", "0").out
    assert plain == zero
    assert "refused" not in plain
    assert homing(*WORDS, "--bounces", "2").code == 2


def test_of_several_browsers_each_is_dead_or_not() -> None:
    """Accepted if one lives, and the others are gone; refused for good if none does."""
    some = [f"browser {n}" for n in range(40)]
    dead = tuple(one for one in some if isinstance(Fates(3, bounces=0.3).of("d", [one], 1, each=True), Rejected))
    assert 4 < len(dead) < 20
    assert Fates(3, bounces=0.3).of("d", some, 1, each=True) == Accepted(gone=dead)
    said = Fates(3, bounces=0.3, refusals=1).of("d", dead, 1, each=True)
    assert isinstance(said, Rejected)
    assert (said.scope, said.gone) == ("address", dead)
    assert isinstance(Fates(3, bounces=1, refusals=1).of("d", [], 1), Deferred)
    assert Fates(3, bounces=1).of("d", [], 1) == Accepted()
    more = tuple(one for one in some if isinstance(Fates(3, bounces=0.6).of("d", [one], 1), Rejected))
    assert set(dead) < set(more)


def lived(folder: Path, **shares: float) -> tuple[Calendar, Counter[Any]]:
    went: Counter[Any] = Counter()

    def took(sent: Sent) -> None:
        went[sent.recipient, sent.campaign, sent.step, sent.channel] += 1

    return rehearse(read_setup(folder / "config.toml", {}), Wish(days=3, start=START, grain=0.05, took=took, **shares)), went


@pytest.mark.slow
@pytest.mark.parametrize("shares", [{"bounces": 0.15}, {"bounces": 0.1, "refusals": 0.1}])
def test_refused_at_once_is_refused_by_and_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, shares: dict[str, float]
) -> None:
    """The same people get the same messages, and all ends alike, where each message goes its way through session and outcome."""
    furnish(tmp_path, Ports(smtp=1, sms=2, inbox=3, ads=4, push=5), CliWorld(tmp_path, capsys))
    calendar, went = lived(tmp_path, **shares)
    refused = calendar.totals().refused
    assert refused["bounced"] > 5
    monkeypatch.setattr(loop, "AnswersAtOnce", type("Nobody", (), {}))
    slowly, also = lived(tmp_path, **shares)
    assert went == also
    assert (calendar.final, refused) == (slowly.final, slowly.totals().refused)
