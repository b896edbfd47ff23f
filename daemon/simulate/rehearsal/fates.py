"""What providers refuse in a rehearsal: a share of all addresses is dead, and a share of all attempts is put off.

Pure, of the seed: an address is dead for every message and on every day, in whatever order they come; an attempt
is put off whenever it comes. What follows (suppression, fall-back, another try, an end after the last) is the daemon's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from daemon.dispatch.at_once import ACCEPTED, Said
from plugins.contract import Accepted, Deferred, Rejected

_WHOLE = float(1 << 64)


class Fates:
    """`bounces`: share of addresses (0 to 1) that are refused for good; `refusals`: share of attempts at the others that are put off."""

    def __init__(self, seed: int, *, bounces: float = 0.0, refusals: float = 0.0) -> None:
        self._seed, self._bounces, self._refusals = seed, bounces, refusals

    def __bool__(self) -> bool:
        """Something is refused."""
        return self._bounces > 0 or self._refusals > 0

    def of(self, message: str, addresses: Sequence[str], attempt: int, *, each: bool = False) -> Said:
        """`message`: what it is, and whose; `addresses`: none of an act without one; `attempt`: from 1; `each`: of several each is told by
        itself whether it is dead (push)."""
        dead = tuple(address for address in addresses if self._draw("dead", address) < self._bounces) if self._bounces else ()
        gone = dead if each else ()
        if dead and len(dead) == len(addresses):
            return Rejected(scope="address", code="rehearsed", detail="the share of addresses that bounce", gone=gone)
        if self._refusals and self._draw("later", f"{message} {attempt}") < self._refusals:
            return Deferred(scope="message", code="rehearsed", detail="the share of attempts that are refused", gone=gone)
        return Accepted(gone=gone) if gone else ACCEPTED

    def _draw(self, what: str, name: str) -> float:
        """A number in [0, 1), the same for the same names."""
        digest = hashlib.blake2b(f"{self._seed} {what} {name}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / _WHOLE
