"""The sample's best customers: who are reached by push or SMS instead of mail. A world of their own beside `world`'s 2,000.

Half have a browser that takes pushes, all have a phone; some meet a fault that the local providers play by the address. Numbers
are possible mobile ones, for nobody's phone: nothing leaves this machine.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from daemon.sandbox.world import KUALA_LUMPUR, NAMES, SEED, Person, SampleJob

QUEUE = CAMPAIGN = "vip"
WINDOWS: Mapping[str, tuple[str, str]] = {"sms": ("10:00", "20:00"), "push": ("09:00", "21:00")}
"""The channels' own windows in the demo's config; the campaign narrows them."""


class VipKind(StrEnum):
    """What the demo shows by a person."""

    BROWSER = "takes pushes"
    PHONE = "has a phone only"
    GONE = "whose browser is gone: an SMS instead"
    STOPPED = "who once replied STOP to Twilio"
    UNREACHABLE = "whose phone turns out to be dead"
    DOUBT = "whose SMS Twilio takes and answers with an error"
    SILENT = "consented to neither"


PER_PLACE: Mapping[VipKind, int] = {
    VipKind.BROWSER: 34, VipKind.PHONE: 28, VipKind.GONE: 4, VipKind.STOPPED: 2, VipKind.UNREACHABLE: 2, VipKind.DOUBT: 1,
    VipKind.SILENT: 3,
}  # fmt: skip
PLACES: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("Jakarta", "Asia/Jakarta", "+628111", ("id", "en")),
    ("Kuala Lumpur", KUALA_LUMPUR, "+60123", ("ms", "en")),
    ("Tehran", "Asia/Tehran", "+989121", ("fa",)),
)
"""(place, zone, how a number begins, languages)"""
ENDINGS: Mapping[VipKind, str] = {VipKind.STOPPED: "91610", VipKind.UNREACHABLE: "80005", VipKind.DOUBT: "70500"}
"""The last digits of a number, by which the local Twilio knows what to play (`twilio`). One person a place meets each: numbers differ."""


def make_vips(seed: int = SEED) -> list[Person]:
    """Everyone, in the order of their ids; browsers are numbered as the local push service will make them."""
    rng = random.Random(seed + 1)
    people: list[Person] = []
    browsers = 0
    for place, zone, prefix, locales in PLACES:
        for kind, count in PER_PLACE.items():
            for each in range(count):
                has_browser = kind in (VipKind.BROWSER, VipKind.GONE)
                browsers += has_browser
                id = f"v-{len(people) + 1:03}"
                row = _row(rng, id, kind, phone=_phone(prefix, kind, each), zone=zone, locale=rng.choice(locales))
                people.append(Person(
                    id=id, kind=kind, place=place, queue=QUEUE, zones=(zone,), quiet=(), row=row, browser=browsers if has_browser else None,
                ))  # fmt: skip
    return people


def _phone(prefix: str, kind: VipKind, each: int) -> str:
    """Ten or eleven digits behind the plus; the faults' endings belong to their own kinds."""
    digits = 12 if prefix.startswith("+98") else 11
    ending = ENDINGS.get(kind)
    if ending is not None:
        return f"{prefix}{each:0{digits - len(prefix) + 1 - len(ending)}}{ending}"
    number = 1000 + list(VipKind).index(kind) * 100 + each  # no ending of five digits that begins with 7, 8 or 9
    return f"{prefix}{number:0{digits - len(prefix) + 1}}"


def _row(rng: random.Random, id: str, kind: VipKind, *, phone: str, zone: str, locale: str) -> Mapping[str, Any]:
    agreed = {"at": "2020-01-15T08:00:00Z", "source": "checkout", "text": "Yes, send me an SMS."}
    ads = {**agreed, "text": "Yes, you may show me ads elsewhere."}
    return {
        "id": id, "phone": phone, "zone": zone, "locale": locale, "traits": {"first_name": rng.choice(NAMES[locale])},
        **({} if kind is VipKind.SILENT else {"consent": {"sms": agreed, "audience": ads}}),
    }  # fmt: skip


def make_vip_job(people: Sequence[Person], day: str) -> SampleJob:
    """All of them, for the campaign of that name."""
    head = {"id": f"{QUEUE}-{day}", "queue": QUEUE, "campaign": CAMPAIGN, "expected_count": len(people)}
    lines = tuple(json.dumps(person.row, ensure_ascii=False) for person in people)
    return SampleJob(id=f"{QUEUE}-{day}", queue=QUEUE, head=head, lines=lines, bad=0, repeated=0)
