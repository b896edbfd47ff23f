"""The checked tree of an expression (contract: segments): what `content.expression` makes of a text, and SQL or an answer is made of.

Nothing of the text is in it but literals, names that are on the lists below, and names of events, traits and properties. Logic has three
values, as in SQL: what is missing compares with nothing, so it never matches, and neither does its opposite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import NamedTuple


class Scope(StrEnum):
    """What an expression speaks of: a recipient (its columns, `traits.X`, functions), or the properties of one event."""

    RECIPIENT = "recipient"
    EVENT = "event"


class Kind(StrEnum):
    NUMBER = "number"
    TEXT = "text"
    FLAG = "flag"
    INSTANT = "instant"
    """Written as a date or a date and time, `'2026-11-22'`; UTC where it says no offset. In the tree: microseconds."""
    TAGS = "tags"
    ANY = "any"
    """A trait or property that is only asked for whether it is there."""


class Described(NamedTuple):
    """`says` is printed in docs/segments.md."""

    kind: Kind
    says: str


COLUMNS: Mapping[str, Described] = {
    "orders": Described(Kind.NUMBER, "orders so far; nobody without any is missing, they have 0"),
    "value": Described(Kind.NUMBER, "what they were worth together, in [shop] currency, refunds taken off"),
    "first_order_at": Described(Kind.INSTANT, "the first order"),
    "last_order_at": Described(Kind.INSTANT, "the last order"),
    "days_since_first_order": Described(Kind.NUMBER, "whole days since the first order"),
    "days_since_order": Described(Kind.NUMBER, "whole days since the last order"),
    "cycle_days": Described(
        Kind.NUMBER, "days between this person's orders on average (three orders or more), else between those of the last order's category"
    ),
    "band": Described(Kind.TEXT, "dormancy band by [shop] bands: 'early', 'mid', 'late', 'deep'; missing before the first band starts"),
    "tier": Described(Kind.TEXT, "value tier by [shop] tiers: 'high', 'medium', 'low'"),
    "score_30d": Described(Kind.NUMBER, "engagement of the last 30 days: 3 an order, 2 a click, 1 an open"),
    "days_since_open": Described(Kind.NUMBER, "whole days since a message was last opened (by a human)"),
    "days_since_click": Described(Kind.NUMBER, "whole days since a message was last clicked"),
    "days_since_visit": Described(Kind.NUMBER, "whole days since the last visit of site, app or store"),
    "days_since_seen": Described(Kind.NUMBER, "whole days since any sign of life"),
    "tickets_open": Described(Kind.NUMBER, "open support tickets"),
    "returns": Described(Kind.NUMBER, "orders of which something was refunded"),
    "discount_share": Described(Kind.NUMBER, "share of the orders that had a discount or coupon, 0 to 1; missing without orders"),
    "p_alive": Described(Kind.NUMBER, "probability that the person still is a customer, 0 to 1, of `homing segments churn`"),
    "churn_probability": Described(Kind.NUMBER, "probability of no order in the next 90 days, 0 to 1, of `homing segments churn`"),
    "subscription_active": Described(Kind.FLAG, "a subscription runs"),
    "subscription_ends_at": Described(Kind.INSTANT, "when it ends; missing without an end"),
    "days_to_subscription_end": Described(Kind.NUMBER, "whole days until it ends; below zero once it has ended"),
    "country": Described(Kind.TEXT, "two capital letters"),
    "zone": Described(Kind.TEXT, "as 'Asia/Jakarta'"),
    "locale": Described(Kind.TEXT, "as 'id' or 'fa-IR'"),
    "birthday": Described(Kind.TEXT, "trait `birthday`, 'YYYY-MM-DD'"),
    "days_to_birthday": Described(Kind.NUMBER, "whole days until the next birthday, 0 on the day, in [homing] default_zone"),
    "tags": Described(Kind.TAGS, "trait `tags`; ask with has_tag('..'), or tags is null"),
    "lapse_reason": Described(Kind.TEXT, "the last answer to why they left"),
    "nps": Described(Kind.NUMBER, "how likely they recommend, 0 to 10, as last answered"),
    "last_survey_at": Described(Kind.INSTANT, "the last answered survey"),
    "push_subscriptions": Described(Kind.NUMBER, "browsers that may be pushed to"),
    "push_clicks": Described(Kind.NUMBER, "web pushes that the person opened or clicked"),
    "unsubscribed": Described(Kind.FLAG, "the e-mail address or phone number wants no marketing: unsubscribed, complained or bounced"),
    "days_known": Described(Kind.NUMBER, "whole days since Homing first knew the recipient"),
}
"""Columns of a recipient; `traits.X` beside them."""

FUNCTIONS: Mapping[str, str] = {
    "in_segment": "in_segment('NAME'): is in that segment, as last evaluated (those due in the same run are evaluated first)",
    "in_campaign": "in_campaign('NAME'): walks through that campaign now",
    "did": "did('EVENT', 'PERIOD'[, WHERE]): how often, up to now; WHERE speaks of the event's properties; without PERIOD: ever",
    "days_since": "days_since('EVENT'): whole days since it last happened; missing if it never did",
    "has_tag": "has_tag('TAG'): the trait `tags` has it (a list, or a text with commas)",
}


@dataclass(frozen=True, slots=True)
class Literal:
    """An instant is in microseconds."""

    value: str | int | float | bool
    kind: Kind


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Property:
    """A trait of the recipient, or a property of the event: the value at this path, if it can be read as `kind`."""

    path: tuple[str, ...]
    kind: Kind


@dataclass(frozen=True, slots=True)
class Did:
    """How often an event happened in (now - period, now]; None = ever. `where`: on its properties."""

    event: str
    period: int | None
    where: Condition | None = None


@dataclass(frozen=True, slots=True)
class DaysSince:
    event: str


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`op`: + - * /; by zero there is no result."""

    op: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Compare:
    """`op`: = != < <= > >=; both sides are of one kind."""

    op: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Among:
    value: Value
    options: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """`%` any text, `_` one character; letters of ASCII in either case."""

    value: Value
    pattern: str


@dataclass(frozen=True, slots=True)
class Missing:
    value: Value


@dataclass(frozen=True, slots=True)
class Truth:
    value: Value


@dataclass(frozen=True, slots=True)
class InSegment:
    name: str


@dataclass(frozen=True, slots=True)
class InCampaign:
    name: str


@dataclass(frozen=True, slots=True)
class HasTag:
    tag: str


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Opposite:
    part: Condition


Value = Literal | Column | Property | Did | DaysSince | Arithmetic
Condition = Compare | Among | Like | Missing | Truth | InSegment | InCampaign | HasTag | All | Some | Opposite
Node = Value | Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """`text` as it was written."""

    text: str
    scope: Scope
    tree: Condition

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(node.name for node in nodes(self.tree) if isinstance(node, Column))

    @property
    def segments(self) -> frozenset[str]:
        """Those that it refers to."""
        return frozenset(node.name for node in nodes(self.tree) if isinstance(node, InSegment))

    @property
    def events(self) -> frozenset[str]:
        return frozenset(node.event for node in nodes(self.tree) if isinstance(node, Did | DaysSince))


def nodes(tree: Node) -> Iterator[Node]:
    """The tree's nodes, each before those below it."""
    yield tree
    for field in fields(tree):
        found = getattr(tree, field.name)
        for item in found if isinstance(found, tuple) else (found,):
            if is_dataclass(item):
                yield from nodes(item)  # type: ignore[arg-type]  # whatever is a dataclass below a node is a node
