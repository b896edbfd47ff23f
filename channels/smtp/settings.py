"""SMTP: the keys of a `[providers.NAME]` table with `plugin = "smtp"`, checked before anything is opened.

All problems are told at once, each with its key, so that the loader can print them beside the line of config.toml.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from channels.smtp import headers
from channels.smtp.address import BadAddress, parse_sender
from channels.smtp.exchange import Stage
from channels.smtp.headers import BadHeader
from plugins import Secret, SettingError
from plugins.http import is_loopback

_PORTS = {"starttls": 587, "implicit": 465, "none": 25}
_host = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]+")
_ehlo = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Za-z:.]+\]")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a relay listens. The certificate is checked against `host`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """True when the name or address cannot leave this machine."""
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The provider's keys; the key `from` is the field `from_`. Durations in seconds.

    host, port: the relay (port by `tls`: 587, 465 or 25). relays: more of them as "host:port", tried in this order when the first
    refuses. tls: "starttls" and "implicit" never fall back to plaintext. pool: connections, and so messages in flight. spare: so many more
    connections, opened only while others wait for an answer much longer than is usual, so that a destination that hangs behind the relay
    costs the others nothing; 0 = none. Relays allow 20 of one client (Exchange) to 50 (Postfix); one that refuses a spare connection is
    not asked for another for an hour.
    ca_file: the only authority to trust, instead of the system's. verify = false takes any certificate: for a relay on loopback.
    local_hostname: what EHLO says, by default the domain of `from`. messages_per_connection: 0 = no limit.
    """

    host: str
    from_: str
    port: int | None = None
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    username: str | None = None
    password: Secret | None = None
    pool: int = 10
    spare: int = 2
    local_hostname: str | None = None
    relays: tuple[str, ...] = ()
    verify: bool = True
    ca_file: str | None = None
    messages_per_connection: int = 0
    idle_seconds: float = 60.0
    connect_seconds: float = 30.0
    envelope_seconds: float = 300.0
    data_seconds: float = 120.0
    block_seconds: float = 180.0
    dot_seconds: float = 600.0

    def __post_init__(self) -> None:
        problems = [*self._address_problems(), *self._trust_problems(), *self._number_problems()]
        if problems:
            raise ExceptionGroup("the settings of an SMTP provider", [SettingError(*problem.split(": ", 1)) for problem in problems])

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All relays, the preferred one first."""
        port = _PORTS[self.tls] if self.port is None else self.port
        return (Endpoint(self.host, port), *(_endpoint(relay, port) for relay in self.relays))

    @property
    def ehlo_name(self) -> str:
        return self.local_hostname or parse_sender(self.from_)[1].domain

    @property
    def stage_seconds(self) -> Mapping[Stage, float]:
        """How long each reply may take, drip or not (RFC 5321 §4.5.3.2; a shorter wait after the dot only makes doubts)."""
        return {
            "reset": self.envelope_seconds,
            "mail": self.envelope_seconds,
            "rcpt": self.envelope_seconds,
            "data": self.data_seconds,
            "dot": self.dot_seconds,
        }

    def _address_problems(self) -> list[str]:
        problems = []
        try:
            name, mailbox = parse_sender(self.from_)
            headers.address_field("From", name, mailbox.spec)
            if mailbox.utf8:
                problems.append("from: the part before the @ must be ASCII")
        except (BadAddress, BadHeader) as error:
            problems.append(f'from: must be "Name <name@domain>" or "name@domain": {error}')
        if _host.fullmatch(self.host) is None:
            problems.append("host: is no host name or address")
        if self.local_hostname is not None and _ehlo.fullmatch(self.local_hostname) is None:
            problems.append('local_hostname: must be a host name or an address in brackets, such as "[192.0.2.1]"')
        for relay in self.relays:
            try:
                if _host.fullmatch(_endpoint(relay, 25).host) is None:
                    raise ValueError(relay)
            except ValueError:
                problems.append(f'relays: "{relay}" is not "host:port"')
        return problems

    def _trust_problems(self) -> list[str]:
        problems = []
        try:
            local = all(endpoint.loopback for endpoint in self.endpoints)
        except (ValueError, KeyError):
            local = False
        if self.tls not in _PORTS:
            problems.append('tls: must be "starttls", "implicit" or "none"')
        if self.username is not None and self.tls == "none" and not local:
            problems.append('username: would cross the network in clear with tls = "none"; use "starttls" or "implicit"')
        if (self.username is None) != (self.password is None):
            problems.append("username: and password go together; one of them is missing")
        if not self.verify and not local:
            problems.append("verify: false is for a relay on loopback only; name its authority in ca_file instead")
        if self.ca_file is not None and self.tls == "none":
            problems.append('ca_file: has no use with tls = "none"')
        return problems

    def _number_problems(self) -> list[str]:
        problems = []
        if self.port is not None and not 0 < self.port < 65536:
            problems.append("port: must be between 1 and 65535")
        if not 0 < self.pool <= 1000:
            problems.append("pool: must be between 1 and 1000")
        if not 0 <= self.spare <= 100:
            problems.append("spare: must be between 0 and 100")
        if self.messages_per_connection < 0:
            problems.append("messages_per_connection: must not be negative (0 = no limit)")
        durations = ("idle_seconds", "connect_seconds", "envelope_seconds", "data_seconds", "block_seconds", "dot_seconds")
        problems.extend(f"{key}: must be more than 0" for key in durations if not getattr(self, key) > 0)
        return problems


def _endpoint(text: str, port: int) -> Endpoint:
    """`host`, `host:port` or `[v6]:port`. ValueError."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(text)
        number = rest[1:]
    elif text.count(":") > 1:
        host, number = text, ""
    else:
        host, _, number = text.partition(":")
    found = int(number) if number else port
    if not host or not 0 < found < 65536:
        raise ValueError(text)
    return Endpoint(host, found)
