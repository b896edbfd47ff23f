"""The kit's push service: the HTTP provider with browsers behind it, whose subscriptions are the recipients' addresses.

All of its browsers have one key pair, so the kit can read what it gets (RFC 8291) and know its messages again. For channels whose
address is `push`; loads `cryptography` when such a channel is played.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from plugins.testing.http_peer import HttpPeer, Reply
from plugins.testing.peers import Act

AUTH = b"kit-auth-secret!"
SCALAR = int.from_bytes(b"the kit's browser has this key..", "big")
VAPID_KEY = base64.urlsafe_b64encode(b"the kit's provider has this key.").rstrip(b"=").decode("ascii")
"""A private key for settings that need one and were given none."""


class PushPeer(HttpPeer):
    """Answers 201 to what it takes, unless told otherwise."""

    def __init__(self, reply: Reply | None = None) -> None:
        super().__init__(reply or Reply(201, {"Location": "https://push.example.com/m/1"}, b""))
        self._read: set[int] = set()

    def settings(self) -> Mapping[str, Any]:
        return {"vapid_private_key": VAPID_KEY, "subject": "mailto:kit@example.com", "allow_hosts": [self.origin]}

    async def start(self) -> None:
        self._read = set()
        await super().start()

    def address_of(self, number: int) -> str:
        """The n-th recipient's subscription."""
        keys = {"p256dh": _encode(_point()), "auth": _encode(AUTH)}
        return json.dumps({"endpoint": f"{self.origin}/kit-push-{number:06d}", "keys": keys}, separators=(",", ":"))

    def seen(self) -> Sequence[Act]:
        for index, act in enumerate(self._acts):
            if act.complete and index not in self._read:
                self._read.add(index)
                act.data += b"\n" + _decrypt(bytes(act.data).partition(b"\r\n\r\n")[2])
        return self._acts


def _private() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.derive_private_key(SCALAR, ec.SECP256R1())


def _point() -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return bytes(_private().public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def _decrypt(body: bytes) -> bytes:
    """The words of a push; empty if it is none."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    salt, sender = body[:16], body[21:86]
    try:
        shared = _private().exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        material = _expand(_hmac(AUTH, shared), b"WebPush: info\0" + _point() + sender, 32)
        secret = _hmac(salt, material)
        key, nonce = _expand(secret, b"Content-Encoding: aes128gcm\0", 16), _expand(secret, b"Content-Encoding: nonce\0", 12)
        return AESGCM(key).decrypt(nonce, body[86:], None).rstrip(b"\0")[:-1]
    except (ValueError, InvalidTag):
        return b""


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _expand(secret: bytes, info: bytes, length: int) -> bytes:
    return _hmac(secret, info + b"\x01")[:length]


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")
