"""Google: access tokens of a service account: a signed claim (RFC 7523, RS256) is exchanged at the key file's `token_uri`.

A token is asked for anew five minutes before its end, by one caller at a time, and once more when the platform says that it is not good.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from channels.audience_google.settings import Settings
from plugins import Context, Deferred, NotSent, Unknown

SCOPE = "https://www.googleapis.com/auth/datamanager"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFE_SECONDS = 3600
EARLY_SECONDS = 300.0


def _coded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class Tokens:
    """The token of one provider. `context` is the plugin's."""

    def __init__(self, context: Context[Settings]) -> None:
        """ValueError if the private key cannot be read."""
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        self._context = context
        self._file = context.settings.key_file()
        key = load_pem_private_key(self._file["private_key"].encode(), None)
        if not isinstance(key, RSAPrivateKey):
            raise TypeError("the private_key of the credentials is no RSA key")
        self._key = key
        self._token: str | None = None
        self._good_until = 0.0
        self._asking = asyncio.Lock()

    async def get(self, *, instead_of: str | None = None) -> str | Deferred | Unknown:
        """A good token. `instead_of`: one that was refused."""
        async with self._asking:
            if self._token is not None and self._token != instead_of and self._context.clock.monotonic() < self._good_until:
                return self._token
            return await self._ask()

    def claim(self) -> str:
        """The signed claim of now."""
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        now = int(self._context.clock.now().timestamp())
        header = {"alg": "RS256", "typ": "JWT"} | ({"kid": kid} if (kid := self._file.get("private_key_id")) else {})
        claims = {
            "iss": self._file["client_email"], "scope": SCOPE, "aud": self._file["token_uri"], "iat": now, "exp": now + LIFE_SECONDS
        }  # fmt: skip
        signed = b".".join(_coded(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        return (signed + b"." + _coded(self._key.sign(signed, PKCS1v15(), SHA256()))).decode()

    async def _ask(self) -> str | Deferred | Unknown:
        import aiohttp

        self._token = None
        asked = self._context.clock.monotonic()
        form = {"grant_type": GRANT, "assertion": self.claim()}
        try:
            async with self._context.http.post(self._file["token_uri"], data=form) as reply:
                answer: Any = json.loads(await reply.text())
                if reply.status == 429:
                    return Deferred(scope="provider", after=reply.headers.get("Retry-After"), code="token/429", throttled=True)
                if reply.status >= 500:
                    return Deferred(scope="provider", code=f"token/{reply.status}")
                if reply.status != 200 or not isinstance(answer, dict) or not isinstance(answer.get("access_token"), str):
                    why = str(answer.get("error", reply.status) if isinstance(answer, dict) else reply.status)[:60]
                    return Deferred(scope="operator", code=f"token/{why}", detail="Google gives no token for these credentials")
        except NotSent as error:
            return Deferred(scope="provider", code="not_sent", detail=type(error).__name__, nothing_sent=True)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return Deferred(scope="provider", code=f"token/{type(error).__name__}", nothing_sent=True)
        token: str = answer["access_token"]
        life = answer.get("expires_in")
        self._good_until = asked + max((life if isinstance(life, int | float) else LIFE_SECONDS) - EARLY_SECONDS, 0.0)
        self._token = token
        return token
