"""The free slots are shared by weight between queues, and by priority inside one."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from daemon.dispatch.fair import MAX_LANES, Fair
from daemon.store.claim import DueLane


def lane(id: int, queue: str, priority: int = 50, channel: str = "email", head: int = 0) -> DueLane:
    return DueLane(id=id, queue=queue, priority=priority, channel=channel, head=head)


def test_queues_share_by_weight_over_many_claims() -> None:
    """Weights 3 : 1 give 3 : 1 of the rows, also when a claim is smaller than the sum of the weights."""
    fair, got = Fair({"a": 3, "b": 1}), Counter[int]()
    for _ in range(100):
        for id, n in fair.share([lane(1, "a"), lane(2, "b")], {"email": 2}):
            got[id] += n
    assert got == {1: 150, 2: 50}


def test_a_high_priority_lane_of_a_queue_goes_first() -> None:
    """Inside a queue the lanes of the highest priority take all the rows of the claim."""
    assert Fair({}).share([lane(1, "a", 10), lane(2, "a", 90), lane(3, "a", 90)], {"email": 11}) == [(2, 6), (3, 5)]


def test_a_channel_without_room_gets_nothing() -> None:
    """A busy or broken provider's lanes are not touched; the others are not slowed."""
    assert Fair({}).share([lane(1, "a", channel="sms"), lane(2, "a")], {"email": 5}) == [(2, 5)]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3)), min_size=1, max_size=60), st.integers(1, 1000))
def test_a_claim_never_takes_more_than_the_room_nor_probes_too_many_lanes(queues: list[tuple[str, int]], room: int) -> None:
    """Whatever lies in the queues: at most `room` rows from at most 32 lanes, each pick at least one row."""
    lanes = [lane(i, queue, priority) for i, (queue, priority) in enumerate(queues)]
    picks = Fair({"a": 5, "b": 0.5}).share(lanes, {"email": room})
    assert sum(n for _, n in picks) <= room
    assert len(picks) <= MAX_LANES
    assert all(n >= 1 for _, n in picks)


def test_a_queue_of_many_jobs_leaves_lanes_for_the_others() -> None:
    """Forty jobs in one queue fill the lanes that a claim probes; the job of the other queue has its share all the same."""
    fair, got = Fair({}), Counter[str]()
    lanes = [lane(number, "a") for number in range(1, 41)] + [lane(99, "b")]
    for _ in range(20):
        for id, n in fair.share(lanes, {"email": 500}):
            got["b" if id == 99 else "a"] += n
    assert got["b"] >= 20 * 240


def test_every_queue_has_its_turn_when_there_are_more_than_a_claim_probes() -> None:
    """Forty queues, thirty-two lanes a claim: who was left out comes first the next time."""
    fair, got = Fair({}), Counter[int]()
    lanes = [lane(number, f"q{number:02}") for number in range(40)]
    for _ in range(50):
        for id, n in fair.share(lanes, {"email": 480}):
            got[id] += n
    assert len(got) == 40
    assert max(got.values()) <= 1.3 * min(got.values())
