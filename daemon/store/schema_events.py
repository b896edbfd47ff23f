"""The tables of what people do and of what follows from it, a part of `store.schema`."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, UniqueConstraint, text

from daemon.store.columns import int_column as _int
from daemon.store.columns import table as _table
from daemon.store.columns import text_column as _text

event_name = _table("event_name", _int("id", key=True), _text("name"), UniqueConstraint("name"))
"""Each name of an event as a small number."""

event = _table(
    "event",
    _int("person", key=True),
    _int("name", key=True),
    _int("id", key=True),
    _int("at"),
    _int("received_at"),
    _text("properties", null=True),
    clustered=True,
)
"""What a person did. One person's events lie together, those of one name side by side: what is asked of them ("viewed a product in the
last 14 days", "all orders") reads one stretch, and no second index is kept. `id` = 63-bit hash of the message's id, so that the same
message again finds its own row. `at`: when it happened, never after `received_at`. `properties`: JSON."""

profile = _table(
    "profile",
    _int("person", key=True),
    _int("orders", default=0),
    _int("value", default=0),
    _int("unvalued", default=0),
    _int("returns", default=0),
    _int("discount_orders", default=0),
    _int("first_order_at", null=True),
    _int("previous_order_at", null=True),
    _int("last_order_at", null=True),
    _text("last_product", null=True),
    _int("last_open_at", null=True),
    _int("last_click_at", null=True),
    _int("last_visit_at", null=True),
    _int("last_seen_at", null=True),
    _int("score", default=0),
    _int("score_until", null=True),
    _int("tickets_open", default=0),
    _int("subscription_active", default=0),
    _int("subscription_ends_at", null=True),
    _text("lapse_reason", null=True),
    _int("nps", null=True),
    _int("last_survey_at", null=True),
    Column("p_alive", Float, nullable=True),
    Column("churn", Float, nullable=True),
    Index("profile_score_until", "score_until", sqlite_where=text("score_until IS NOT NULL")),
    clustered=True,
)
"""What a person's events add up to, written in the transaction that takes them in. `value`: millionths of the shop's currency, refunds
taken off, without the `unvalued` orders (no rate for their currency, or no sum). Mean gap between orders = (last - first) / (orders - 1).
`score`: engagement over 30 days, exact until `score_until` (null = as long as nothing comes); `store.profiles.age_scores` brings it up to
date for who reads many.
`subscription_active` until `subscription_ends_at` (null = without end). `p_alive`, `churn`: of models (`store.churn`), null until one
has looked."""

merged = _table("merged", _int("person", key=True), _int("survivor"), _int("at"), Index("merged_survivor", "survivor"), clustered=True)
"""Which recipient has become which (`alias` of two recipients): the first word counts. `survivor` was never merged itself. Also of ids that
were said to be a person's before any recipient had them: then there is no row of theirs."""

alias = _table("alias", _text("previous", key=True), _int("person"), _int("at"), clustered=True)
"""Another id of a person: an anonymous one that was identified, or a former one of the shop's. Events under an anonymous id that is known
here are the person's."""
