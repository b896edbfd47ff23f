"""Web push: the keys of a `[providers.NAME]` table with `plugin = "webpush"`, checked before anything is opened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from channels.webpush.hosts import WELL_KNOWN, AllowList
from plugins import Secret, SettingError

_mailto = re.compile(r"mailto:[^\s@,?]+@[^\s@,?]+\.[^\s@,?]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The provider's keys.

    vapid_private_key: as `homing push keys` makes it (PEM, or 32 octets in base64url). subject: a mailto: or https: address where the
    push services reach you. allow_hosts: push services that may be posted to: "host", "*.suffix", or an origin; by default the well-known
    ones. origins: web sites that may register subscriptions and report clicks from the browser ("https://shop.example.com"). pool: pushes
    on their way at once, at most.
    """

    vapid_private_key: Secret
    subject: str
    allow_hosts: tuple[str, ...] = WELL_KNOWN
    origins: tuple[str, ...] = ()
    pool: int = 64

    def __post_init__(self) -> None:
        problems = []
        if _mailto.fullmatch(self.subject) is None and not _is_https(self.subject):
            problems.append(SettingError("subject", "must be a mailto: or https: address, such as mailto:ops@shop.example.com"))
        if not self.allow_hosts:
            problems.append(SettingError("allow_hosts", "is empty: nothing could be sent"))
        for entry in self.allow_hosts:
            try:
                AllowList((entry,))
            except SettingError as error:
                problems.append(error)
        problems += [
            SettingError("origins", f'"{origin}" is no origin such as "https://shop.example.com" (no path, no final slash)')
            for origin in self.origins
            if not is_origin(origin)
        ]
        if not 0 < self.pool <= 1000:
            problems.append(SettingError("pool", "must be between 1 and 1000"))
        if problems:
            raise ExceptionGroup("the settings of a web push provider", problems)


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and not any(character.isspace() for character in url)


def is_origin(text: str) -> bool:
    """Scheme, host and perhaps port, as a browser spells it in `Origin`."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("https", "http") and bool(parts.hostname) and text == f"{parts.scheme}://{parts.netloc}" == text.lower()
