"""CONTENT: [offers.NAME] of `campaign.toml`: what is offered, how long it holds and where its codes come from. Pure.

The order of the file is the ladder: the first is the least.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any

from daemon.config.values import BadValue, kind, one_of, parse_name
from daemon.content.campaign_table import Table, amount, flag, gap, life, moment, short_text, whole, word
from daemon.content.locales import normalise, parse_locale
from daemon.model.journey import Offer, OfferKind, Part

_PART_KINDS = tuple(each for each in OfferKind if each is not OfferKind.BUNDLE)
_PERCENT = frozenset({OfferKind.PERCENT})
_NUMBERS = frozenset({OfferKind.AMOUNT, OfferKind.CREDIT, OfferKind.CASHBACK, OfferKind.POINTS, OfferKind.TRIAL})
_THINGS = frozenset({OfferKind.GIFT, OfferKind.ACCESS, OfferKind.CONTENT})
_CODE = re.compile(r"[A-Z0-9#-]{6,40}")
LEAST_RANDOM = 6
"""Characters of a code that are drawn: fewer could be guessed."""


def read_offers(top: Table) -> Mapping[str, Offer]:
    """In the order of the file."""
    table = top.inner("offers")
    if table is None:
        return {}
    offers: dict[str, Offer] = {}
    for rank, name in enumerate(table.table):
        inner = table.inner(name)
        if inner is None:
            continue
        try:
            offers[word(name, "an offer's")] = _offer(name, rank, inner)
        except BadValue as error:
            table.fault(name, error.what)
    return offers


def _offer(name: str, rank: int, table: Table) -> Offer:
    table.need("kind")
    sort = table.take("kind", lambda value: OfferKind(one_of(value, OfferKind)), OfferKind.CONTENT)
    if sort is OfferKind.BUNDLE:
        parts = _bundle(table)
    else:
        part = _part(sort, table) if "kind" in table.table else None
        parts = (part,) if part else ()
    codes = table.inner("codes")
    offer = Offer(
        name=name,
        rank=rank,
        parts=parts,
        valid=table.take("valid", life, None),
        ends=table.take("ends", moment, None),
        min_left=table.take("min_left", gap, Offer(name="", parts=()).min_left),
        pool=codes.take("pool", parse_name, None) if codes else None,
        generate=codes.take("generate", _pattern, None) if codes else None,
        text=table.take("text", _texts, {}),
        referral=table.take("referral", flag, False),
        earned=table.take("earned", flag, False),
    )
    if "valid" in table.table and "ends" in table.table:
        table.fault("ends", "valid (from the message's acceptance) and ends (a date) are two ends of one offer: give one")
    if offer.valid is not None and offer.valid < offer.min_left:
        if "min_left" in table.table:
            table.fault("min_left", "is longer than valid: the offer would never go out")
        else:
            table.fault("valid", "is shorter than min_left (24h unless given): the offer would never go out")
    if offer.referral and offer.earned:
        table.fault("earned", "is a reward of the recipient's own; referral is for others: give one")
    if offer.referral and not codes:
        table.fault("referral", 'is passed on as a code: add codes = { generate = "FR-########" }')
    if codes:
        if ("pool" in codes.table) == ("generate" in codes.table):
            codes.fault(None, 'needs exactly one of pool = ".." and generate = "WB-########"')
        codes.close()
    table.close()
    return offer


def _bundle(table: Table) -> tuple[Part, ...]:
    tables = table.array("parts")
    if tables is not None and len(tables) < 2:
        table.fault("parts", "a bundle has two parts or more: [{ kind = .., value = .. }, ..]")
    parts = []
    for each in tables or ():
        each.need("kind")
        sort = each.take("kind", lambda value: OfferKind(one_of(value, _PART_KINDS)), OfferKind.CONTENT)
        if "kind" in each.table:
            parts.append(_part(sort, each))
        each.close()
    return tuple(parts)


def _part(sort: OfferKind, table: Table) -> Part:
    """What is offered, with the keys that its kind has; others are unknown there."""
    value: float | None = None
    tiers: tuple[tuple[float, float], ...] = ()
    what = None
    if sort in _PERCENT or sort in _NUMBERS:
        table.need("value")
        most = 100.0 if sort in _PERCENT else None
        whole_number: Callable[[Any], float] = lambda each: float(whole(each, 1, 10**9))  # noqa: E731
        read = whole_number if sort in (OfferKind.POINTS, OfferKind.TRIAL) else lambda each: amount(each, most=most)
        value = table.take("value", read, None)
    elif sort is OfferKind.TIERED:
        tiers = _tiers(table)
    elif sort in _THINGS:
        table.need("what")
        what = table.take("what", short_text, None)
    return Part(kind=sort, value=value, tiers=tiers, what=what)


def _tiers(table: Table) -> tuple[tuple[float, float], ...]:
    """`tiers = [{ value = 15, over = 50 }, ..]`: percent over a sum, both rising."""
    table.need("tiers")
    found = []
    for each in table.array("tiers") or ():
        each.need("value", "over")
        found.append((each.take("value", lambda value: amount(value, most=100), 0.0), each.take("over", amount, 0.0)))
        each.close()
    if "tiers" in table.table and len(found) < 2:
        table.fault("tiers", "needs two or more: [{ value = 15, over = 50 }, { value = 20, over = 100 }]")
    for lower, upper in itertools.pairwise(found):
        if upper[0] <= lower[0] or upper[1] <= lower[1]:
            table.fault("tiers", f"must rise: {upper[0]:g} over {upper[1]:g} comes after {lower[0]:g} over {lower[1]:g}")
    return tuple(found)


def _pattern(value: Any) -> str:
    if not isinstance(value, str) or not _CODE.fullmatch(value) or value.count("#") < LEAST_RANDOM:
        what = f'must have 6 to 40 of A-Z, 0-9, "-" and at least {LEAST_RANDOM} "#", each a random character, such as "WB-########"'
        raise BadValue(what)
    return value


def _texts(value: Any) -> Mapping[str, str]:
    """What the message calls the offer: one text for all languages, or a table by locale with `default`."""
    if isinstance(value, str):
        return {"": short_text(value)}
    if not isinstance(value, dict):
        raise BadValue(f"must be a text, or a table of texts by locale, not {kind(value)}")
    texts = {}
    for locale, words in value.items():
        if locale != "default" and parse_locale(locale) is None:
            raise BadValue(f'no locale "{locale}"')
        texts["" if locale == "default" else normalise(locale)] = short_text(words)
    if "" not in texts:
        raise BadValue('needs default = "..": what all other languages get')
    return texts
