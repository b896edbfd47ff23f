"""Web push: a browser's subscription as the address of a message: JSON text `{"endpoint", "keys": {"p256dh", "auth"}}` (Push API).

What comes from a browser is checked whole once (`read_strictly`: the key must be a point of the curve) and kept in one spelling; what
comes out of the store is only taken apart (`read`). Keys: base64url, p256dh 65 octets uncompressed, auth 16 octets (RFC 8291 §3.1, 3.2).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from channels.webpush.hosts import AllowList, BadEndpoint, Endpoint

MAX_TEXT = 4096
_own = re.compile(
    r'\{"endpoint":"([A-Za-z0-9._~!$&\'()*+,;=:@%/?-]+)","keys":\{"p256dh":"([A-Za-z0-9_-]{87})","auth":"([A-Za-z0-9_-]{22})"\}\}'
)
"""As `spell` writes it, of an endpoint without anything that JSON would escape: what nearly all texts out of the store are."""
_canonical = re.compile(r"(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2,3})?")
_OLD = bytes.maketrans(b"-_", b"+/")


class BadSubscription(ValueError):
    """It can never be sent to; the text says why, without quoting it."""


class Subscription(NamedTuple):
    """`text`: as the address of the message was given, by which it is named in `gone`."""

    text: str
    endpoint: Endpoint
    public: bytes
    auth: bytes


def read(text: str, allowed: AllowList) -> Subscription:
    """BadSubscription if it is none, or not of a push service that is allowed (now)."""
    if len(text) > MAX_TEXT:
        raise BadSubscription("is longer than any subscription")
    if (match := _own.fullmatch(text)) is not None:
        endpoint, public, auth = match.groups()
        return _subscription(text, endpoint, _plain(public, b"="), _plain(auth, b"=="), allowed)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise BadSubscription("is no JSON") from None
    if not isinstance(data, dict):
        raise BadSubscription("is no JSON object")
    return read_object(data, allowed, text)


def read_object(data: Mapping[str, Any], allowed: AllowList, text: str = "") -> Subscription:
    """The same from an object."""
    endpoint, keys = data.get("endpoint"), data.get("keys")
    if not isinstance(endpoint, str) or not isinstance(keys, dict):
        raise BadSubscription("has no endpoint or no keys")
    return _subscription(text, endpoint, _octets(keys.get("p256dh"), "p256dh"), _octets(keys.get("auth"), "auth"), allowed)


def _subscription(text: str, endpoint: str, public: bytes, auth: bytes, allowed: AllowList) -> Subscription:
    try:
        where = allowed.check(endpoint)
    except BadEndpoint as error:
        raise BadSubscription(f"endpoint {error}") from None
    if len(public) != 65 or public[0] != 4:
        raise BadSubscription("keys.p256dh is not 65 octets of an uncompressed point")
    if len(auth) != 16:
        raise BadSubscription("keys.auth is not 16 octets")
    return Subscription(text, where, public, auth)


def read_strictly(data: Mapping[str, Any], allowed: AllowList) -> tuple[str, str]:
    """A browser's subscription: its endpoint, and all of it in the one spelling that is kept. BadSubscription, also for a key that is no
    point of P-256."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

    found = read_object(data, allowed)
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), found.public)
    except ValueError:
        raise BadSubscription("keys.p256dh is no point of P-256") from None
    text = spell(found.endpoint.url, found.public, found.auth)
    if len(text) > MAX_TEXT:
        raise BadSubscription("is longer than any subscription")
    return found.endpoint.url, text


def spell(endpoint: str, public: bytes, auth: bytes) -> str:
    """The one spelling."""
    return json.dumps({"endpoint": endpoint, "keys": {"p256dh": encode(public), "auth": encode(auth)}}, separators=(",", ":"))


def encode(octets: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """base64url with or without padding, also in the old alphabet. ValueError."""
    if _canonical.fullmatch(text) is not None:  # what we have written ourselves
        return _plain(text, b"=" * (-len(text) % 4))
    plain = text.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def _plain(text: str, padding: bytes) -> bytes:
    return binascii.a2b_base64(text.encode("ascii").translate(_OLD) + padding)


def _octets(value: object, name: str) -> bytes:
    if not isinstance(value, str) or len(value) > 200 or not value.isascii():
        raise BadSubscription(f"has no keys.{name}")
    try:
        return decode(value)
    except ValueError:
        raise BadSubscription(f"keys.{name} is no base64url") from None
