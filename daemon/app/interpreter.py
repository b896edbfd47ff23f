"""How the interpreter itself is set for a process that sends: turns of its threads, its memory, and how often it looks for cyclic garbage.

Global by nature, so only who owns the process calls it: the daemon's `run` and the bench of its loop. The simulation does not.
"""

from __future__ import annotations

import ctypes
import gc
import sys

SWITCH_SECONDS = 0.0002
"""A shorter turn for the writer's thread beside the loop: handovers are answered sooner. Python's is 5 ms; 0.5 and 0.2 ms cost the loop
of claim, handover and outcome the same CPU time, 0.1 ms 4 % more (measured)."""

YOUNG_OBJECTS = 20_000
"""A claim makes some ten thousand tuples at once and drops them soon. At Python's 700 the collector went over them again and again:
14 % of the CPU time of sending (measured). They are a few megabytes."""

M_ARENA_MAX = -8
"""Of glibc's mallopt(3)."""


def settle_interpreter() -> None:
    """Call it once the modules are loaded: what exists now stays for good and is not looked at again."""
    sys.setswitchinterval(SWITCH_SECONDS)
    share_one_heap()
    gc.freeze()
    gc.enable()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)


def share_one_heap() -> None:
    """All threads take memory from one heap, so that one uses what another has given back: by itself glibc gives each a heap of its own,
    which cost 4 MB while mail went out (measured). The interpreter's lock leaves them little to wait for. Other C libraries have no such
    call, and are left as they are."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
