"""The keys of the provider's table: every mistake is named at once, none is found out while sending."""

from __future__ import annotations

from typing import Any

import pytest

from channels.smtp import Settings, SmtpChannel, register_channels
from channels.smtp.settings import Endpoint
from plugins import Secret
from plugins.settings import SettingsRefusedError, read_settings
from tests.channels.smtp.line import context


def settings(**changes: Any) -> Settings:
    """As the loader reads them: the key `from`, lists as in TOML."""
    table = {"host": "relay.example", "from": "Kedai <hello@mail.example.com>"} | changes
    found = read_settings(Settings, table, literals=True)
    assert isinstance(found, Settings)
    return found


def problems(**changes: Any) -> list[str]:
    with pytest.raises(SettingsRefusedError) as caught:
        settings(**changes)
    return [str(problem) for problem in caught.value.problems]


def test_the_plugin_registers_its_channel() -> None:
    """`plugin = "smtp"`."""
    (found,) = register_channels()
    assert (found.name, found.channel, found.address, found.settings_type) == ("smtp", "email", "email", Settings)


@pytest.mark.parametrize(("tls", "port"), [("starttls", 587), ("implicit", 465), ("none", 25)])
def test_the_port_follows_tls(tls: str, port: int) -> None:
    """And the default is STARTTLS."""
    assert settings(tls=tls).endpoints == (Endpoint("relay.example", port),)
    assert settings().tls == "starttls"


def test_relays_are_tried_in_their_order() -> None:
    """host:port, host alone, IPv6."""
    found = settings(port=2525, relays=["b.example:26", "c.example", "[::1]:27", "::1"]).endpoints
    assert [str(endpoint) for endpoint in found] == ["relay.example:2525", "b.example:26", "c.example:2525", "[::1]:27", "[::1]:2525"]


def test_ehlo_says_the_senders_domain_unless_told_otherwise() -> None:
    """Never the machine's name, which would be looked up in a thread."""
    assert settings().ehlo_name == "mail.example.com"
    assert settings(local_hostname="[192.0.2.1]").ehlo_name == "[192.0.2.1]"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_credentials_in_clear_are_for_loopback_only(host: str) -> None:
    """aiosmtplib would send them without a word."""
    settings(host=host, tls="none", username="u", password=Secret("p"))
    refused = problems(tls="none", username="u", password=Secret("p"))
    assert refused == ['username: would cross the network in clear with tls = "none"; use "starttls" or "implicit"']
    assert refused == problems(host=host, relays=["far.example:25"], tls="none", username="u", password=Secret("p"))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"from": "Kedai"}, "from:"),
        ({"from": "a@b.cd, c@d.ef"}, "from:"),
        ({"from": "ü@b.cd"}, "from:"),
        ({"from": "x\r\nBcc: y <a@b.cd>"}, "from:"),
        ({"host": "a b"}, "host:"),
        ({"host": ""}, "host:"),
        ({"port": 0}, "port:"),
        ({"port": 65536}, "port:"),
        ({"pool": 0}, "pool:"),
        ({"spare": -1}, "spare:"),
        ({"spare": 101}, "spare:"),
        ({"local_hostname": "a b"}, "local_hostname:"),
        ({"relays": ["a:b"]}, "relays:"),
        ({"relays": ["[::1"]}, "relays:"),
        ({"relays": ["x\ny:25"]}, "relays:"),
        ({"tls": "auto"}, "tls:"),
        ({"username": "u"}, "username:"),
        ({"password": Secret("p")}, "username:"),
        ({"verify": False}, "verify:"),
        ({"tls": "none", "ca_file": "ca.pem"}, "ca_file:"),
        ({"dot_seconds": 0.0}, "dot_seconds:"),
        ({"messages_per_connection": -1}, "messages_per_connection:"),
    ],
    ids=str,
)
def test_a_bad_key_is_named(changes: dict[str, Any], key: str) -> None:
    """With what is wrong about it."""
    (problem,) = problems(**changes)
    assert problem.startswith(key)


def test_all_problems_are_told_at_once() -> None:
    """Each with its key, so that each has its line in config.toml."""
    assert [problem.split(":")[0] for problem in problems(**{"host": "", "from": "x", "pool": 0, "username": "u"})] == [
        "from",
        "host",
        "username",
        "pool",
    ]


async def test_an_authority_file_that_cannot_be_read_stops_the_start() -> None:
    """Named with its path, before anything is sent."""
    with pytest.raises(ValueError, match=r"ca_file: nowhere\.pem"):
        await SmtpChannel().start(context(tls="starttls", ca_file="nowhere.pem"))


def test_a_password_never_shows_itself() -> None:
    """Not in the settings' repr either."""
    assert "hush" not in repr(settings(username="u", password=Secret("hush")))
