"""Filters of events (`where` of goals and triggers), put to the properties of what came in.

A text is parsed once. One that this release cannot read any more lets nothing pass: the campaign's own check has said so at its load.
"""

from __future__ import annotations

import functools
import json

from daemon.content.expression import ExpressionError, parse_expression
from daemon.journey.matching import matches
from daemon.model.expression import Expression, Scope


@functools.lru_cache(maxsize=1024)
def _parsed(text: str) -> Expression | None:
    try:
        return parse_expression(text, scope=Scope.EVENT)
    except ExpressionError:
        return None


def passes(filter: str | None, properties: str | None) -> bool:
    """Does an event with these properties (JSON text) fit the filter? None = every event does."""
    if filter is None:
        return True
    expression = _parsed(filter)
    return expression is not None and matches(expression, json.loads(properties) if properties else {})
