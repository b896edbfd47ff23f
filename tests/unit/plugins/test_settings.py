"""Settings against a plugin's dataclass: every problem at once, each with its place and a way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest

from plugins import Secret, SettingError
from plugins.settings import SettingsRefusedError, read_settings, table_from_words


class Mode(StrEnum):
    FAST = "fast"
    SLOW = "slow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    host: str
    port: int = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    url: str
    token: Secret
    from_: str = "x@example.com"
    port: int = 1
    ratio: float = 0.5
    on: bool = False
    tls: Literal["starttls", "none"] = "none"
    mode: Mode = Mode.FAST
    folder: Path | None = None
    spare: Secret | None = None
    relay: Relay | None = None
    relays: tuple[Relay, ...] = ()
    names: list[str] = field(default_factory=list)
    pair: tuple[int, str] = (1, "a")
    countries: frozenset[str] = frozenset()
    words: Sequence[str] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    since: date | None = None
    either: int | str = 0
    free: Any = None


NEEDED = {"url": "https://x", "token": Secret("t")}


def read(**table: Any) -> Settings:
    settings = read_settings(Settings, NEEDED | table, path=("providers", "p"), locate=lambda path: f"config.toml:{path[-1]}")
    assert isinstance(settings, Settings)
    return settings


def refusals(**table: Any) -> list[str]:
    with pytest.raises(SettingsRefusedError) as refused:
        read(**table)
    return [str(problem).removeprefix("config.toml:") for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("from", "Kedai <hello@mail.example.com>", "Kedai <hello@mail.example.com>"),
        ("port", 25, 25),
        ("ratio", 2, 2.0),
        ("on", True, True),
        ("tls", "starttls", "starttls"),
        ("mode", "slow", Mode.SLOW),
        ("folder", "out", Path("out")),
        ("spare", Secret("s"), Secret("s")),
        ("relay", {"host": "a"}, Relay(host="a")),
        ("relays", [{"host": "a", "port": 26}, {"host": "b"}], (Relay(host="a", port=26), Relay(host="b"))),
        ("names", ["a", "b"], ["a", "b"]),
        ("pair", [7, "b"], (7, "b")),
        ("countries", ["ID", "MY"], frozenset({"ID", "MY"})),
        ("words", ["a"], ("a",)),
        ("weights", {"a": 1}, {"a": 1.0}),
        ("since", date(2027, 1, 1), date(2027, 1, 1)),
        ("either", "a", "a"),
        ("either", 1, 1),
        ("free", {"a": [1]}, {"a": [1]}),
        ("url", Secret("from a file"), "from a file"),
    ],
)
def test_what_fits_is_kept_as_the_plugin_wants_it(key: str, value: Any, kept: Any) -> None:
    """TOML's types become the field's; `from` fills `from_`; a secret may fill plain text, never the other way."""
    found = getattr(read(**{key: value}), "from_" if key == "from" else key)
    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize(
    ("key", "value", "refusal"),
    [
        ("url", 7, "is 7, must be text"),
        ("port", "25", 'is "25", must be a whole number'),
        ("port", True, "is true, must be a whole number"),
        ("port", 2.5, "is 2.5, must be a whole number"),
        ("ratio", "0.5", 'is "0.5", must be a number'),
        ("ratio", True, "is true, must be a number"),
        ("on", 1, "is 1, must be true or false"),
        ("on", "true", 'is "true", must be true or false'),
        ("tls", "ssl", 'is "ssl", must be one of "starttls", "none"'),
        ("mode", "quick", 'is "quick", must be one of "fast", "slow"'),
        ("token", "hush", 'is a secret: write { credential = "name" }, { env = "NAME" } or { file = "path" }, never the value itself'),
        ("spare", "hush", 'is a secret: write { credential = "name" }, { env = "NAME" } or { file = "path" }, never the value itself'),
        ("port", Secret("hush"), "is a secret, must be a whole number"),
        ("names", "a", 'is "a", must be a list of text'),
        ("names", ["a", 1], "entry 2 is 1, must be text"),
        ("pair", [1], "has 1 entries, must have 2"),
        ("pair", ["a", "b"], 'entry 1 is "a", must be a whole number'),
        ("weights", {"a": "b"}, 'entry "a" is "b", must be a number'),
        ("weights", 3, "is 3, must be a table"),
        ("relay", "a", 'is "a", must be a table'),
        ("relays", {"host": "a"}, "is a table, must be a list of a table"),
        ("either", 1.5, "is 1.5, must be a whole number or text"),
        ("since", "2027-01-01", 'is "2027-01-01", must be a date'),
        ("folder", 3, "is 3, must be a path"),
        ("url", ["x"], "is a list, must be text"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(key: str, value: Any, refusal: str) -> None:
    """Text is no number, 1 is not true, and no secret is ever shown."""
    (found,) = refusals(**{key: value})
    assert found == f"{key}: providers.p.{key}: {refusal}"


def test_all_problems_come_at_once_with_their_places() -> None:
    """Unknown, missing and wrong, also inside a nested table."""
    with pytest.raises(SettingsRefusedError) as refused:
        read_settings(Settings, {"ulr": "x", "port": "25", "relay": {"hots": "a"}}, path=("providers", "p"), locate=lambda path: ":".join(path))
    assert [(problem.where, problem.key, problem.suggestion) for problem in refused.value.problems] == [
        ("providers:p:ulr", "providers.p.ulr", "url"),
        ("providers:p:url", "providers.p.url", None),
        ("providers:p:token", "providers.p.token", None),
        ("providers:p:port", "providers.p.port", None),
        ("providers:p:relay:hots", "providers.p.relay.hots", "host"),
        ("providers:p:relay:host", "providers.p.relay.host", None),
    ]
    assert "unknown key; the plugin takes url, token, from, port" in str(refused.value)
    assert 'did you mean "url"?' in str(refused.value)


def test_a_long_value_is_not_printed() -> None:
    """What stands in the wrong key might be a key itself."""
    assert refusals(port="k" * 200) == ["port: providers.p.port: is text of 200 characters, must be a whole number"]


def test_the_plugins_own_checks_are_told_with_their_key() -> None:
    """`SettingError` names the key; any other ValueError concerns the table."""

    @dataclass(frozen=True)
    class Picky:
        url: str = "https://x"
        n: int = 1

        def __post_init__(self) -> None:
            if not self.url.startswith("https:"):
                raise SettingError("url", "must begin with https:")
            if self.n < 1:
                raise ValueError("n must be at least 1")

    for table, key, what in (({"url": "http://x"}, "p.url", "must begin with https:"), ({"n": 0}, "p", "n must be at least 1")):
        with pytest.raises(SettingsRefusedError) as refused:
            read_settings(Picky, table, path=("p",))
        assert [(problem.key, problem.what) for problem in refused.value.problems] == [(key, what)]


def test_words_of_the_command_line_become_a_table() -> None:
    """Text and secrets as they stand, everything else as TOML; a nested key has dots."""
    words = ["url=http://127.0.0.1:1/?a=b", "token=123", "port=25", "on=true", "names=['a']", "relay.host=h", "relay.port=26", "tls=none", "mode=slow"]
    table = table_from_words(Settings, words)
    assert table["token"] == "123"
    settings = read_settings(Settings, table, literals=True)
    assert settings.url == "http://127.0.0.1:1/?a=b"
    assert settings.token == Secret("123")
    assert (settings.port, settings.on, settings.names, settings.relay) == (25, True, ["a"], Relay(host="h", port=26))


@pytest.mark.parametrize("word", ["url", "=x", "relay..host=1"])
def test_a_word_that_is_no_setting_is_refused(word: str) -> None:
    """With the form that it should have."""
    with pytest.raises(SettingsRefusedError, match="a setting is written key=value"):
        table_from_words(Settings, [word])


def test_a_word_for_an_unknown_key_is_refused_when_it_is_read() -> None:
    """Not when it is split: the nearest key is named there."""
    table = table_from_words(Settings, ["ulr=x", "url=x", "token=t", "relay=3"])
    with pytest.raises(SettingsRefusedError, match=r'ulr: unknown key.*did you mean "url"'):
        read_settings(Settings, table, literals=True)
