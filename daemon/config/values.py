"""GROUND, config: the values that a text in a TOML file may stand for: durations, rates, addresses, zones, countries, paths.

Pure parsers: a text in, a typed value out, `BadValue` (with the nearest good value where there is one) when it is wrong.
Campaign and segment files use the same ones. Durations are integer microseconds.
"""

from __future__ import annotations

import functools
import grp
import importlib.resources
import ipaddress
import pwd
import re
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from daemon.errors import nearest

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
UNITS = {"ms": 1000, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}

STATE = "STATE"
"""A path that starts with this word lies below the state folder."""

_DURATION = re.compile(r"(\d{1,12})\s*(ms|s|m|h|d|w)")
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(\d*)\s*(s|m|h|d)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class BadValue(ValueError):
    """A value that is wrong, in words for the operator; `suggestion` is the nearest good one."""

    def __init__(self, what: str, suggestion: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` in each `per` microseconds: `100/s`, `600/m`, `1/10s`."""

    count: float
    per: int = SECOND

    @property
    def per_second(self) -> float:
        return self.count * SECOND / self.per

    def __str__(self) -> str:
        period = format_duration(self.per)
        return f"{self.count:g}/{period[1:] if period[:-1] == '1' else period}"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener binds. Port 0: the system chooses (tests)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def one_of(value: Any, words: Iterable[str]) -> str:
    """`value` if it is one of the words; else BadValue with the list and the nearest."""
    words = tuple(words)
    if isinstance(value, str) and value in words:
        return value
    listed = " or ".join(f'"{word}"' for word in words)
    shown = f' (got "{value}")' if isinstance(value, str) else ""
    raise BadValue(f"must be {listed}{shown}", nearest(value, words) if isinstance(value, str) else None)


def text(value: Any) -> str:
    """A TOML string; anything else is named as what it is."""
    if not isinstance(value, str):
        raise BadValue(f"must be a string, not {kind(value)}")
    return value


def kind(value: Any) -> str:
    """What a TOML value is, in words: "an integer", "a table"."""
    for types, name in (
        (bool, "a boolean"),
        (int, "an integer"),
        (float, "a float"),
        (str, "a string"),
        (dict, "a table"),
        ((list, tuple), "an array"),
    ):
        if isinstance(value, types):
            return name
    return f"a {type(value).__name__}"


def parse_day(value: Any) -> str:
    """`start = 2026-12-01`, in quotes or not."""
    day = value.isoformat() if isinstance(value, date) and not isinstance(value, datetime) else text(value)
    try:
        return date.fromisoformat(day).isoformat()
    except ValueError:
        raise BadValue(f'must be a day such as "2026-12-01" (got "{day}")') from None


LEAST_KEPT = 31
"""Days that scores, doubts and the audit look back."""


def parse_kept(value: Any) -> int:
    """How many days something is kept; 0 = for good."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadValue(f"must be a number of days, not {kind(value)}")
    if value != 0 and not LEAST_KEPT <= value <= 36_500:
        raise BadValue(f"must be 0 (for good), or {LEAST_KEPT} to 36500 days (got {value})")
    return value


def parse_destination(value: Any) -> str:
    """A domain, `*.` and the name below which mail hosts lie, or `*`."""
    written = text(value).lower()
    name = written.removeprefix("*.")
    if written != "*" and ("*" in name or "." not in name or "@" in name or name != name.strip(". ")):
        raise BadValue(f'must be a domain, "*." and the end of mail hosts\' names, or "*" (got "{value}")')
    return written


def parse_duration(value: Any) -> int:
    """`"90s"`, `"30m"`, `"7d"`, `"1d 12h"` in microseconds. A bare number is refused: nobody knows its unit."""
    if not isinstance(value, str):
        raise BadValue(f'must be a duration such as "30m", "24h" or "7d", not {kind(value)}')
    rest = value.strip()
    total = 0
    while found := _DURATION.match(rest):
        total += int(found[1]) * UNITS[found[2]]
        rest = rest[found.end() :].lstrip()
    if rest or not value.strip():
        raise BadValue(f'must be a duration such as "30m", "24h" or "7d" (got "{value}")')
    return total


def format_duration(duration: int) -> str:
    """The shortest text that `parse_duration` reads back: `604800000000` is `7d`."""
    for unit in ("d", "h", "m", "s", "ms"):
        if duration % UNITS[unit] == 0 and duration:
            return f"{duration // UNITS[unit]}{unit}"
    return "0s"


def parse_rate(value: Any) -> Rate:
    """`"100/s"`, `"600/m"`, `"1/10s"`; zero is refused: pause the queue instead."""
    found = _RATE.fullmatch(text(value).strip())
    if not found:
        raise BadValue(f'must be a rate such as "100/s", "600/m" or "1/10s" (got "{value}")')
    rate = Rate(float(found[1]), int(found[2] or 1) * UNITS[found[3]])
    if rate.count <= 0 or rate.per <= 0:
        raise BadValue(f'must be greater than 0 (got "{value}"); to send nothing, pause the queue')
    return rate


def parse_address(value: Any) -> Address:
    """`"127.0.0.1:8025"`, `"[::1]:8025"`, `"localhost:8025"`."""
    host, colon, port = text(value).strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise BadValue(f'must be "HOST:PORT", an IPv6 address in brackets (got "{value}")', f"[{host}]:{port}")
    if not (colon and host and port.isascii() and port.isdigit()):
        raise BadValue(f'must be "HOST:PORT", as "127.0.0.1:8025" (got "{value}")')
    if int(port) > 65535:
        raise BadValue(f"the port must be at most 65535 (got {port})")
    return Address(host, int(port))


def parse_network(value: Any) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """`"10.0.0.0/8"`, `"127.0.0.1"`."""
    try:
        return ipaddress.ip_network(text(value))
    except ValueError as error:
        if isinstance(error, BadValue):
            raise
        raise BadValue(f'must be an address or a network such as "10.0.0.0/8" ({error})') from None


def parse_zone(value: Any) -> str:
    """An IANA zone name that this machine's (or the tzdata package's) files know."""
    name = text(value)
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise BadValue(f'no such time zone (got "{name}")', nearest_zone(name)) from None
    return name


def nearest_zone(name: str) -> str | None:
    """The zone that was probably meant: `Asia/Jakarata`, `jakarta`."""
    zones = zoneinfo.available_timezones()
    by_small = {zone.casefold(): zone for zone in zones}
    by_city = {zone.rpartition("/")[2].casefold(): zone for zone in sorted(zones, reverse=True)}
    small = name.casefold().replace(" ", "_")
    return by_small.get(small) or by_city.get(small) or nearest(name, zones)


@functools.cache
def countries() -> frozenset[str]:
    """ISO 3166-1 alpha-2 codes, from the `iso3166.tab` of the tzdata package."""
    table = (importlib.resources.files("tzdata") / "zoneinfo" / "iso3166.tab").read_text(encoding="utf-8")
    return frozenset(line[:2] for line in table.splitlines() if line and line[0] != "#")


def parse_country(value: Any) -> str:
    """`"ID"`, `"US"`: ISO 3166-1 alpha-2, capital letters."""
    code = text(value)
    if code in countries():
        return code
    hint = {"UK": "GB", "EN": "GB"}.get(code.upper(), code.upper())
    raise BadValue(f'must be a country code of two capital letters (got "{code}")', hint if hint in countries() else None)


def parse_name(value: Any) -> str:
    """A name that is safe in a folder, a URL and a metric: letters, digits, `.`, `_`, `-`, at most 63."""
    name = text(value)
    if not _NAME.fullmatch(name):
        raise BadValue(f'a name has letters, digits, ".", "_" and "-", starts with a letter or digit and has at most 63 (got "{name}")')
    return name


def resolve_path(value: Any, *, base: Path, state: Path) -> Path:
    """An absolute path: `~` is the home folder, `STATE/..` lies below the state folder, the rest is relative to the config file."""
    raw = str(value) if isinstance(value, Path) else text(value)
    if not raw.strip() or "\0" in raw:
        raise BadValue("must be a path")
    if raw == STATE or raw.startswith(STATE + "/"):
        return Path(f"{state}{raw[len(STATE) :]}")
    return (base / Path(raw).expanduser()).absolute()


def user_id(name: str) -> int:
    """The numeric id of a user of this machine; a number stands for itself."""
    try:
        return int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid
    except KeyError:
        raise BadValue(f'this machine has no user "{name}"') from None


def group_id(name: str) -> int:
    """The numeric id of a group of this machine; a number stands for itself."""
    try:
        return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise BadValue(f'this machine has no group "{name}"') from None
