"""FLOOR 3, the rules: permission, windows, caps and the decision about one delivery. Pure.

`now` is always an argument and the facts come in as plain objects, so the same call answers the claim, `homing explain`
and the simulation. Nothing here does I/O but reading the time zone data of the tzdata package. Verdicts are returned,
never raised; only a config that cannot be understood raises.
"""
