"""pytest plugin for authors of channels: the fixture `conforms`. Does nothing in a run that does not ask for it.

    def test_dialler_conforms(conforms):
        conforms(Dialler, {"url": "https://api.dialler.example/calls", "token": "t"})
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def conforms() -> Callable[..., Any]:
    """Put a channel through the conformance kit; fails with the kit's report. Takes what `plugins.testing.check_channel` takes."""

    def check(channel_class: Any, settings: Any = None, **options: Any) -> Any:
        from plugins.testing.conformance import check_channel

        report = check_channel(channel_class, settings, **options)
        if not report.passed:
            pytest.fail(report.text(), pytrace=False)
        return report

    return check
