"""FLOOR 7, simulate/rehearsal: days of the shop's own daemon, lived ahead in minutes: the real stages, a copy of the store, virtual time.

What goes out is taken by channels that accept everything. Nothing leaves the machine: no socket is opened (`guard`), nothing of the
original is written to (`disk`, `store.rehearse`). The same seed gives the same calendar.
"""

from daemon.simulate.rehearsal.calendar import Calendar, Day
from daemon.simulate.rehearsal.channels import Sent
from daemon.simulate.rehearsal.crowd import Crowd, Feedback
from daemon.simulate.rehearsal.run import Wish, rehearse

__all__ = ["Calendar", "Crowd", "Day", "Feedback", "Sent", "Wish", "rehearse"]
