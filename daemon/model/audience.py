"""A retargeting audience: what a campaign's `[[audience]]` says, and where a member of one stands (ADR 0008)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from daemon.model.delivery import DAY

AUDIENCE = "audience"
"""The channel: who is sent over it is put into an audience."""
STAY = 30 * DAY
"""How long a member stays after the walk has ended, unless the campaign says otherwise."""


class MemberState(IntEnum):
    """What the platform is believed to have, and what is on its way. `ADD` and `REMOVE` wait for a batch."""

    OUT = 0
    IN = 1
    ADD = 2
    REMOVE = 3
    ADDING = 4
    REMOVING = 5
    REFUSED = 6
    """The platform does not take this one: not offered again until its address changes or an operator asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceRule:
    """One `[[audience]]`. `providers`: empty = all platforms · `name`: with `{{ tier }}` and the like · `from_step`: members from this step
    on, None = from the first · `stay`: microseconds after the walk's end."""

    providers: tuple[str, ...]
    name: str
    from_step: str | None = None
    stay: int = STAY
    description: str = ""
