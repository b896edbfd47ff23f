"""CONTENT: the quick form of Liquid expressions: paths, literals, conditions and filters as Python closures.

Part of `quick`, which explains the rule: right or absent. Whatever is unusual raises. Reads the library's tree by exact types
and calls the library's own comparison and filter functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from liquid import Environment
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.expressions.filtered import Filter
from liquid.builtin.expressions.logical import (
    BooleanExpression,
    ContainsExpression,
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LogicalAndExpression,
    LogicalOrExpression,
    LtExpression,
    NeExpression,
    _contains,
    _eq,
    _le,
    _lt,
    is_truthy,
)
from liquid.builtin.expressions.primitive import Blank, Empty, FalseLiteral, FloatLiteral, IntegerLiteral, Nil, StringLiteral, TrueLiteral
from liquid.expression import Expression
from liquid.token import Token
from markupsafe import Markup

from daemon.content.hardened import MAX_BITS, OptionalPath, PassingFilter, RequiredPath, Setting

MAX_VALUE = 1024
"""Characters of a value; beyond it the library renders, which keeps the budget."""


class Unusual(Exception):
    """Not for this way: let the library render."""


class Unknown(Exception):
    """A node or expression that is not compiled."""


class Frame:
    """One render: the variables given, the template's own ones, the loops' places, and what filters see as their context."""

    __slots__ = ("loops", "names", "own", "setting", "turns")

    def __init__(self, names: Mapping[str, object], setting: Setting, loops: int) -> None:
        self.names = names
        self.own: dict[str, object] = {}
        self.setting = setting
        self.loops: list[Any] = [None] * loops
        self.turns = 0


Value = Callable[[Frame], Any]
Test = Callable[[Frame], bool]
_ABSENT = object()
PLAIN = frozenset({str, int, float, bool, Markup})
_SPECIAL_KEYS = frozenset({"size", "first", "last"})
_FORLOOP = frozenset({"index", "index0", "rindex", "rindex0", "first", "last", "length"})


class ValueMaker:
    """Turns expressions into closures. `loops`: (variable, slot) of the loops around; a loop has three slots of the frame: the
    item, its index, the length. `own`: the names that the template itself sets."""

    def __init__(self, environment: Environment, own: frozenset[str]) -> None:
        self._environment = environment
        self._html = environment.autoescape
        self._own = own
        self.loops: list[tuple[str, int]] = []

    def test(self, expression: Expression) -> Test:
        """A condition. Comparisons are the library's own functions; a missing value never reaches them."""
        kind = type(expression)
        if kind is BooleanExpression:
            return self.test(expression.expression)  # type: ignore[attr-defined]
        if kind is LogicalAndExpression or kind is LogicalOrExpression:
            left, right = self.test(expression.left), self.test(expression.right)  # type: ignore[attr-defined]
            if kind is LogicalAndExpression:
                return lambda frame: left(frame) and right(frame)
            return lambda frame: left(frame) or right(frame)
        if kind in _COMPARISONS:
            return _compare(kind, expression.token, self._value(expression.left), self._value(expression.right))  # type: ignore[attr-defined]
        value = self._value(expression)
        return lambda frame: is_truthy(value(frame))

    def _value(self, expression: Expression) -> Value:
        """A literal or a path."""
        kind = type(expression)
        if kind is Path or kind is RequiredPath or kind is OptionalPath:
            return self.path(expression)  # type: ignore[arg-type]
        constant: object
        if kind is StringLiteral:
            constant = Markup(expression.value) if self._html else expression.value  # type: ignore[attr-defined]  # noqa: S704  the author's
        elif kind is IntegerLiteral or kind is FloatLiteral or kind is TrueLiteral or kind is FalseLiteral:
            constant = expression.value  # type: ignore[attr-defined]
        elif kind is Nil:
            constant = None
        elif kind is Empty or kind is Blank:
            constant = expression
        else:
            raise Unknown
        return lambda _frame: constant

    def path(self, path: Path) -> Value:
        root, keys = path.path[0], tuple(path.path[1:])
        if not isinstance(root, str) or any(type(key) not in (str, int) for key in keys):
            raise Unknown
        if root != "forloop" and not _SPECIAL_KEYS.isdisjoint(keys):
            raise Unknown
        kind = type(path)
        if kind is OptionalPath:
            return _optional(self._base(root, keys), () if root == "forloop" else keys)
        value = self._base(root, keys) if root == "forloop" else _strict(self._base(root, keys), keys)
        return _required(value, root) if kind is RequiredPath else value

    def _base(self, root: str, keys: Sequence[Any]) -> Value:
        """The value of a path's first name: of a loop around, of the template's own, or given."""
        if root == "forloop":
            return self._forloop(keys)
        slot = next((slot for name, slot in reversed(self.loops) if name == root), None)
        if slot is not None:
            place = slot
            return lambda frame: frame.loops[place]
        if root in self._own:
            return lambda frame: frame.own[root] if root in frame.own else frame.names[root]
        return lambda frame: frame.names[root]

    def _forloop(self, keys: Sequence[Any]) -> Value:
        if not self.loops or len(keys) != 1 or keys[0] not in _FORLOOP or "forloop" in self._own:
            raise Unknown
        slot, key = self.loops[-1][1], keys[0]

        def forloop(frame: Frame) -> object:
            index, length = frame.loops[slot + 1], frame.loops[slot + 2]
            places = {"index0": index, "index": index + 1, "rindex0": length - index - 1, "rindex": length - index, "length": length}
            return index == 0 if key == "first" else index == length - 1 if key == "last" else places[key]

        return forloop

    def filtered(self, expression: Any) -> Value:
        if type(expression) is not FilteredExpression:
            raise Unknown
        left = self._value(expression.left)
        steps = tuple(self._step(item) for item in expression.filters or ())
        if not steps:
            return left

        def filtered(frame: Frame) -> object:
            value = left(frame)
            for step in steps:
                value = step(frame, value)
            if value is _ABSENT:
                raise Unusual
            return value

        return filtered

    def _step(self, item: Filter) -> Callable[[Frame, Any], Any]:
        function = self._environment.filters[item.name]
        named = {argument.name: self._value(argument.value) for argument in item.args if hasattr(argument, "name")}
        given = tuple(self._value(argument.value) for argument in item.args if not hasattr(argument, "name"))
        passing = type(item) is PassingFilter
        if not passing and type(item) is not Filter:
            raise Unknown
        if item.name == "default":
            return _default(function, given, named)
        with_context = getattr(function, "with_context", False)
        fixed = {"environment": self._environment} if getattr(function, "with_environment", False) else {}

        def step(frame: Frame, value: object) -> object:
            if value is _ABSENT:
                if passing:
                    return value
                raise Unusual
            words = {name: read(frame) for name, read in named.items()} if named else {}
            if with_context:
                words["context"] = frame
            result = function(value, *[read(frame) for read in given], **words, **fixed)
            kind = type(result)
            if kind is str or kind is Markup:
                if len(result) > MAX_VALUE:
                    raise Unusual
            elif kind not in PLAIN or (kind is int and result.bit_length() > MAX_BITS):
                raise Unusual
            return result

        return step


def _default(function: Callable[..., object], given: Sequence[Value], named: Mapping[str, Value]) -> Callable[[Frame, Any], Any]:
    """The `default` filter, which alone sees what is absent."""

    def step(frame: Frame, value: object) -> object:
        words = [read(frame) for read in given]
        if value is _ABSENT:
            return words[0] if words else ""
        return function(value, *words, **{name: read(frame) for name, read in named.items()})

    return step


def _strict(base: Value, keys: Sequence[Any]) -> Value:
    """A path whose every step must be there; KeyError and IndexError are unusual like the rest."""

    def strict(frame: Frame) -> object:
        value: Any = base(frame)
        for key in keys:
            if type(value) is not dict and not (type(value) is list and type(key) is int):
                raise Unusual
            value = value[key]
        if value is None:
            raise Unusual
        return value

    return strict


def _required(value: Value, root: str) -> Value:
    """A value that is written out: blank text is missing, but for the template's own."""

    def required(frame: Frame) -> object:
        result = value(frame)
        if isinstance(result, str) and (not result or result.isspace()) and root not in frame.own:
            raise Unusual
        return result

    return required


def _optional(base: Value, keys: Sequence[Any]) -> Value:
    """A path that `default` follows: _ABSENT where a step is missing."""

    def optional(frame: Frame) -> object:
        try:
            value: Any = base(frame)
            for key in keys:
                if type(value) is not dict and not (type(value) is list and type(key) is int):
                    if type(value) in (str, int, float, bool) and type(key) is str:
                        return _ABSENT
                    raise Unusual
                value = value[key]
        except (KeyError, IndexError):
            return _ABSENT
        return _ABSENT if value is None else value

    return optional


_COMPARISONS = frozenset({EqExpression, NeExpression, LtExpression, GtExpression, LeExpression, GeExpression, ContainsExpression})


def _compare(kind: type, token: Token, one: Value, two: Value) -> Test:
    """The library's own comparison of two values."""
    tests: Mapping[type, Test] = {
        EqExpression: lambda frame: _eq(one(frame), two(frame)),
        NeExpression: lambda frame: not _eq(one(frame), two(frame)),
        LtExpression: lambda frame: _lt(token, one(frame), two(frame)),
        GtExpression: lambda frame: _lt(token, two(frame), one(frame)),
        LeExpression: lambda frame: _le(one(frame), two(frame)),
        GeExpression: lambda frame: _le(two(frame), one(frame)),
        ContainsExpression: lambda frame: _contains(token, one(frame), two(frame)),
    }
    return tests[kind]
