"""The world of the store machine: campaigns, people, scripted verdicts, and an independent judge of the real rules' verdicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from daemon.content.version import CampaignVersion, inline_campaign
from daemon.dispatch.judge import Judging
from daemon.dispatch.work import PlanBook
from daemon.model.campaign import Campaign as CampaignFile
from daemon.model.delivery import DAY, HOUR, Decision, Reason, Verdict
from daemon.model.job import InlineMessage
from daemon.policy.caps import Cap
from daemon.policy.decide import state_after
from daemon.policy.periods import Calendar
from daemon.policy.rules import Rules
from daemon.store.campaigns import Loaded
from daemon.store.claim import Judged
from daemon.store.facts import DueRow, Known
from daemon.store.follow import Then
from daemon.store.recipients import EMAIL, ZONE, PlanRow, person_id
from tests.store.machine_model import Campaign, Model, Person, hash_of

START = 1_780_027_200_000_000
"""11:00 in Jakarta, 13:00 in Tokyo, on a Friday."""
EMAILS = ("adi@example.com", "sara@example.com", "shared@example.com", None)
ZONES: Mapping[str, int] = {"Asia/Jakarta": 7 * HOUR, "Asia/Tokyo": 9 * HOUR}
"""Zones without summer time, so that this file can do its own arithmetic."""
OPENS, CLOSES = 9 * HOUR, 21 * HOUR
ROLLING = 7 * DAY
QUEUES = ("lapsed", "receipts")
CAMPAIGNS: tuple[tuple[str, bool, int | None], ...] = (("job:winback", False, DAY), ("job:sunset", False, None), ("job:receipt", True, HOUR))
"""(name, transactional, again)"""


def campaign_file(name: str, *, transactional: bool, again: int | None) -> CampaignFile:
    message = InlineMessage(channel="email", purpose="transactional" if transactional else "marketing", subject="s", text="t")
    campaign = inline_campaign(name.removeprefix("job:"), message)
    return replace(campaign, again=again, on_doubt="resend_once" if transactional else "hold")


def loaded(name: str, version: int) -> Loaded:
    """A campaign as its folder has it at its n-th version."""
    [(_, transactional, again)] = [item for item in CAMPAIGNS if item[0] == name]
    made = CampaignVersion.of(campaign_file(name, transactional=transactional, again=again), {"subject": f"version {version}", "text": "t"})
    return Loaded(name=name, digest=made.digest, body=made.to_json(), status="active")


def new_model() -> Model:
    return Model([Campaign(name, transactional, again) for name, transactional, again in CAMPAIGNS])


def new_person(number: int) -> Person:
    key = f"p-{number}"
    return Person(person_id(key), key, EMAILS[number % 3], tuple(ZONES)[number % 2])


def plan_row(person: Person, line: int = 1) -> PlanRow:
    return PlanRow(
        person=person.id, line=line, key=person.key, email=person.email, phone=None, zone=person.zone, locale=None, country=None,
        named=EMAIL | ZONE, traits=None, email_hash=hash_of(person.email), phone_hash=None, vars=None, consents=None,
    )  # fmt: skip


SCRIPT: Mapping[str, Callable[[int], Decision]] = {
    "send": lambda now: Decision(verdict=Verdict.SEND, closes=now + 8 * HOUR),
    "send, closes soon": lambda now: Decision(verdict=Verdict.SEND, closes=now + 1),
    "wait for a slot": lambda now: Decision(verdict=Verdict.DEFER, reason=Reason.CAP_REACHED, until=now + DAY),
    "wait for the window": lambda now: Decision(verdict=Verdict.DEFER, reason=Reason.WINDOW_CLOSED, until=now + HOUR),
    "wait for the provider": lambda now: Decision(verdict=Verdict.DEFER, reason=Reason.BREAKER_OPEN, until=None),
    "hold, no zone": lambda now: Decision(verdict=Verdict.HOLD, reason=Reason.ZONE_UNKNOWN, key="recipient:p"),
    "hold, no channel": lambda now: Decision(verdict=Verdict.HOLD, reason=Reason.CHANNEL_UNAVAILABLE, key="channel:email"),
    "drop": lambda now: Decision(verdict=Verdict.DROP, reason=Reason.SUPPRESSED),
    "drop, elsewhere": lambda now: Decision(verdict=Verdict.DROP, reason=Reason.NO_ADDRESS),
    "merged": lambda now: Decision(verdict=Verdict.DROP, reason=Reason.MERGED),
    "expire": lambda now: Decision(verdict=Verdict.DROP, reason=Reason.LATE),
}


def elsewhere(at: int) -> Then:
    """The step's other channel."""
    return Then((("email", at), ("sms", at)), DAY)


class Script:
    """A judge that says what the example drew, whatever the facts."""

    horizon = 0

    def __init__(self, script: Sequence[str], now: int) -> None:
        self._script, self._now = script, now

    def prepare(self, versions: object, fetch: object) -> None:
        pass

    def __call__(self, rows: Sequence[DueRow], known: Mapping[int, Known], rivals: frozenset[int]) -> Sequence[Judged]:
        mine = sorted((row for row in rows if row.delivery not in rivals), key=lambda row: row.delivery)
        told = ["expire" if row.expires_at <= self._now else self._script[i % len(self._script)] for i, row in enumerate(mine)]
        lines = ["merged" if row.erased else line for row, line in zip(mine, told, strict=True)]
        verdicts = [(row, SCRIPT[line](self._now)) for row, line in zip(mine, lines, strict=True)]
        return [
            Judged(
                row=row, decision=decision, state=state_after(decision), zone="Asia/Jakarta", provider="relay", address_hash=row.email_hash,
                then=elsewhere(self._now) if decision.reason is Reason.NO_ADDRESS else None,
            )
            for row, decision in verdicts
        ]  # fmt: skip


PLANS = PlanBook({})
"""Compiled once for all examples: a version's number and its body go together."""
CAPS = (
    (Cap(name="weekly", limit=1, rolling=ROLLING),),
    (Cap(name="weekly", limit=2, rolling=ROLLING),),
    (Cap(name="weekly", limit=3, rolling=ROLLING), Cap(name="daily", limit=1, calendar=Calendar.DAY)),
)


class Policy:
    """The real rules, and what must be true of their verdicts, counted from the model alone."""

    def __init__(self, caps: tuple[Cap, ...]) -> None:
        self.caps = caps
        self._judging = Judging(Rules(caps=caps), {"email": "email"}, {})

    def bind(self, now: int) -> object:
        return self._judging.bind(PLANS, {"email": "relay"}, {"email"}, now)

    def check(self, model: Model, judged: Sequence[Judged], now: int) -> None:
        """No marketing Send without a slot, outside the window, or to who asked for silence."""
        sent: dict[int, list[bool]] = defaultdict(list)
        for item in judged:
            if item.decision.verdict is not Verdict.SEND:
                continue
            d = model.deliveries[item.row.delivery]
            person, transactional = model.persons[d.person], model.campaigns[d.campaign].transactional
            sent[person.id].append(transactional)
            assert is_open(person.zone, now), f"delivery {d.id} was claimed outside the window"
            assert may_go(model, person, transactional=transactional), f"delivery {d.id} was claimed for {person.key}, who may not be written to"
        for person_number, kinds in sent.items():
            if all(kinds):
                continue
            touches = [at for person, at, _ in model.touches if person == person_number] + model.reserved(person_number)
            for cap in self.caps:
                used = counted(cap, touches, now, model.persons[person_number].zone) + len(kinds)
                assert used <= cap.limit, f"person {person_number}: {used} in the cap {cap.name} of {cap.limit}"


def counted(cap: Cap, touches: Sequence[int], now: int, zone: str) -> int:
    if cap.rolling is not None:
        return sum(at > now - cap.rolling for at in touches)
    day = (now + ZONES[zone]) // DAY
    return sum((at + ZONES[zone]) // DAY == day for at in touches)


def is_open(zone: str, at: int) -> bool:
    return OPENS <= (at + ZONES[zone]) % DAY < CLOSES


def may_go(model: Model, person: Person, *, transactional: bool) -> bool:
    if person.hash is None:
        return False
    found = [model.suppressions[key] for key in ((person.hash, "email"), (person.hash, "*")) if key in model.suppressions]
    if any(scope == "all" for scope, _ in found):
        return False
    return transactional or (not found and (person.id, "email") not in model.withdrawn)
