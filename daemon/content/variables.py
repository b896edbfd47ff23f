"""CONTENT: what a template may say about a recipient, put together for one render. Pure; plain JSON values only.

`recipient.*` are the traits and the fields of the record (a field wins over a trait of its name), `vars.*` what the job's row
brought. What is null is left out: in a template it is missing, not blank.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from daemon.clock import to_instant
from daemon.model.delivery import DAY, Instant
from daemon.model.recipient import Recipient


def build_variables(recipient: Recipient, job_vars: Mapping[str, Any], *, unsubscribe_url: str | None, now: Instant) -> dict[str, object]:
    """The `variables` of `Renderer.render`. `days_since_order` is counted at `now` from the trait `last_order_at` (an ISO date or
    date-time; whole days of 86,400 s), unless the recipient has a trait of that name.
    """
    fields = {
        "id": recipient.key,
        "email": recipient.email,
        "phone": recipient.phone,
        "zone": recipient.zone,
        "locale": recipient.locale,
        "country": recipient.country,
    }
    known = {**recipient.traits, **{key: value for key, value in fields.items() if value is not None}}
    if "days_since_order" not in known and (days := days_since(known.get("last_order_at"), now)) is not None:
        known["days_since_order"] = days
    variables: dict[str, object] = {"recipient": known, "vars": job_vars}
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
