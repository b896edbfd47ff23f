"""FLOOR 4, audit: reads what was sent once more and judges it with arithmetic of its own.

The send journal says what was handed over and when; the store says to whom, under which campaign, in which zone, beside which other
touches. `hours` reads windows, `counting` counts caps, `judge` puts both to one send, `rulebook` keeps which rules were in force
when, `service` walks. Nothing here may import `daemon.policy` (a contract of import-linter): two readings of the same promise, one
mistake is seen by the other. Where a fact may have changed since, it says "cannot judge" and raises no alarm.
"""
