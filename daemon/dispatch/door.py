"""The channel `audience`: whoever is "sent" over it is put into a retargeting audience. Built in, no plugin: it writes rows of our store.

A delivery over it is decided as any other (permission, suppression, pause, ceiling); the act is that the store wants its person in the
audience from then on, until the delivery's `expires_at`, or until its job is cancelled. The wish is written only once the handover is
granted, so nobody gets in by a campaign that was paused meanwhile; it is safe to repeat, so what a crash leaves in doubt is due again
(`settle_doubts`). `dispatch.sync` brings it to the platforms.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from daemon.clock import Clock, to_datetime, to_instant
from daemon.content.audience_name import namer, values_of
from daemon.content.version import INLINE_PREFIX
from daemon.dispatch.work import Envelope
from daemon.errors import StoreUnavailableError
from daemon.journey.profile import Shop
from daemon.journey.tiers import band_of, tier_of
from daemon.model.audience import AUDIENCE
from daemon.model.delivery import SECOND, State
from daemon.store.audiences import DOOR, Want, open_audience, put_members
from daemon.store.campaigns import campaign_id
from daemon.store.doubts import Evidence, close_doubt, list_doubts
from daemon.store.flight import Result
from daemon.store.recipients import person_id
from daemon.store.writer import Lane, Writes
from plugins.contract import Accepted, Capabilities, Context, Deferred, Message, Rejected, Session

PROVIDER = "audience:door"
"""No provider table can have this name."""
BATCH = 400
AGAIN = Evidence("reconciled_unsent", "the daemon ended as the person was being put in; to be put in twice is harmless")
SHARED = 0
"""The campaign of audiences that jobs with a message of their own name: one set for all jobs that say the same name."""


class DoorWriter:
    """Makes the message of a delivery over the channel: its subject is the audience's name. Satisfies the line's `Writer`."""

    def __init__(self, clock: Clock, shop: Callable[[], Shop] = Shop) -> None:
        """`shop()`: what tier and band of a buyer are by; of who never bought they are the traits of these names."""
        self._clock, self._shop = clock, shop

    def render(self, envelope: Envelope) -> Message | Result:
        row, campaign = envelope.claimed.row, envelope.plan.campaign
        rule = campaign.audiences[0]
        names, fill = namer(rule.name)
        known = {"country": row.country, "locale": row.locale, "campaign": row.campaign_name, "step": row.step}
        profile, now = envelope.profile, self._clock.instant()
        if profile is not None and profile.get("orders"):
            known |= {"tier": tier_of(profile, self._shop()), "band": band_of(profile, self._shop(), now)}
        given = {**(json.loads(row.traits) if row.traits else {}), **(json.loads(row.vars) if row.vars else {})}
        head = {"providers": ",".join(rule.providers), "topic": campaign.topic or "", "description": rule.description, "job": str(row.job)}
        return Message(
            id=envelope.public_id, address=row.recipient, channel=AUDIENCE, recipient=row.recipient, campaign=row.campaign_name,
            step=row.step, subject=fill(values_of(names, known, given)), head=head, created_at=to_datetime(now),
            expires_at=to_datetime(row.expires_at), ttl=max(0.0, (row.expires_at - now) / SECOND), attempt=row.attempts + 1,
        )  # fmt: skip


class AudienceDoor:
    """A channel by shape. `bind` gives it what plugins do not get: the store, the providers and the consent rule in force."""

    name: ClassVar[str] = "audience"
    channel: ClassVar[str] = AUDIENCE
    address: ClassVar[str] = "recipient"
    settings_type: ClassVar[type[Any]] = object
    capabilities = Capabilities(concurrency=2, batch=BATCH, unit=BATCH)

    def __init__(self) -> None:
        self._opened: dict[tuple[int, str, str], int] = {}
        self._campaigns: dict[str, int] = {}

    def bind(self, store: Writes, providers: Sequence[str], consent: str, wake: Callable[[], None] = lambda: None) -> None:
        """`providers`: all platforms that are loaded · `consent`: what an unknown consent means · `wake`: there is something to sync."""
        self._store, self._providers, self._consent, self._wake = store, tuple(providers), consent, wake

    async def start(self, context: Context[Any]) -> None:
        self._clock = context.clock

    async def stop(self) -> None:
        self._opened.clear()

    async def send(self, batch: Sequence[Message], session: Session) -> None:
        granted = await session.handover([message.id for message in batch])
        going = [message for message in batch if message.id in granted]
        try:
            refused = await self._put(going)
        except StoreUnavailableError as error:
            for message in going:
                session.report(message.id, Deferred(nothing_sent=True, code="store", detail=str(error)))
            return
        for message in going:
            if (reason := refused.get(person_id(message.recipient))) is not None:
                session.report(message.id, Rejected(scope="message", code=reason, detail="may not be in an audience"))
            else:
                session.report(message.id, Accepted())
        self._wake()

    async def _put(self, batch: Sequence[Message]) -> dict[int, str]:
        """Want them in. Returns who may not be, and why."""
        now = to_instant(self._clock.now())
        wants: dict[str, list[Want]] = {}
        for message in batch:
            wants.setdefault(message.head.get("topic", ""), []).extend(await self._wants(message))
        refused: dict[int, str] = {}
        for topic, some in wants.items():
            found = await self._store.write(Lane.INTAKE, put_members, some, topic=topic or None, rule=self._consent, now=now)
            refused.update({person: reason.value for person, reason in found.items()})
        return refused

    async def _wants(self, message: Message) -> list[Want]:
        named = [name for name in message.head.get("providers", "").split(",") if name]
        campaign = SHARED if message.campaign.startswith(INLINE_PREFIX) else await self._campaign(message.campaign)
        until = to_instant(message.expires_at)
        person = person_id(message.recipient)
        return [
            Want(await self._audience(campaign, provider, message), person, until, int(message.head.get("job", "0")))
            for provider in (named or self._providers)
            if provider in self._providers
        ]

    async def _campaign(self, name: str) -> int:
        if name not in self._campaigns:
            self._campaigns[name] = await self._store.read(campaign_id, name)
        return self._campaigns[name]

    async def _audience(self, campaign: int, provider: str, message: Message) -> int:
        key = campaign, provider, message.subject
        if key not in self._opened:
            self._opened[key] = await self._store.write(
                Lane.INTAKE, open_audience, campaign, provider, message.subject, origin=DOOR,
                description=message.head.get("description", ""), now=to_instant(self._clock.now()),
            )  # fmt: skip
        return self._opened[key]


async def settle_doubts(store: Writes, now: int) -> int:
    """Deliveries over the channel that a crash left in doubt are due again: whoever is in already is put in twice. Returns how many."""
    settled, after = 0, 0
    while found := await store.read(list_doubts, after, 500):
        for doubt in found:
            if doubt.channel == AUDIENCE:
                await store.write(Lane.BULK, close_doubt, doubt.delivery, now, State.DUE, AGAIN)
                settled += 1
        after = found[-1].delivery
    return settled

