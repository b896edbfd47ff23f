"""CONTENT: the text of an expression as sqlglot's tree, within bounds; what `content.expression` makes of that is checked there.

Pure; sqlglot is loaded at the first expression.
"""

from __future__ import annotations

import logging
from typing import Any

from daemon.config.values import BadValue

MOST_TEXT = 8000
MOST_TOKENS = 1500
MOST_DEPTH = 30


class ExpressionError(BadValue):
    """What is wrong, the nearest good word, and where: `offset` in characters, `line` from 0, `column` from 1."""

    def __init__(self, what: str, suggestion: str | None = None, *, text: str = "", offset: int = 0) -> None:
        super().__init__(what, suggestion)
        self.offset = offset
        self.line = text.count("\n", 0, offset)
        self.column = offset - (text.rfind("\n", 0, offset) + 1) + 1


def read_sql(text: str) -> Any:
    """sqlglot's tree, a `Condition`; what is too long, too deep or no expression at all is refused before anything is made of it."""
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # what it warns of is an error of ours
    from sqlglot import exp
    from sqlglot.errors import ParseError, TokenError
    from sqlglot.parser import Parser
    from sqlglot.tokenizer_core import TokenType
    from sqlglot.tokens import Tokenizer

    if len(text) > MOST_TEXT:
        raise ExpressionError(f"has {len(text)} characters; at most {MOST_TEXT} are read", text=text)
    try:
        tokens = Tokenizer().tokenize(text)
    except TokenError:
        quote = max(text.rfind("'"), 0)
        raise ExpressionError("a quote is not closed", text=text, offset=quote) from None
    if not tokens:
        raise ExpressionError("is empty: name a condition, such as orders >= 1", text=text)
    if len(tokens) > MOST_TOKENS:
        raise ExpressionError(f"has {len(tokens)} words and signs; at most {MOST_TOKENS} are read", text=text)
    depth = run = 0
    for token in tokens:
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
        run = run + 1 if token.token_type in (TokenType.NOT, TokenType.DASH) else 0
        if depth > MOST_DEPTH or run > MOST_DEPTH:
            raise ExpressionError(f"is nested more than {MOST_DEPTH} deep", text=text, offset=token.start)
        if token.token_type is TokenType.SEMICOLON:
            raise ExpressionError('";" ends nothing here: one condition', text=text, offset=token.start)
    try:
        [parsed] = Parser().parse_into(exp.Condition, tokens, text)
    except ParseError as error:
        raise _unreadable(error, text) from None
    except (RecursionError, ValueError, AttributeError, TypeError):
        raise ExpressionError("cannot be read", text=text) from None
    if parsed is None:
        raise ExpressionError("is empty: name a condition, such as orders >= 1", text=text)
    return parsed


def _unreadable(error: Any, text: str) -> ExpressionError:
    """In our words, at the place that the parser names."""
    found = error.errors[0] if error.errors else {}
    word = str(found.get("highlight") or "")
    lines = text.split("\n")
    line = min(max(int(found.get("line") or 1), 1), len(lines))
    end = sum(len(each) + 1 for each in lines[: line - 1]) + int(found.get("col") or 1)
    offset = max(0, min(end - len(word), len(text)))
    at = f'at "{word}"' if word else "at its end"
    return ExpressionError(f"cannot be read {at}", text=text, offset=offset)
