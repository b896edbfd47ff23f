"""SANDBOX, the world as files: what `recipients import`, `events import` and `suppressions import` take, and the truth beside it.

    world.json         seed, size, until, how natures are drawn, what messages do
    recipients.ndjson  events.ndjson  suppressions.txt  products.ndjson
    truth.ndjson       one line a person: nature, alive or not, when the next orders come by themselves

Written one person at a time, so memory does not follow the size. The same arguments give the same bytes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from daemon.errors import UsageError
from daemon.sandbox.shop import doings, persona, response
from daemon.sandbox.shop.catalogue import CATEGORIES, LANGUAGES, products
from daemon.sandbox.shop.life import Customer, Shop, iso
from daemon.sandbox.shop.markets import DAY

HEAD = "world.json"
FORMAT = 1
LEFT = 0.03
"""Share of those who have unsubscribed by themselves before."""
AHEAD_DAYS = 180
"""So far ahead the truth names the orders that come by themselves."""
_EVERY = 5_000


def write_world(shop: Shop, folder: Path, progress: Callable[[int], object] = lambda _: None) -> dict[str, int]:
    """Write all files into `folder` (made if absent). How many of each there are. `progress`: called with the people done since.
    UsageError when the folder has a world already, or cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / HEAD).exists():
            raise UsageError(f"{folder} has a world already; take another folder")
        counts = _write(shop, folder, progress)
        (folder / HEAD).write_text(json.dumps(head_of(shop, counts), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}") from None
    return counts


def open_world(folder: Path) -> Shop:
    """The shop of a folder. UsageError when there is none, or it is of another release."""
    try:
        head = json.loads((folder / HEAD).read_text(encoding="utf-8"))
        if head["format"] != FORMAT:
            raise UsageError(f"{folder / HEAD} is of another release (format {head['format']}); generate it anew")
        return Shop(head["seed"], head["recipients"], datetime.fromisoformat(head["until"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder} has no world ({HEAD}): {error}; `homing world generate` makes one") from None


def _write(shop: Shop, folder: Path, progress: Callable[[int], object]) -> dict[str, int]:
    counts = {"recipients": 0, "events": 0, "suppressions": 0, "alive": 0}
    with ExitStack() as stack:

        def opened(name: str) -> IO[str]:
            return stack.enter_context((folder / name).open("w", encoding="utf-8", newline="\n", buffering=1 << 20))

        _write_products(opened("products.ndjson"))
        recipients, events = opened("recipients.ndjson"), opened("events.ndjson")
        truth, left = opened("truth.ndjson"), opened("suppressions.txt")
        rng = random.Random()
        for number in range(1, shop.size + 1):
            customer = shop.customer(number, rng)
            key = customer.nature.key
            done = doings.past(rng, customer)
            recipients.write(json.dumps(customer.row, ensure_ascii=False, separators=(",", ":")) + "\n")
            events.writelines([doings.line_of(key, n, doing) for n, doing in enumerate(done)])
            truth.write(json.dumps(truth_of(customer), separators=(",", ":")) + "\n")
            counts["events"] += len(done)
            counts["alive"] += customer.alive
            if rng.random() < LEFT:
                left.write(f"{customer.row['email']}\n")
                counts["suppressions"] += 1
            if not number % _EVERY:
                progress(_EVERY)
        progress(shop.size % _EVERY)
    counts["recipients"] = shop.size
    return counts


def _write_products(file: IO[str]) -> None:
    for category in products():
        for product in category:
            names = {language: product.described(language)["name"] for language in LANGUAGES}
            row = {**product.described("en"), "cycle_days": product.category.cycle, "names": names}
            file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


def truth_of(customer: Customer) -> dict[str, Any]:
    """What Homing does not get to see of a person. Instants are seconds of the epoch in ISO 8601."""
    nature = customer.nature
    ahead = customer.until + AHEAD_DAYS * DAY
    return {
        "id": nature.key, "alive": customer.alive, "left_at": None if customer.alive else iso(customer.last_order_at),
        "p_alive": round(customer.p_alive(), 4), "orders": customer.past, "last_order_at": iso(customer.last_order_at),
        "next_orders": [iso(order.at) for order in customer.coming if order.at <= ahead], "market": nature.market.name,
        "category": CATEGORIES[nature.category].name, "cycle_days": round(nature.cycle, 2), "regular": nature.regular,
        "dropout": round(nature.dropout, 4), "hunter": nature.hunter, "subscriber": nature.subscriber, "opens": round(nature.opens, 3),
        "clicks": round(nature.clicks, 3),
    }  # fmt: skip


def head_of(shop: Shop, counts: dict[str, int]) -> dict[str, Any]:
    """What the world is made by."""
    return {
        "format": FORMAT, "seed": shop.seed, "recipients": shop.size, "until": datetime.fromtimestamp(shop.until, UTC).isoformat(),
        "counts": counts,
        "nature": {
            "rate_shape": persona.RATE_SHAPE, "dropout_beta": [persona.DROP_A, persona.DROP_B], "hunters": persona.HUNTERS,
            "subscribers": persona.SUBSCRIBERS,
            "categories": {c.name: {"share": c.share, "cycle_days": c.cycle, "regular": c.regular} for c in CATEGORIES},
        },
        "effects": response.truth(),
    }  # fmt: skip
