"""What a config with wrong keys still says: the higher floors check the rest of it in the same go."""

from pathlib import Path

import pytest

from daemon.config import read_config

TEXT = """\
[homing]
default_zone = "Asia/Jakarta"
[providers.relay]
plugin = "smtp"
rate = {rate}
host = "127.0.0.1"
[providers.other]
plugin = "console"
[queues.lapsed]
campaign = "winback"
weight = {weight}
[[cap]]
name = "weekly"
limit = 3
{period} = "7d"
"""


def read(folder: Path, *, rate: str = '"5/s"', weight: str = "1", period: str = "rolling", more: str = ""):
    path = folder / "config.toml"
    path.write_text(TEXT.format(rate=rate, weight=weight, period=period) + more)
    return read_config(path, {})


def test_without_problems_the_whole_config_is_there(tmp_path: Path):
    """Nothing is left out."""
    config, problems = read(tmp_path)
    assert config is not None
    assert problems == []
    assert [cap.name for cap in config.caps] == ["weekly"]


def test_a_wrong_key_takes_nothing_else_with_it(tmp_path: Path):
    """The provider keeps its other keys, so that the plugin loader finds what is wrong with those."""
    config, problems = read(tmp_path, rate='"fast"', weight='"much"')
    assert config is not None
    assert [problem.key for problem in problems] == ["providers.relay.rate", "queues.lapsed.weight"]
    assert dict(config.providers["relay"].settings) == {"host": "127.0.0.1"}
    assert config.providers["relay"].rate is None
    assert config.queues["lapsed"].campaign == "winback"


def test_a_wrong_cap_leaves_no_cap(tmp_path: Path):
    """The lines of the others would be told wrongly."""
    config, problems = read(tmp_path, period="roling")
    assert config is not None
    assert {problem.key for problem in problems} == {"cap[1]", "cap[1].roling"}
    assert config.caps == ()


def test_a_table_without_a_key_that_it_needs_is_left_out(tmp_path: Path):
    """A provider without a plugin cannot be checked."""
    config, problems = read(tmp_path, more='[providers.third]\nhost = "x"\n')
    assert config is not None
    assert [problem.key for problem in problems] == ["providers.third.plugin"]
    assert sorted(config.providers) == ["other", "relay"]


def test_a_secret_that_cannot_be_read_is_left_out(tmp_path: Path):
    """Nobody takes the reference for the secret."""
    config, problems = read(tmp_path, more='[providers.third]\nplugin = "smtp"\npassword = { env = "NOT_THERE" }\n')
    assert config is not None
    assert [problem.key for problem in problems] == ["providers.third.password"]
    assert dict(config.providers["third"].settings) == {}


@pytest.mark.parametrize("text", ["[homing", "\0"])
def test_what_is_no_toml_leaves_nothing(tmp_path: Path, text: str):
    """One problem, no config."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    config, problems = read_config(path, {})
    assert config is None
    assert len(problems) == 1
