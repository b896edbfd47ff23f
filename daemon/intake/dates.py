"""INTAKE, instants in documents: RFC 3339 with an offset, within reach. Nothing else is a moment. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

FIRST_YEAR, LAST_YEAR = 1970, 2199


class DateError(ValueError):
    """Not an instant, in words."""


def parse_moment(value: Any) -> datetime:
    """An aware datetime from `2026-11-22T09:00:00+07:00` or `...Z`."""
    if not isinstance(value, str):
        raise DateError("must be text such as 2026-11-22T09:00:00+07:00")
    if len(value) > 40 or "T" not in value.upper():
        raise DateError("must be a date and time such as 2026-11-22T09:00:00+07:00")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise DateError("must be a date and time such as 2026-11-22T09:00:00+07:00") from None
    if moment.tzinfo is None:
        raise DateError("has no offset; end it with Z or an offset such as +07:00, so that it is one instant")
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise DateError(f"lies outside the years {FIRST_YEAR} to {LAST_YEAR}")
    return moment
