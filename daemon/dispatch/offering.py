"""Puts the ladder of offers to a claim's rows: which offer each delivery carries, what stands in its way, and what is to be set aside.

Rules are in `journey.offer` and `policy.decide`; the store sets codes aside when the verdict is written. Two deliveries of one person
that would each bring a new offer do not both go: the second is looked at again when it is known what became of the first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from daemon.dispatch.work import Plan
from daemon.journey.codes import bytes_for, generate, stream
from daemon.journey.offer import Give, Over, Wait, Walker, choose, is_seeker
from daemon.journey.profile import Shop
from daemon.journey.tiers import tier_of
from daemon.model.delivery import HOUR, Decision, Instant, Reason, Verdict
from daemon.model.offer import IssueState
from daemon.policy import tz
from daemon.policy.deadlines import end_of, fixed_end
from daemon.policy.subject import Candidate, OfferFacts
from daemon.store.claim import Judged
from daemon.store.codes import Mint
from daemon.store.facts import DueRow, Holdings, Known
from daemon.store.issues import Wanted


class Offered(NamedTuple):
    """What a delivery brings. `facts`: for the rules; `wanted`: for the store, None where it may not go anyhow."""

    facts: OfferFacts
    wanted: Wanted | None = None


class Offering:
    """The offers of one claim. `shop`: what tiers are counted by."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._taken: dict[str, int] = {}
        """Codes that this claim has promised already, by pool."""
        self._offered: dict[int, Offered] = {}
        self._won: dict[int, str | None] = {}
        """Delivery -> the winner that it waited for."""

    def look(self, row: DueRow, plan: Plan, known: Known, zones: Sequence[str], now: Instant) -> tuple[DueRow, dict[str, Any]]:
        """The row with its variant, and what its candidate has beside. `zones`: as in `of`."""
        told, undecided = settled(row, plan, known.won)
        if undecided:
            return row, {"undecided": True}
        if told is not row:
            self._won[row.delivery] = told.variant
        if known.holdings is None or not plan.campaign.offers:
            return told, {}
        one = self.of(told, plan, known.holdings, zones, now)
        if one is None:
            return told, {}
        self._offered[row.delivery] = one
        return told, {"offer": one.facts}

    def contest(self, verdicts: Sequence[tuple[Candidate, Decision]], now: Instant) -> Sequence[tuple[Candidate, Decision]]:
        """The verdicts on one person's deliveries, with at most one offer that it does not have yet."""
        return one_new(verdicts, self._offered, now) if len(self._offered) > 1 and len(verdicts) > 1 else verdicts

    def bring(self, item: Judged) -> Judged:
        """What is to be written with a verdict: the offer of what goes, and the variant that it waited for."""
        if item.decision.verdict is not Verdict.SEND:
            return item
        number = item.row.delivery
        if number in self._won:
            item = item._replace(variant=self._won[number])
        if (one := self._offered.get(number)) is not None:
            self._promise(one.wanted)
            item = item._replace(offer=one.wanted)
        return item

    def of(self, row: DueRow, plan: Plan, held: Holdings, zones: Sequence[str], now: Instant) -> Offered | None:
        """What the delivery carries; None: nothing. `zones`: those that are possible, the one in which its end is printed first."""
        campaign = plan.campaign
        step = next((step for step in campaign.steps if step.name == row.step), None)
        if step is None or row.walk is None:
            return None
        tier = tier_of({"orders": held.orders, "value": held.value}, self._shop)
        share = held.discount_orders / held.orders if held.orders else None
        walker = Walker(row.walk, json.loads(row.arms) if row.arms else {}, tier, is_seeker(held.orders, share))
        choice = choose(campaign, step, walker, held.issues, now)
        match choice:
            case None:
                return None
            case Over(issue=issue):
                return Offered(OfferFacts(issue.offer, over=str(issue.state)))
            case Wait(until=until, open=issue):
                return Offered(OfferFacts(issue.offer, waits_until=until, open=issue.offer, of=issue.campaign))
            case Give():
                return self._given(row, choice, held, zones, now)

    def _given(self, row: DueRow, give: Give, held: Holdings, zones: Sequence[str], now: Instant) -> Offered:
        offer, again = give.offer, give.again
        zone = zones[0] if zones else None
        if again is not None and again.state is IssueState.OPEN:
            ends = printed = again.ends_at
        else:
            printed = end_of(offer, now, zone)
            ends = fixed_end(offer.ends, tuple(zones)) if offer.ends is not None else None
        pool = offer.pool if again is None else None
        left = held.free.get(pool, 0) - self._taken.get(pool, 0) if pool is not None and not row.held_out else None
        wanted = Wanted(
            walk=row.walk or 0, step=row.step, person=row.person, campaign=row.campaign, offer=offer.name, rank=offer.rank,
            again=again.id if again is not None else None, pool=pool, pattern=offer.generate if again is None else None, printed=printed,
            valid=None if offer.ends is not None else offer.valid, zone=zone, apart=offer.apart.value,
        )  # fmt: skip
        return Offered(OfferFacts(offer.name, ends_at=ends, min_left=offer.min_left, pool=pool, left=left), wanted)

    def _promise(self, wanted: Wanted | None) -> None:
        """It goes: its code is as good as taken."""
        if wanted is not None and wanted.pool is not None:
            self._taken[wanted.pool] = self._taken.get(wanted.pool, 0) + 1


def settled(row: DueRow, plan: Plan, won: Mapping[tuple[int, str, str], str]) -> tuple[DueRow, bool]:
    """The row with the variant that its step's experiment gave it; True: it waits for the winner, which is not known yet."""
    digest = plan.waiting.get(row.step)
    if digest is None or row.variant is not None:
        return row, False
    winner = won.get((row.campaign, row.step, digest))
    if winner is None:
        return row, not row.held_out
    arms = {**(json.loads(row.arms) if row.arms else {}), row.step: winner}
    return row._replace(variant=winner, arms=json.dumps(arms)), False


def one_new(
    verdicts: Sequence[tuple[Candidate, Decision]], offered: Mapping[int, Offered], now: Instant
) -> list[tuple[Candidate, Decision]]:
    """The verdicts on one person's deliveries, in the order of the contest, with at most one offer that the person does not have yet."""
    first: Wanted | None = None
    found = []
    for candidate, verdict in verdicts:
        one, decision = offered.get(candidate.id), verdict
        new = one.wanted if one is not None and decision.verdict is Verdict.SEND and not candidate.held_out else None
        if new is not None and new.again is None:
            if first is None:
                first = new
            elif (first.walk, first.step) != (new.walk, new.step):
                decision = _after(candidate, decision, first, now)
        found.append((candidate, decision))
    return found


def _after(candidate: Candidate, decision: Decision, first: Wanted, now: Instant) -> Decision:
    """Behind a message with another offer: in an hour that is accepted, or has come to nothing."""
    until = min(now + HOUR, candidate.expires_at)
    return Decision(
        verdict=Verdict.DEFER, reason=Reason.YIELDED_TO_PRIORITY, until=until, rule=("offer", decision.rule[1] if decision.rule else ""),
        facts={"open": first.offer, "until": tz.utc_text(until)}, checks=(*decision.checks, ("offer", Verdict.DEFER)),
    )  # fmt: skip


def minting(secret: bytes) -> Mint:
    """Makes codes of patterns by a keyed hash of what they are for: the same again after a crash, and nobody can foretell them."""

    def mint(pattern: str, walk: int, step: str, turn: int) -> str:
        take: Callable[[int], bytes] = stream(secret, f"{pattern}\0{walk}\0{step}\0{turn}")
        while (code := generate(pattern, take(bytes_for(pattern)))) is None:
            pass
        return code

    return mint
