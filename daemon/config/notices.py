"""GROUND, config: `[[notify]]`, a part of `config.schema`: who is told of what happens, and the types of notices that there are.

Told by `app/noticing`; which rows make a notice says `store/notices`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, Strict, field_validator, model_validator

from daemon.config.secret_files import is_reference
from daemon.config.table import Table
from daemon.config.values import DAY, BadValue, kind, parse_duration
from daemon.errors import nearest
from plugins.contract import Secret
from plugins.http import is_loopback
from plugins.signing import fault_of_secret

DELIVERY = (
    "accepted", "rejected", "in_doubt", "resolved", "delivered", "bounced", "complained", "opened", "clicked", "dropped", "expired", "held",
)  # fmt: skip
RECIPIENT = ("enrolled", "exited", "converted", "unsubscribed", "erased")
JOB = ("accepted", "held", "finished")
TYPES = (*(f"delivery.{one}" for one in DELIVERY), *(f"recipient.{one}" for one in RECIPIENT), *(f"job.{one}" for one in JOB))
NOT_TOLD = frozenset({"recipient.suppressed", "alert.raised", "alert.cleared", "alert.*"})


def wanted_types(events: Iterable[str]) -> frozenset[str]:
    """The types that these patterns name: `*`, `delivery.*`, `job.held`."""
    patterns = frozenset(events)
    return frozenset(one for one in TYPES if not patterns.isdisjoint({one, f"{one.partition('.')[0]}.*", "*"}))


def parse_secret(value: Any) -> Any:
    """A secret that was read. A reference that could not be read has been told as its own problem."""
    if is_reference(value) or value is None:
        return value
    if not isinstance(value, Secret):
        forms = '{ credential = "notify" }, { env = "NAME" } or { file = "path" }'
        raise BadValue(f"must name a secret, as {forms}, not be {kind(value)}")
    if (fault := fault_of_secret(value)) is not None:
        raise BadValue(fault)
    return value


def parse_event(value: Any) -> str:
    """A type of notices, or a pattern of them."""
    if not isinstance(value, str):
        raise BadValue(f"must be a type of notices, not {kind(value)}")
    if value in NOT_TOLD:
        raise BadValue(f'not supported yet: this version tells no "{value}" (docs/notices.md has those that it tells)')
    if not wanted_types([value]):
        meant = nearest(value, (*TYPES, "delivery.*", "recipient.*", "job.*"))
        raise BadValue(f'must be a type of notices, "delivery.*" or "*" (got "{value}")', meant)
    return value


def parse_url(value: Any) -> str:
    """Where to post."""
    if not isinstance(value, str):
        raise BadValue(f"must be a string, not {kind(value)}")
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise BadValue(f'must be an address such as "https://crm.example.com/homing" (got "{value}")')
    if parts.username is not None or parts.fragment:
        raise BadValue("must have neither user nor fragment: the request is signed with `secret`")
    return value


class NotifyTable(Table):
    """Who is told of what happens, as signed webhooks (Standard Webhooks): any number of these. See docs/notices.md."""

    url: Annotated[str, BeforeValidator(parse_url)] = Field(description="where to post; https, unless it is this machine")
    secret: Annotated[Any, BeforeValidator(parse_secret)] = Field(
        description='what signs, named as in [providers]: { credential = "notify" }; 16 characters or more, or whsec_ with base64'
    )
    old_secret: Annotated[Any, BeforeValidator(parse_secret)] = Field(None, description="signs as well while the other side changes over")
    events: tuple[Annotated[str, BeforeValidator(parse_event)], ...] = Field(
        ("*",), description='what is told: types, "delivery.*", or "*"; opens and clicks may be many'
    )
    keep: Annotated[int, BeforeValidator(parse_duration)] = Field(
        3 * DAY, description="what could not be told for so long is passed over, and counted as lost"
    )
    insecure: Annotated[bool, Strict()] = Field(False, description="allow http: to another machine; notices name people")

    @field_validator("events")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise BadValue("is empty: nothing would be told")
        return value

    @field_validator("keep")
    @classmethod
    def _bounded(cls, value: int) -> int:
        if not 0 < value <= 30 * DAY:
            raise BadValue("must be longer than 0 and at most 30d")
        return value

    @model_validator(mode="after")
    def _safe(self) -> NotifyTable:
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not self.insecure and not is_loopback(parts.hostname or ""):
            raise BadValue("url must begin with https: notices name people (insecure = true allows http:)")
        return self
