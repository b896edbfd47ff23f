"""A campaign and its steps, as one immutable version (contract: campaigns)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from daemon.model.delivery import HOUR


class Purpose(StrEnum):
    MARKETING = "marketing"
    TRANSACTIONAL = "transactional"


class CampaignStatus(StrEnum):
    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    name: str
    channels: tuple[str, ...]
    valid: int = 72 * HOUR
    """Life after it first fell due, in microseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What `campaign.toml` says. `starts`/`ends`: a local date (00:00 in each recipient's zone) or one instant."""

    name: str
    status: CampaignStatus = CampaignStatus.DRAFT
    purpose: Purpose = Purpose.MARKETING
    topic: str | None = None
    starts: date | datetime | None = None
    ends: date | datetime | None = None
    priority: int = 50
    sender: str | None = None
    reply_to: str | None = None
    utm: Mapping[str, str] = field(default_factory=dict)
    window: Mapping[str, Any] | None = None
    ignore_window: bool = False
    on_doubt: str = "hold"
    again: int | None = None
    """Microseconds after the last walk's end before the next one; None = never."""
    steps: tuple[Step, ...] = ()
