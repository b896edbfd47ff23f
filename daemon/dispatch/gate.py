"""The gate before every handover: kill switch, untrusted clock, restored store. Shut means that nothing is granted.

Asked inside the handover transaction, by the writer's thread, so what shuts it is in force for the very next grant. The
kill switch is also a file in the state folder, so it works while the store is down. Only an operator opens what latches.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from daemon.model.delivery import SECOND, Instant, Reason

BACKWARD_TOLERANCE = 2 * SECOND
"""A wall clock this far behind the highest committed instant is no longer trusted."""


class Gate:
    """`reasons`: what shuts the gate, reason -> detail, latched until `open`. `stop_file`: exists = kill switch."""

    def __init__(self, stop_file: Path, latched: Mapping[str, str] | None = None) -> None:
        self._stop_file = stop_file
        self._latched = dict(latched or {})

    def killed(self) -> bool:
        """The kill switch file is there (one stat: asked before every group of grants)."""
        return os.path.lexists(self._stop_file)

    def reasons(self) -> dict[str, str]:
        """Everything that shuts the gate now; empty = open."""
        found = dict(self._latched)
        if self.killed():
            found[Reason.KILL_SWITCH.value] = f"{self._stop_file.name} lies in the state folder; `homing start --all --expect N` ends it"
        return found

    def latched(self) -> dict[str, str]:
        """What stays until an operator opens it; the store keeps this over restarts."""
        return dict(self._latched)

    def shut(self, now: Instant, highest: Instant) -> bool:
        """No handover may be granted. Latches `clock_untrusted` when `now` lies before what was already committed."""
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
