"""FLOOR 7, the sandbox: a local mail provider with an inbox page, and the sample world that the demo sends to.

Nothing here is part of sending: it plays the outside world on loopback. Time comes from the Clock port, randomness from
seeds, so the same seed gives the same world.
"""
