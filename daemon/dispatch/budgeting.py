"""DISPATCH, budgets: a message that would take its campaign over its budget, or its channel over its share of that, is held.

Part of the claim's judge: what is left is read and set aside in the claim's transaction (`store.outlay`), and what this claim has taken is
counted beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daemon.dispatch.work import PlanBook
from daemon.journey.profile import MICROS
from daemon.journey.worth import Budgets, over_budget
from daemon.model.delivery import Decision, Reason, Verdict
from daemon.store.facts import DueRow, Known
from daemon.store.outlay import Cost


def _told(facts: Mapping[str, Any]) -> str:
    return f"{facts['spent']:g} of the {facts['limit']:g} that {facts['of']} may cost are used, and it costs {facts['cost']:g}"


class Budgeting:
    """Of one claim."""

    def __init__(self, budgets: Budgets, plans: PlanBook) -> None:
        self._budgets, self._plans = budgets, plans
        self._taken: dict[tuple[int, str], int] = {}

    def asks(self, campaign: int, version: int) -> float | None:
        """The budget that this version names."""
        plan = self._plans.peek(campaign, version)
        return plan.campaign.value.budget if plan is not None and plan.campaign.value is not None else None

    def look(self, row: DueRow, decision: Decision, known: Known) -> tuple[Decision, Cost | None]:
        """What a Send becomes, and what it costs, to be set aside. The budget is the newest version's: an operator raises it for all."""
        budget = self.asks(row.campaign, row.newest)
        cost = round(self._budgets.costs.get(row.channel, 0.0) * MICROS)
        if budget is None or cost <= 0 or known.outlay is None or row.delivery in known.outlay.counted:
            return decision, None
        spent = {key: micros for key, micros in known.outlay.spent.items() if key[0] == row.campaign}
        for key, micros in self._taken.items():
            if key[0] == row.campaign:
                spent[key] = spent.get(key, 0) + micros
        key = row.campaign, row.channel
        facts = over_budget(budget, self._budgets.shares.get(row.channel), cost, sum(spent.values()), spent.get(key, 0))
        if facts is None:
            self._taken[key] = self._taken.get(key, 0) + cost
            return decision, Cost(row.delivery, row.campaign, row.channel, cost)
        held = Decision(
            verdict=Verdict.HOLD, reason=Reason.OVER_BUDGET, key=f"campaign:{row.campaign_name}",
            rule=("budget", decision.rule[1] if decision.rule else ""),
            facts={"channel": row.channel, **facts, "detail": _told(facts)}, checks=(*decision.checks, ("budget", Verdict.HOLD)),
        )  # fmt: skip
        return held, None
