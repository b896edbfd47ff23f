"""Web push: who we are, for a push service (RFC 8292): a signed token per origin, kept until well before it runs out.

The key is P-256; a subscription made under it takes pushes under no other one. Keys are made by `homing push keys`.
"""

from __future__ import annotations

import hmac
import json
from collections import OrderedDict
from typing import TYPE_CHECKING

from channels.webpush.encrypt import mac
from channels.webpush.subscription import decode, encode

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

LIFE = 12 * 3600
"""Seconds from signing to `exp`; RFC 8292 allows 24 hours, and a service's clock may be off."""
RENEW = 6 * 3600
"""A token is not used for longer than this."""
MOST = 1000
"""Origins whose tokens are kept."""

_HEADER = encode(b'{"typ":"JWT","alg":"ES256"}')


class BadKey(ValueError):
    """Not a private key of P-256."""


def load_key(text: str) -> EllipticCurvePrivateKey:
    """PEM (PKCS #8 or SEC 1, unencrypted) or the 32 octets of the key in base64url. BadKey."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = text.strip()
    try:
        if "-----BEGIN" in text:
            key = load_pem_private_key(text.encode("ascii"), password=None)
        else:
            octets = decode("".join(text.split()))
            if len(octets) != 32:
                raise BadKey(f"has {len(octets)} octets in base64url, not 32")
            key = ec.derive_private_key(int.from_bytes(octets, "big"), ec.SECP256R1())
    except BadKey:
        raise
    except Exception as error:
        raise BadKey("is neither PEM without a password nor 32 octets in base64url") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadKey("is no key of the curve P-256")
    return key


class Vapid:
    """Signs for each push service. `subject`: a mailto: or https: address where its operators reach us. BadKey."""

    def __init__(self, private_key: str, subject: str) -> None:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._key, self._subject = load_key(private_key), subject
        self._scheme, self._parts = ec.ECDSA(hashes.SHA256()), utils.decode_dss_signature
        self.public_key = encode(self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
        """What the browser wants as `applicationServerKey`."""
        secret = self._key.private_numbers().private_value.to_bytes(32, "big")
        self._topic_key = hmac.digest(secret, b"homing push topic", "sha256")
        self._tokens: OrderedDict[str, tuple[int, str]] = OrderedDict()

    def authorization(self, origin: str, now: float) -> str:
        """The header for a push to this origin at `now` (seconds of UTC)."""
        kept = self._tokens.get(origin)
        if kept is None or not 0 <= now - kept[0] < RENEW:
            at = int(now)
            kept = self._tokens[origin] = at, f"vapid t={self._sign(origin, at + LIFE)}, k={self.public_key}"
            if len(self._tokens) > MOST:
                self._tokens.popitem(last=False)
        return kept[1]

    def topic(self, *names: str) -> str:
        """32 characters that are the same for the same names and say nothing to a push service (RFC 8030 §5.4)."""
        return encode(mac(self._topic_key, "\0".join(names).encode("utf-8", "surrogatepass"))[:24])

    def _sign(self, origin: str, until: int) -> str:
        claims = json.dumps({"aud": origin, "exp": until, "sub": self._subject}, separators=(",", ":")).encode()
        signed = f"{_HEADER}.{encode(claims)}"
        r, s = self._parts(self._key.sign(signed.encode("ascii"), self._scheme))
        return f"{signed}.{encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
