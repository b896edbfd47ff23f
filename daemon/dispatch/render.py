"""Makes the message of a claimed delivery: template + recipient + job variables + links, or the result that holds it.

Words come from the newest loaded version of the campaign that still has the step; structure came with the claim. Nothing
is sent half-made: a missing variable, an unsafe value or an oversized text holds the delivery with its reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from daemon.clock import Clock, to_datetime
from daemon.content.offer_words import offer_variables
from daemon.content.render import MILLISECOND, Rendered, RenderError
from daemon.content.variables import build_variables
from daemon.dispatch.words import product_words, profile_words
from daemon.dispatch.work import Envelope, Plan, PlanBook
from daemon.journey.profile import Shop
from daemon.links import PUSH_CLICK, Links
from daemon.model.campaign import Purpose
from daemon.model.delivery import SECOND, Decision, Instant, Verdict
from daemon.model.journey import Offer
from daemon.model.recipient import Recipient
from daemon.policy.deadlines import shown_end
from daemon.policy.zones import known_zone
from daemon.store.claim import decision_json
from daemon.store.flight import Kind, Result
from daemon.store.issues import Reserved
from plugins.contract import Message

_ADDRESSES = frozenset({"email", "phone", "recipient"})
"""Kinds of address that a row has under their names."""


class MessageWriter:
    """`kinds`: channel -> address kind (email, phone, push, recipient). `shop`: how it calls its tiers and bands."""

    def __init__(
        self, plans: PlanBook, links: Links, kinds: Mapping[str, str], clock: Clock, shop: Callable[[], Shop] = Shop
    ) -> None:  # fmt: skip
        self._plans, self._links, self._kinds, self._clock, self._shop = plans, links, kinds, clock, shop

    def render(self, envelope: Envelope, *, now: Instant | None = None) -> Message | Result:
        """The message, or the result that holds the delivery. `now`: as it was made at that instant."""
        row, now = envelope.claimed.row, self._clock.instant() if now is None else now
        try:
            rendered, link = self._render(envelope, now)
        except RenderError as error:
            decision = Decision(
                verdict=Verdict.HOLD, reason=error.reason, key=f"campaign:{row.campaign_name}",
                facts={"template": error.template, "line": error.line, "variable": error.variable, "what": error.what},
            )  # fmt: skip
            return Result(
                delivery=row.delivery, epoch=envelope.claimed.epoch, kind=Kind.HELD, reason=error.reason, burnt=False,
                decision=decision_json(decision),
            )  # fmt: skip
        return self._message(envelope, rendered, link, now)

    def _render(self, envelope: Envelope, now: Instant) -> tuple[Rendered, str]:
        row, plan = envelope.claimed.row, envelope.plan
        if row.newest != row.version:
            newest = self._plans.peek(row.campaign, row.newest)
            if newest is not None and any(step.name == row.step and row.channel in step.every_channel for step in newest.campaign.steps):
                plan = newest
        link = self._links.unsubscribe_url(row.delivery)
        recipient = Recipient(
            id=row.person, key=row.recipient, email=row.email, phone=row.phone, zone=row.zone, locale=row.locale, country=row.country,
            traits=json.loads(row.traits) if row.traits else {},
        )  # fmt: skip
        profile = None
        if plan.renderer.wants_profile:
            profile = profile_words(envelope.profile, self._shop(), now, knows_tier="tier" in recipient.traits)
        words = json.loads(row.vars) if row.vars else {}
        more: dict[str, object] = {}
        roots = plan.renderer.roots(row.step, row.channel, row.locale, variant=row.variant)
        if "recommendations" in roots:
            more |= product_words(envelope.products, row.locale, plan.renderer.currency)
        if "preferences_url" in roots:
            more["preferences_url"] = self._links.preferences_url(row.delivery)
        if "push_join_token" in roots:
            more["push_join_token"] = self._links.join_token(row.person, now / SECOND)
        variables = build_variables(recipient, words, unsubscribe_url=link, now=now, profile=profile, more=more)
        zone = row.zone or (envelope.zone.split(",")[0] if envelope.zone else None)
        if row.event is not None:
            variables["event"] = json.loads(row.event)
        if (carried := envelope.claimed.offer) is not None:
            variables["offer"] = _offer(carried, (envelope.plan, plan), row.locale, zone)
            if "countdown_url" in roots and carried.ends_at is not None:
                variables["countdown_url"] = self._links.countdown_url(row.delivery)
        made = plan.renderer.render(row.step, row.channel, row.locale, variables, variant=row.variant, zone=zone, now=now)
        return made, link

    def _message(self, envelope: Envelope, rendered: Rendered, link: str, now: Instant) -> Message:
        row = envelope.claimed.row
        kind = self._kinds.get(row.channel, "recipient")
        push = tuple([address.text for address in envelope.claimed.push]) if kind == "push" else ()
        address = (push[0] if push else getattr(row, kind) if kind in _ADDRESSES else None) or ""
        return Message(
            id=envelope.public_id,
            address=address,
            addresses=push or (address,),
            channel=row.channel,
            recipient=row.recipient,
            locale=rendered.locale,
            campaign=row.campaign_name,
            step=row.step,
            variant=row.variant,
            subject=rendered.subject,
            text_pieces=rendered.text_pieces,
            html_pieces=rendered.html_pieces,
            head=rendered.head,
            unsubscribe_url=link if envelope.plan.campaign.purpose is Purpose.MARKETING else None,
            created_at=to_datetime(now - now % MILLISECOND),
            expires_at=to_datetime(envelope.claimed.closes),
            ttl=max(0.0, (envelope.claimed.closes - now) / SECOND),
            attempt=row.attempts + 1,
            token=self._links.mint(PUSH_CLICK, row.delivery) if kind == "push" else None,
            copy=bool(row.doubted),
        )


def _offer(carried: Reserved, plans: Sequence[Plan], locale: str | None, zone: str | None) -> dict[str, object]:
    """What the template may say of the offer that the message carries: structure and so the offer itself are of the walk's version. One
    that only an older version had is known by its name and code."""
    offer = next((plan.campaign.offers[carried.offer] for plan in plans if carried.offer in plan.campaign.offers), None)
    shown = shown_end(carried.ends_at, known_zone(zone) if zone else None) if carried.ends_at is not None else None
    if offer is None:
        offer = Offer(name=carried.offer, parts=())
    return offer_variables(offer, locale=locale, currency=plans[0].renderer.currency, code=carried.code, shown_end=shown)
