"""The gate before every handover: kill switch, untrusted clock, restored store. Shut means that nothing is granted.

Asked inside the handover transaction, by the writer's thread, so what shuts it is in force for the very next grant. The
kill switch is also a file in the state folder, so it works while the store is down. Only an operator opens what latches.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from daemon.clock import Clock
from daemon.model.delivery import SECOND, Instant, Reason

BACKWARD_TOLERANCE = 2 * SECOND
"""A wall clock this far behind the highest committed instant is no longer trusted."""


JUMP_TOLERANCE = 2 * SECOND
"""Wall and monotonic clock this far apart since they were last compared: the wall clock has jumped."""


class Gate:
    """`reasons`: what shuts the gate, reason -> detail, latched until `open`. `stop_file`: exists = kill switch.

    `clock`: to be watched for jumps before each group of grants (None: nobody sends here).
    """

    def __init__(
        self, stop_file: Path, latched: Mapping[str, str] | None = None, clock: Clock | None = None,
        exists: Callable[[Path], bool] = os.path.lexists,
    ) -> None:  # fmt: skip
        """`exists`: the disk port's."""
        self._stop_file, self._exists = stop_file, exists
        self._latched = dict(latched or {})
        self._clock = clock
        self._seen = None if clock is None else (clock.instant(), clock.monotonic())

    def killed(self) -> bool:
        """The kill switch file is there (one stat: asked before every group of grants)."""
        return self._exists(self._stop_file)

    def reasons(self) -> dict[str, str]:
        """Everything that shuts the gate now; empty = open."""
        found = dict(self._latched)
        if self.killed():
            found[Reason.KILL_SWITCH.value] = f"{self._stop_file.name} lies in the state folder; `homing start --all --expect N` ends it"
        return found

    def latched(self) -> dict[str, str]:
        """What stays until an operator opens it; the store keeps this over restarts."""
        return dict(self._latched)

    def trusted(self) -> bool:
        """The clock is true, as far as is known now."""
        self.watch()
        return Reason.CLOCK_UNTRUSTED.value not in self._latched

    def watch(self) -> None:
        """Latches `clock_untrusted` when the wall clock has jumped since the last look: nothing is granted in a time that is not
        true."""
        clock, before = self._clock, self._seen
        if clock is None or before is None:
            return
        for _ in range(2):  # a pause of the process between the two readings looks like a jump, but not twice
            now, at = clock.instant(), clock.monotonic()
            drift = (now - before[0]) - int((at - before[1]) * SECOND)
            if abs(drift) <= JUMP_TOLERANCE:
                break
        self._seen = now, at
        if abs(drift) > JUMP_TOLERANCE:
            self.latch(Reason.CLOCK_UNTRUSTED, f"the clock jumped by {drift / SECOND:+.0f} s while running")

    def shut(self, now: Instant, highest: Instant) -> bool:
        """No handover may be granted. Latches `clock_untrusted` when `now` lies before what was already committed."""
        self.watch()
        if now < highest - BACKWARD_TOLERANCE:
            self.latch(Reason.CLOCK_UNTRUSTED, f"the clock is {(highest - now) // SECOND} s behind the last commit")
        return bool(self._latched) or self.killed()

    def latch(self, reason: Reason, detail: str) -> None:
        if reason.value not in self._latched:
            self._latched[reason.value] = detail

    def open(self, *reasons: Reason) -> None:
        """An operator accepts these."""
        for reason in reasons:
            self._latched.pop(reason.value, None)
