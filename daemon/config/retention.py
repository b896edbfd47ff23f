"""GROUND, config: `[retention]`, a part of `config.schema`. What of each table may go, and what never does: `store.retention`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from daemon.config.table import Table
from daemon.config.values import parse_kept

Kept = Annotated[int, BeforeValidator(parse_kept)]


class RetentionTable(Table):
    """Days, by table; 0 = for good. What is older goes at night: never what forbids a contact, nor what caps and links in mail need."""

    event: Kept = Field(1095, description="visits and the like; orders, subscriptions, tickets and answers make the profile, and stay")
    feedback: Kept = Field(1095, description="deliveries, opens and clicks; a STOP, a complaint and a bounce stay")
    provider_ref: Kept = Field(400, description="ids by which a provider names a message in its feedback")
    attempt: Kept = Field(400, description="tries that were not accepted, with the provider's words")
    reason_history: Kept = Field(400, description="why a delivery waited")
    delivery: Kept = Field(400, description="of a delivery that has ended: its variables and last decision; the rest stays")
    job: Kept = Field(400, description="of a finished job: the list of its bad rows; the rest stays")
    wanted: Kept = Field(90, description="who looked at which product; for what is back in stock")
    spend: Kept = Field(400, description="what a day cost, by provider")
