"""What a destination that answers too late costs the others behind the same relay, in virtual time: a goal that a loaded machine can keep."""

from __future__ import annotations

import pytest

from tests.simulation.tarpit import SHAPES, Shape, cost

pytestmark = pytest.mark.slow


@pytest.mark.promise("P10")
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.title.removeprefix("one destination in twenty waits "))
def test_a_destination_that_answers_too_late_costs_the_others_less_than_a_twentieth(shape: Shape) -> None:
    """The first message to it holds a connection, a spare one stands in, and the queue keeps the rest: so it is tried rarely."""
    part, _, bad = cost(shape, 1, 3000)
    assert part < 0.05
    longest = max(shape.rcpt, shape.dot)
    assert len(bad.tried) <= 3 + 2 * bad.seconds / longest
