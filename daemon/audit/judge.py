"""AUDIT, judge: one handover, its facts, the rules that were in force: what was broken, and what nobody can say any more.

Pure. A finding names the delivery, the rule and the numbers, never a person. The kinds: `window` (outside the hours), `cap` (no slot),
`early` and `late` (outside the life of campaign or delivery), `zone` (not judged in the recipient's own zone), `duplicate` (two counted
contacts of one delivery), `no_touch` (sent, and not counted), `held_out` (to somebody whom the holdout keeps out), `paused` (marketing to
somebody who had asked for a pause).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from daemon.audit.counting import ACT, PAID, Contact, excess
from daemon.audit.hours import UnreadableError, read_hours, read_quiet_hours, wall_clock
from daemon.audit.rulebook import Page
from daemon.clock import iso

NO_PLACES = frozenset({"Factory", "localtime", "posixrules"})
"""Files beside the zones that are none."""
SETTLED = 60 * 1_000_000
"""A recipient that was changed so long before a send, and not since, was then as it is now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A promise that was broken. `facts`: the numbers behind it."""

    kind: str
    rule: str
    delivery: int
    at: int
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a campaign version promises, read from its stored text."""

    transactional: bool
    ignore_window: bool
    twice: bool
    """A doubt may be followed by one marked copy."""
    window: str | None
    starts: date | datetime | None
    ends: date | datetime | None

    @staticmethod
    def of(body: str) -> Terms:
        plain = json.loads(body)["campaign"]
        transactional = plain["purpose"] == "transactional"
        return Terms(
            transactional=transactional, ignore_window=bool(plain["ignore_window"]),
            twice=transactional and plain["on_doubt"] == "resend_once",
            window=json.dumps(plain["window"], sort_keys=True) if plain["window"] else None,
            starts=_moment(plain["starts"]), ends=_moment(plain["ends"]),
        )  # fmt: skip


class Send(NamedTuple):
    """A handover as it is judged. `contacts`: all counted contacts of the person, this one too, None in place of `contact` when the
    store has no touch of it. `settled`: the recipient is now as it was then."""

    delivery: int
    at: int
    contact: Contact | None
    contacts: Sequence[Contact]
    terms: Terms
    channel: str
    expires_at: int
    counted: bool
    """The store says that this handover is the one that counts: accepted, in doubt or on its way."""
    job_window: str | None
    own_zone: str | None
    phone: str | None
    country: str | None
    quiet_hours: Sequence[str] | str | None
    settled: bool
    told: bool
    """A restored store knows of it only from the journal."""
    held_out: bool = False
    """Its walk was drawn into the holdout."""
    paused_until: int | None = None
    """No marketing before, as the recipient asked: as of now."""
    joined: bool = False
    """Somebody became this person since: whose the contacts before it were, nobody knows any more."""


@dataclass(slots=True)
class Verdict:
    findings: list[Finding] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)
    """Rules of which nobody can say whether they were kept."""


def judge(send: Send, pages: Sequence[Page]) -> Verdict:
    """All that can be said of one handover."""
    verdict = Verdict()
    if send.held_out:  # whatever became of it: it was given away
        verdict.findings.append(_finding(send, "held_out", "holdout", {}))
    if send.contact is None:
        if send.counted:
            verdict.findings.append(_finding(send, "no_touch", "touch", {}))
        return verdict  # it surely failed: that contact does not count, and what it rested on is gone
    if send.told:
        verdict.unjudged.append("all")
        return verdict
    verdict.findings += _twice(send)
    verdict.findings += _life(send)
    verdict.findings += _zone(send)
    verdict.findings += _pause(send)
    if not pages:
        verdict.unjudged.append("config")
        return verdict
    try:
        results = [(list(_windows(send, page, verdict)), list(_caps(send, page, verdict))) for page in pages]
    except UnreadableError as error:
        verdict.unjudged.append(str(error))
        return verdict
    for part in (0, 1):
        if all(result[part] for result in results):
            verdict.findings += results[-1][part]
        elif any(result[part] for result in results):
            verdict.unjudged.append("the rules changed just before")
    return verdict


def _finding(send: Send, kind: str, rule: str, facts: Mapping[str, Any]) -> Finding:
    return Finding(kind=kind, rule=rule, delivery=send.delivery, at=send.at, facts=facts)


def _twice(send: Send) -> Iterator[Finding]:
    """Counted contacts of this very delivery; told at the last of them."""
    mine = sorted(contact.at for contact in send.contacts if contact.delivery == send.delivery)
    if len(mine) > (2 if send.terms.twice else 1) and send.at == mine[-1]:
        yield _finding(send, "duplicate", "touch", {"contacts": len(mine), "at": [iso(at) for at in mine[:5]]})


def _zones(send: Send) -> tuple[str, ...]:
    return send.contact.zones if send.contact is not None else ()


def _life(send: Send) -> Iterator[Finding]:
    """Before the end of the delivery, between the dates of the campaign."""
    if send.at >= send.expires_at:
        yield _finding(send, "late", "expires_at", {"expires_at": iso(send.expires_at)})
    for name, moment in (("starts", send.terms.starts), ("ends", send.terms.ends)):
        if moment is None or not _beyond(send, moment, start=name == "starts"):
            continue
        kind = "early" if name == "starts" else "late"
        yield _finding(send, kind, f"campaign.{name}", {name: moment.isoformat(), "zones": list(_zones(send))})


def _pause(send: Send) -> Iterator[Finding]:
    """In a pause that the recipient had asked for before. One that was asked for since accuses nobody: then it is not settled."""
    until, mine = send.paused_until, send.contact
    if until is None or mine is None or send.at >= until or not send.settled or send.joined:
        return
    if not send.terms.transactional and mine.topic != ACT:
        yield _finding(send, "paused", "pause", {"until": iso(until)})


def _beyond(send: Send, moment: date | datetime, *, start: bool) -> bool:
    """Before the start, or at or after the end, in any of the zones."""
    if isinstance(moment, datetime):
        at = wall_clock(send.at, "UTC")
        return at < moment if start else at >= moment
    days = [wall_clock(send.at, zone).date() for zone in _zones(send)]
    return any(day < moment if start else day >= moment for day in days)


def _zone(send: Send) -> Iterator[Finding]:
    """A recipient's own zone is the one that counts."""
    if send.own_zone is None or not send.settled or not _zones(send) or send.own_zone in NO_PLACES:
        return
    try:
        wall_clock(send.at, send.own_zone)
    except UnreadableError:
        return
    if [zone.casefold() for zone in _zones(send)] != [send.own_zone.strip().casefold()]:
        yield _finding(send, "zone", "recipient.zone", {"used": list(_zones(send)), "own": send.own_zone})


def _windows(send: Send, page: Page, verdict: Verdict) -> Iterator[Finding]:
    """Inside each rule's hours, in each zone."""
    if send.terms.ignore_window or send.channel == PAID or (send.contact is not None and send.contact.topic == ACT):
        return
    rules = [("window", page.window), (f"window.channels.{send.channel}", page.channels.get(send.channel))]
    rules += _country_rules(send, page, verdict)
    rules += [("campaign.window", send.terms.window), ("job.window", send.job_window)]
    read = [(name, read_hours(text)) for name, text in rules if text is not None]
    if send.quiet_hours and send.settled:
        read.append(("recipient.quiet_hours", read_quiet_hours(send.quiet_hours)))
    elif not send.settled:
        verdict.unjudged.append("recipient.quiet_hours")
    if not _zones(send):
        shut_somewhere = [name for name, hours in read if not hours.always]
        if shut_somewhere:
            yield _finding(send, "window", shut_somewhere[0], {"zones": []})
        return
    for name, hours in read:
        for zone in _zones(send):
            local = wall_clock(send.at, zone)
            if not hours.open_at(local):
                shown = local.replace(tzinfo=None).isoformat(timespec="milliseconds")
                yield _finding(send, "window", name, {"zone": zone, "wall_clock": shown, "weekday": f"{local:%a}"})
                break


def _country_rules(send: Send, page: Page, verdict: Verdict) -> list[tuple[str, str | None]]:
    """Rules of the recipient's country; where only a phone number or a guess names it, nobody judges."""
    if not page.countries:
        return []
    if send.country and send.settled:
        code = send.country.upper()
        return [(f"window.countries.{code}", page.countries.get(code))]
    verdict.unjudged.append("window.countries")
    return []


def _caps(send: Send, page: Page, verdict: Verdict) -> Iterator[Finding]:
    """A slot in each cap."""
    if send.contact is None:
        return
    if send.joined:
        verdict.unjudged.append("caps")
        return
    for limit in page.limits:
        facts = excess(limit, send.contact, send.contacts)
        if facts is not None:
            yield _finding(send, "cap", f"cap.{limit.name}", facts)


def _moment(text: str | None) -> date | datetime | None:
    if text is None:
        return None
    return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)
