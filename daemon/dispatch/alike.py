"""DISPATCH, what many have in common is decided once: the short way for people with one delivery due and nothing special about them.

A decision to send depends on the kind of message, the person's zone and consents and the instant, and not on who it is, but for the
touches that count against caps. So within a claim the first of a kind is decided by the rules, and for each further one only its touches
are counted. Whoever is not told to go that way, or has anything about him that is his own, is judged the long way, with all its words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from daemon.dispatch.subject import REASONS_OF_ENDS, candidate_of, facts_of
from daemon.dispatch.work import PlanBook
from daemon.model.delivery import Decision, Instant, State, Verdict
from daemon.policy.caps import Cap, fits
from daemon.policy.decide import decide
from daemon.policy.rules import NO_CAPS, Rules
from daemon.policy.window import SEARCH
from daemon.policy.zones import explicit_zone
from daemon.store.claim import Judged
from daemon.store.facts import DueRow, Known
from daemon.store.push import PushAddress


class Kind(NamedTuple):
    """What all of a kind share. `address`: kind of address · `label`: the possible zones, for the touch · `zones`: the same for caps."""

    decision: Decision
    topic: str | None
    label: str | None
    provider: str
    address: str
    uncapped: bool
    caps: tuple[Cap, ...]
    zones: tuple[str, ...]


class Alike:
    """The kinds of one claim. `address_kinds`: channel -> kind of address · `served`: channel -> its provider, of those that keep no
    account of destinations or days."""

    def __init__(
        self, rules: Rules, address_kinds: Mapping[str, str], served: Mapping[str, str], plans: PlanBook, now: Instant
    ) -> None:
        self._rules, self._address_kinds, self._served, self._plans, self._now = rules, address_kinds, served, plans, now
        self._kinds: dict[tuple[object, ...], Kind | None] = {}
        self._by_country = bool(rules.country_windows)
        self._far = now + SEARCH
        """The end of each kind: a claim keeps the nearer of the decision's and the delivery's own."""

    def judge(self, row: DueRow, known: Known) -> Judged | None:
        """The Send of a person's only due delivery, or None: it has to be judged by itself."""
        if (
            row.erased or row.paused_until is not None or row.weekly or row.escalates is not None or row.held_out
            or known.suppressions or known.stays
            or not self._now < row.expires_at <= self._far or row.walk_state in REASONS_OF_ENDS
            or (row.traits is not None and '"quiet_hours"' in row.traits)
        ):  # fmt: skip
            return None
        consents = frozenset(known.consents.items()) if known.consents else None
        zone, country = row.zone, None
        if zone is None or self._by_country:
            country = row.country
            if row.phone is not None and (zone is None or country is None):
                return None  # the number says where its owner may be
        key = row.wave, row.version, row.variant, row.walk is None, row.job_window, zone, country, consents
        try:
            kind = self._kinds[key]
        except KeyError:
            kind = self._kinds[key] = self._kind(row, known)
        if kind is None:
            return None
        push: Sequence[PushAddress] = ()
        digest = None
        match kind.address:
            case "email":
                there, digest = row.email, row.email_hash
            case "phone":
                there, digest = row.phone, row.phone_hash
            case "push":
                push = known.push
                there = push[0].text if push else None
            case _:
                there = row.recipient
        if not there:
            return None
        touches = known.touches
        for cap in kind.caps:
            if not fits(cap, touches, self._now, kind.zones, row.channel):
                return None
        return Judged(row, kind.decision, State.CLAIMED, kind.topic, kind.label, kind.provider, digest, kind.uncapped, push)

    def _kind(self, row: DueRow, known: Known) -> Kind | None:
        """None: those who are like this one are not sent to, or each is another case."""
        plan, provider = self._plans.peek(row.campaign, row.version), self._served.get(row.channel)
        if plan is None or provider is None or (row.zone is not None and explicit_zone(row.zone) is None):
            return None
        if row.step in plan.acts or row.step in plan.named or (row.walk is not None and (plan.campaign.offers or plan.waiting)):
            return None
        newest = self._plans.peek(row.campaign, row.newest)
        if newest is not None and newest.campaign.value is not None and newest.campaign.value.budget is not None:
            return None  # each takes its part of what is left
        person = facts_of(row, known, self._address_kinds)._replace(touches=())
        candidate = candidate_of(row, plan)._replace(expires_at=self._far)
        decision = decide(candidate, person, self._rules, self._now)
        if decision.verdict is not Verdict.SEND:
            return None
        guess = self._rules.guess_zones(person)
        caps = NO_CAPS if candidate.transactional else self._rules.scope(candidate)
        return Kind(
            decision, candidate.topic, guess.label, provider, self._address_kinds.get(row.channel, ""),
            candidate.transactional and bool(self._rules.caps), caps.caps, guess.names,
        )  # fmt: skip
