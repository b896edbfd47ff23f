"""CONTENT: what a template may say about a recipient, put together for one render. Pure; plain JSON values only.

`recipient.*` are the traits, the words of the profile (what the recipient's events add up to) and the fields of the record; a later one
wins over an earlier one of its name. `vars.*` is what the job's row brought, `event.*` what triggered the walk, `offer.*` what the step
carries, `recommendations` a list of products. What is null is left out: in a template it is missing, not blank.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from daemon.clock import to_instant
from daemon.model.delivery import DAY, Instant
from daemon.model.recipient import Recipient

FIELDS = frozenset({"id", "email", "phone", "zone", "locale", "country", "days_since_order"})
"""Words of `recipient` that need no trait."""
PROFILE_WORDS = frozenset({
    "orders", "value", "returns", "discount_share", "first_order_at", "last_order_at", "days_since_order", "cycle_days", "last_product",
    "tier", "band", "score", "days_since_open", "days_since_click", "days_since_visit", "days_since_seen", "tickets_open",
    "subscription_active", "subscription_ends_at", "lapse_reason", "nps", "last_survey_at",
})  # fmt: skip
"""Words of `recipient` that come from its profile, where it has one; a profile is read only for templates that have one of them."""


def build_variables(
    recipient: Recipient, job_vars: Mapping[str, Any], *, unsubscribe_url: str | None, now: Instant,
    profile: Mapping[str, object] | None = None, more: Mapping[str, object] | None = None,
) -> dict[str, object]:  # fmt: skip
    """The `variables` of `Renderer.render`. `profile`: words of PROFILE_WORDS; `more`: whole roots, as `event` and `offer`.
    `days_since_order`, where the profile does not know it, is counted at `now` from the trait `last_order_at` (an ISO date or date-time;
    whole days of 86,400 s), unless the recipient has a trait of that name.
    """
    fields = {
        "id": recipient.key,
        "email": recipient.email,
        "phone": recipient.phone,
        "zone": recipient.zone,
        "locale": recipient.locale,
        "country": recipient.country,
    }
    known = {**recipient.traits, **(profile or {}), **{key: value for key, value in fields.items() if value is not None}}
    if "days_since_order" not in known and (days := days_since(known.get("last_order_at"), now)) is not None:
        known["days_since_order"] = days
    variables: dict[str, object] = {**(more or {}), "recipient": known, "vars": job_vars}
    if unsubscribe_url is not None:
        variables["unsubscribe_url"] = unsubscribe_url
    return variables


def days_since(moment: object, now: Instant) -> int | None:
    """Whole days from an ISO date or date-time (UTC where it names no offset) to `now`; None if it is none, or lies ahead."""
    if not isinstance(moment, str) or not 10 <= len(moment) <= 40:
        return None
    try:
        start = datetime.fromisoformat(moment) if len(moment) > 10 else datetime.combine(date.fromisoformat(moment), datetime.min.time())
    except ValueError:
        return None
    days = (now - to_instant(start if start.tzinfo else start.replace(tzinfo=UTC))) // DAY
    return days if days >= 0 else None
