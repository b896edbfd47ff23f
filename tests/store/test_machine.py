"""Any order of the store's acts, with crashes: the rows are always what the model says (machine.py).

`make machine` runs it deep (HOMING_MACHINE = examples x steps). What it ever found stays below as a plain test.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.store.machine_acts import StoreMachine

EXAMPLES, STEPS = map(int, os.environ.get("HOMING_MACHINE", "50x50").split("x"))
PHASES = (Phase.generate,) if "HOMING_MACHINE_RAW" in os.environ else (Phase.reuse, Phase.generate, Phase.shrink)
"""Raw: the first failure as it was drawn (the check of planted bugs wants to know only that there is one)."""


@pytest.mark.slow
@pytest.mark.promise("P2", "P3", "P4", "P5", "P6", "P11", "F1", "F2", "F3", "F42", "F44")
def test_the_store_does_what_its_model_says() -> None:
    """Life of a delivery, caps, guards, crashes, restores: after each act the tables equal the model."""
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES,
            report_multiple_bugs=False, print_blob=False,
        ),
    )
