"""CONTENT: the name of an audience with its variables: `winback-{{ tier }}-{{ band }}`. Each name that comes out is a set of its own.

Few variables on purpose: each value of one makes another audience. Pure; a value that is not known is "any".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

UNKNOWN = "any"
MOST = 200
VARIABLES = ("tier", "band", "country", "locale", "campaign", "step", "offer.name")
TRAIT = "traits."
_HOLE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_UNFIT = re.compile(r"[^\w.+-]+")


def fault_of_name(text: str) -> tuple[str, str | None] | None:
    """(what is wrong with a name, the variable that is meant instead or None); None = it is good."""
    if not text.strip() or len(text) > MOST or not text.isprintable():
        return f"must be 1 to {MOST} printable characters", None
    if "{%" in text or _HOLE.sub("", text).count("{{") or _HOLE.sub("", text).count("}}"):
        return "may hold variables such as {{ tier }}, and no other Liquid", None
    for name in _HOLE.findall(text):
        if name not in VARIABLES and not (name.startswith(TRAIT) and len(name) > len(TRAIT)):
            return f'knows no variable "{name}" (there are {", ".join(VARIABLES)} and traits.NAME)', name
    return None


@lru_cache(maxsize=256)
def namer(text: str) -> tuple[tuple[str, ...], Callable[[tuple[str, ...]], str]]:
    """The variables that a name has, in order, and the function that fills their values in."""
    parts = _HOLE.split(text)
    names = tuple(parts[1::2])

    @lru_cache(maxsize=4096)
    def fill(values: tuple[str, ...]) -> str:
        pieces = [*parts]
        pieces[1::2] = [_UNFIT.sub("_", value)[:50] or UNKNOWN for value in values]
        return "".join(pieces)[:MOST]

    return names, fill


def values_of(names: tuple[str, ...], known: Mapping[str, Any], traits: Mapping[str, Any]) -> tuple[str, ...]:
    """A person's values for `namer`. `known`: variable -> value; what is not there comes from the trait of that name."""
    found = []
    for name in names:
        value = known.get(name) if name in known else traits.get(name.removeprefix(TRAIT))
        found.append(str(value) if isinstance(value, str | int | float) and value != "" else UNKNOWN)
    return tuple(found)
