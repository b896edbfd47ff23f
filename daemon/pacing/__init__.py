"""FLOOR 3, pacing: how fast a provider, sender, domain or campaign may be used, and when a failed one is tried again. Pure.

`now` and randomness are arguments; the state of each piece is a small JSON-able mapping that the store keeps over restarts.
Nobody sleeps here: what is out of turn gets an instant.
"""
