"""Reports: one sentence that says why a delivery is where it is, for people. Facts in, English out; times in the recipient's zone.

The facts are those that the decision rests on, so a sentence never says more than can be computed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from daemon.clock import to_datetime, to_instant
from daemon.model.delivery import HOUR, REASONS, Instant, Reason, State

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MESSAGES = {"email": "e-mails", "sms": "SMS", "push": "push messages"}
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks", "s": "seconds"}

LONG_AFTER = 2 * HOUR
"""A turn so long after the opening is no spreading behind it: preferred hours, or `min_gap`, say when."""

WAITING: Mapping[str, str] = {
    Reason.WINDOW_CLOSED: "Waits: the send window{hours} is shut now; it opens on {when}.",
    Reason.QUIET_HOURS: "Waits: these are the recipient's own quiet hours; they end on {when}.",
    Reason.HOLIDAY: "Waits: today is a closed day; the window opens on {when}.",
    Reason.CAMPAIGN_NOT_STARTED: "Waits: the campaign has not started; it can go on {when}.",
    Reason.CAMPAIGN_PAUSED: "Waits: {what} is paused; resume it to let it go on.",
    Reason.CAP_REACHED: "Waits: {used} of {limit} {messages} in {period} are used; {frees}.",
    Reason.YIELDED_TO_PRIORITY: "Waits: a message of higher priority has the slot; if that comes to nothing, it can go on {when}.",
    Reason.RATE_LIMITED: "Waits for its turn at the destination's rate; it can go on {when}.",
    Reason.BREAKER_OPEN: "Waits: {trouble}.",
    Reason.KILL_SWITCH: "Waits: all sending is stopped; `homing start --all --expect N` ends that.",
    Reason.PAUSED_BY_RECIPIENT: "Waits: the recipient asked for a pause until {when}.",
}
ENDED: Mapping[str, str] = {
    Reason.SUPPRESSED: "Not sent: the address asked not to be contacted.",
    Reason.NO_CONSENT: "Not sent: there is no consent for {channel}: {consent}.",
    Reason.TOPIC_OFF: "Not sent: the recipient opted out of this topic.",
    Reason.BOUNCED: "Not sent: the address bounced before.",
    Reason.COMPLAINED: "Not sent: the recipient complained before.",
    Reason.ERASED: "Not sent: the recipient was erased.",
    Reason.MERGED: "Not sent: the recipient was merged into another, whose own messages go on.",
    Reason.NO_ADDRESS: "Not sent: the recipient has no address for {channel}.",
    Reason.INVALID_ADDRESS: "Not sent: the address is not valid.",
    Reason.NOT_NEEDED: "Not sent: it was not needed, the recipient {reaction} what was sent before.",
    Reason.ALREADY_ENROLLED: "Not sent: the recipient walks, or lately walked, through this campaign.",
    Reason.CAP_REACHED: "Not sent: {used} of {limit} {messages} in {period} were used, and this cap drops.",
    Reason.LATE: "Not sent: it could not go before its end on {expires}.",
    Reason.CAMPAIGN_ENDED: "Not sent: the campaign has ended.",
    Reason.WINDOW_NEVER_OPENS: "Not sent: no instant before its end on {expires} is inside all windows that apply.",
    Reason.OFFER_EXPIRED: "Not sent: its offer {offer} is over, or as good as.",
    Reason.BELOW_COST: "Not sent: it costs {cost} and is expected to bring {brings}: {expect} of an order of {order}, margin {margin}.",
    Reason.OPERATOR: "Not sent: an operator cancelled it.",
    Reason.TEST_MODE: "Not sent: test sends go to test addresses only.",
}


class _Facts(dict[str, Any]):
    """Facts for a sentence; one that is missing is left open instead of failing the answer."""

    def __missing__(self, key: str) -> str:
        return "?"


def _consent(facts: Mapping[str, Any]) -> str:
    known, rule = facts.get("consent", "unknown"), str(facts.get("rule", "explicit")).replace("_", " ")
    if known == "withdrawn":
        return "it was withdrawn"
    return f"{'none is recorded' if known == 'unknown' else f'it is {known}'}, and [consent] asks for one that is {rule}"


def _provider(facts: Mapping[str, Any]) -> str:
    """As the config names it; what is built in has a colon in its name."""
    name = str(facts.get("provider") or "the provider")
    return "the audience" if ":" in name else name


def _said(facts: Mapping[str, Any]) -> str:
    """`550 no such user` as the provider says it; a word of ours stands before a colon: `lost: no answer`."""
    code, detail = (str(facts.get(key) or "") for key in ("code", "detail"))
    between = ": " if code and detail and not code[0].isdigit() else " "
    return f"{code}{between}{detail}".strip()


class Teller:
    """Tells times in one zone: the recipient's first possible one, UTC if there is none. `now`: its year goes without saying."""

    def __init__(self, zone: str | None, now: Instant) -> None:
        self._year = to_datetime(now).year
        self._zone = ZoneInfo(zone) if zone else None
        self._name = f"{zone.rpartition('/')[2].replace('_', ' ')} time" if zone else "UTC"

    def when(self, at: Instant | None) -> str:
        """`Wed 25 Nov 09:00 Jakarta time`; with the year where it is another one. English whatever the machine's locale."""
        if at is None:
            return "a day that is not known yet"
        local = to_datetime(at).astimezone(self._zone) if self._zone else to_datetime(at)
        year = "" if local.year == self._year else f" {local.year}"
        return f"{DAYS[local.weekday()]} {local.day} {MONTHS[local.month - 1]}{year} {local:%H:%M} {self._name}"

    def sent(self, state: State, facts: Mapping[str, Any]) -> str:
        """States from the handover on."""
        at, provider = self._instant(facts.get("handed_over_at")), _provider(facts)
        said = f": {said}" if (said := _said(facts)) else ""
        later = self._reported(facts)
        match state:
            case State.CLAIMED:
                return "Is being sent now."
            case State.HANDED_OVER:
                return f"Handed over to {provider} on {self.when(at)}; its answer is awaited."
            case State.ACCEPTED:
                return f"Sent: {provider} accepted it on {self.when(self._instant(facts.get('accepted_at')) or at)}.{later}"
            case State.IN_DOUBT:
                advice = "It is never sent again by itself; `homing doubt resolve` closes it."
                return f"In doubt: handed over to {provider} on {self.when(at)}, and whether it was accepted is not known{said}. {advice}"
            case _ if facts.get("refused_by") == "homing":
                return f"Not sent: Homing refused it by its own rules for {provider}, before anything left{said}."
            case _:
                return f"Not sent: {provider} refused it for good{said}."

    def _reported(self, facts: Mapping[str, Any]) -> str:
        """What the provider told of it since."""
        delivered, reported = facts.get("delivered_at"), facts.get("reported")
        words = f" It arrived on {self.when(self._instant(delivered))}." if delivered else ""
        if reported:
            why = _said(reported)
            words += f" Later it was reported as {reported['kind']}{f' ({why})' if why else ''}."
        return words

    def going(self, not_before: Instant, now: Instant, facts: Mapping[str, Any]) -> str:
        """Nothing stands in its way. With `outcome` in the facts: a try was made and surely failed."""
        if not_before > now and facts.get("outcome"):
            said = _said(facts) or "no answer"
            return f"Is tried again on {self.when(not_before)}: the last try, over {_provider(facts)}, was put off ({said})."
        if not_before > now:
            return f"Goes on {self.when(not_before)}: its place inside the send window."
        return "Goes with one of the next claims: nothing stands in its way."

    def waits(self, reason: str, facts: Mapping[str, Any], until: Instant | None, *, channel: str, what: str) -> str:
        """Deferred until an instant, or until something ends."""
        template = WAITING.get(reason) or f"Waits: {_remedy(reason)}."
        if reason == Reason.RATE_LIMITED and "ceiling" in facts:
            template = "Waits: the {ceiling} messages of day {day} of the warm-up are used; it can go on {when}."
        if reason == Reason.YIELDED_TO_PRIORITY and "open" in facts:
            template = "Waits: the recipient has another offer open, {open}; it can go on {when}."
        opens = self._instant(facts.get("opens"))
        if reason == Reason.WINDOW_CLOSED and opens is not None and until is not None and until - opens > LONG_AFTER:
            template = "Waits: the send window{hours} is shut now; it opens on {opens}, and this message's own turn is on {when}."
            facts = {**facts, "opens": self.when(opens)}
        words = self._words(facts, channel, until)
        return template.format_map(_Facts(words, when=self.when(until), what=what, frees=self._frees(facts, until)))

    def ended(self, reason: str, facts: Mapping[str, Any], expires: Instant, *, channel: str) -> str:
        """Dropped, expired or cancelled."""
        template = ENDED.get(reason) or f"Not sent: {_remedy(reason)}."
        if reason == Reason.NOT_NEEDED and "where" in facts:
            template = "Not sent: what follows over this channel is only for those with {where}."
        if reason == Reason.LATE:
            template, facts = self._late(template, facts)
        return template.format_map(_Facts(self._words(facts, channel, None), expires=self.when(expires)))

    def _late(self, template: str, facts: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """A pause does not make a message's life longer; who asked for it, and when."""
        if facts.get("waited_for") == Reason.PAUSED_BY_RECIPIENT:
            asked = self.when(self._instant(facts.get("until")))
            return "Not sent: the recipient asked for a pause until {until}, which is after its end on {expires}.", {"until": asked}
        if "paused_at" not in facts:
            return template, facts
        kind = next(kind for kind in ("campaign", "queue", "job") if kind in facts)
        began, went_on = (self._instant(facts.get(key)) for key in ("paused_at", "resumed_at"))
        time = f"is paused since {self.when(began)}" if went_on is None else f"was paused from {self.when(began)} to {self.when(went_on)}"
        words = {"kind": kind, "name": facts[kind], "time": time}
        return "Not sent: the {kind} {name} {time}, and its end on {expires} fell into that.", words

    def held(self, reason: str, facts: Mapping[str, Any]) -> str:
        """Waits for an operator or for data."""
        detail = facts.get("detail") or facts.get("what")
        return f"Held ({reason}){f': {detail}' if detail else ''}. What frees it: {_remedy(reason)}."

    def _trouble(self, facts: Mapping[str, Any], until: Instant | None) -> str:
        who = f"the provider {facts['provider']}" if facts.get("provider") else "the provider"
        said = f" ({facts['detail']})" if facts.get("detail") else ""
        if until is None:
            return f"{who} stopped{said}; mend it, then reload"
        return f"{who} fails at the moment{said}; it is tried again on {self.when(until)}"

    def _words(self, facts: Mapping[str, Any], channel: str, until: Instant | None) -> dict[str, Any]:
        hours = facts.get("hours")
        counted = facts.get("channels") or [channel]
        unit = "units" if facts.get("count") == "units" else MESSAGES.get(counted[0], f"{counted[0]} messages")
        return {
            **facts, "channel": channel, "hours": f" ({', '.join(hours)})" if isinstance(hours, list) and hours else "",
            "messages": unit if len(counted) == 1 and facts.get("channels") else "messages" if unit != "units" else unit,
            "trouble": self._trouble(facts, until), "period": _period(facts), "consent": _consent(facts),
        }  # fmt: skip

    def _frees(self, facts: Mapping[str, Any], until: Instant | None) -> str:
        frees = self._instant(facts.get("frees_at"))
        oldest = "the oldest ages out" if facts.get("rolling") else "the period ends"
        if frees is None or frees == until:
            return f"{oldest} on {self.when(until)}"
        return f"{oldest} on {self.when(frees)}, and it can go on {self.when(until)}"

    @staticmethod
    def _instant(text: object) -> Instant | None:
        return to_instant(datetime.fromisoformat(text)) if isinstance(text, str) else None


def _period(facts: Mapping[str, Any]) -> str:
    rolling = str(facts.get("rolling") or "")
    if rolling[-1:] in UNITS and rolling[:-1].isdigit():
        unit = UNITS[rolling[-1]]
        return f"{rolling[:-1]} {unit if rolling[:-1] != '1' else unit[:-1]}"
    return f"a calendar {facts['calendar']}" if facts.get("calendar") else "the period"


def _remedy(reason: str) -> str:
    try:
        return REASONS[Reason(reason)].remedy
    except ValueError:
        return reason


