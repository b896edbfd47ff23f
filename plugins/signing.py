"""Standard Webhooks 1.0, the signing side: what a secret's bytes are, and the headers under which a body goes out."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable

from plugins.contract import Secret

PREFIX = "whsec_"
SHORTEST_SECRET = 16


def key_of(secret: Secret) -> bytes:
    """The bytes that sign: base64 behind `whsec_`, else the text itself. ValueError if it is no base64."""
    value = secret.reveal()
    if not value.startswith(PREFIX):
        return value.encode()
    try:
        return base64.b64decode(value.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"what stands behind {PREFIX} is no base64: {error}") from None


def keys_of(*secrets: Secret | None) -> list[bytes]:
    """Of those that there are, in their order."""
    return [key_of(secret) for secret in secrets if secret is not None]


def fault_of_secret(secret: Secret) -> str | None:
    """Why it may not sign, or None."""
    try:
        short = len(key_of(secret)) < SHORTEST_SECRET
    except ValueError as error:
        return str(error)
    return f"is shorter than {SHORTEST_SECRET} bytes" if short else None


def sign(key: bytes, id: str, timestamp: str, body: bytes) -> str:
    """One signature of the header: `v1,..`."""
    digest = hmac.digest(key, b".".join((id.encode(), timestamp.encode(), body)), "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def signed_headers(keys: Iterable[bytes], id: str, timestamp: str, body: bytes) -> dict[str, str]:
    """For a JSON body. `timestamp`: seconds since 1970, as text; one signature a key."""
    return {
        "Content-Type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(sign(key, id, timestamp, body) for key in keys),
    }
