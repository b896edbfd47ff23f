"""A local push service (RFC 8030) with browsers behind it: takes pushes, checks who sent them, decrypts and keeps what a page would see.

The checks are another hand's than the channel's: PyJWT for the proof (RFC 8292), http-ece for the words (RFC 8291).
`new_subscription` makes what a browser gives a page; its address may name a fault: a status (`404`, `410`, `413`, `400`, `401`, `403`,
`429`, `503`), `500` (takes the push, then says so), `hang` and `drop` (take it and never answer, or hang up), `slow` (201, then a body
that does not end), `redirect`, `garbage`. `fault` does the same to all. Keys come from `seed` and the browser's number. Loopback only.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.clock import Clock, iso
from plugins.testing.listening import Listener

RETRY_AFTER = 7
MAX_BODY = 4096
MAX_TTL = 28 * 86_400
DAY = 86_400
SLOW_SECONDS = 30.0
_PATH = re.compile(r"/push/(?:([a-z0-9]+)-)?b(\d{1,9})")
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
_TAKEN = {"500": 500, "hang": 0, "drop": 0, "slow": 201, "garbage": 0}
"""Faults that strike after the push was taken, and what is answered."""
_URGENCIES = ("very-low", "low", "normal", "high")


class RefusedError(Exception):
    """What a push breaks, and the status that says so."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One push that was taken. `payload`: the decrypted JSON; `status`: what was answered, 0 = nothing."""

    n: int
    browser: int
    payload: Any
    ttl: int
    urgency: str
    topic: str | None
    octets: int
    status: int
    at: str

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class PushService:
    """The service: `start` binds (port 0 takes a free one), `stop` closes; both may be called twice. `log`: a file that gets one JSON line
    a request, refused ones too. `pushes`: what was taken; `refused`: (status, why) of the rest."""

    def __init__(self, clock: Clock, *, host: str = "127.0.0.1", port: int = 0, log: Path | None = None, seed: bytes = b"sandbox") -> None:
        self._clock, self._host, self.port, self._log, self._seed = clock, host, port, log, seed
        self.pushes: list[Push] = []
        self.refused: list[tuple[int, str]] = []
        self.fault: str | None = None
        self.retry_after: int | str = RETRY_AFTER
        self.connections = 0
        """How many were ever made."""
        self.tell: Callable[[Push], object] | None = None
        """Called with each push that is taken."""
        self._browsers: dict[int, str | None] = {}
        self._listener: Listener | None = None

    @property
    def origin(self) -> str:
        return f"http://{self._host}:{self.port}"

    async def start(self) -> None:
        """OSError if the port is taken."""
        if self._listener is None:
            listener = Listener(self._converse)
            self.port = await listener.start(self._host, self.port)
            self._listener = listener

    async def stop(self) -> None:
        if self._listener is not None:
            await self._listener.stop()
            self._listener = None

    def new_subscription(self, fault: str | None = None, *, key: str | None = None) -> dict[str, Any]:
        """What `PushSubscription.toJSON()` gives a page. `key`: the application server key that it is bound to, base64url."""
        number = len(self._browsers) + 1
        self._browsers[number] = key
        private, auth = self._keys(number)
        name = f"{fault}-b{number}" if fault else f"b{number}"
        return {
            "endpoint": f"{self.origin}/push/{name}",
            "expirationTime": None,
            "keys": {"p256dh": _encode(_point(private)), "auth": _encode(auth)},
        }

    @property
    def vapid_private_key(self) -> str:
        """A shop's own key, for a config that leads here: base64url, the same for the same seed."""
        return _encode(self._scalar(0).to_bytes(32))

    def _scalar(self, number: int) -> int:
        return int.from_bytes(hmac.digest(self._seed, b"key %d" % number, "sha256"), "big") >> 1 or 1

    def _keys(self, number: int) -> tuple[Any, bytes]:
        from cryptography.hazmat.primitives.asymmetric import ec

        return ec.derive_private_key(self._scalar(number), ec.SECP256R1()), hashlib.sha256(self._seed + b"auth %d" % number).digest()[:16]

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while await self._serve(reader, writer):
            await writer.drain()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; False when the connection is to be closed."""
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ", 2)
        head = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        body = await reader.readexactly(int(head.get("content-length", "0")))
        found = _PATH.fullmatch(path)
        fault = self.fault or (found[1] if found else None)
        try:
            if found is None or int(found[2]) not in self._browsers:
                raise RefusedError(404, "no such subscription")
            if fault is not None and fault not in _TAKEN:
                return self._refuse(writer, fault)
            push = self._take(method, int(found[2]), head, body, _TAKEN.get(fault or "", 201))
        except RefusedError as error:
            self._note({"refused": error.why, "status": error.status})
            self.refused.append((error.status, error.why))
            return _answer(writer, error.status, {}, json.dumps({"message": error.why}).encode())
        return await self._misbehave(writer, fault, push)

    def _refuse(self, writer: asyncio.StreamWriter, fault: str) -> bool:
        head: dict[str, str] = {}
        if fault in ("429", "503"):
            head["Retry-After"] = str(self.retry_after)
        status = int(fault) if fault.isdigit() else 307
        if fault == "redirect":
            head["Location"] = f"{self.origin}/push/b1"
        words = {"400": "VapidPkHashMismatch", "401": "Unauthorized", "403": "the VAPID credentials do not correspond"}.get(fault, fault)
        self._note({"refused": f"fault {fault}", "status": status})
        self.refused.append((status, f"fault {fault}"))
        return _answer(writer, status, head, words.encode())

    async def _misbehave(self, writer: asyncio.StreamWriter, fault: str | None, push: Push) -> bool:
        if fault == "hang":
            await asyncio.Event().wait()
        if fault == "drop":
            return False
        if fault == "garbage":
            writer.write(b"\x00\x01\x02 this is not HTTP\r\n\r\n")
            await writer.drain()
            return False
        if fault == "slow":
            writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\nx")
            await writer.drain()
            await self._clock.sleep(SLOW_SECONDS)
            return False
        return _answer(writer, push.status, {"Location": f"{self.origin}/message/{push.n}"}, b"")

    def _take(self, method: str, browser: int, head: Mapping[str, str], body: bytes, status: int) -> Push:
        """Check it whole; RefusedError."""
        if method != "POST":
            raise RefusedError(405, "pushes are posted")
        ttl = head.get("ttl", "")
        if not ttl.isascii() or not ttl.isdigit() or int(ttl) > MAX_TTL:
            raise RefusedError(400, f"TTL: {ttl!r} is not 0 to {MAX_TTL}")
        urgency, topic = head.get("urgency", "normal"), head.get("topic")
        if urgency not in _URGENCIES:
            raise RefusedError(400, f"Urgency: {urgency!r}")
        if topic is not None and not _TOPIC.fullmatch(topic):
            raise RefusedError(400, f"Topic: {topic!r} is not 32 characters of base64url")
        if head.get("content-encoding") != "aes128gcm":
            raise RefusedError(415, "Content-Encoding is not aes128gcm")
        if len(body) > MAX_BODY:
            raise RefusedError(413, f"{len(body)} octets")
        self._check_proof(head.get("authorization", ""), self._browsers[browser])
        payload = self._decrypt(browser, body)
        push = Push(
            n=len(self.pushes) + 1, browser=browser, payload=payload, ttl=int(ttl), urgency=urgency, topic=topic, octets=len(body),
            status=status, at=iso(self._clock.instant()),
        )  # fmt: skip
        self.pushes.append(push)
        self._note(push.as_json())
        if self.tell is not None:
            self.tell(push)
        return push

    def _check_proof(self, authorization: str, bound: str | None) -> None:
        """RFC 8292: `vapid t=JWT, k=KEY`, signed by that key, for this origin, for at most a day, with a contact."""
        import jwt
        from cryptography.hazmat.primitives.asymmetric import ec

        scheme, _, rest = authorization.partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
        if scheme.lower() != "vapid" or not {"t", "k"} <= parts.keys():
            raise RefusedError(401, "Authorization is not `vapid t=.., k=..`")
        try:
            key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _decode(parts["k"]))
            claims = jwt.decode(
                parts["t"], key, algorithms=["ES256"], audience=self.origin, options={"verify_exp": False, "require": ["exp", "sub", "aud"]}
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise RefusedError(401, f"the VAPID token: {error}") from error
        now = self._clock.instant() / 1_000_000
        if not isinstance(claims["exp"], int) or not now < claims["exp"] <= now + DAY:
            raise RefusedError(401, f"the VAPID token ends {claims['exp']}, now is {now:.0f}: not within a day")
        if not str(claims["sub"]).startswith(("mailto:", "https:")):
            raise RefusedError(401, "the VAPID token has no contact in sub")
        if bound is not None and parts["k"] != bound:
            raise RefusedError(403, "the VAPID key is not the one of the subscription")

    def _decrypt(self, browser: int, body: bytes) -> Any:
        import http_ece

        private, auth = self._keys(browser)
        try:
            return json.loads(http_ece.decrypt(body, private_key=private, auth_secret=auth, version="aes128gcm"))
        except Exception as error:
            raise RefusedError(400, f"a browser could not read it: {type(error).__name__}: {error}") from error

    def _note(self, entry: Mapping[str, Any]) -> None:
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """All entries of a log, in the order of arrival. A half-written last line is left out."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines[:-1]]


def _answer(writer: asyncio.StreamWriter, status: int, head: Mapping[str, str], body: bytes) -> bool:
    lines = [f"HTTP/1.1 {status} sandbox", *(f"{name}: {value}" for name, value in head.items()), f"Content-Length: {len(body)}"]
    writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
    return True


def _point(private: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return bytes(private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
