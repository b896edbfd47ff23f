"""FLOOR 7, simulate: the world for a simulated daemon: virtual time, a seeded loop, and ports that never touch the machine.

The same seed gives the same history in every run, under every hash seed and on every machine that has the same versions of Python and of
the libraries. Production code is the same code: it only gets other ports.
What needs a thread, a socket or a process raises `Forbidden` here.
"""

from daemon.simulate.clock import VirtualClock
from daemon.simulate.disk import SimDisk
from daemon.simulate.ids import SeededIds
from daemon.simulate.loop import Deadlock, Forbidden, SimLoop, TooManySteps
from daemon.simulate.memory import SimStore, StoreFaults
from daemon.simulate.net import InlineExecutor, SimDns, SimNet, SimStream
from daemon.simulate.ports import QuietLog, make_ports
from daemon.simulate.process import Killed, Process
from daemon.simulate.world import World, simulate
from daemon.store.memory import MemoryFile

__all__ = [
    "Deadlock",
    "Forbidden",
    "InlineExecutor",
    "Killed",
    "MemoryFile",
    "Process",
    "QuietLog",
    "SeededIds",
    "SimDisk",
    "SimDns",
    "SimLoop",
    "SimNet",
    "SimStore",
    "SimStream",
    "StoreFaults",
    "TooManySteps",
    "VirtualClock",
    "World",
    "make_ports",
    "simulate",
]
