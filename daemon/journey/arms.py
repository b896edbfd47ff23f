"""JOURNEY, arms: who gets which variant of an experiment, and who is held out. Pure.

An arm is a salted hash of the person laid on the variants' shares: the same person, in whatever order and however often asked, gets the
same arm, no list of who got what is needed to draw, and two experiments do not know of each other. What was drawn once is kept with the
walk and never drawn again, so that later changes of the shares move nobody. `person` = the identity cluster: recipients that were joined
into one are one unit.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from daemon.model.campaign import Campaign
from daemon.model.journey import Experiment

RING = 1 << 64


def place(salt: str, person: int) -> int:
    """The person's place on a ring of 2**64 places, uniform over the persons for each salt."""
    return int.from_bytes(hashlib.blake2b(person.to_bytes(8), digest_size=8, key=_key(salt)).digest())


@functools.lru_cache(maxsize=1024)
def _key(salt: str) -> bytes:
    return hashlib.blake2b(salt.encode(), digest_size=32).digest()


@functools.lru_cache(maxsize=1024)
def edges(shares: tuple[float, ...]) -> tuple[int, ...]:
    """Where on the ring each share ends. Shares that come to less than 1 leave a rest; 0.333 three times is meant to be all."""
    exact = [Fraction(share).limit_denominator(1_000_000) for share in shares]
    total = sum(exact)
    if total <= 0:
        raise ValueError("the shares of an experiment come to nothing")
    whole = max(total, Fraction(1)) if total < Fraction(99, 100) else total
    ends, so_far = [], Fraction(0)
    for share in exact:
        so_far += share
        ends.append(int(so_far * RING / whole))
    return tuple(ends)


def draw(salt: str, person: int, variants: Sequence[tuple[str, float]]) -> str | None:
    """The variant by (name, share) in the order of the file. None: in the rest, which waits for the decision."""
    at = place(salt, person)
    for (name, _), end in zip(variants, edges(tuple(share for _, share in variants)), strict=True):
        if at < end:
            return name
    return None


def held_out(campaign: str, person: int, share: float) -> bool:
    """Is the person in the campaign's holdout? A larger share holds out the same people and more."""
    return share > 0 and place(f"holdout:{campaign}", person) < int(Fraction(share).limit_denominator(1_000_000) * RING)


def draw_arms(campaign: Campaign, person: int, decided: Mapping[tuple[str, str], str] | None = None) -> dict[str, str]:
    """Name of each experiment (its step) -> variant, for a walk that begins. `decided`: (step, digest) of experiments that have a winner
    already, which all get who come later. Who is in the rest of an experiment is not named."""
    decided = decided or {}
    arms: dict[str, str] = {}
    for step in campaign.steps:
        if step.experiment is None:
            continue
        names = [variant.name for variant in step.experiment.variants]
        won = decided.get((step.name, digest_of(step.experiment)))
        arm = won if won in names else draw_arm(campaign.name, step.name, step.experiment, person)
        if arm is not None:
            arms[step.name] = arm
    return arms


def draw_arm(campaign: str, step: str, experiment: Experiment, person: int) -> str | None:
    """One experiment's arm of a person; None: waits for the decision."""
    return draw(f"arm:{campaign}:{step}", person, [(variant.name, variant.share) for variant in experiment.variants])


def digest_of(experiment: Experiment) -> str:
    """What an experiment is known by: same arms, shares and metric are the same one, in whatever version of the campaign."""
    said = [[each.name, each.share, sorted((each.offer or {}).items()), each.day, each.delay, each.hours, each.channels]
            for each in experiment.variants]  # fmt: skip
    return hashlib.sha256(json.dumps([said, experiment.metric], default=str).encode()).hexdigest()[:12]


def crossed(walks: Iterable[Mapping[str, str]]) -> frozenset[str]:
    """Of the walks of recipients that are one person now: experiments in which they had different arms. Such a person has seen more than
    one, keeps the arm of the survivor, and is left out of the analysis."""
    seen: dict[str, str] = {}
    found = set()
    for arms in walks:
        for name, arm in arms.items():
            if seen.setdefault(name, arm) != arm:
                found.add(name)
    return frozenset(found)
