"""FLOOR 7, simulate: randomness that a seed decides. Each kind of draw has a stream of its own, so that one more jitter does not
change every token after it. Fulfils `daemon.ids.Ids`; nothing here is unguessable.
"""

from __future__ import annotations

import random


class SeededIds:
    """The same seed, the same draws."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"rng {seed}")
        self._tokens = random.Random(f"tokens {seed}")
        self._nonces = random.Random(f"nonces {seed}")

    def rng(self) -> random.Random:
        return self._rng

    def token_bytes(self, count: int) -> bytes:
        return self._tokens.randbytes(count)

    def nonce(self) -> str:
        return self._nonces.randbytes(16).hex()
