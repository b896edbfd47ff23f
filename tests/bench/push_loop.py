"""References of the push bench, one process each: `python -m tests.bench.push_loop floor N` and `.. pywebpush PORT N`.

floor: the crypto that no sender can do without (key, ECDH, HKDF, AES-128-GCM with `cryptography`, proof cached; facts: performance, §2),
nothing sent. pywebpush: a bare loop of `webpush_async` over one aiohttp session, as many at once as our pool, key and claims ready-made.
Prints `SECONDS CPU_SECONDS`.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import resource
import sys
import time

from plugins.testing.push_peer import VAPID_KEY

AT_ONCE = 96
"""Connections of either side: aiohttp's session opens a hundred at most, and our pool is divided among eight calls."""
PLAIN = b'{"title":"We miss you","body":"Hello Rani, your basket is still here. Come back for 15% off.","url":"https://shop.example.com/cart?x=1","id":"01JDXXXXXXXXX","token":"v1.0123abcd.0123456789abcdef0123456789abcdef"}'


def keys() -> tuple[bytes, bytes]:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    private = ec.derive_private_key(0xC0FFEE, ec.SECP256R1())
    return private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint), b"sixteen octets.."


def floor(count: int) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public, auth = keys()
    curve, ecdh, digest = ec.SECP256R1(), ec.ECDH(), hmac.digest
    for _ in range(count):
        private = ec.generate_private_key(curve)
        own = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        shared = private.exchange(ecdh, ec.EllipticCurvePublicKey.from_encoded_point(curve, public))
        material = digest(digest(auth, shared, "sha256"), b"WebPush: info\0" + public + own + b"\x01", "sha256")
        salt = os.urandom(16)
        secret = digest(salt, material, "sha256")
        key = digest(secret, b"Content-Encoding: aes128gcm\0\x01", "sha256")[:16]
        nonce = digest(secret, b"Content-Encoding: nonce\0\x01", "sha256")[:12]
        AESGCM(key).encrypt(nonce, PLAIN + b"\x02", None)


async def pywebpush_loop(port: int, count: int) -> None:
    import aiohttp
    import pywebpush
    from py_vapid import Vapid

    from channels.webpush.subscription import encode

    public, auth = keys()
    vapid = Vapid.from_string(VAPID_KEY)
    data = PLAIN.decode()
    left = iter(range(count))
    async with aiohttp.ClientSession() as session:

        async def work() -> None:
            for number in left:
                await pywebpush.webpush_async(
                    {"endpoint": f"http://127.0.0.1:{port}/push/{number}", "keys": {"p256dh": encode(public), "auth": encode(auth)}},
                    data, vapid_private_key=vapid, vapid_claims={"sub": "mailto:ops@shop.example.com"}, ttl=3600,
                    headers={"Urgency": "normal", "Topic": "abcdefghabcdefghabcdefghabcdefgh"}, aiohttp_session=session,
                )  # fmt: skip

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def main() -> None:
    if sys.argv[1] == "floor":
        floor(200)
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    if sys.argv[1] == "floor":
        floor(int(sys.argv[2]))
    else:
        asyncio.run(pywebpush_loop(int(sys.argv[2]), int(sys.argv[3])))
    spent, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    print(f"{spent:.6f} {after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime:.6f}")


if __name__ == "__main__":
    main()
