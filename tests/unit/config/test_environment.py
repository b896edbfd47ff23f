"""Keys from the environment."""

from pathlib import Path

import pytest

from daemon.config import Config, parse_config
from daemon.config.environment import read_value
from daemon.errors import ConfigError

FILE = """\
[providers.relay]
plugin = "smtp"
host = "127.0.0.1"
[queues.lapsed-45]
campaign = "winback"
"""


def load(environ: dict[str, str], text: str = FILE) -> Config:
    return parse_config(text, path=Path("config.toml"), environ=environ)


def said(environ: dict[str, str], text: str = FILE) -> str:
    with pytest.raises(ConfigError) as caught:
        load(environ, text)
    return str(caught.value)


def test_environment_wins_over_the_file():
    """The contract's own example."""
    config = load({"HOMING__PROVIDERS__RELAY__HOST": "mail.example.com", "PATH": "/bin", "HOMING": "x", "HOMING_X": "y"})
    assert config.providers["relay"].settings["host"] == "mail.example.com"
    assert config.locate(("providers", "relay", "host")) == "environment:HOMING__PROVIDERS__RELAY__HOST"
    assert config.locate(("providers", "relay", "plugin")) == "config.toml:2"


@pytest.mark.parametrize(
    "name", ["HOMING__QUEUES__LAPSED_45__WEIGHT", "homing__queues__lapsed-45__weight", "Homing__Queues__Lapsed-45__WEIGHT"]
)
def test_case_and_dashes_do_not_matter(name: str):
    """Shells take no dashes in names; queues have them."""
    assert load({name: "2.5"}).queues["lapsed-45"].weight == 2.5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2.5", 2.5),
        ("true", True),
        ("none", "none"),
        ('"7"', "7"),
        ("", ""),
        ("[1, 2]", [1, 2]),
        ('{ env = "X" }', {"env": "X"}),
        ("a\nb = 1", "a\nb = 1"),
        ("1\nb = 1", "1\nb = 1"),
        ("100/s", "100/s"),
    ],
)
def test_a_value_is_read_as_toml_and_else_as_a_string(text: str, value: object):
    """And cannot smuggle in another key."""
    assert read_value(text) == value


def test_tables_and_arrays_of_tables_come_whole():
    """A key then beats the table that it is in, whatever the order of the environment."""
    config = load(
        {
            "HOMING__CAP": '[{ name = "w", limit = 3, rolling = "7d" }]',
            "HOMING__HTTP__LISTEN": "127.0.0.1:9",
            "HOMING__HTTP": '{ listen = "127.0.0.1:8", public_url = "https://x.example" }',
        }
    )
    assert config.caps[0].name == "w"
    assert (config.http.listen.port, config.http.public_url) == (9, "https://x.example")
    assert "an array of tables comes only whole" in said({"HOMING__CAP__0__NAME": "x"}, '[[cap]]\nname="w"\nlimit=3\nrolling="7d"')


def test_a_new_provider_can_come_from_the_environment_alone():
    """Names are then small letters."""
    config = load({"HOMING__PROVIDERS__BACKUP__PLUGIN": "smtp", "HOMING__PROVIDERS__BACKUP__LOCAL_HOSTNAME": "x"}, "")
    assert config.providers["backup"].settings == {"local_hostname": "x"}


def test_problems_name_the_variable_and_never_its_value_of_a_provider():
    """A wrong variable is as easy to find as a wrong line."""
    assert said({"HOMING__HTTP__LISTN": "x"}) == 'environment:HOMING__HTTP__LISTN: http.listn: unknown key; did you mean "listen"?'
    assert said({"HOMING__FOO__BAR": "x"}) == "environment:HOMING__FOO__BAR: foo: unknown key"
    assert "environment:HOMING__SHOP__MARGIN: shop.margin: must be at most 1 (got 3)" in said({"HOMING__SHOP__MARGIN": "3"})
    assert "is a string, not a table" in said({"HOMING__PROVIDERS__RELAY__HOST__X": "canary-1"})
    assert "canary" not in said({"HOMING__PROVIDERS__RELAY__HOST__X": "canary-1"})
    assert "two underscores stand between the keys" in said({"HOMING__HTTP____LISTEN": "x"})
    assert "says the same key as" in said({"HOMING__HTTP__LISTEN": "a:1", "homing__http__listen": "a:2"})
    assert "may mean a-b or a_b" in said({"HOMING__QUEUES__A_B__WEIGHT": "1"}, "[queues.a-b]\n[queues.a_b]")
