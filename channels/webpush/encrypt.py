"""Web push: the words of a message for one browser: RFC 8291 (keys) over RFC 8188 (aes128gcm), one record.

Done with the primitives of `cryptography` and `hashlib`, for speed; tests hold it against the RFC's own vector, PyPI's http-ece and npm's
web-push. A fresh key and salt for each message: they come from the system's generator, never from the seeded port.
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

RECORD = 4096
"""The record size in the header, and the most that a push service must take (RFC 8030 §7.2)."""
HEAD = 16 + 4 + 1 + 65
MAX_PLAIN = RECORD - HEAD - 16 - 1
"""3,993 octets: a body of 4,096 less header, tag and delimiter."""

_INNER = bytes(octet ^ 0x36 for octet in range(256))
_OUTER = bytes(octet ^ 0x5C for octet in range(256))
_FIXED = RECORD.to_bytes(4, "big") + b"\x41"


def mac(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104) for keys of at most 64 octets: 1.0 µs, where `hmac.digest` takes 2.7 µs (OpenSSL 3 looks the algorithm up
    anew each time), and a push needs six."""
    block = key.ljust(64, b"\0")
    return sha256(block.translate(_OUTER) + sha256(block.translate(_INNER) + data).digest()).digest()


class Encryptor:
    """Loads `cryptography` when made, so that whoever does not push does not pay for it."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._curve, self._ecdh, self._cipher = ec.SECP256R1(), ec.ECDH(), AESGCM
        self._generate, self._point = ec.generate_private_key, ec.EllipticCurvePublicKey.from_encoded_point
        self._spelling: tuple[Any, Any] = (Encoding.X962, PublicFormat.UncompressedPoint)

    def encrypt(
        self, plain: bytes, public: bytes, auth: bytes, *, private: EllipticCurvePrivateKey | None = None, salt: bytes | None = None
    ) -> bytes:
        """The body of the push. `public`: the browser's key (p256dh), `auth`: its secret. ValueError if the key is no point of the curve,
        or there are more than `MAX_PLAIN` octets. `private` and `salt` are for test vectors only."""
        if len(plain) > MAX_PLAIN:
            raise ValueError(f"{len(plain)} octets; a push takes {MAX_PLAIN}")
        receiver = self._point(self._curve, public)
        if private is None:
            private = self._generate(self._curve)
        if salt is None:
            salt = os.urandom(16)
        own = private.public_key().public_bytes(*self._spelling)
        secret = mac(auth, private.exchange(self._ecdh, receiver))
        material = mac(secret, b"WebPush: info\0" + public + own + b"\x01")
        secret = mac(salt, material)
        key = mac(secret, b"Content-Encoding: aes128gcm\0\x01")[:16]
        nonce = mac(secret, b"Content-Encoding: nonce\0\x01")[:12]
        return b"".join((salt, _FIXED, own, self._cipher(key).encrypt(nonce, plain + b"\x02", None)))
