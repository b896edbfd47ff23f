"""CONTENT: the fast way to render a parsed template: its usual nodes as Python closures, 3 x quicker than walking the tree.

It is right or absent. Nodes that it does not know make `compile_quick` return None; whatever is unusual while rendering (a
missing value, an odd type, a filter's error, much work) raises, the half-made output is dropped and the library renders that
message from the start. So limits and error texts are all the library's (`hardened`), and a differential fuzz compares the two.

No `exec`; reads the library's tree by exact types, so that a changed upstream makes it slow, not wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from liquid import BoundTemplate
from liquid.ast import Node
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import Path
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.builtin.tags.capture_tag import CaptureNode
from liquid.builtin.tags.comment_tag import CommentNode
from liquid.builtin.tags.echo_tag import EchoNode
from liquid.builtin.tags.for_tag import ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.inline_comment_tag import InlineCommentNode
from liquid.builtin.tags.unless_tag import UnlessNode
from markupsafe import Markup, escape

from daemon.content.hardened import MAX_OUTPUT, CountedBlock, Setting, walk_nodes
from daemon.content.quick_values import MAX_VALUE, PLAIN, Frame, Unknown, Unusual, ValueMaker

__all__ = ["Quick", "Unusual", "compile_quick"]

MAX_TURNS = 200
"""Loop turns of one render; beyond them the library renders, which keeps the budget."""
MAX_PIECES = 2000
"""Written pieces at the end of a loop's turn."""

Quick = Callable[[Mapping[str, object], Setting], list[str]]
_Run = Callable[[Frame, list[str]], None]


def compile_quick(template: BoundTemplate) -> Quick | None:
    """The quick form of a template that `hardened.parse_template` made; None if it has something that is not compiled.

    What it returns raises on everything unusual (also errors of Python itself): the caller then runs the library.
    """
    maker = _Maker(template)
    try:
        run = maker.nodes(template.nodes, blank=False)
    except Unknown:
        return None

    def quick(names: Mapping[str, object], setting: Setting) -> list[str]:
        out: list[str] = []
        run(Frame(names, setting, maker.slots), out)
        if sum(map(len, out)) > MAX_OUTPUT:
            raise Unusual
        return out

    return quick


class _Maker:
    """Turns nodes into closures."""

    def __init__(self, template: BoundTemplate) -> None:
        self._html = template.env.autoescape
        setters = (node for node in walk_nodes(template) if isinstance(node, (AssignNode, CaptureNode)))
        self._values = ValueMaker(template.env, frozenset(str(node.name) for node in setters))
        self.slots = 0

    def nodes(self, nodes: Sequence[Node], *, blank: bool) -> _Run:
        """Nodes one after the other; in a blank block plain text is left out, as the library does."""
        runs = tuple(run for node in nodes if (run := self._node(node)) is not None and not (blank and type(run) is str))

        def block(frame: Frame, out: list[str]) -> None:
            for run in runs:
                if type(run) is str:
                    out.append(run)
                else:
                    run(frame, out)  # type: ignore[operator]

        return block

    def _node(self, node: Node) -> _Run | str | None:
        kind = type(node)
        if kind is ContentNode:
            return node.text or None  # type: ignore[attr-defined]
        if kind is CommentNode or kind is InlineCommentNode:
            return None
        makers: Mapping[type, Callable[[Any], _Run]] = {
            OutputNode: self._output,
            EchoNode: self._output,
            IfNode: self._if,
            UnlessNode: self._if,
            ForNode: self._for,
            AssignNode: self._assign,
            CaptureNode: self._capture,
        }
        if kind not in makers:
            raise Unknown
        return makers[kind](node)

    def _block(self, block: Any) -> _Run:
        if type(block) is not CountedBlock:
            raise Unknown
        return self.nodes(block.nodes, blank=block.blank)

    def _output(self, node: OutputNode) -> _Run:
        value = self._values.filtered(node.expression)
        html = self._html

        def output(frame: Frame, out: list[str]) -> None:
            result = value(frame)
            kind = type(result)
            if (kind is str or kind is Markup) and len(result) > MAX_VALUE:
                raise Unusual
            if kind is str:
                text = str.__str__(escape(result)) if html else result
            elif kind is Markup:
                text = str.__str__(result)
            elif kind is int or kind is float:
                text = str(result)
            elif kind is bool:
                text = "true" if result else "false"
            else:
                raise Unusual
            if text:
                out.append(text)

        return output

    def _assign(self, node: AssignNode) -> _Run:
        value, name = self._values.filtered(node.expression), str(node.name)

        def assign(frame: Frame, _out: list[str]) -> None:
            result = value(frame)
            if type(result) not in PLAIN or (isinstance(result, str) and len(result) > MAX_VALUE):
                raise Unusual
            frame.own[name] = result

        return assign

    def _capture(self, node: CaptureNode) -> _Run:
        block, name = self._block(node.block), str(node.name)
        make = Markup if self._html else str

        def capture(frame: Frame, _out: list[str]) -> None:
            inner: list[str] = []
            block(frame, inner)
            text = "".join(inner)
            if len(text) > MAX_VALUE:
                raise Unusual
            frame.own[name] = make(text)

        return capture

    def _if(self, node: Any) -> _Run:
        expected = type(node) is IfNode
        first, consequence = self._values.test(node.condition), self._block(node.consequence)
        others = [(self._values.test(other.expression), self._block(other.block)) for other in node.alternatives]
        default = self._block(node.default) if node.default else None

        def choose(frame: Frame, out: list[str]) -> None:
            if first(frame) is expected:
                consequence(frame, out)
                return
            for test, block in others:
                if test(frame):
                    block(frame, out)
                    return
            if default is not None:
                default(frame, out)

        return choose

    def _for(self, node: ForNode) -> _Run:
        loop = node.expression
        if loop.limit is not None or loop.offset is not None or loop.reversed or loop.cols is not None or type(loop.iterable) is not Path:
            raise Unknown
        items = self._values.path(loop.iterable)
        slot, self.slots = self.slots, self.slots + 3
        self._values.loops.append((str(loop.identifier), slot))
        block = self._block(node.block)
        self._values.loops.pop()
        default = self._block(node.default) if node.default else None

        def repeat(frame: Frame, out: list[str]) -> None:
            values = items(frame)
            if type(values) is not list:
                raise Unusual
            frame.turns += len(values)
            if frame.turns > MAX_TURNS:
                raise Unusual
            places = frame.loops
            places[slot + 2] = len(values)
            for index, value in enumerate(values):
                places[slot], places[slot + 1] = value, index
                block(frame, out)
                if len(out) > MAX_PIECES:
                    raise Unusual
            if not values and default is not None:
                default(frame, out)

        return repeat
