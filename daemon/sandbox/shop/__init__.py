"""SANDBOX, the sample shop: made-up customers with years of events behind them, whose truth is known.

`Shop(seed, size, until)` is the whole of it: each person is a pure function of (seed, number), so nothing is kept and any of them can
be made again alone. What Homing is given (recipients, events) is written by `files`; what it must find out (who has left for good,
when the others come back by themselves, what an offer does) stands apart in the truth, and `response` acts by it.
"""

from daemon.sandbox.shop.files import open_world, write_world
from daemon.sandbox.shop.life import Customer, Shop
from daemon.sandbox.shop.response import Reaction, Sent, respond

__all__ = ["Customer", "Reaction", "Sent", "Shop", "open_world", "respond", "write_world"]
