"""REPORTS by name: what `homing report NAME` and `/v1/reports/NAME` answer: columns, rows, and the whole as it is kept.

A report is one function of the store; who adds one names it here.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.content.roadmap import Idea
from daemon.errors import NotFoundError, nearest
from daemon.reports import roadmap
from daemon.reports.experiments import COLUMNS, rows_of
from daemon.store.experiments import results, trying
from daemon.store.referrals import ReferralLine, referral_lines
from daemon.store.writer import Writes


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`rows` have a value for each of `columns`; `details`: all that is known, for programs."""

    name: str
    about: str
    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    details: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A report that can be asked for. `make(store, campaign)`."""

    about: str
    columns: Sequence[str]
    make: Callable[[Writes, str | None], Awaitable[tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]]]


async def _experiments(store: Writes, campaign: str | None) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
    found = await store.read(results, campaign)
    details = [{"campaign": name, **one._asdict(), "body": json.loads(one.body)} for name, one in found]
    return rows_of(found), details


async def _referrals(store: Writes, campaign: str | None) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
    rows = [line._asdict() for line in await store.read(referral_lines) if campaign in (None, line.campaign)]
    return rows, rows


REPORTS: Mapping[str, Kind] = {
    "referrals": Kind(
        about="Codes that were passed on: who brought how many friends, whose orders stand, and which were undone.",
        columns=ReferralLine._fields, make=_referrals,
    ),
    "experiments": Kind(
        about="What each experiment came to, by arm: all people, each tier, and against those who were held out.",
        columns=COLUMNS, make=_experiments,
    ),
}  # fmt: skip


class Reporting:
    """The door of reports. `ideas()`: those of the roadmap, read when they are asked for; ConfigError if the file is wrong."""

    def __init__(self, *, store: Writes, ideas: Callable[[], Sequence[Idea]] = tuple) -> None:
        self._store, self._ideas = store, ideas
        self._reports: Mapping[str, Kind] = {
            **REPORTS,
            "roadmap": Kind(
                about="What is planned to be tried, what runs and what is decided, over all campaigns, the most important first.",
                columns=roadmap.COLUMNS, make=self._roadmap,
            ),
        }  # fmt: skip

    async def _roadmap(self, store: Writes, campaign: str | None) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
        rows = roadmap.roadmap_rows(self._ideas(), await store.read(trying), await store.read(results))
        mine = [row for row in rows if campaign in (None, row["campaign"])]
        return mine, mine

    def known(self) -> Mapping[str, str]:
        """Name -> what it says."""
        return {name: kind.about for name, kind in self._reports.items()}

    async def report(self, name: str, campaign: str | None = None) -> Report:
        """Raises NotFoundError for a name that is none."""
        kind = self._reports.get(name)
        if kind is None:
            hint = nearest(name, self._reports)
            more = f'; did you mean "{hint}"?' if hint else f" (there are {', '.join(self._reports)})"
            raise NotFoundError(f'no report "{name}"{more}')
        rows, details = await kind.make(self._store, campaign)
        return Report(name=name, about=kind.about, columns=kind.columns, rows=rows, details=details)
