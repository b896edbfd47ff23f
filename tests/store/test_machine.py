"""Any order of the store's acts, with crashes: the rows are always what the model says (machine.py).

`make machine` runs it deep (HOMING_MACHINE = examples x steps). What it ever found stays below as a plain test.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from daemon.model.delivery import HOUR
from tests.store.machine_acts import StoreMachine
from tests.store.machine_world import CAPS, Policy

EXAMPLES, STEPS = map(int, os.environ.get("HOMING_MACHINE", "50x50").split("x"))
PHASES = (Phase.generate,) if "HOMING_MACHINE_RAW" in os.environ else (Phase.reuse, Phase.generate, Phase.shrink)
"""Raw: the first failure as it was drawn (the check of planted bugs wants to know only that there is one)."""


@pytest.fixture
def machine() -> Iterator[StoreMachine]:
    """Its rules are played by hand."""
    played = StoreMachine()
    played.set_up(None)
    yield played
    played.folder.cleanup()


@pytest.mark.promise("F1", "F25")
@pytest.mark.parametrize("stage", ["planning", "counting", "releasing"])
def test_a_crash_while_a_job_is_prepared_leaves_all_or_nothing(machine: StoreMachine, stage: str) -> None:
    """Rows and the place in the body, or the cursor behind them, are one commit; afterwards the job goes on and is sent."""
    machine.job_comes((0, 0, [0, 1, 2], 0, {"planning": 6, "counting": 7, "releasing": 8}[stage]))
    machine.settled()
    machine.plan(0, [0, 1, 2])
    machine.end_of_body(0)
    machine.release(0, 5, 0, never=False)
    machine.settled()
    machine.teardown()
    assert sorted({d.state for d in machine.model.deliveries.values()}) in ([], ["accepted"])


@pytest.mark.promise("P11")
def test_what_was_held_in_a_restored_copy_and_sent_since_does_not_go_again(machine: StoreMachine) -> None:
    """Held when the copy was made, freed, sent; the copy comes back and the operator frees all that is held."""
    machine.job_comes((0, 0, [0, 1], 0, 5))
    machine.claim(["hold, no zone"], 5, 0)
    machine.settled()
    machine.keep_a_copy()
    machine.free_what_is_held(cancel=False, n=2, whole=False)
    machine.settled()
    machine.send(5, ["accepted"])
    machine.settled()
    machine.put_a_copy_back(0)
    machine.settled()
    machine.free_what_is_held(cancel=False, n=2, whole=False)
    machine.teardown()
    assert {d.state for d in machine.model.deliveries.values()} == {"in_doubt"}


@pytest.mark.promise("P5")
def test_a_second_try_waits_for_the_window_as_the_first_one_did(machine: StoreMachine) -> None:
    """Put off by the relay, and by the time that it may come again the window has closed: it is judged by the rules anew."""
    machine.policy = Policy(CAPS[1])
    machine.job_comes((0, 0, [0, 1], 0, 5))
    machine.settled()
    machine.send(5, ["deferred"])
    machine.settled()
    assert {(d.state, d.attempts) for d in machine.model.deliveries.values()} == {("due", 1)}
    machine.time_passes(12 * HOUR)
    machine.claim(["send"], 5, 0)
    machine.settled()
    assert {(d.state, d.reason) for d in machine.model.deliveries.values()} == {("due", "window_closed")}
    machine.teardown()


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
