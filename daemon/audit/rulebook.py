"""AUDIT, rule book: which windows and caps were in force when, kept in the store as the config's own tables.

A send is judged by the rules of its instant, not by today's: a config that changed later must neither accuse nor acquit. A send that
left soon after a change may have been claimed under the rules before it; then a finding has to hold under both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.audit.counting import CLAIM_GRACE, Limit
from daemon.config import Config

KEPT = 100
"""Changes that are remembered. A daemon whose audit is more of them behind judges the oldest sends by no rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The rules from one instant on. Windows as JSON text; None = the config names none."""

    since: int
    window: str
    channels: Mapping[str, str]
    countries: Mapping[str, str]
    limits: tuple[Limit, ...]


def plain_rules(config: Config) -> dict[str, Any]:
    """What the audit has to know of a config, ready for JSON."""
    return {
        "window": dict(config.window.default),
        "channels": {name: dict(table) for name, table in config.window.channels.items()},
        "countries": {name: dict(table) for name, table in config.window.countries.items()},
        "caps": [
            {
                "name": cap.name, "limit": cap.limit, "rolling": cap.rolling, "calendar": cap.calendar, "channels": list(cap.channels),
                "topics": list(cap.topics), "campaign": cap.campaign, "count": cap.count,
            }
            for cap in config.caps
        ],
        "weights": dict(config.weights),
    }  # fmt: skip


def add_page(kept: str | None, config: Config, since: int) -> str | None:
    """The stored book with the config's rules from `since` on; None when they are the newest page already."""
    book: list[dict[str, Any]] = json.loads(kept) if kept else []
    rules = json.loads(_spell(plain_rules(config)))
    if book and book[-1]["rules"] == rules:
        return None
    return _spell([*book[-(KEPT - 1) :], {"since": since, "rules": rules}])


def turn_back(kept: str | None, now: int) -> str | None:
    """The stored book without what was added after `now`, by a clock that was set back since: sends from `now` on have other rules."""
    return _spell([page for page in json.loads(kept) if page["since"] <= now]) if kept else None


def open_book(kept: str | None) -> Sequence[Page]:
    """The pages, the oldest first."""
    return [_page(entry["since"], entry["rules"]) for entry in (json.loads(kept) if kept else [])]


def pages_at(book: Sequence[Page], at: int) -> Sequence[Page]:
    """The rules by which a send of this instant may have been judged; none when the book does not reach back to it."""
    reigning = [page for index, page in enumerate(book) if page.since <= at and _end(book, index) > at - CLAIM_GRACE]
    covered = bool(book) and book[0].since <= at
    return reigning if covered else ()


def _end(book: Sequence[Page], index: int) -> int:
    return book[index + 1].since if index + 1 < len(book) else 1 << 62


def _page(since: int, rules: Mapping[str, Any]) -> Page:
    return Page(
        since=since, window=_spell(rules["window"]), channels={name: _spell(table) for name, table in rules["channels"].items()},
        countries={name: _spell(table) for name, table in rules["countries"].items()},
        limits=tuple(Limit.of(table, rules["weights"]) for table in rules["caps"]),
    )  # fmt: skip


def _spell(plain: Any) -> str:
    return json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
