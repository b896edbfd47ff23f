"""`make bench` starts: each bench finds what it takes from the others."""

from __future__ import annotations

import importlib


def test_all_benches_can_be_imported() -> None:
    """None is run here, and no type checker reads them: a name that has moved would be missed only on the day of measuring."""
    assert importlib.import_module("tests.bench.__main__").BENCHES
