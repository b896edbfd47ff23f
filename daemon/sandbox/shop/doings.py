"""SANDBOX, what customers do: orders as events with what is around them, and what they do between them: visits, carts, opens, tickets.

The signs of leaving are in them, as they are in a real shop: who has left opens and visits less and less, and often left after a refund
or a ticket. Lines of NDJSON, written by hand: a world of a million has some fifteen million of them. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from daemon.sandbox.shop.catalogue import CATEGORIES, LINES, products, spelt
from daemon.sandbox.shop.life import Customer, Order, in_daytime, iso
from daemon.sandbox.shop.markets import DAY

Doing = tuple[int, str, str]
"""(seconds of the epoch, name of the event, its properties as JSON)"""

NOISE_DAYS = 120
"""So far back visits, opens and carts are told; before that only orders and what belongs to them."""
WEEK = 7 * DAY
REASONS = ("price", "quality", "moved away", "went to a competitor", "no need")


def past(rng: random.Random, customer: Customer) -> list[Doing]:
    """All up to `until`, in no order. `rng`: as `Shop.customer` left it."""
    doings: list[Doing] = []
    for n, order in enumerate(customer.orders[: customer.past]):
        last = n + 1 == customer.past and not customer.alive
        doings += _around_order(rng, customer, order, n, gone=last)
    doings += _subscription(customer)
    doings += _between(rng, customer, customer.until - NOISE_DAYS * DAY, customer.until)
    if not customer.alive and rng.random() < 0.05:
        at = customer.last_order_at + int(rng.random() * 60 * DAY)
        doings.append((at, "Survey Answered", f'{{"reason":"{REASONS[int(rng.random() * len(REASONS))]}"}}'))
    return [doing for doing in doings if doing[0] <= customer.until]


def coming(rng: random.Random, customer: Customer, days: int) -> list[Doing]:
    """What happens in so many days after `until` if nobody asks, in order. `rng`: a stream of its own."""
    end = customer.until + days * DAY
    doings: list[Doing] = []
    for n, order in enumerate(customer.coming, customer.past):
        if order.at <= end:
            doings += _around_order(rng, customer, order, n, gone=False)
    doings += _between(rng, customer, customer.until, end)
    return sorted(doing for doing in doings if customer.until < doing[0] <= end)


def told(customer: Customer, order: Order, number: str, code: str | None = None) -> str:
    """The properties of an order. `number`: its id; `code`: of the offer that brought it."""
    language = customer.nature.language
    coupon = f',"coupon":"{code or f"C{order.percent}"}"' if order.percent or code else ""
    coupon += f',"discount":{order.discount}' if order.percent else ""
    product = spelt(order.category, order.line, language)[:-1] + f',"quantity":{order.quantity}}}'
    return f'{{"order_id":"{number}","revenue":{order.revenue},"currency":"USD","products":[{product}]{coupon}}}'


def _around_order(rng: random.Random, customer: Customer, order: Order, n: int, *, gone: bool) -> Iterator[Doing]:
    key, number = customer.nature.key, f"{customer.nature.key}-o{n + 1}"
    product = spelt(order.category, order.line, customer.nature.language)
    if rng.random() < 0.6:
        yield order.at - 300 - int(rng.random() * 2 * DAY), "Product Viewed", product
    if rng.random() < 0.3:
        yield order.at - 200, "Product Added", product
        yield order.at - 120, "Checkout Started", f'{{"order_id":"{number}","value":{order.revenue},"currency":"USD"}}'
    yield order.at, "Order Completed", told(customer, order, number)
    if rng.random() < (0.2 if gone else 0.04):
        at = order.at + int((3 + rng.random() * 14) * DAY)
        yield at, "Order Refunded", f'{{"order_id":"{number}","revenue":{order.revenue},"currency":"USD"}}'
    if rng.random() < (0.2 if gone else 0.03):
        opened = order.at + int((1 + rng.random() * 9) * DAY)
        yield opened, "Support Ticket Opened", f'{{"ticket_id":"{key}-t{n + 1}"}}'
        yield opened + int((0.2 + rng.random() * 6) * DAY), "Support Ticket Closed", f'{{"ticket_id":"{key}-t{n + 1}"}}'
    if rng.random() < 0.05:
        score = int(rng.random() * 7) if gone else 6 + int(rng.random() * 5)
        yield order.at + 10 * DAY, "Survey Answered", f'{{"nps":{score}}}'


def _subscription(customer: Customer) -> Iterator[Doing]:
    nature = customer.nature
    if nature.subscriber:
        named = f'{{"subscription_id":"{nature.key}-s"}}'
        yield customer.orders[0].at + 60, "Subscription Started", named
        if not customer.alive:
            yield customer.last_order_at + int(nature.cycle * DAY), "Subscription Cancelled", named


def _between(rng: random.Random, customer: Customer, start: int, end: int) -> Iterator[Doing]:
    """Week by week: the shop's newsletter, visits, carts that are left."""
    nature = customer.nature
    for week in range(start, end, WEEK):
        if week < customer.orders[0].at:
            continue
        there = 1.0
        if not customer.alive:
            there = 0.5 ** (max(week - customer.last_order_at, 0) / (30 * DAY))
        draw = rng.random()
        if draw < nature.opens * there:
            at = in_daytime(rng, nature, week + rng.random() * WEEK)
            yield at, "Email Opened", '{"campaign":"newsletter"}'
            if draw < nature.opens * there * nature.clicks:
                yield at + 40, "Email Link Clicked", '{"campaign":"newsletter"}'
        if rng.random() < 0.35 * there:
            yield from _visit(rng, customer, in_daytime(rng, nature, week + rng.random() * WEEK))


def _visit(rng: random.Random, customer: Customer, at: int) -> Iterator[Doing]:
    nature = customer.nature
    category = nature.category if rng.random() < 0.7 else int(rng.random() * len(CATEGORIES))
    line = int(rng.random() * len(LINES))
    product = spelt(category, line, nature.language)
    draw = rng.random()
    if draw < 0.03:
        yield at, "Store Entered", f'{{"store":"{nature.market.name}"}}'
        return
    yield at, "Product Viewed", product
    if draw < 0.2:
        price = products()[category][line].price
        yield at + 30, "Product Added", product
        yield at + 60, "Cart Viewed", f'{{"value":{price},"currency":"USD"}}'
        if draw < 0.12:
            yield at + 90, "Checkout Started", f'{{"order_id":"{nature.key}-c{at}","value":{price},"currency":"USD"}}'


def line_of(key: str, n: int, doing: Doing) -> str:
    """One row of `events import`."""
    at, name, properties = doing
    return f'{{"recipient":"{key}","event":"{name}","at":"{iso(at)}","id":"{key}-{n}","properties":{properties}}}\n'
