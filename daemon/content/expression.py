"""CONTENT: the language of segments, step filters and triggers: a text is parsed, checked and made into a tree (`model.expression`).

sqlglot reads the text; of what it knows only the operators, columns and functions of the contract pass, and kinds must fit. All faults
are `ExpressionError`, with the place in the text and the nearest name. What the tree means: `journey.matching`, `store.segment_sql`.
Pure; sqlglot is loaded at the first expression.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from daemon.clock import to_instant
from daemon.config.values import BadValue, parse_duration
from daemon.content.sql_text import MOST_DEPTH, MOST_TEXT, ExpressionError, read_sql
from daemon.errors import nearest
from daemon.model import expression as m
from daemon.model.expression import COLUMNS, FUNCTIONS, Expression, Kind, Scope

if TYPE_CHECKING:
    from sqlglot import exp

__all__ = ["MOST_TEXT", "ExpressionError", "parse_expression"]

MOST_PATH = 4
MOST_PERIOD = parse_duration("3650d")
_NAME = re.compile(r'[^"\\\x00-\x1f]{1,100}')
_COMPARE = {"EQ": "=", "NEQ": "!=", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}
_ARITHMETIC = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/"}
_TRAITS = "traits"
_READ = frozenset({
    "this", "expression", "expressions", "low", "high", "symmetric", "query", "unnest", "field", "negate", "is_string", "quoted", "table",
    "db", "catalog",
})  # fmt: skip
"""The parts of sqlglot's nodes that are looked at here: one that has another says something that would be overheard."""
SPOKEN = {
    Kind.NUMBER: "a number", Kind.TEXT: "a text", Kind.FLAG: "true or false", Kind.INSTANT: "an instant", Kind.TAGS: "a list of tags",
    Kind.ANY: "a trait or property",
}  # fmt: skip


def parse_expression(text: str, *, scope: Scope = Scope.RECIPIENT, segments: Collection[str] | None = None) -> Expression:
    """The checked tree of `text`. `segments`: names that in_segment() may have; None = any. Raises ExpressionError."""
    return Expression(text=text, scope=scope, tree=_Reader(text, scope, segments).read())


class _Reader:
    """Reads one text. `_scope` changes where a function's argument speaks of an event."""

    def __init__(self, text: str, scope: Scope, segments: Collection[str] | None) -> None:
        self._text, self._scope, self._segments = text, scope, segments
        self._at = 0
        """Where the last thing with a known place begins."""
        self._depth = 0

    def read(self) -> m.Condition:
        return self._condition(read_sql(self._text))

    def _fault(self, what: str, suggestion: str | None = None, node: exp.Expr | None = None) -> ExpressionError:
        if node is not None:
            self._at = min((int(found.meta["start"]) for found in node.walk() if "start" in found.meta), default=self._at)
        return ExpressionError(what, suggestion, text=self._text, offset=self._at)

    def _see(self, node: exp.Expr) -> None:
        """Remember the node's place, if it has one."""
        self._at = int(node.meta.get("start", self._at))

    @contextmanager
    def _below(self, node: exp.Expr) -> Iterator[None]:
        self._see(node)
        if (unread := next((name for name, part in node.args.items() if part and name not in _READ), None)) is not None:
            raise self._fault(f"{str(node.key).upper()} with {unread.upper()} is not known here", node=node)
        self._depth += 1
        if self._depth > 2 * MOST_DEPTH:
            raise self._fault(f"is nested more than {2 * MOST_DEPTH} deep")
        yield
        self._depth -= 1

    def _condition(self, node: exp.Expr) -> m.Condition:
        with self._below(node):
            return self._condition_of(node)

    def _condition_of(self, node: exp.Expr) -> m.Condition:
        from sqlglot import exp

        match node:
            case exp.Paren():
                return self._condition(node.this)
            case exp.And() | exp.Or():
                parts = tuple(self._condition(part) for part in node.flatten())
                return m.All(parts) if isinstance(node, exp.And) else m.Some(parts)
            case exp.Not():
                return m.Opposite(self._condition(node.this))
            case exp.Between():
                if node.args.get("symmetric"):
                    raise self._fault('"between symmetric" is not known here')
                return m.All((self._compare(">=", node.this, node.args["low"]), self._compare("<=", node.this, node.args["high"])))
            case exp.In():
                return self._among(node)
            case exp.Like():
                return self._like(node)
            case exp.Is():
                return self._is(node)
            case exp.Anonymous():
                return self._asked(node)
            case exp.Boolean():
                raise self._fault("always the same: a condition asks for something")
        if (op := _COMPARE.get(type(node).__name__)) is not None:
            return self._compare(op, node.this, node.expression)
        if isinstance(node, exp.Column | exp.Dot):
            return m.Truth(self._flag(node))
        raise self._fault(f"{str(node.key).upper()} is no condition here", node=node)

    def _flag(self, node: exp.Expr) -> m.Value:
        value = _as(self._value(node), Kind.FLAG)
        if _kind(value) is not Kind.FLAG:
            raise self._fault(f"{node.name} is {SPOKEN[_kind(value)]}: compare it with something", node=node)
        return value

    def _compare(self, op: str, one: exp.Expr, other: exp.Expr) -> m.Condition:
        left, right = self._value(one), self._value(other)
        if isinstance(left, m.Literal) and isinstance(right, m.Literal):
            raise self._fault("compares two fixed values: always the same", node=one)
        left, right = self._fit(left, right, one)
        kind = _kind(left)
        if kind is Kind.FLAG and op not in ("=", "!="):
            raise self._fault("is true or false: it is neither larger nor smaller", node=one)
        return m.Compare(op, left, right)

    def _fit(self, left: m.Value, right: m.Value, node: exp.Expr) -> tuple[m.Value, m.Value]:
        """Both of one kind."""
        kinds = {_kind(left), _kind(right)} - {Kind.ANY}
        if Kind.TAGS in kinds:
            raise self._fault("tags are asked for with has_tag('..')", node=node)
        if kinds == {Kind.INSTANT, Kind.TEXT}:
            left, right = self._instant(left), self._instant(right)
        elif kinds == {Kind.FLAG, Kind.NUMBER}:
            left, right = _zero_or_one(left), _zero_or_one(right)
        kinds = {_kind(left), _kind(right)} - {Kind.ANY}
        if len(kinds) > 1 or (kinds == {Kind.INSTANT} and Kind.ANY in (_kind(left), _kind(right))):
            raise self._fault(f"compares {SPOKEN[_kind(left)]} with {SPOKEN[_kind(right)]}", node=node)
        kind = kinds.pop() if kinds else Kind.TEXT
        return _as(left, kind), _as(right, kind)

    def _instant(self, value: m.Value) -> m.Value:
        if not isinstance(value, m.Literal) or not isinstance(value.value, str):
            return value
        try:
            found = datetime.fromisoformat(value.value)
            return m.Literal(to_instant(found if found.tzinfo else found.replace(tzinfo=UTC)), Kind.INSTANT)
        except (ValueError, OverflowError):
            raise self._fault(f"'{value.value}' is no date: write '2026-11-22', or '2026-11-22T09:00+07:00'") from None

    def _among(self, node: exp.Expr) -> m.Condition:
        options = node.args.get("expressions") or []
        if not options or node.args.get("query") or node.args.get("unnest") or node.args.get("field"):
            raise self._fault("`in` wants a list of fixed values: in ('a', 'b')", node=node)
        value = self._value(node.this)
        found: list[m.Literal] = []
        for option in options:
            literal = self._value(option)
            if not isinstance(literal, m.Literal):
                raise self._fault("`in` wants fixed values: in ('a', 'b')", node=option)
            fitted, literal = self._fit(value, literal, node.this)
            if found and _kind(fitted) != _kind(value):
                raise self._fault("`in` wants values of one kind", node=option)
            value = fitted
            found.append(literal)  # type: ignore[arg-type]  # a literal stays one
        return m.Among(value, tuple(found))

    def _like(self, node: exp.Expr) -> m.Condition:
        value, pattern = _as(self._value(node.this), Kind.TEXT), self._value(node.expression)
        if _kind(value) is not Kind.TEXT or not isinstance(pattern, m.Literal) or not isinstance(pattern.value, str):
            raise self._fault("`like` wants a text and a pattern: country like 'I%'", node=node)
        found = m.Like(value, pattern.value)
        return m.Opposite(found) if node.args.get("negate") else found

    def _is(self, node: exp.Expr) -> m.Condition:
        from sqlglot import exp

        found: m.Condition
        if isinstance(node.expression, exp.Null):
            found = m.Missing(self._value(node.this))
        elif isinstance(node.expression, exp.Boolean):
            found = self._compare("=", node.this, node.expression)
        else:
            raise self._fault("`is` asks for null, not null, true or false", node=node)
        return m.Opposite(found) if node.args.get("negate") else found

    def _asked(self, node: exp.Expr) -> m.Condition:
        """A function that is a condition."""
        name = self._function(node)
        if name == "in_segment":
            segment = self._text_of(node, 0, "the name of a segment", count=(1, 1))
            if self._segments is not None and segment not in self._segments:
                raise self._fault(f'no segment "{segment}"', nearest(segment, self._segments))
            return m.InSegment(segment)
        if name == "in_campaign":
            return m.InCampaign(self._text_of(node, 0, "the name of a campaign", count=(1, 1)))
        if name == "has_tag":
            return m.HasTag(self._text_of(node, 0, "a tag", count=(1, 1)))
        raise self._fault(f"{name}(..) is a number: compare it, as in {name}(..) >= 1")

    def _function(self, node: exp.Expr) -> str:
        name = str(node.this).lower()
        self._see(node)
        if self._scope is Scope.EVENT:
            raise self._fault(f'"{node.this}": functions speak of recipients; here only the event\'s properties are known')
        if name not in FUNCTIONS:
            raise self._fault(f'unknown function "{node.this}"', nearest(name, FUNCTIONS))
        return name

    def _text_of(self, node: exp.Expr, place: int, what: str, count: tuple[int, int]) -> str:
        """An argument that is a text in quotes."""
        found = node.expressions
        if not count[0] <= len(found) <= count[1]:
            wanted = f"{count[0]}" if count[0] == count[1] else f"{count[0]} to {count[1]}"
            raise self._fault(f"{str(node.this).lower()}() takes {wanted} values: {FUNCTIONS[str(node.this).lower()]}", node=node)
        literal = self._value(found[place])
        if not isinstance(literal, m.Literal) or not isinstance(literal.value, str) or not literal.value:
            raise self._fault(f"{str(node.this).lower()}() wants {what} in single quotes", node=found[place])
        return literal.value

    def _value(self, node: exp.Expr) -> m.Value:
        with self._below(node):
            return self._value_of(node)

    def _value_of(self, node: exp.Expr) -> m.Value:
        from sqlglot import exp

        match node:
            case exp.Paren():
                return self._value(node.this)
            case exp.Literal():
                return self._words(node.this) if node.is_string else self._number(node.this)
            case exp.Boolean():
                return m.Literal(bool(node.this), Kind.FLAG)
            case exp.Neg():
                value = self._numeric(node.this)
                if isinstance(value, m.Literal):
                    return m.Literal(-value.value, Kind.NUMBER)  # type: ignore[operator]  # it is a number
                return m.Arithmetic("-", m.Literal(0, Kind.NUMBER), value)
            case exp.Null():
                raise self._fault("nothing equals null: write `is null` or `is not null`")
            case exp.Column() | exp.Dot():
                self._see(node.parts[0])
                return self._column(node)
            case exp.Anonymous():
                return self._counted(node)
        if (op := _ARITHMETIC.get(type(node).__name__)) is not None:
            return m.Arithmetic(op, self._numeric(node.this), self._numeric(node.expression))
        raise self._fault(f"{str(node.key).upper()} is not known here", node=node)

    def _words(self, text: str) -> m.Literal:
        if "\0" in text:
            raise self._fault("a text cannot have the character 0")
        return m.Literal(text, Kind.TEXT)

    def _number(self, text: str) -> m.Literal:
        try:
            value = float(text)
        except ValueError:
            raise self._fault(f'"{text}" is no number') from None
        if not math.isfinite(value):
            raise self._fault(f"{text} is too large")
        return m.Literal(int(text) if text.isdigit() and len(text) < 16 else value, Kind.NUMBER)

    def _numeric(self, node: exp.Expr) -> m.Value:
        value = _as(self._value(node), Kind.NUMBER)
        if _kind(value) is not Kind.NUMBER:
            raise self._fault(f"counts with {SPOKEN[_kind(value)]}; only numbers can be counted with", node=node)
        return value

    def _column(self, node: exp.Expr) -> m.Value:
        from sqlglot import exp

        parts = node.parts  # type: ignore[attr-defined]  # both have it
        path = tuple(part.name for part in parts)
        base = node
        while isinstance(base, exp.Dot):
            base = base.this
        if not isinstance(base, exp.Column | exp.Identifier):
            raise self._fault("a name cannot follow this", node=node)
        for part, named in zip(path, parts, strict=True):
            if not isinstance(named, exp.Identifier | exp.Literal) or not _NAME.fullmatch(part):
                raise self._fault(f'"{part}" cannot be a name', node=node)
        if self._scope is Scope.EVENT:
            if path[0] == "properties" and len(path) > 1:
                path = path[1:]
            return self._property(path, node)
        if path[0].lower() == _TRAITS and len(path) > 1:
            return self._property(path[1:], node)
        name = ".".join(path)
        known = COLUMNS.get(name.lower())
        if known is None:
            near = nearest(name.lower(), [*COLUMNS, *FUNCTIONS])
            hint = "" if near or "." in name else f"; a trait is written traits.{name}, a text '{name}'"
            raise self._fault(f'unknown column "{name}"{hint}', near, node)
        return m.Column(name.lower(), known.kind)

    def _property(self, path: tuple[str, ...], node: exp.Expr) -> m.Value:
        if len(path) > MOST_PATH:
            raise self._fault(f"goes deeper than {MOST_PATH} names", node=node)
        return m.Property(path, Kind.ANY)

    def _counted(self, node: exp.Expr) -> m.Value:
        """A function that is a value."""
        name = self._function(node)
        if name == "days_since":
            return m.DaysSince(self._text_of(node, 0, "the name of an event", count=(1, 1)))
        if name != "did":
            raise self._fault(f"{name}(..) is true or false: use it by itself, or with not")
        event = self._text_of(node, 0, "the name of an event", count=(1, 3))
        period = None
        if len(node.expressions) > 1:
            period = self._period(self._text_of(node, 1, "a period such as '14d'", count=(1, 3)))
        return m.Did(event, period, self._where(node.expressions[2]) if len(node.expressions) > 2 else None)

    def _period(self, text: str) -> int:
        try:
            period = parse_duration(text)
        except BadValue as error:
            raise self._fault(f"the period {error.what}") from None
        if not 0 < period <= MOST_PERIOD:
            raise self._fault(f"the period '{text}' must be longer than 0 and at most 3650d")
        return period

    def _where(self, node: exp.Expr) -> m.Condition:
        from sqlglot import exp

        if isinstance(node, exp.Literal) and node.is_string:
            try:
                return parse_expression(node.this, scope=Scope.EVENT).tree
            except ExpressionError as error:
                raise self._fault(error.what, error.suggestion, node) from None
        outside, self._scope = self._scope, Scope.EVENT
        try:
            return self._condition(node)
        finally:
            self._scope = outside


def _kind(value: m.Value) -> Kind:
    return value.kind if isinstance(value, m.Literal | m.Column | m.Property) else Kind.NUMBER


def _as(value: m.Value, kind: Kind) -> m.Value:
    """A property that can be anything, read as this kind."""
    return m.Property(value.path, kind) if isinstance(value, m.Property) and value.kind is Kind.ANY else value


def _zero_or_one(value: m.Value) -> m.Value:
    return m.Literal(bool(value.value), Kind.FLAG) if isinstance(value, m.Literal) and value.value in (0, 1) else value
