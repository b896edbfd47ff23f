"""How the kit leads a channel to its peer: which peer fits its settings, and what in them is replaced.

HTTP: every http(s) address among the values and defaults, and required settings called url, base_url or the like. SMTP: host, port and tls.
A folder: the setting called folder. Secrets that are required and not given get a value that is easy to find in a log.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard, get_type_hints

from plugins.contract import Secret
from plugins.settings import field_keys, read_settings
from plugins.testing.http_peer import URL_NAMES, HttpPeer, Reply
from plugins.testing.peers import FolderPeer, NoPeer, Peer
from plugins.testing.push_peer import PushPeer
from plugins.testing.smtp_peer import SmtpPeer

KIT_SECRET = "kit-secret-7f3a91c0"  # noqa: S105  # no secret: a value to look for in logs
SENDER = "Homing Kit <kit@example.com>"
UNUSED = ("username", "password", "relays")
"""Settings of an SMTP channel that would lead it elsewhere or ask for what the kit's server does not offer."""


def choose_peer(settings_type: type[Any], channel: str, address: str, given: Peer | None, reply: Reply | None) -> tuple[Peer, str]:
    """The peer for a channel that needs this kind of address, and its name for the report."""
    keys = field_keys(settings_type).keys()
    if given is None and address == "push" and "folder" not in keys:
        return PushPeer(reply), "push service of the kit"
    if given is not None:
        return given, f"your {type(given).__name__}"
    if reply is not None or any(name in keys for name in URL_NAMES) or any("url" in key for key in keys):
        return HttpPeer(reply), "HTTP server of the kit"
    if channel == "email" and "host" in keys:
        return SmtpPeer(), "SMTP server of the kit"
    if "folder" in keys:
        return FolderPeer(), "folder of the kit"
    return NoPeer(), "none: only what is asked and reported is judged"


async def lead_to(peer: Peer, settings: Any) -> str | None:
    """Let the author's own server answer, if the settings name one on this machine; a note for the report, if so."""
    if isinstance(peer, HttpPeer):
        for value in _table(settings).values():
            if isinstance(value, str) and value.startswith("http://") and await peer.pass_on_to(value):
                return f"requests were passed on to {value}, which answered them"
    return None


def settings_maker(settings_type: type[Any], settings: Any, peer: Peer) -> Callable[[Mapping[str, Any]], Any]:
    """A function from `peer.settings()` to the settings of a channel that leads there."""
    table = _table(settings)

    def make(peers_own: Mapping[str, Any]) -> Any:
        led = {key: _led(value, peer) for key, value in table.items()}
        return read_settings(settings_type, led | _of_peer(settings_type, led, peers_own, peer), literals=True)

    return make


def _table(settings: Any) -> dict[str, Any]:
    if settings is None:
        return {}
    if isinstance(settings, Mapping):
        return dict(settings)
    return {key: getattr(settings, field.name) for key, field in field_keys(type(settings)).items()}


def _led(value: Any, peer: Peer) -> Any:
    """The value with each http(s) address in it led to the HTTP peer."""
    if not isinstance(peer, HttpPeer):
        return value
    if _is_url(value):
        return peer.lead(value)
    if isinstance(value, list | tuple):
        return type(value)(_led(each, peer) for each in value)
    if isinstance(value, dict):
        return {key: _led(each, peer) for key, each in value.items()}
    return value


def _of_peer(settings_type: type[Any], table: Mapping[str, Any], peers_own: Mapping[str, Any], peer: Peer) -> dict[str, Any]:
    """What the peer puts into the settings, and values for what is required and missing."""
    fields, hints = field_keys(settings_type), get_type_hints(settings_type)
    missing = {
        key
        for key, field in fields.items()
        if key not in table and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    own: dict[str, Any] = {key: Secret(KIT_SECRET) for key in missing if hints[fields[key].name] is Secret}
    if isinstance(peer, PushPeer):
        return own | {key: value for key, value in peers_own.items() if key in missing or key == "allow_hosts"}
    if isinstance(peer, HttpPeer):
        own |= {key: peer.lead(field.default) for key, field in fields.items() if key not in table and _is_url(field.default)}
        return own | {key: peer.origin for key in missing if key in URL_NAMES or "url" in key}
    if isinstance(peer, SmtpPeer):
        own |= {key: SENDER for key in missing if key == "from"}
        own |= {key: _empty(fields[key]) for key in UNUSED if key in table and key in fields and key not in missing}
    return own | {key: value for key, value in peers_own.items() if key in fields or not isinstance(peer, SmtpPeer)}


def _is_url(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _empty(field: dataclasses.Field[Any]) -> Any:
    """The default of an optional setting."""
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
