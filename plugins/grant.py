"""How long a handover's grant still holds, for code that cannot be passed an argument (the shared HTTP session's connector).

`SimpleChannel` opens a `Grant` around each `send_one`; a channel in the full form may do the same around the write that it
asked leave for. The count starts before the asking: the only instant that is surely not later than the grant itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from plugins.contract import GRANT_SECONDS, Clock


class Grant:
    """The life of one grant. Make it right before `await session.handover(..)`."""

    __slots__ = ("_clock", "_until")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = clock.monotonic() + GRANT_SECONDS

    @property
    def expired(self) -> bool:
        """True once the bytes must not start any more: report `Deferred(nothing_sent=True)` instead."""
        return self._clock.monotonic() >= self._until

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within this block (and what it awaits) the shared HTTP session starts no request after the grant has run out."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


_current: ContextVar[Grant | None] = ContextVar("homing_grant", default=None)


def current_grant() -> Grant | None:
    """The grant under which this code runs, None outside of any."""
    return _current.get()
