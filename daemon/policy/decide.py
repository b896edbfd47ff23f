"""POLICY, the decision: what happens to a due delivery at this instant, and why. `Send | Defer | Hold | Drop` with its facts.

Checks in one fixed order (permission, exit, holdout, offer, window, caps, priority, guard): the first
that does not pass decides, and its rule and facts are enough to compute the verdict again. `until` of a Defer is the first
instant at which window, caps and campaign dates together allow the send if nothing changes, so asking again then is worth
it. Pure: `now`, the rules and all facts are arguments. The store calls `decide_all` under the person's lock.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from daemon.ids import encode_id
from daemon.model.delivery import DAY, HOUR, REASONS, SECOND, Decision, Instant, Reason, State, Verdict
from daemon.policy import tz
from daemon.policy.caps import NEVER, OWN, Cap, OnCap, Touch, count, fits, free_from
from daemon.policy.dates import campaign_life, shown
from daemon.policy.hours import WindowRule
from daemon.policy.periods import period_end
from daemon.policy.permission import check_permission
from daemon.policy.rules import NO_CAPS, NO_WINDOWS, Rules, Scope, Windows
from daemon.policy.subject import Candidate, PersonFacts
from daemon.policy.window import SEARCH, first_open, is_open, next_open
from daemon.policy.zones import ZoneGuess

Check = tuple[str, str]
PENDING = DAY // 4
CONTESTED = HOUR
"""By then the winner of a contest has gone, as a rule, or come to nothing."""
GHOST = "ghost"
"""The result of the check `holdout` for whom it is meant."""


@dataclass(slots=True)
class Case:
    """One decision on its way through the checks."""

    candidate: Candidate
    person: PersonFacts
    rules: Rules
    now: Instant
    guess: ZoneGuess
    windows: Windows
    """The window rules that apply."""
    scope: Scope
    """The caps that apply."""
    touches: Sequence[Touch]
    starts: Instant
    limit: Instant
    """No send may start from here on: the nearer of `expires_at` and the campaign's end."""
    closes: Instant
    """The nearer of `limit` and the close of the window that is open now."""
    checks: list[Check]


def decide(candidate: Candidate, person: PersonFacts, rules: Rules, now: Instant, sent: Sequence[tuple[Touch, int]] = ()) -> Decision:
    """The verdict on one delivery. `sent`: touches and ids of the person's other deliveries that were just decided to go."""
    refusal = check_permission(candidate, person, rules.consent)
    if refusal is not None:
        return _refuse(refusal.reason, ("permission", rules.version), dict(refusal.facts), [("permission", Verdict.DROP)])
    case = _open_case(candidate, person, rules, now, sent)
    return (
        _check_exit(case) or _check_pause(case) or _check_holdout(case) or _check_variant(case) or _check_offer(case)
        or _check_window(case) or _check_caps(case, sent) or _check_guard(case) or _send(case)
    )  # fmt: skip


def decide_all(candidates: Iterable[Candidate], person: PersonFacts, rules: Rules, now: Instant) -> list[tuple[Candidate, Decision]]:
    """The verdicts on one person's due deliveries together: each that goes takes its slot before the next is judged.

    Order of the contest, and of the answer: transactional first (they count, and nothing stops them), then the highest
    priority, then not_before, then id.
    """
    rows = list(candidates)
    if len(rows) == 1:
        return [(rows[0], decide(rows[0], person, rules, now))]
    rows.sort(key=lambda row: (not row.transactional, -row.priority, row.not_before, row.id))
    sent: list[tuple[Touch, int]] = []
    verdicts = []
    for row in rows:
        decision = decide(row, person, rules, now, sent)
        verdicts.append((row, decision))
        if decision.verdict is Verdict.SEND and not row.act:
            sent.append((touch_of(row, person, rules, now), row.id))
    return verdicts


def touch_of(candidate: Candidate, person: PersonFacts, rules: Rules, at: Instant) -> Touch:
    """The touch that sending a candidate at an instant makes; its `zone` is what the store keeps with it."""
    return Touch(at, candidate.channel, candidate.campaign, candidate.topic, rules.guess_zones(person).label)


def state_after(decision: Decision) -> State:
    """The state that a verdict puts a delivery in. A reason's own state holds only for the reason's usual verdict: a cap with
    `on_cap = "drop"` drops."""
    usual = REASONS[decision.reason] if decision.reason is not None else None
    if usual is not None and usual.verdict is decision.verdict:
        return usual.state
    return _STATES[decision.verdict]


_STATES = {Verdict.SEND: State.CLAIMED, Verdict.DEFER: State.DUE, Verdict.HOLD: State.HELD, Verdict.DROP: State.DROPPED}


def earliest(case: Case, start: Instant) -> Instant | None:
    """The first instant from `start` on at which window and deferring caps allow the send together, if nothing changes.

    Each step is a lower bound of the answer, so the point where nothing moves it is the answer itself.
    """
    at = max(start, case.starts)
    if case.windows.named and not case.guess.names:
        return at if at < case.limit else None
    while True:
        found = first_open(case.windows.rules, case.guess.names, at, min(case.limit, at + SEARCH))
        if found is None:
            return None
        opens = at = found[0]
        for cap in case.scope.caps:
            if cap.on_cap is OnCap.DEFER:
                at = max(at, free_from(cap, case.touches, at, case.guess.names, case.candidate.channel))
        if at == opens:
            return at
        if at >= case.limit:
            return None


def _open_case(candidate: Candidate, person: PersonFacts, rules: Rules, now: Instant, sent: Sequence[tuple[Touch, int]]) -> Case:
    guess = rules.guess_zones(person)
    windows = NO_WINDOWS if candidate.ignore_window else rules.windows(candidate, person)
    starts, limit = campaign_life(candidate, guess, now)
    touches = [*person.touches, *(touch for touch, _ in sent)] if sent else person.touches
    scope = NO_CAPS if candidate.transactional or candidate.act else rules.scope(candidate)
    if person.weekly and scope is not NO_CAPS and OWN.covers(candidate.channel, candidate.topic, candidate.campaign):
        scope = Scope((*scope.caps, OWN), (*scope.passed, (OWN.rule, "pass")), scope.calendars)
    return Case(candidate, person, rules, now, guess, windows, scope, touches, starts, limit, limit, [("permission", "pass")])


def _check_exit(case: Case) -> Decision | None:
    """Is the walk over, or has the campaign not begun?"""
    candidate, now = case.candidate, case.now
    if candidate.ended is not None:
        reason, at, by = candidate.ended
        return _stop(case, reason, "exit", {"by": by} | ({"ended_at": tz.utc_text(at)} if at is not None else {}))
    if now >= candidate.expires_at:
        return _stop(case, Reason.LATE, "exit", {"expires_at": tz.utc_text(candidate.expires_at)})
    if now >= case.limit:
        return _stop(case, Reason.CAMPAIGN_ENDED, "exit", {"ends": shown(candidate.ends), "ended_at": tz.utc_text(case.limit)})
    if case.starts == now:
        if candidate.starts is not None or candidate.ends is not None:
            case.checks.append(("exit", "pass"))
        return None
    facts = {"starts": shown(candidate.starts), "starts_at": tz.utc_text(case.starts)}
    if case.starts >= case.limit:
        return _stop(case, Reason.LATE, "exit", {**facts, "expires_at": tz.utc_text(case.limit)})
    return _wait(case, Reason.CAMPAIGN_NOT_STARTED, ("exit", case.rules.version), "exit", facts)


def _check_pause(case: Case) -> Decision | None:
    """Did the person ask for a pause? Transactional messages go all the same."""
    until = case.person.paused_until
    if until is None or case.now >= until or case.candidate.transactional or case.candidate.act:
        return None
    return _wait(case, Reason.PAUSED_BY_RECIPIENT, ("pause", case.rules.version), "pause", {"until": tz.utc_text(until)}, start=until)


def _check_holdout(case: Case) -> Decision | None:
    """Whoever is held out passes everything else too, so that the time of his ghost is the time at which others are sent to; what would
    be a Send then ends as `ghost_of` says."""
    if case.candidate.held_out:
        case.checks.append(("holdout", GHOST))
    return None


def _check_variant(case: Case) -> Decision | None:
    """Is it known which variant it is? Nobody knows when that will be: it is looked at again four times a day."""
    if not case.candidate.undecided:
        return None
    facts = {"step": case.candidate.step}
    return _wait(case, Reason.VARIANT_PENDING, ("variant", case.rules.version), "variant", facts, start=case.now + PENDING)


def _check_offer(case: Case) -> Decision | None:
    """Is what it promises still worth its reader's while, and is there a code? A fixed end bounds the sending too."""
    offer = case.candidate.offer
    if offer is None:
        return None
    version = case.rules.version
    if offer.over is not None:
        return _stop(case, Reason.OFFER_EXPIRED, "offer", {"offer": offer.name, "is": offer.over})
    if offer.ends_at is not None:
        last = offer.ends_at - offer.min_left
        if case.now >= last:
            facts = {"offer": offer.name, "ends_at": tz.utc_text(offer.ends_at), "min_left": offer.min_left // SECOND}
            return _stop(case, Reason.OFFER_EXPIRED, "offer", facts)
        case.limit, case.closes = min(case.limit, last), min(case.closes, last)
    if offer.waits_until is not None:
        facts = {"open": offer.open, "campaign": offer.of, "until": tz.utc_text(offer.waits_until)}
        return _wait(case, Reason.YIELDED_TO_PRIORITY, ("offer", version), "offer", facts, start=offer.waits_until)
    if offer.left is not None and offer.left <= 0:
        case.checks.append(("offer", Verdict.HOLD))
        return Decision(
            verdict=Verdict.HOLD, reason=Reason.NO_CODE, key=f"codes:{offer.pool}", rule=("offer", version),
            facts={"offer": offer.name, "pool": offer.pool}, checks=tuple(case.checks),
        )  # fmt: skip
    case.checks.append(("offer", "pass"))
    return None


def ghost_of(decision: Decision) -> Decision:
    """What a Send is for a person who is held out: an end without a message, that counts as a contact."""
    return decision._replace(verdict=Verdict.DROP, reason=Reason.HELD_OUT, rule=("holdout", decision.rule[1] if decision.rule else ""))


def _check_window(case: Case) -> Decision | None:
    """Is the window open in every zone that is possible?"""
    named = case.windows.named
    if not case.guess.names and (named or any(cap.calendar for cap in case.scope.caps)):
        case.checks.append(("window", Verdict.HOLD))
        facts = {"unknown_zone": str(case.rules.unknown_zone), "home_countries": list(case.rules.home_countries)}
        return Decision(
            verdict=Verdict.HOLD, reason=Reason.ZONE_UNKNOWN, key=f"recipient:{case.person.key}", rule=("window", case.rules.version),
            facts=facts, checks=tuple(case.checks),
        )  # fmt: skip
    if not named:
        return None
    found = first_open(case.windows.rules, case.guess.names, case.now, min(case.limit, case.now + SEARCH))
    if found is not None and found[0] == case.now:
        case.closes = found[1]
        case.checks.append(("window", "pass"))
        return None
    name, rule, reason = _shut_rule(case)
    facts = {**_zone_facts(case.guess), "hours": rule.texts()}
    if found is None:
        facts["expires_at"] = tz.utc_text(case.limit)
        return _stop(case, Reason.WINDOW_NEVER_OPENS, "window", facts, rule=(name, _version(case, name, rule)))
    facts["opens"] = tz.utc_text(found[0])
    return _wait(case, reason, (name, _version(case, name, rule)), "window", facts)


def _check_caps(case: Case, sent: Sequence[tuple[Touch, int]]) -> Decision | None:
    """Is there a slot in every cap?"""
    channel, names = case.candidate.channel, case.guess.names
    for index, cap in enumerate(case.scope.caps):
        if not fits(cap, case.touches, case.now, names, channel):
            case.checks += case.scope.passed[:index]
            return _capped(case, cap, sent)
    case.checks += case.scope.passed
    return None


def _capped(case: Case, cap: Cap, sent: Sequence[tuple[Touch, int]]) -> Decision:
    """A cap without a slot. What only the person's own other messages just took is a lost contest, not a full cap: whether those go, and
    are not refused by guard or provider, will be known when it is looked at again; until then nothing ends for want of the slot."""
    candidate, names = case.candidate, case.guess.names
    used, oldest = count(cap, case.touches, case.now, names)
    facts = {**cap.facts(), "used": cap.shown(used)}
    if cap.weights is not None:
        facts["weight"] = cap.shown(cap.weight(candidate.channel))
    if oldest is not None:
        facts["oldest"] = tz.utc_text(oldest)
    if cap.calendar is not None:
        facts |= _zone_facts(case.guess)
    reason, check = Reason.CAP_REACHED, cap.rule
    if sent and fits(cap, case.person.touches, case.now, names, candidate.channel):
        case.checks.append((cap.rule, "pass"))
        reason, check = Reason.YIELDED_TO_PRIORITY, "priority"
        winners = [encode_id(of) for touch, of in sent if cap.covers(touch.channel, touch.topic, touch.campaign)]
        facts |= {"priority": candidate.priority, "to": winners}
    rule = (cap.rule, case.rules.version)
    if cap.on_cap is OnCap.DROP:
        return _stop(case, reason, check, facts, rule=rule)
    free = free_from(cap, case.touches, case.now, names, candidate.channel)
    if free < NEVER:
        facts["frees_at"] = tz.utc_text(free)
    if reason is Reason.YIELDED_TO_PRIORITY:
        case.touches, free = case.person.touches, min(free, case.now + CONTESTED)
    return _wait(case, reason, rule, check, facts, start=free)


def _check_guard(case: Case) -> Decision | None:
    """Is the campaign, job or queue stopped as a whole? What waits for an operator is looked at again only when it ends."""
    candidate = case.candidate
    reason = candidate.held_by
    if reason is None:
        return None
    verdict = REASONS[reason].verdict
    case.checks.append(("guard", verdict))
    return Decision(
        verdict=verdict, reason=reason, until=candidate.expires_at if verdict is Verdict.DEFER else None,
        key=candidate.held_key or f"campaign:{candidate.campaign}", rule=("guard", case.rules.version),
        facts={"campaign": candidate.campaign}, checks=tuple(case.checks),
    )  # fmt: skip


def _send(case: Case) -> Decision:
    """All checks passed. `closes`: the nearest of the window's close, the delivery's end and the end of a period that a calendar
    cap was counted in: a handover after that would fall into another count."""
    closes = case.closes
    for calendar in case.scope.calendars:
        for zone in case.guess.names:
            closes = min(closes, period_end(calendar, zone, case.now))
    return Decision(Verdict.SEND, None, None, closes, None, case.rules.passed, _send_facts(case.guess), tuple(case.checks))


@functools.lru_cache(maxsize=4096)
def _send_facts(guess: ZoneGuess) -> Mapping[str, Any]:
    return MappingProxyType(_zone_facts(guess))


def _wait(case: Case, reason: Reason, rule: tuple[str, str], check: str, facts: dict[str, Any], *, start: Instant = 0) -> Decision:
    """Defer to the first instant that allows it all, surely not before `start`; without one before the end it ends now."""
    until = earliest(case, max(case.now, start))
    if until is None:
        return _too_late(case, reason, rule, check, facts)
    case.checks.append((check, Verdict.DEFER))
    return Decision(verdict=Verdict.DEFER, reason=reason, until=until, rule=rule, facts=facts, checks=tuple(case.checks))


def _too_late(case: Case, reason: Reason, rule: tuple[str, str], check: str, facts: dict[str, Any]) -> Decision:
    """Nothing that it waits for comes before its end: `late`, or `window_never_opens` where the window alone forbids it."""
    facts = {**facts, "waited_for": str(reason), "expires_at": tz.utc_text(case.limit)}
    start = max(case.now, case.starts)
    opened = first_open(case.windows.rules, case.guess.names, start, min(case.limit, start + SEARCH))
    return _stop(case, Reason.LATE if opened else Reason.WINDOW_NEVER_OPENS, check, facts, rule=rule)


def _stop(case: Case, reason: Reason, check: str, facts: dict[str, Any], *, rule: tuple[str, str] | None = None) -> Decision:
    return _refuse(reason, rule or (check, case.rules.version), facts, [*case.checks, (check, Verdict.DROP)])


def _refuse(reason: Reason, rule: tuple[str, str], facts: dict[str, Any], checks: list[Check]) -> Decision:
    return Decision(verdict=Verdict.DROP, reason=reason, rule=rule, facts=facts, checks=tuple(checks))


def _shut_rule(case: Case) -> tuple[str, WindowRule, Reason]:
    """Of the rules that are shut now the one that opens last, which is the one that is waited for; of several that open together the
    narrowest, which stands last. Where each one alone is open in some zones, the first. And why, in one word."""
    zones, now = case.guess.names, case.now
    shut = [item for item in case.windows.named if not is_open((item.rule,), zones, now)] or case.windows.named[:1]
    name, rule = shut[0] if len(shut) == 1 else max(reversed(shut), key=lambda item: next_open((item.rule,), zones, now) or NEVER)
    if name == "recipient.quiet_hours":
        return name, rule, Reason.QUIET_HOURS
    if rule.closed_dates and is_open((rule.without_dates(),), zones, now):
        return name, rule, Reason.HOLIDAY
    return name, rule, Reason.WINDOW_CLOSED


def _version(case: Case, name: str, rule: WindowRule) -> str:
    """A rule of the config has the config's version; one of campaign, job or recipient is named by its own text."""
    return case.rules.version if name.startswith("window") else "; ".join(rule.texts())


def _zone_facts(guess: ZoneGuess) -> dict[str, Any]:
    return {"zones": list(guess.names), "source": guess.source}
