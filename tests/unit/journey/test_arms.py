"""Arms are drawn by a salted hash: sticky, exact in their shares, apart from each other."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.journey.arms import RING, crossed, digest_of, draw, draw_arms, edges, held_out, place
from daemon.model.campaign import Campaign, Step
from daemon.model.journey import Experiment, Variant

PEOPLE = 40_000
HALVES = (("product", 0.5), ("discount", 0.5))
THIRDS = (("a", 0.2), ("b", 0.3), ("c", 0.5))


def people(seed: int = 1) -> list[int]:
    rng = random.Random(seed)
    return [rng.getrandbits(63) for _ in range(PEOPLE)]


def chi_square(counts: Counter[str | None], shares: dict[str, float]) -> float:
    return sum((counts[name] - PEOPLE * share) ** 2 / (PEOPLE * share) for name, share in shares.items())


@pytest.mark.parametrize("ids", ["random", "in a row"])
def test_the_shares_are_kept(ids: str) -> None:
    """Chi-square over 40,000 people below the value that 1 in 10,000 fair draws exceeds (two degrees of freedom: 18.4)."""
    known = people() if ids == "random" else list(range(PEOPLE))
    assert chi_square(Counter(draw("arm:w:offer", person, THIRDS) for person in known), dict(THIRDS)) < 18.4


def test_edges_are_exact() -> None:
    """The shares are exact on the ring: a third is a third to one place in 2**64, and the last ends with the ring."""
    assert edges((0.2, 0.3, 0.5)) == (int(Fraction(2, 10) * RING), int(Fraction(5, 10) * RING), RING)
    assert edges((0.333, 0.333, 0.333))[-1] == RING
    assert edges((1.0, 1.0)) == (RING // 2, RING)
    assert edges((0.1, 0.1)) == (int(Fraction(1, 10) * RING), int(Fraction(2, 10) * RING))
    with pytest.raises(ValueError, match="nothing"):
        edges((0.0,))


@given(st.integers(0, 2**63 - 1), st.text(max_size=12))
def test_the_same_person_has_the_same_arm(person: int, salt: str) -> None:
    assert draw(salt, person, THIRDS) == draw(salt, person, THIRDS)
    assert 0 <= place(salt, person) < RING


def test_experiments_do_not_know_of_each_other() -> None:
    """Within one arm of the first, the arms of the second are as everywhere."""
    pairs = Counter((draw("arm:w:one", person, HALVES), draw("arm:w:two", person, HALVES)) for person in people())
    assert len(pairs) == 4
    assert sum((n - PEOPLE / 4) ** 2 / (PEOPLE / 4) for n in pairs.values()) < 21.1  # three degrees of freedom, 1 in 10,000


def test_a_larger_holdout_holds_out_the_same_people_and_more() -> None:
    ten, twenty = ({person for person in people() if held_out("winback", person, share)} for share in (0.1, 0.2))
    assert ten < twenty
    assert abs(len(ten) - 4000) < 6 * 60 and abs(len(twenty) - 8000) < 6 * 80
    assert not any(held_out("winback", person, 0.0) for person in people()[:1000])


def step(name: str, *variants: tuple[str, float]) -> Step:
    experiment = Experiment(variants=tuple(Variant(name=arm, share=share) for arm, share in variants)) if variants else None
    return Step(name=name, channels=("email",), experiment=experiment)


def test_a_walk_has_one_arm_of_each_experiment() -> None:
    """Steps without one have none; a decided one gives all who come later its winner; a name that is no variant is nobody's arm."""
    campaign = Campaign(name="winback", steps=(step("plain"), step("offer", *HALVES), step("last", *THIRDS)))
    arms = draw_arms(campaign, 42)
    assert set(arms) == {"offer", "last"} and arms == draw_arms(campaign, 42)
    experiment = campaign.steps[1].experiment
    assert experiment is not None
    digest = digest_of(experiment)
    assert all(draw_arms(campaign, person, {("offer", digest): "product"})["offer"] == "product" for person in range(100))
    assert draw_arms(campaign, 42, {("offer", digest): "gone"}) == arms
    assert {draw_arms(campaign, person, {("offer", "of another"): "product"})["offer"] for person in range(100)} == {"product", "discount"}


def test_who_is_in_the_rest_waits() -> None:
    """A fifth of the people try, the others wait for the decision."""
    campaign = Campaign(name="winback", steps=(step("offer", ("a", 0.1), ("b", 0.1)),))
    experiment = campaign.steps[0].experiment
    assert experiment is not None
    waiting = sum(not draw_arms(campaign, person) for person in people())
    assert abs(waiting - 0.8 * PEOPLE) < 6 * 80
    assert draw_arms(campaign, 42, {("offer", digest_of(experiment)): "b"}) == {"offer": "b"}


def test_a_person_of_two_arms_is_crossed() -> None:
    assert crossed([{"offer": "a", "last": "x"}, {"offer": "b", "last": "x"}, {"other": "y"}]) == {"offer"}
