"""Puts the rules to the claim's rows: store rows in, `Candidate` and `PersonFacts` for `policy.decide_all`, verdicts out.

Runs inside the claim's transaction, in the writer's thread. Adds what is not a rule about people: a channel that no
provider serves (Hold), a destination domain whose bucket is empty (Defer to its next free reservation, once).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from daemon.dispatch.alike import Alike
from daemon.dispatch.budgeting import Budgeting
from daemon.dispatch.channels import elsewhere, not_needed
from daemon.dispatch.offering import Offering, minting
from daemon.dispatch.subject import candidate_of, facts_of
from daemon.dispatch.turns import waits_for_turn
from daemon.dispatch.work import PlanBook
from daemon.journey.profile import Shop
from daemon.journey.worth import Budgets
from daemon.links import CODES, Links
from daemon.model.delivery import SECOND, Decision, Instant, Reason, State, Verdict
from daemon.model.expression import Expression
from daemon.model.journey import ACT_CHANNELS, way_of
from daemon.pacing.destinations import Destinations
from daemon.pacing.limits import Limits
from daemon.pacing.warmup import Full, Ration
from daemon.policy import tz
from daemon.policy.caps import OWN, days_of
from daemon.policy.decide import decide, decide_all, ghost_of, state_after
from daemon.policy.hours import WindowError
from daemon.policy.rules import Rules
from daemon.policy.subject import NOTHING, Candidate, PersonFacts
from daemon.store.claim import Fetch, Judged
from daemon.store.codes import Mint
from daemon.store.facts import DueRow, Known, Needs
from daemon.store.issues import no_codes
from plugins.standing import ADDRESS_OF


def _hold(row: DueRow, reason: Reason, key: str, facts: Mapping[str, object]) -> Judged:
    decision = Decision(verdict=Verdict.HOLD, reason=reason, key=key, facts=facts, checks=(("facts", "hold"),))
    return Judged(row=row, decision=decision, state=State.HELD)


class Resting(NamedTuple):
    """A provider that is left alone now: what it failed with, and until when (None: until an operator mends it)."""

    provider: str
    detail: str
    until: Instant | None


_SHOP = Shop()
_NO_BUDGETS = Budgets()


class Judging:
    """The rules of the running config, and the domain buckets that outlive a claim. `kinds`: channel -> address kind."""

    def __init__(
        self, rules: Rules, kinds: Mapping[str, str], limits: Mapping[str, Limits] | None = None,
        crowds: Mapping[str, Destinations] | None = None, rations: Mapping[str, Ration] | None = None,
        shop: Shop = _SHOP, links: Links | None = None, budgets: Budgets = _NO_BUDGETS,
    ) -> None:  # fmt: skip
        """By provider: `limits` of destinations, `crowds`: what is on its way to each of them, for those that are slow, `rations`: what a
        warm-up allows. `shop`: what the tiers of recipients are counted by; `links`: has the secret that codes of offers are made from;
        `budgets`: what messages cost, and what each channel may use of a campaign's budget."""
        self.limits, self.crowds, self.rations = limits or {}, crowds or {}, rations or {}
        self.rules, self.shop, self.budgets = rules, shop, budgets
        self.mint: Mint = minting(links.secret(CODES)) if links is not None else no_codes
        self.kinds = {**dict.fromkeys(ACT_CHANNELS.values(), "recipient"), **ADDRESS_OF, **kinds}
        self.pushed: AbstractSet[str] = frozenset(channel for channel, kind in self.kinds.items() if kind == "push")
        """Channels whose addresses are push subscriptions."""

    def bind(
        self, plans: PlanBook, providers: Mapping[str, str], known_channels: set[str], now: Instant,
        resting: Mapping[str, Resting] | None = None,
    ) -> Judgement:  # fmt: skip
        """The judge of one claim. `providers`: way (`way_of`) -> the provider that serves it now; `resting`: why none does;
        `known_channels`: all ways that there are."""
        return Judgement(self, plans, providers, known_channels, now, resting or {})


class Judgement:
    """One claim's judge (`store.claim.Judge`)."""

    def __init__(
        self, judging: Judging, plans: PlanBook, providers: Mapping[str, str], known_channels: set[str], now: Instant,
        resting: Mapping[str, Resting],
    ) -> None:  # fmt: skip
        self._judging, self._plans, self._providers, self._channels, self._now = judging, plans, providers, known_channels, now
        self._resting = resting
        self._ways: dict[int, str] = {}
        """Delivery -> its way, where that is not its channel."""
        self._taken: dict[str, int] = {}
        """Slow destination -> how many this claim has let go to it."""
        self._rationed: dict[str, int] = {}
        """Of each ceiling of a warm-up, what this claim has taken."""
        self._offering = Offering(judging.shop)
        self._budgeting = Budgeting(judging.budgets, plans)
        self._wanting: dict[tuple[int, int, int], bool] = {}
        self.horizon = now - max(judging.rules.horizon, OWN.reach)
        self.contest = bool(judging.rules.caps)
        self.pushed = judging.pushed
        served = {channel: name for channel, name in providers.items() if name and channel in known_channels and not self._paced(name)}
        self._alike = Alike(judging.rules, judging.kinds, served, plans, now)

    def prepare(self, versions: frozenset[tuple[int, int]], fetch: Fetch) -> Needs:
        """Load and compile the campaign versions that are not in the book yet (store.claim.Prepare)."""
        push, offers = [], []
        pools: set[str] = set()
        trials: set[int] = set()
        budgets: set[int] = set()
        conditions: dict[tuple[int, int, str], Expression] = {}
        for campaign, version in sorted(versions):
            plan = self._plans.get(campaign, version, fetch)
            if plan is None:
                continue
            if any(not self.pushed.isdisjoint(step.every_channel) for step in plan.several.values()):
                push.append((campaign, version))
            if plan.campaign.offers:
                offers.append((campaign, version))
                pools.update(offer.pool for offer in plan.campaign.offers.values() if offer.pool is not None)
            if plan.waiting:
                trials.add(campaign)
            if self._budgeting.asks(campaign, version) is not None:
                budgets.add(campaign)
            conditions |= {(campaign, version, step): expression for step, expression in plan.escalating.items()}
        self._plans.trim(len(versions))
        return Needs(push, offers, frozenset(pools), sorted(trials), conditions, self._judging.shop, self._now, budgets=sorted(budgets))

    def wants_profile(self, row: DueRow) -> bool:
        """Do the words of this one (its version's, or the newest loaded) say what a profile knows?"""
        key = row.campaign, row.version, row.newest
        wants = self._wanting.get(key)
        if wants is None:
            plans = (self._plans.peek(row.campaign, row.version), self._plans.peek(row.campaign, row.newest))
            wants = self._wanting[key] = any(plan is not None and plan.renderer.wants_profile for plan in plans)
        return wants

    def __call__(self, rows: Sequence[DueRow], known: Mapping[int, Known], rivals: frozenset[int]) -> list[Judged]:
        by_person: dict[int, list[DueRow]] = {}
        for row in rows:
            by_person.setdefault(row.person, []).append(row)
        judged: list[Judged] = []
        alike = self._alike.judge
        for person, mine in by_person.items():
            of_person = known[person]
            if len(mine) == 1 and (one := alike(mine[0], of_person)) is not None:
                judged.append(one)
            else:
                judged += self._person(mine, of_person, rivals)
        return judged

    def _paced(self, provider: str) -> bool:
        """It has an account of destinations or of days, in which each message has its place."""
        judging = self._judging
        return bool(judging.limits.get(provider) or judging.crowds.get(provider) or judging.rations.get(provider))

    def _person(self, rows: list[DueRow], known: Known, rivals: frozenset[int]) -> list[Judged]:
        rules = self._judging.rules
        if known.stays:
            known.touches += days_of(known.stays, self._now, self.horizon)
            known.stays = []
        try:
            facts = facts_of(rows[0], known, self._judging.kinds)
        except WindowError as error:  # one person's odd trait must not stop the others
            what = {"what": f"{error.key}: {error.what}"}
            return [_hold(row, Reason.WINDOW_NEVER_OPENS, f"recipient:{row.recipient}", what) for row in rows if row.delivery not in rivals]
        guess = rules.guess_zones(facts)
        planned: dict[int, DueRow] = {}
        candidates, judged = [], []
        for row in rows:
            plan = self._plans.peek(row.campaign, row.version)
            if row.escalates is not None and (decision := not_needed(row, plan, known, rules)) is not None:
                judged += [Judged(row, decision, state_after(decision))] if row.delivery not in rivals else []
            elif plan is not None:
                told, more = row, NOTHING
                if row.walk is not None:  # without one there is neither an offer nor an experiment
                    told, more = self._offering.look(row, plan, known, guess.names, self._now)
                planned[row.delivery] = told
                if (named := plan.named.get(row.step)) is not None:
                    self._ways[row.delivery] = way_of(row.channel, named)
                candidate = candidate_of(told, plan)
                candidates.append(candidate._replace(**more) if more else candidate)
            elif row.delivery not in rivals:
                what = {"what": f"version {row.version} of the campaign cannot be read by this release"}
                judged.append(_hold(row, Reason.RENDER_ERROR, f"campaign:{row.campaign_name}", what))
        served = [candidate for candidate in candidates if self._provider(candidate.id, candidate.channel)]
        verdicts = decide_all(served, facts, rules, self._now) if served else []
        if len(served) != len(candidates):  # what nobody could send now takes no slot from the others
            unserved = [candidate for candidate in candidates if not self._provider(candidate.id, candidate.channel)]
            verdicts += [(candidate, decide(candidate, facts, rules, self._now)) for candidate in unserved if candidate.id not in rivals]
        for candidate, decision in self._offering.contest(verdicts, self._now):
            if candidate.id not in rivals:
                item = self._judged(planned[candidate.id], candidate, decision, guess.label, facts, known)
                judged.append(self._offering.bring(item))
        return judged

    def _provider(self, delivery: int, channel: str) -> str:
        """Who would send it now; "" = nobody."""
        return self._providers.get(self._ways.get(delivery, channel), "")

    def _judged(self, row: DueRow, candidate: Candidate, decision: Decision, label: str | None, facts: PersonFacts, known: Known) -> Judged:
        provider = self._provider(row.delivery, row.channel)
        if decision.verdict is Verdict.SEND:
            decision = self._serve(row, decision, provider, facts)
            if candidate.held_out and decision.verdict is Verdict.SEND:
                decision = ghost_of(decision)
        cost = None
        if decision.verdict is Verdict.SEND:
            decision, cost = self._budgeting.look(row, decision, known)
        then = None
        if decision.verdict is Verdict.DROP:
            plan = self._plans.peek(row.campaign, row.version)
            decision, then = elsewhere(row, plan, candidate, decision, facts, self._judging.rules, self._now)
        kind = self._judging.kinds.get(row.channel)
        digest = row.email_hash if kind == "email" else row.phone_hash if kind == "phone" else None
        uncapped = candidate.transactional and bool(self._judging.rules.caps)
        push = known.push if kind == "push" else ()
        return Judged(row, decision, state_after(decision), candidate.topic, label, provider, digest, uncapped, push, then, cost=cost)

    def _serve(self, row: DueRow, decision: Decision, provider: str, facts: PersonFacts) -> Decision:
        """A Send stands only if a provider serves the channel and the destination's bucket has room."""
        way = self._ways.get(row.delivery, row.channel)
        if way not in self._channels:
            return Decision(
                verdict=Verdict.HOLD,
                reason=Reason.CHANNEL_UNAVAILABLE,
                key=f"channel:{row.channel}",
                checks=(*decision.checks, ("provider", "hold")),
                facts={"channel": row.channel} | ({"provider": way.partition(":")[2]} if way != row.channel else {}),
            )
        if not provider:
            rest = self._resting.get(way) or Resting("", "", self._now + 30 * SECOND)
            return Decision(
                verdict=Verdict.DEFER,
                reason=Reason.BREAKER_OPEN,
                until=rest.until,
                checks=(*decision.checks, ("provider", "defer")),
                facts={"channel": row.channel, "provider": rest.provider, "detail": rest.detail},
            )
        address = facts.address.get(row.channel) or ""
        mail = "@" in address and self._judging.kinds.get(row.channel) == "email"
        domain = address.rpartition("@")[2].lower() if mail else ""
        if not (ration := self._judging.rations.get(provider)):
            return self._pace(row, decision, provider, domain)
        limits = self._judging.limits.get(provider)
        name = limits.name_of(domain, self._now) if limits is not None else domain
        if (full := ration.full(name, self._now, self._rationed)) is not None:
            return self._tomorrow(row, decision, provider, full)
        decision = self._pace(row, decision, provider, domain)
        for each in ration.names(name) if decision.verdict is Verdict.SEND else ():
            self._rationed[each] = self._rationed.get(each, 0) + 1
        return decision

    def _tomorrow(self, row: DueRow, decision: Decision, provider: str, full: Full) -> Decision:
        """The warm-up has no more room today; a delivery that ends before tomorrow ends now."""
        verdict, reason = (Verdict.DEFER, Reason.RATE_LIMITED) if full.until < row.expires_at else (Verdict.DROP, Reason.LATE)
        rule = f"warm_up.{provider}.{full.name}" if full.name else f"warm_up.{provider}"
        facts: dict[str, object] = {"day": full.day, "ceiling": full.ceiling, "sent": full.sent, "next_day": tz.utc_text(full.until)}
        if verdict is Verdict.DROP:
            facts |= {"waited_for": Reason.RATE_LIMITED.value, "expires_at": tz.utc_text(row.expires_at)}
        return Decision(
            verdict=verdict, reason=reason, until=full.until if verdict is Verdict.DEFER else None, facts=facts,
            rule=(rule, self._judging.rules.version), checks=(*decision.checks, ("warm_up", verdict)),
        )  # fmt: skip

    def _pace(self, row: DueRow, decision: Decision, provider: str, domain: str) -> Decision:
        """The destination's turn: a rate of its own, and room if it is slow. `domain` "" = it has none."""
        limits, crowd = self._judging.limits.get(provider), self._judging.crowds.get(provider)
        if not domain or (not limits and not crowd):
            return decision
        taken = row.reason == Reason.RATE_LIMITED  # once for each row
        turn = limits.turn(domain, self._now, taken=taken) if limits else None
        at = self._now if turn is None else turn.at
        if crowd and (until := self._crowded(crowd, domain, row, at, turn is None)) is not None:
            return waits_for_turn(provider, domain, crowd.took(domain), until, self._judging.rules.version, decision.checks)
        if turn is None or at <= self._now:
            return decision
        facts = {"domain": domain, "per_second": turn.per_second} | ({"group": turn.name} if turn.name != domain else {})
        return Decision(
            verdict=Verdict.DEFER, reason=Reason.RATE_LIMITED, until=at, rule=(f"rate.{provider}.{turn.name}", self._judging.rules.version),
            facts=facts, checks=(*decision.checks, ("rate", "defer")),
        )  # fmt: skip

    def _crowded(self, crowd: Destinations, domain: str, row: DueRow, at: Instant, free: bool) -> Instant | None:
        """When a message to a slow destination may ask again, not before `at`; None when there is room for it. `free`: no rate of its own
        keeps it from coming sooner."""
        room = crowd.spare(domain)
        if room is None:
            return None
        taken = self._taken.get(domain, 0)
        if taken < room:
            self._taken[domain] = taken + 1
            return None
        return max(crowd.put_off(domain, row.lane, row.delivery, self._now, row.expires_at, remembered=free), at)
