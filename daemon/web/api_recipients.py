"""Web: recipients without a job: set, shown with what their events add up to, imported, erased."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from daemon.clock import Clock
from daemon.intake.parse import MAX_ROW_BYTES, Item, RowJsonError, bad, read_object, too_long
from daemon.intake.people import Imported, Person
from daemon.store.erase import Erased
from daemon.web.body import media_type, parse_json, read_body
from daemon.web.connection import Limits
from daemon.web.route import JSON, Call, Route
from daemon.web.views import time

LINES = "application/x-ndjson"
PATH = "/v1/recipients/{id}"
MISSING = {404: "There is no such recipient."}
MICROS = 1_000_000
DAY_SECONDS = 86_400
INSTANTS = (
    "first_order_at", "previous_order_at", "last_order_at", "last_open_at", "last_click_at", "last_visit_at", "last_seen_at",
    "subscription_ends_at", "last_survey_at",
)  # fmt: skip
COUNTS = ("orders", "unvalued", "returns", "discount_orders", "tickets_open")


class PeopleDoor(Protocol):
    """`intake.people.People`."""

    async def put(self, key: str, row: Any, /) -> Person: ...
    async def take(self, items: Sequence[Item], /) -> Imported: ...
    async def show(self, key: str, /) -> Person: ...
    async def erase(self, key: str, /, *, source: str) -> Erased: ...


class RecipientsApi:
    """The routes."""

    def __init__(self, *, door: PeopleDoor, clock: Clock, limits: Limits) -> None:
        self._door, self._clock, self._limits = door, clock, limits

    def routes(self) -> Sequence[Route]:
        return (
            Route(
                method="PUT", path=PATH, name="putRecipient", tag="recipients", scope="recipients:write", handler=self.put, media=(JSON,),
                answer="Recipient", problems={404: "The recipient was erased.", 422: "A field is not valid."},
                summary="Set what the body names, as a job's row does: only that is changed, null clears. Makes one that is not there.",
            ),
            Route(
                method="GET", path=PATH, name="showRecipient", tag="recipients", scope="recipients:read", handler=self.show,
                answer="Recipient", problems=MISSING, summary="Addresses, traits, consents, and what the recipient's events add up to.",
            ),
            Route(
                method="DELETE", path=PATH, name="eraseRecipient", tag="recipients", scope="recipients:write", handler=self.erase,
                answer="Erased", problems=MISSING,
                summary="Erase: addresses, traits, events go, what waits is dropped; the addresses stay suppressed by their hashes.",
            ),
            Route(
                method="POST", path="/v1/recipients", name="importRecipients", tag="recipients", scope="recipients:write",
                handler=self.take, media=(LINES,), answer="Imported",
                summary="Set many recipients: a JSON object a line, up to 1 MB. Bad rows are named and never stop good ones.",
            ),
        )  # fmt: skip

    async def put(self, call: Call) -> dict[str, Any]:
        media_type(call.request, (JSON,))
        row = parse_json(await read_body(call.request, self._clock, self._limits))
        return person_json(await self._door.put(call.path["id"], row))

    async def show(self, call: Call) -> dict[str, Any]:
        return person_json(await self._door.show(call.path["id"]))

    async def erase(self, call: Call) -> dict[str, Any]:
        return dataclasses.asdict(await self._door.erase(call.path["id"], source=f"erase:{call.caller.name}"))

    async def take(self, call: Call) -> dict[str, Any]:
        return dataclasses.asdict(await self._door.take(await read_items(call, self._clock, self._limits)))


async def read_items(call: Call, clock: Clock, limits: Limits) -> list[Item]:
    """The lines of a body that has a JSON object in each."""
    media_type(call.request, (LINES,))
    body = await read_body(call.request, clock, limits)
    lines = enumerate(body.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1)
    return [_item(number, line) for number, line in lines if line.strip()]


def _item(number: int, line: bytes) -> Item:
    try:
        return too_long(number) if len(line) > MAX_ROW_BYTES else read_object(number, line)
    except RowJsonError as error:
        return bad(number, error)


def person_json(person: Person) -> dict[str, Any]:
    """A recipient as the API shows it. `value` is in the shop's currency, `score_30d` as of now."""
    who = person.view.recipient
    return {
        "recipient": who.key, "email": who.email, "phone": who.phone, "zone": who.zone, "locale": who.locale, "country": who.country,
        "traits": dict(who.traits), "erased": who.erased,
        "consents": [{**dataclasses.asdict(one), "at": time(one.at)} for one in person.view.consents],
        "suppressions": [{"channel": channel, "scope": scope, "reason": reason} for channel, scope, reason in person.view.suppressions],
        "profile": None if person.profile is None else profile_json(person.profile, person.at),
    }  # fmt: skip


def profile_json(profile: Mapping[str, Any], now: int) -> dict[str, Any]:
    """The columns, in the units of people; those of segments by the same names."""
    ends = profile["subscription_ends_at"]
    gaps = profile["orders"] - 1
    return {
        **{name: profile[name] for name in COUNTS},
        "value": profile["value"] / MICROS,
        **{name: time(profile[name]) for name in INSTANTS},
        "cycle_days": round((profile["last_order_at"] - profile["first_order_at"]) / gaps / MICROS / DAY_SECONDS, 2) if gaps > 1 else None,
        "score_30d": profile["score"],
        "subscription_active": bool(profile["subscription_active"]) and (ends is None or ends > now),
        "lapse_reason": profile["lapse_reason"], "nps": profile["nps"], "p_alive": profile["p_alive"],
        "last_product": profile["last_product"] and parse_json(profile["last_product"].encode()),
    }  # fmt: skip
