"""POLICY, window check: one question about a window, as `homing window check` and `POST` bodies ask it (contract §2).

A row (dict) in: where the recipient is (zone, phone or country), the window (start, end, days, or hours; closed), and the
instant `at`. Out: `{"open": bool, "next_open": "2026-11-22T02:00:00Z" | None}`. A bad row raises `RowProblem`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from daemon.errors import nearest
from daemon.model.delivery import Instant
from daemon.policy import tz
from daemon.policy.hours import WindowError, WindowRule, parse_window
from daemon.policy.window import next_open
from daemon.policy.zones import country_zones, known_zone, nearest_zone, phone_zones

FIRST_YEAR, LAST_YEAR = 1800, 9000
_PLACES = ("zone", "phone", "country")
_WINDOW = ("start", "end", "days", "hours", "closed")
_KEYS = (*_PLACES, *_WINDOW, "at")


class RowProblem(ValueError):
    """A row that cannot be answered: which field, a code, and what to do."""

    def __init__(self, field: str, code: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.code = code
        self.detail = detail

    def as_row(self) -> dict[str, Any]:
        """The line that is printed in place of an answer."""
        return {"error": {"field": self.field, "code": self.code, "detail": self.detail}}


def check_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Is the window open at `at`, and when is it next (`at` itself when open; None: not within 400 days)?"""
    if not isinstance(row, Mapping):
        raise RowProblem("", "row_invalid", "a row is a JSON object")
    for key in row:
        if key not in _KEYS:
            hint = nearest(str(key), _KEYS)
            raise RowProblem(str(key), "key_unknown", "unknown key" + (f'; did you mean "{hint}"?' if hint else ""))
    zones = _zones(row)
    rule = _window(row)
    at = _instant(row.get("at"))
    opens = next_open((rule,), zones, at)
    return {"open": opens == at, "next_open": None if opens is None else tz.utc_text(opens)}


def _zones(row: Mapping[str, Any]) -> tuple[str, ...]:
    """explicit > phone > country, as for a recipient; but a bad value is refused, not passed over."""
    given = {key: row[key] for key in _PLACES if row.get(key) is not None}
    for key, value in given.items():
        if not isinstance(value, str):
            raise RowProblem(key, f"{key}_invalid", f"must be a string (got {value!r})")
    if "zone" in given:
        zone = known_zone(given["zone"])
        if zone is None:
            hint = nearest_zone(given["zone"])
            raise RowProblem("zone", "zone_unknown", f'no such time zone "{given["zone"]}"' + (f'; did you mean "{hint}"?' if hint else ""))
        return (zone,)
    if "phone" in given:
        zones = phone_zones(given["phone"], given.get("country"))
        if not zones:
            raise RowProblem("phone", "phone_invalid", f'"{given["phone"]}" is no number of a known country; write it as +62811111111')
        return zones
    if "country" in given:
        zones = country_zones(given["country"])
        if not zones:
            raise RowProblem("country", "country_unknown", f'no such country "{given["country"]}"; two letters, as "ID"')
        return zones
    raise RowProblem("zone", "zone_missing", "give a zone, a phone number or a country")


def _window(row: Mapping[str, Any]) -> WindowRule:
    table = {key: row[key] for key in _WINDOW if row.get(key) is not None}
    if ("start" in table) != ("end" in table):
        missing = "end" if "start" in table else "start"
        raise RowProblem(missing, "window_invalid", "start and end belong together")
    if not table.keys() & {"start", "hours", "days"}:
        raise RowProblem("start", "window_missing", "give start and end, or hours")
    try:
        return parse_window(table)
    except WindowError as error:
        raise RowProblem(error.key, "window_invalid", str(error).removeprefix(f"{error.key}: ")) from None


def _instant(value: Any) -> Instant:
    problem = RowProblem("at", "at_invalid", f'must be an instant with its offset, as "2026-11-22T02:00:00Z" (got {value!r})')
    if not isinstance(value, str):
        raise problem
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise problem from None
    if moment.tzinfo is None:
        raise problem
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise RowProblem("at", "at_invalid", f"lies outside the years {FIRST_YEAR} to {LAST_YEAR}")
    return tz.instant_of(moment)
