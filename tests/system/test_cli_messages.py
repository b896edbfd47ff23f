"""What an operator is told when something around Homing is wrong: what and where it is, what to do, and the right exit code."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from daemon.cli.context import Cli
from daemon.cli.explain import show
from daemon.cli.held import example_of
from daemon.errors import ConfigError
from tests.system.cli_world import CliWorld, write_world


@pytest.fixture
def homing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CliWorld:
    write_world(tmp_path / "shop")
    return CliWorld(tmp_path / "shop", capsys)


def write(homing: CliWorld, old: str, new: str) -> None:
    path = homing.folder / "config.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_state_folder_that_cannot_be_made_is_75_and_names_the_key(homing: CliWorld) -> None:
    """No bug of Homing's: path, reason and key."""
    (homing.folder / "afile").write_text("x")
    write(homing, 'state_dir = "var"', 'state_dir = "afile/var"')
    for words in (("status",), ("run",), ("queue", "list")):
        said = homing(*words)
        assert said.code == 75
        assert "afile/var: the state folder cannot be used: Not a directory" in said.err
        assert "[homing] state_dir" in said.err


def test_a_store_that_is_no_database_is_75_and_named(homing: CliWorld) -> None:
    """The file, the reason, and where help is."""
    (homing.folder / "afile").write_text("no database at all " * 100)
    write(homing, 'state_dir = "var"', 'state_dir = "var"\nstore = "sqlite:afile"')
    said = homing("status")
    assert said.code == 75
    assert "afile: the store cannot be opened: file is not a database" in said.err
    assert "docs/operations.md" in said.err


def test_the_store_is_its_owners_alone_in_an_open_folder_too(homing: CliWorld) -> None:
    """It holds addresses; the operator may have made the folder with the usual mode."""
    (homing.folder / "var").mkdir(mode=0o755)
    homing.ok("status")
    assert (homing.folder / "var" / "homing.db").stat().st_mode & 0o777 == 0o600


def test_an_unreadable_secret_is_complained_of_once(homing: CliWorld) -> None:
    """The plugin does not go on about a password that is missing."""
    write(homing, 'tls = "none"', 'tls = "none"\nusername = "u"\npassword = { file = "none" }')
    said = homing("check")
    assert said.code == 78
    assert said.err.count("config.toml:") == 1
    assert "the secret file" in said.err


def test_a_secret_of_the_daemon_alone_keeps_no_command_from_asking_it(homing: CliWorld) -> None:
    """Credentials of a unit are in no operator's shell. What needs them says so; any other mistake is still one."""
    write(homing, 'tls = "none"', 'tls = "none"\nusername = "u"\npassword = { credential = "relay" }')
    path = homing.folder / "config.toml"
    assert Cli(config_path=path).config.homing.state_dir == homing.folder / "var"
    assert homing("plugins", "list").code == 0
    assert homing("check").code == homing("status").code == 78  # no daemon runs: status would have to be one
    write(homing, 'state_dir = "var"', 'state_dir = "var"\nsate = 1')
    with pytest.raises(ConfigError, match=r"homing\.sate: unknown key"):
        _ = Cli(config_path=path).config


def test_an_unreadable_secret_hides_no_other_problem_of_its_table(homing: CliWorld) -> None:
    """All at once."""
    write(homing, 'tls = "none"', 'tls = "nonne"\nusername = "u"\npassword = { file = "none" }')
    said = homing("check")
    assert "providers.relay.password" in said.err
    assert "providers.relay.tls" in said.err


def test_a_cap_for_a_campaign_that_is_not_there_is_warned_of(homing: CliWorld) -> None:
    """With line, element and the nearest name; it is no error, since the campaign may come later."""
    write(homing, "[queues.other]", '[[cap]]\nname = "w"\nlimit = 1\nrolling = "7d"\ncampaign = "winbak"\nchannels = ["emial"]\n[queues.other]')
    said = homing("check")
    assert said.code == 0
    assert 'cap[1].campaign: no campaign "winbak"; did you mean "winback"?' in said.out
    assert 'cap[1].channels: no provider serves a channel "emial"' in said.out


def test_a_channel_that_no_provider_serves_is_warned_of(homing: CliWorld) -> None:
    """Its messages would be held one by one; the check says so before."""
    campaign = next((homing.folder / "campaigns").glob("*/campaign.toml"))
    campaign.write_text(campaign.read_text(encoding="utf-8").replace('["email"]', '["email", "call"]'), encoding="utf-8")
    step = next(campaign.parent.glob("*.email.liquid")).name.partition(".")[0]
    (campaign.parent / f"{step}.call.liquid").write_text("Hi", encoding="utf-8")
    said = homing("check")
    assert said.code == 0
    assert f'campaign.toml:1: step {step}: no provider serves the channel "call": its messages will be held' in said.out


def test_a_failed_probe_is_not_called_no_problem(homing: CliWorld) -> None:
    """The last line sums up what the exit code says."""
    said = homing("check", "--probe")
    assert said.code == 1
    assert said.out.splitlines()[-1].endswith("1 of 1 providers cannot be reached; else no problem found (1 campaign, 2 queues, 1 provider)")


def test_a_job_that_is_cut_off_is_exit_1(homing: CliWorld) -> None:
    """Nothing of it was taken, so it is a failure of the command."""
    path = homing.folder / "cut.ndjson"
    path.write_text('{"id": "cut", "queue": "lapsed-45"}\n{"id": "c-1", "email": "a@exam', encoding="utf-8")
    said = homing("enqueue", "lapsed-45", str(path))
    assert said.code == 1
    assert "Job cut in lapsed-45 for winback: failed" in said.out


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("packed.ndjson.gz", '{"id": "packed", "queue": "lapsed-45"}\n{"id": "c-1", "email": "a@example.com", "zone": "Asia/Jakarta"}\n'),
        ("packed.1.csv.gz", "id,email,zone\nc-1,a@example.com,Asia/Jakarta\n"),
        ("nameless", '{"id": "packed", "recipients": [{"id": "c-1", "email": "a@example.com", "zone": "Asia/Jakarta"}]}'),
    ],
)
def test_a_packed_job_is_known_by_its_bytes(homing: CliWorld, name: str, text: str) -> None:
    """docs/jobs.md: each format may be packed; id and count of a CSV file come from its name without `.gz`."""
    path = homing.folder / name
    path.write_bytes(gzip.compress(text.encode()))
    receipt = homing.ok("enqueue", "lapsed-45", str(path))
    assert (receipt["job"], receipt["accepted"]) == ("packed", 1)


def test_a_broken_packed_job_is_refused_in_words(homing: CliWorld) -> None:
    """Exit 1 and what is wrong."""
    path = homing.folder / "broken.json.gz"
    path.write_bytes(gzip.compress(b'{"id": "x"}' * 100)[:-12])
    said = homing("enqueue", "lapsed-45", str(path))
    assert said.code == 1
    assert "gzip: the packed body breaks off" in said.err


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ({"unknown_zone": "intersect", "home_countries": []}, "c-1: unknown_zone intersect, home_countries none"),
        ({"template": "message", "line": 1, "what": "vars.n is missing"}, "c-1: message, line 1: vars.n is missing"),
        (None, "c-1"),
    ],
)
def test_held_list_gives_its_example_in_words(detail: object, words: str) -> None:
    """No Python in it, and nothing twice."""
    assert example_of({"example": {"recipient": "c-1", "detail": detail}}) == words


def test_what_is_no_address_is_called_so(homing: CliWorld) -> None:
    """Not a phone number with a strange character."""
    said = homing("suppressions", "add", "notanaddress")
    assert said.code == 1
    assert "neither an e-mail address nor a phone number" in said.out


def test_a_zone_that_is_one_of_many_fits_a_line(homing: CliWorld) -> None:
    """The zones of a country are told by their ends."""
    path = homing.folder / "us.ndjson"
    path.write_text('{"id": "us", "queue": "lapsed-45"}\n{"id": "c-1", "email": "a@example.com", "country": "US"}\n', encoding="utf-8")
    homing("enqueue", "lapsed-45", str(path))
    assert homing("explain", "c-1").out.startswith("c-1: zones America/Adak .. Pacific/Honolulu (")


def test_an_audience_of_an_unknown_provider_is_said_to_be_none(homing: CliWorld) -> None:
    """Not that there is no audience at all."""
    assert 'no audience at "meat"' in homing("audience", "status", "--provider", "meat").out


def test_whoever_is_known_and_in_no_campaign_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    """A recipient that registered a browser only: no empty answer."""
    show({"recipient": "c-9", "zone": {"names": [], "source": "unknown"}, "enrolments": [], "not_enrolled": []})
    assert capsys.readouterr().out == "c-9: zone unknown\n  in no campaign yet\n"


def test_a_walk_that_ended_says_when_and_why_and_only_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The campaign in which somebody does not walk any more is not named a second time."""
    at = "2026-11-27T23:55:05Z"
    walk = {"campaign": "standard", "version": 1, "state": "exited", "ended_at": at, "reason": "segment high_value_lapsed", "deliveries": []}
    absent = [{"campaign": "standard", "reason": "exited", "at": at}, {"campaign": "season", "reason": "exited", "at": at}]
    show({"recipient": "c-9", "zone": {"names": [], "source": "unknown"}, "enrolments": [walk], "not_enrolled": absent})
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  standard, version 1: exited at 2026-11-27 23:55:05 UTC: segment high_value_lapsed",
        "  season: not enrolled, exited at 2026-11-27 23:55:05 UTC",
    ]


def test_a_test_send_without_any_test_address_is_refused_before_the_daemon_is_asked(
    homing: CliWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon would answer of an empty list, which nobody typed."""
    config = homing.folder / "config.toml"
    lines = config.read_text(encoding="utf-8").splitlines()
    config.write_text("\n".join(line for line in lines if "test_addresses" not in line), encoding="utf-8")
    monkeypatch.setattr("daemon.cli.campaigns.call", lambda *args, **more: pytest.fail("asked"))
    said = homing("campaigns", "test", "winback")
    assert (said.code, "[homing] test_addresses names no address" in said.err) == (77, True)
