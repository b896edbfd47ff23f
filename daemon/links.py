"""GROUND: keyed tokens for the links in messages, e.g. the unsubscribe link of a delivery.

A token is bound to one purpose (a click token can never unsubscribe) and carries only a delivery's integer id; it says
nothing about the person and never expires. Keys live in a ring file of mode 0600 in the state folder: the newest mints,
all of them verify, so that who adds a line leaves the links of sent mail alive. Does not know what a purpose does: `daemon/web`
reads tokens, `daemon/dispatch` mints them.

    token = v1.KID.base64url(payload of 8 bytes || first 16 bytes of HMAC-SHA256(HMAC-SHA256(secret, purpose), payload))
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.disk import Disk
from daemon.errors import ConfigError, Problem
from daemon.ids import MAX_ID, Ids, decode_id, encode_id

UNSUBSCRIBE = "unsubscribe"
"""The purpose of `/u/{token}`."""
COUNTDOWN = "countdown"
"""The purpose of the token in `/d/{token}.png`: the end of which message's offer the image counts down to."""
PREFERENCES = "preferences"
"""The purpose of `/p/{token}`."""
PUSH_CLICK = "push-click"
"""The purpose of the token in a push: which delivery a click that the browser reports is about."""
PUSH_JOIN = "push-join"
"""The purpose of the token by which a browser is registered: whose it is. With the period in which it was made."""
JOIN_PERIOD = 30 * 86_400
"""Seconds. A join token is good for the rest of its period and all of the next."""
CODES = "codes"
"""The purpose of the secret that codes of offers are made from."""
HOOK = "hook"
"""The purpose of the token in `/hooks/{provider}?t=TOKEN`: which delivery a provider's feedback is about."""

_SECRET_BYTES = 32
_MAC_BYTES = 16
_BLOCK = 64
"""Bytes of a block of SHA-256."""
_TOKEN = re.compile(r"v1\.([0-9a-f]{8})\.([A-Za-z0-9_-]{32})")
_LINE = re.compile(r"([0-9a-f]{8}) ([0-9a-f]{64})")
_HEADER = "# Keys of the links in sent messages, newest last. Losing a line kills the links minted with it.\n"


@dataclass(frozen=True, slots=True)
class LinkKey:
    """One key of the ring: `id` is public (8 characters), `secret` 32 bytes."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"LinkKey({self.id})"


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys, newest last; never empty."""

    keys: tuple[LinkKey, ...]

    @staticmethod
    def fresh(ids: Ids) -> KeyRing:
        """A ring with one new key, in memory only."""
        return KeyRing((_new_key(ids),))


def open_ring(path: Path, disk: Disk, ids: Ids) -> KeyRing:
    """Read the ring file, or create it with one key if there is none. ConfigError if the file is unsafe or broken.

    The caller holds the state lock: one process writes here.
    """
    try:
        return _read_ring(path, disk)
    except FileNotFoundError:
        ring = KeyRing.fresh(ids)
        disk.write_atomic(path, _spell(ring), mode=0o600)
        return ring


class Links:
    """Mints and reads tokens, and spells the public addresses that carry them."""

    def __init__(self, ring: KeyRing, public_url: str) -> None:
        self._public_url = public_url.rstrip("/")
        self._secrets = {key.id: key.secret for key in ring.keys}
        self._newest = ring.keys[-1].id
        self._bound: dict[tuple[str, str], tuple[Any, Any]] = {}
        """(key, purpose) -> HMAC's two hashes with the key in them (RFC 2104): a token then costs a third."""

    def mint(self, purpose: str, payload: int) -> str:
        """A token for `payload` (0 .. 2**63 - 1), good for `purpose` only. ValueError outside that range."""
        if not 0 <= payload <= MAX_ID:
            raise ValueError(f"{payload} is not a 63-bit id")
        data = payload.to_bytes(8, "big")
        mac = self._mac(self._newest, purpose, data)
        return f"v1.{self._newest}.{base64.urlsafe_b64encode(data + mac).decode('ascii')}"

    def read(self, purpose: str, token: str) -> int | None:
        """The payload if the token is whole, ours and for this purpose, else None. The code is compared in constant time."""
        match = _TOKEN.fullmatch(token)
        if match is None or match[1] not in self._secrets:
            return None
        raw = base64.urlsafe_b64decode(match[2])
        data, mac = raw[:8], raw[8:]
        if not hmac.compare_digest(mac, self._mac(match[1], purpose, data)):
            return None
        return int.from_bytes(data, "big")

    def secret(self, purpose: str) -> bytes:
        """32 bytes that nobody outside can know, of the newest key and good for one purpose only."""
        return hmac.digest(self._secrets[self._newest], purpose.encode(), "sha256")

    def unsubscribe_url(self, delivery_id: int) -> str:
        """The address for `List-Unsubscribe` and for `{{ unsubscribe_url }}`: GET shows a page, POST acts."""
        return f"{self._public_url}/u/{self.mint(UNSUBSCRIBE, delivery_id)}"

    def preferences_url(self, delivery_id: int) -> str:
        """The address for `{{ preferences_url }}`: GET shows a page, POST acts."""
        return f"{self._public_url}/p/{self.mint(PREFERENCES, delivery_id)}"

    def countdown_url(self, delivery_id: int) -> str:
        """The address for `{{ countdown_url }}`: an image that counts down to the end of the message's offer."""
        return f"{self._public_url}/d/{self.mint(COUNTDOWN, delivery_id)}.png"

    def hook_url(self, provider: str) -> str:
        """Where a provider posts its feedback, as the world reaches it; without a query."""
        return f"{self._public_url}/hooks/{provider}"

    def sign_hook(self, delivery: str) -> str:
        """A delivery's public id as a token for `hook_url(..)?t=`. ValueError if it is no id."""
        number = decode_id(delivery)
        if number is None:
            raise ValueError(f"{delivery!r} is not a delivery's id")
        return self.mint(HOOK, number)

    def read_hook(self, token: str) -> str | None:
        """The delivery's public id in a token of `sign_hook`, None if it is not ours."""
        number = self.read(HOOK, token)
        return None if number is None else encode_id(number)

    def join_token(self, person: int, now: float) -> str:
        """By which a browser may be registered for this person (the store's number), for 30 to 60 days. `now`: seconds of UTC."""
        return self.mint(f"{PUSH_JOIN} {int(now // JOIN_PERIOD)}", person)

    def read_join(self, token: str, now: float) -> int | None:
        """The person of a join token; None if it is not ours or too old."""
        period = int(now // JOIN_PERIOD)
        for purpose in (f"{PUSH_JOIN} {period}", f"{PUSH_JOIN} {period - 1}"):
            if (person := self.read(purpose, token)) is not None:
                return person
        return None

    def _mac(self, key: str, purpose: str, data: bytes) -> bytes:
        bound = self._bound.get((key, purpose))
        if bound is None:
            secret = hmac.digest(self._secrets[key], b"homing link v1 " + purpose.encode("ascii"), "sha256").ljust(_BLOCK, b"\0")
            bound = hashlib.sha256(bytes(byte ^ 0x36 for byte in secret)), hashlib.sha256(bytes(byte ^ 0x5C for byte in secret))
            self._bound[key, purpose] = bound
        inner, outer = bound[0].copy(), bound[1].copy()
        inner.update(data)
        outer.update(inner.digest())
        mac: bytes = outer.digest()[:_MAC_BYTES]
        return mac


def _new_key(ids: Ids) -> LinkKey:
    return LinkKey(ids.token_bytes(4).hex(), ids.token_bytes(_SECRET_BYTES))


def _spell(ring: KeyRing) -> bytes:
    return (_HEADER + "".join(f"{key.id} {key.secret.hex()}\n" for key in ring.keys)).encode("ascii")


def _read_ring(path: Path, disk: Disk) -> KeyRing:
    try:
        file = disk.open_regular(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _broken(path, 1, f"cannot be read: {error.strerror}") from error
    with file:
        mode = disk.status_of(file).st_mode
        content = file.read(1_000_000)
    if mode & 0o077:
        raise _broken(path, 1, f"others may read it (mode {stat.S_IMODE(mode):o}); run: chmod 600 {path}")
    keys: list[LinkKey] = []
    for number, line in enumerate(content.decode("ascii", "replace").splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise _broken(path, number, "is not `KEYID HEXSECRET`; restore the file from a backup, else links in sent mail die")
        keys.append(LinkKey(match[1], bytes.fromhex(match[2])))
    if not keys:
        raise _broken(path, 1, "holds no key; restore it from a backup, or remove it to start anew (links in sent mail die)")
    return KeyRing(tuple(keys))


def _broken(path: Path, line: int, what: str) -> ConfigError:
    return ConfigError([Problem(where=f"{path}:{line}", key="", what=what)])
