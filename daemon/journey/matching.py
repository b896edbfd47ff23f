"""JOURNEY, matching: does an event fit a filter (`where` of triggers, goals and counts)? `store.segment_sql` says the same to the database.

What a property can be read as, here and there: a number is a JSON number, or a text of digits with at most one point and a minus; a text is
a JSON text, or a whole number's digits; true and false are JSON's, or their texts. Whatever else it is, it is missing for that comparison.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from daemon.model import expression as m
from daemon.model.expression import Kind

_NUMBER = re.compile(r"-?[0-9](?:[0-9.]{0,28}[0-9])?", re.ASCII)
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def matches(expression: m.Expression, properties: Mapping[str, Any]) -> bool:
    """Does an event with these properties fit? What is missing never does."""
    return _holds(expression.tree, properties) is True


def _holds(tree: m.Condition, said: Mapping[str, Any]) -> bool | None:
    """None: something that it rests on is missing."""
    match tree:
        case m.All(parts=parts):
            return _together([_holds(part, said) for part in parts], decisive=False)
        case m.Some(parts=parts):
            return _together([_holds(part, said) for part in parts], decisive=True)
        case m.Opposite(part=part):
            found = _holds(part, said)
            return None if found is None else not found
        case m.Compare(op=op, left=left, right=right):
            one, other = _value(left, said), _value(right, said)
            return None if one is None or other is None else _OPERATORS[op](one, other)
        case m.Among(value=value, options=options):
            one = _value(value, said)
            return None if one is None else any(one == option.value for option in options)
        case m.Like(value=value, pattern=pattern):
            one = _value(value, said)
            return None if one is None else _is_like(_lower(str(one)), pattern)
        case m.Missing(value=value):
            return _value(value, said) is None
        case m.Truth(value=value):
            found = _value(value, said)
            return None if found is None else bool(found)
        case _:
            raise TypeError(f"{type(tree).__name__} speaks of a recipient, not of an event")


def _together(found: list[bool | None], *, decisive: bool) -> bool | None:
    """One that is `decisive` decides; else what is missing; else the other."""
    return decisive if decisive in found else None if None in found else not decisive


def _value(value: m.Value, said: Mapping[str, Any]) -> Any:
    match value:
        case m.Literal(value=literal):
            return literal
        case m.Property(path=path, kind=kind):
            return read_as(_find(path, said), kind)
        case m.Arithmetic(op=op, left=left, right=right):
            return _count(op, _value(left, said), _value(right, said))
        case _:
            raise TypeError(f"{type(value).__name__} speaks of a recipient, not of an event")


def _count(op: str, one: float | None, other: float | None) -> float | None:
    if one is None or other is None or (op == "/" and other == 0):
        return None
    try:
        found = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}[op](float(one), float(other))
    except OverflowError:
        return None
    return float(found) if math.isfinite(found) else None


def _find(path: tuple[str, ...], said: Any) -> Any:
    for name in path:
        said = said.get(name) if isinstance(said, Mapping) else None
    return said


def read_as(found: Any, kind: Kind) -> Any:
    """A value of JSON as this kind; None: it is missing, or is not one."""
    match kind:
        case Kind.NUMBER:
            if isinstance(found, str):
                return float(found) if _NUMBER.fullmatch(found) and found.count(".") <= 1 else None
            return found if isinstance(found, int | float) and not isinstance(found, bool) else None
        case Kind.TEXT:
            return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else None
        case Kind.FLAG:
            return {"true": True, "false": False}.get(found) if isinstance(found, str) else found if isinstance(found, bool) else None
        case _:
            return found


def _is_like(text: str, pattern: str) -> bool:
    """Each piece between two `%` where it first fits: one pass, whatever an event's text is made of."""
    (first, _), *pieces = _pieces(pattern)
    if not pieces:
        return first.fullmatch(text) is not None
    last, length = pieces.pop()
    found = first.match(text)
    for piece, _ in pieces:
        found = piece.search(text, found.end()) if found else None
    start = len(text) - length
    return found is not None and start >= found.end() and last.match(text, start) is not None


@functools.lru_cache(maxsize=1024)
def _pieces(like: str) -> tuple[tuple[re.Pattern[str], int], ...]:
    """What stands between the `%` of a pattern, each with its length."""
    pieces = _lower(like).split("%")
    return tuple(
        (re.compile("".join("." if sign == "_" else re.escape(sign) for sign in piece), re.DOTALL), len(piece)) for piece in pieces
    )


def _lower(text: str) -> str:
    """As the database does it: ASCII alone."""
    return "".join(sign.lower() if sign.isascii() else sign for sign in text)
