"""Web push: which addresses may be posted to. An endpoint comes from a browser, so from anybody: only push services that the operator
trusts, by exact host name or by a suffix with a dot before it, over https, on the usual port, without a user's name in it.

An entry with a scheme (`http://127.0.0.1:9000`) allows that one origin; plain http only on this machine, for tests. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from plugins import SettingError
from plugins.http import is_loopback

WELL_KNOWN = (
    "fcm.googleapis.com",
    "*.push.services.mozilla.com",
    "*.notify.windows.com",
    "web.push.apple.com",
    "*.push.apple.com",
)
"""The push services of Chrome, Edge and others, Firefox, old Edge, Safari."""
MAX_ENDPOINT = 2000
"""Characters."""

_name = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
MOST_KNOWN = 1000
"""Authorities that were found good and need not be taken apart again."""

_plain = re.compile(r"https?://[A-Za-z0-9.:-]+/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")
_visible = re.compile(r"[\x21-\x7e]+")


class BadEndpoint(ValueError):
    """The address of a subscription is none that we would post to."""


class Endpoint(NamedTuple):
    """Where to post. `origin`: scheme and authority, which is also the audience of the proof (RFC 8292 §2). `path` with the query."""

    url: str
    origin: str
    host: str
    port: int
    path: str


class AllowList:
    """`entries`: "host", "*.suffix" or an origin. SettingError for each that is none of these."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._hosts: set[str] = set()
        self._suffixes: list[str] = []
        self._origins: set[str] = set()
        self._known: dict[str, Endpoint] = {}
        for entry in entries:
            self._add(entry.strip().lower())

    def _add(self, entry: str) -> None:
        if "://" in entry:
            self._origins.add(_origin_entry(entry))
        elif entry.startswith("*.") and _name.fullmatch(entry[2:]):
            self._suffixes.append(entry[1:])
        elif _name.fullmatch(entry):
            self._hosts.add(entry)
        else:
            raise SettingError("allow_hosts", f'"{entry}" is no host name, "*.suffix" or origin such as "https://push.example.com:8443"')

    def check(self, url: str) -> Endpoint:
        """The endpoint in its parts. BadEndpoint with what is wrong."""
        if not 0 < len(url) <= MAX_ENDPOINT or _plain.fullmatch(url) is None:
            return self._check(url)
        authority = url[: url.find("/", 8)]  # up to the path: what all endpoints of a push service share
        known = self._known.get(authority)
        if known is None:
            known = self._check(url)
            if len(self._known) < MOST_KNOWN:
                self._known[authority] = known
        return Endpoint(url, known.origin, known.host, known.port, url[len(authority) :])

    def _check(self, url: str) -> Endpoint:
        if not 0 < len(url) <= MAX_ENDPOINT or _visible.fullmatch(url) is None or "\\" in url:
            raise BadEndpoint("is no address of a push service")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise BadEndpoint("is no address of a push service") from None
        host = parts.hostname or ""
        if parts.username is not None or parts.password is not None or "@" in parts.netloc:
            raise BadEndpoint("has a user's name in it")
        if parts.fragment or "#" in url:
            raise BadEndpoint("has a fragment")
        origin = f"{parts.scheme}://{parts.netloc.lower()}"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if origin in self._origins:
            return Endpoint(url, origin, host, port or (443 if parts.scheme == "https" else 80), path)
        if parts.scheme != "https":
            raise BadEndpoint("is not https")
        if port not in (None, 443) or parts.netloc.lower() not in (host, f"{host}:443"):
            raise BadEndpoint("names another port than 443")
        if not (host in self._hosts or (_name.fullmatch(host) and any(host.endswith(suffix) for suffix in self._suffixes))):
            raise BadEndpoint("is not of a push service in allow_hosts")
        return Endpoint(url, f"https://{host}", host, 443, path)


def _origin_entry(entry: str) -> str:
    try:
        parts = urlsplit(entry)
        fits = bool(parts.hostname) and parts.scheme in ("http", "https") and not parts.query and not parts.fragment
        _ = parts.port
    except ValueError:
        fits = False
    if not fits or parts.path not in ("", "/") or "@" in entry:
        raise SettingError("allow_hosts", f'"{entry}" is no origin such as "https://push.example.com:8443"')
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise SettingError("allow_hosts", f'"{entry}": http is for a push service on this machine only')
    return f"{parts.scheme}://{parts.netloc}"
