"""CONTENT: the Liquid that templates may use: python-liquid with its holes closed. Nothing here reads, imports or waits.

Two environments: HTML (escapes each value) and plain. What upstream's own limits leave open (measured: one expression of
chained `replace` made a 1 GB string) is closed by a budget that each render carries: steps, loop turns and output, and a cap on
what any filter gives. A missing, null or blank variable is an error unless `| default:` marks it optional. Wall clock: none
(`now` is given by the caller).

Reads the library's syntax tree after parsing and swaps classes of nodes for stricter ones of the same layout; the version of
python-liquid is pinned to its minor for that.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from io import StringIO
from typing import Any, ClassVar, NamedTuple, TextIO

from babel import Locale
from liquid import BoundTemplate, Environment, RenderContext
from liquid.ast import BlockNode, Node
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.expressions.filtered import Filter
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.exceptions import OutputStreamLimitError, ResourceLimitError
from liquid.expression import Expression
from liquid.token import Token
from liquid.undefined import UNDEFINED, StrictDefaultUndefined
from liquid.utils import ReadOnlyChainMap

from daemon.content import filters

MAX_OUTPUT = 512 * 1024
"""Characters of one rendered part."""
MAX_STEPS = 50_000
"""Nodes rendered inside blocks, plus the filters' work in units of 256 characters."""
MAX_TURNS = 10_000
"""Loop turns of a whole render, nested and one after the other."""
MAX_RANGE = 10_000
MAX_STRING = 256 * 1024
"""Characters of what a filter gives, also summed over a list."""
MAX_LIST = 10_000
MAX_BITS = 128


class Setting(NamedTuple):
    """What the filters of one render need to know of the recipient and the shop."""

    locale: Locale
    zone: dt.tzinfo = dt.UTC
    now: dt.datetime | None = None
    currency: str = "USD"


class Missing(StrictDefaultUndefined):
    """A variable that is not there. Its message is its path, so that the error can name it."""

    __slots__ = ()


class Pieces(StringIO):
    """An output that keeps what is written apart: a template's own text stays the same `str` object in every render."""

    __slots__ = ("pieces", "size")

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.size = 0

    def write(self, text: str, /) -> int:
        size = len(text)
        if size:
            self.size += size
            if self.size > MAX_OUTPUT:
                raise OutputStreamLimitError("the output is too large", token=None)
            self.pieces.append(text if type(text) is str else str.__str__(text))
        return size

    def getvalue(self) -> str:
        return "".join(self.pieces)


class SafeContext(RenderContext):
    """One render's variables and budget."""

    __slots__ = ("setting", "steps", "turns")

    def __init__(self, template: BoundTemplate, *, globals: Mapping[str, object], setting: Setting) -> None:
        super().__init__(template, globals=globals)
        self.scope = ReadOnlyChainMap(self.locals, globals, self.counters)
        self.setting = setting
        self.steps = 0
        self.turns = 0

    def get(self, path: list[object], *, token: Token | None, default: object = UNDEFINED) -> object:
        value = self.look_up(path, token=token)
        if type(value) is Missing:
            str(value)
        return value

    def look_up(self, path: list[object], *, token: Token | None) -> object:
        """The value at a path, or a `Missing` that says nothing until it is used."""
        value = super().get(path, token=token, default=None)
        return Missing(dotted(path), token=token, hint=dotted(path)) if value is None else value

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        return partial(_filtered, self, name, super().filter(name, token))

    def charge(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise ResourceLimitError("the template does too much work", token=None)

    def raise_for_loop_limit(self, length: int = 1) -> None:
        self.turns += length
        if self.turns > MAX_TURNS:
            raise ResourceLimitError(f"the template's loops take more than {MAX_TURNS} turns", token=None)

    def get_buffer(self, buf: TextIO | None = None) -> Pieces:
        return Pieces()


def _filtered(context: SafeContext, name: str, function: Callable[..., object], left: object, /, *args: object, **named: object) -> object:
    if name != "default":
        for value in (left, *args):
            if type(value) is Missing:
                str(value)
    result = function(left, *args, **named)
    if type(left) is not Missing and type(result) is not Missing:
        before = len(left) if isinstance(left, (str, list, tuple, range)) else 0
        context.charge(4 + (before + measured(result)) // 256)
    return result


def measured(result: object) -> int:
    """The size of what a filter gave; ResourceLimitError if it is over the caps."""
    size = 0
    if isinstance(result, str):
        size = len(result)
    elif isinstance(result, (list, tuple)):
        if len(result) > MAX_LIST:
            raise ResourceLimitError(f"a filter gives more than {MAX_LIST} items", token=None)
        size = len(result) + sum(len(item) for item in result if isinstance(item, (str, list, tuple)))
    elif isinstance(result, int) and result.bit_length() > MAX_BITS:
        raise ResourceLimitError("a filter gives too large a number", token=None)
    if size > MAX_STRING:
        raise ResourceLimitError(f"a filter gives more than {MAX_STRING} characters", token=None)
    return size


def dotted(path: Iterable[object]) -> str:
    """`vars.items[0]["a b"]` of a path's segments."""
    words = []
    for segment in path:
        plain = isinstance(segment, str) and segment.replace("_", "a").replace("-", "a").isalnum()
        words.append(f".{segment}" if plain else f"[{segment!r}]")
    return "".join(words).lstrip(".")


def _as_safe(context: RenderContext) -> SafeContext:
    if not isinstance(context, SafeContext):
        raise TypeError("a template of Homing is rendered by run_template only")
    return context


class RequiredPath(Path):
    """A path whose value is written out: blank text counts as missing, unless the template made it itself."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        value = super().evaluate(context)
        return _blank_is_missing(self, value, context)


class OptionalPath(Path):
    """A path that a `default` filter follows: what is missing is handed on to it."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        safe = _as_safe(context)
        path = [part.evaluate(context) if isinstance(part, Path) else part for part in self.path]
        return safe.look_up(path, token=self.token)


def _blank_is_missing(path: Path, value: object, context: RenderContext) -> object:
    if isinstance(value, str) and (not value or value.isspace()) and path.path[0] not in context.locals:
        str(Missing(str(path), token=path.token, hint=str(path)))
    return value


class PassingFilter(Filter):
    """A filter before a `default` filter: it leaves what is missing alone."""

    __slots__ = ()

    def evaluate(self, left: object, context: RenderContext) -> object:
        return left if type(left) is Missing else super().evaluate(left, context)


class CountedBlock(BlockNode):
    """A block that charges its nodes each time it is rendered."""

    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        _as_safe(context).charge(len(self.nodes))
        return super().render_to_output(context, buffer)


class SafeRange(RangeLiteral):
    """`(1..n)` of a bounded length."""

    __slots__ = ()

    def _make_range(self, start: Any, stop: Any) -> range:
        made = super()._make_range(start, stop)
        if made.stop - made.start > MAX_RANGE:
            raise ResourceLimitError(f"a range of more than {MAX_RANGE} numbers", token=self.token)
        return made


class SafeEnvironment(Environment):
    """Liquid without files, without a way around the escaping, and with our filters."""

    context_depth_limit = 12
    block_nesting_limit = 20
    local_namespace_limit: ClassVar[int | None] = 2_000_000

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=False)
        for tag in ("include", "render"):
            del self.tags[tag]
        for name in ("safe", "base64_decode", "base64_url_safe_decode", "escapejs"):
            del self.filters[name]
        self.filters.update(filters.OURS)


HTML = SafeEnvironment(undefined=Missing, autoescape=True)
PLAIN = SafeEnvironment(undefined=Missing, autoescape=False)


def parse_template(source: str, *, html: bool, name: str) -> BoundTemplate:
    """Parse and tighten a template. Raises the library's LiquidError, whose token has the offset in `source`."""
    template = (HTML if html else PLAIN).from_string(source, name=name)
    for node in walk_nodes(template):
        if type(node) is BlockNode:
            node.__class__ = CountedBlock
        for expression in node.expressions():
            _tighten(expression)
    return template


def run_template(template: BoundTemplate, variables: Mapping[str, object], setting: Setting) -> list[str]:
    """The pieces of one render, in order. Raises LiquidError, or what odd values make the library's filters raise."""
    context = SafeContext(template, globals=variables, setting=setting)
    buffer = Pieces()
    template.render_with_context(context, buffer)
    return buffer.pieces


def walk_nodes(template: BoundTemplate) -> Iterator[Node]:
    """Each node of a template, parents first."""
    static = RenderContext(template)
    waiting = list(reversed(template.nodes))
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(list(node.children(static, include_partials=False))))


def _tighten(root: Expression) -> None:
    waiting = [root]
    while waiting:
        expression = waiting.pop()
        if type(expression) is RangeLiteral:
            expression.__class__ = SafeRange
        elif isinstance(expression, FilteredExpression):
            _tighten_filtered(expression)
        waiting.extend(expression.children())


def _tighten_filtered(expression: FilteredExpression) -> None:
    chain = expression.filters or []
    defaults = [index for index, item in enumerate(chain) if item.name == "default"]
    if type(expression.left) is Path:
        expression.left.__class__ = OptionalPath if defaults else RequiredPath
    for index, item in enumerate(chain):
        if defaults and index < defaults[-1] and item.name != "default":
            item.__class__ = PassingFilter
        for argument in item.args if item.name == "default" else ():
            if type(argument.value) is Path:
                argument.value.__class__ = OptionalPath
