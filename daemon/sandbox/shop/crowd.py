"""SANDBOX, the sample shop's people in a rehearsal: they buy and visit by themselves, and answer messages as `response` says.

Given messages as they are sent, it gives the events and the feedback that come of them, each once its instant has come. Fulfils the
rehearsal's `Crowd` by shape. People are made when they are first needed and kept.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from daemon.model.campaign import Campaign
from daemon.sandbox.shop.doings import coming, told
from daemon.sandbox.shop.life import Customer, Shop, iso
from daemon.sandbox.shop.persona import number_of
from daemon.sandbox.shop.response import Sent, respond

SECOND = 1_000_000
KEPT = 100_000


class Taken(Protocol):
    """A message as the rehearsal tells of it; `at`: microseconds."""

    @property
    def delivery(self) -> str: ...
    @property
    def recipient(self) -> str: ...
    @property
    def campaign(self) -> str: ...
    @property
    def step(self) -> str: ...
    @property
    def channel(self) -> str: ...
    @property
    def at(self) -> int: ...
    @property
    def occurrence(self) -> int: ...
    @property
    def offer(self) -> str | None: ...
    @property
    def code(self) -> str | None: ...
    @property
    def offer_ends(self) -> int | None: ...


Answer = tuple[str, str, int]
"""(kind of feedback, delivery, microseconds)"""


class ShopCrowd:
    """`days`: so far ahead people act by themselves. `campaigns`: what their offers are made of."""

    def __init__(self, shop: Shop, campaigns: Mapping[str, Campaign], days: int) -> None:
        self._shop, self._campaigns = shop, campaigns
        self._people: dict[int, Customer] = {}
        self._events: list[tuple[int, int, str, str, str]] = []
        self._answers: list[tuple[int, int, str, str]] = []
        self._made = 0
        for customer in shop.customers():
            key = customer.nature.key
            for at, name, properties in coming(shop.stream(customer.nature.number, 2), customer, days):
                self._happens(at, key, name, properties)
        heapq.heapify(self._events)

    def _happens(self, at: int, key: str, name: str, properties: str) -> None:
        self._made += 1
        self._events.append((at, self._made, key, name, properties))

    def received(self, sent: Taken) -> None:
        """A message arrived: what will come of it?"""
        number = number_of(sent.recipient)
        if number is None or number > self._shop.size:
            return
        customer = self._customer(number)
        reaction = respond(self._shop.seed, customer, self._seen(sent))
        for kind, at in (
            ("opened", reaction.opened), ("clicked", reaction.clicked), ("unsubscribed", reaction.unsubscribed),
            ("complained", reaction.complained),
        ):  # fmt: skip
            if at is not None:
                self._made += 1
                heapq.heappush(self._answers, (at, self._made, kind, sent.delivery))
        if (order := reaction.order) is not None:
            self._made += 1
            key = customer.nature.key
            properties = told(customer, order, f"{key}-r{self._made}", sent.code)
            heapq.heappush(self._events, (order.at, self._made, key, "Order Completed", properties))

    def _customer(self, number: int) -> Customer:
        found = self._people.get(number)
        if found is None:
            if len(self._people) >= KEPT:
                self._people.clear()
            found = self._people[number] = self._shop.customer(number)
        return found

    def _seen(self, sent: Taken) -> Sent:
        """The message with what it offers, by the campaign's file."""
        campaign = self._campaigns.get(sent.campaign)
        position = next((n for n, step in enumerate(campaign.steps) if step.name == sent.step), 0) if campaign is not None else 0
        made = campaign.offers.get(sent.offer) if campaign is not None and sent.offer is not None else None
        parts = made.parts if made is not None else ()
        offer = tuple((part.kind.value, part.value or max((value for value, _ in part.tiers), default=None)) for part in parts)
        ends = None if sent.offer_ends is None else sent.offer_ends // SECOND
        return Sent(sent.campaign, sent.step, position, sent.occurrence, sent.channel, offer, sent.at // SECOND, ends)

    def events(self, now: int) -> Sequence[Mapping[str, Any]]:
        """What has happened by `now` (microseconds), as messages in the format of Segment."""
        found = []
        while self._events and self._events[0][0] * SECOND <= now:
            at, number, key, name, properties = heapq.heappop(self._events)
            found.append({
                "type": "track", "userId": key, "event": name, "timestamp": iso(at), "messageId": f"{key}-w{number}",
                "properties": json.loads(properties),
            })  # fmt: skip
        return found

    def feedback(self, now: int) -> Sequence[Answer]:
        """What readers did with their messages by `now`."""
        found = []
        while self._answers and self._answers[0][0] * SECOND <= now:
            at, _, kind, delivery = heapq.heappop(self._answers)
            found.append((kind, delivery, at * SECOND))
        return found

    def next_at(self) -> int | None:
        """The first instant of what is still to come; None: nothing is."""
        heads = [heap[0][0] * SECOND for heap in (self._events, self._answers) if heap]
        return min(heads, default=None)
