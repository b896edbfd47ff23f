"""Words of others, as they are kept."""

from __future__ import annotations

import pytest

from daemon.model.words import MOST, cut


@pytest.mark.parametrize(
    ("said", "kept"),
    [(None, None), ("250 ok", "250 ok"), ("a\r\nb\x00c", "a  b c"), ("\ud800x", " x"), (404, "404"), ("x" * (MOST + 9), "x" * MOST)],
)
def test_words_are_bounded_and_printable(said: object, kept: str | None) -> None:
    """Whatever a provider says: no line ends, nothing that a store cannot keep, no more than a line."""
    assert cut(said) == kept
