"""MODEL: words of others, as they are kept: a provider's answer, an id of its own, an error's text."""

from __future__ import annotations

MOST = 500
"""Characters."""


def cut(text: object) -> str | None:
    """Bounded, without control characters and whatever a store cannot keep."""
    if text is None or (type(text) is str and len(text) <= MOST and text.isprintable()):
        return text
    return "".join(c if c.isprintable() else " " for c in str(text)[:MOST])
