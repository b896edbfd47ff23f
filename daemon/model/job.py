"""A job: what a marketing tool drops into a queue; and its receipt (contract: jobs)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from daemon.model.delivery import Instant


class JobState(StrEnum):
    RECEIVING = "receiving"
    ACCEPTED = "accepted"
    HELD = "held"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineMessage:
    """`"message"` of a job: its own campaign named `job:ID`."""

    channel: str
    purpose: str
    topic: str | None = None
    subject: str = ""
    text: str = ""
    html: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobHead:
    """A job without its recipients, validated."""

    id: str
    queue: str
    campaign: str | None = None
    message: InlineMessage | None = None
    segment: str | None = None
    """In place of recipients: whoever is in it when the job arrives."""
    expected_count: int | None = None
    priority: int | None = None
    not_before: Instant | None = None
    expires_at: Instant | None = None
    window: Mapping[str, Any] | None = None
    """The raw `[window]`-shaped table, already checked by `policy.window`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """One bad row or field of a job: `line` counts from 1 in the body as received (for a JSON document: the row's number)."""

    line: int | None
    code: str
    detail: str
    recipient: str | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientRow:
    """One good row of a job. `None` in a trait clears it; a trait that is absent from `named` is left as it is."""

    line: int
    id: str
    email: str | None = None
    phone: str | None = None
    zone: str | None = None
    locale: str | None = None
    country: str | None = None
    traits: Mapping[str, Any] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    consent: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    named: frozenset[str] = frozenset()
    """Which of email, phone, zone, locale, country the row names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What intake answers; the contract gives its JSON form."""

    job: str
    queue: str
    campaign: str
    version: int | None
    source: str
    received_at: Instant
    digest: str
    state: JobState
    reason: str | None = None
    rows: int = 0
    expected: int | None = None
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    errors: tuple[RowError, ...] = ()
    errors_omitted: int = 0
