"""FLOOR 2, the nouns: frozen, slotted, keyword-only dataclasses and closed sets. No I/O, no rules.

Instants are integers: microseconds of UTC since 1970 (`Instant`). Durations are microseconds too, unless a name says seconds.
"""
