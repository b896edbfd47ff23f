"""`homing segments churn`: learns from a sample of people who still is a customer, says how good that is, and has everybody scored by it.

The fit runs here, in the command's own process, so that a daemon does not feel it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from daemon.cli import screen
from daemon.cli.client import Api, with_api
from daemon.cli.context import Cli, command
from daemon.errors import HomingError

DAY = 86_400_000_000
PAGE = 500
LONG_SECONDS = 3600.0


@command("churn", short_help="Learn who still is a customer, and score everybody.")
@click.option("--sample", type=click.IntRange(100, 100_000), default=8000, show_default=True, help="People to learn from.")
@click.option("--horizon", type=click.IntRange(7, 365), default=90, show_default=True, help="Days of which the forecast is tried.")
@click.option("--dry-run", is_flag=True, help="Say how good it is, and leave all scores as they are.")
def churn(cli: Cli, sample: int, horizon: int, dry_run: bool) -> None:
    """Fit the model of who still is a customer (MBG/CNBD-k) to when people ordered, and score everybody: the column `p_alive`.

    How good it is: fitted once more without the last HORIZON days, how well it says who ordered in them. Run it after an import, and then
    once a month; the daemon keeps scores up to date by it.
    """

    async def work(api: Api) -> dict[str, Any]:
        from daemon.clock import SystemClock

        orders = await _sample(api, sample)
        found = learn(orders, SystemClock().instant() / DAY, horizon)
        if not dry_run:
            model = {**found["model"], "people": found["people"]}
            found["scored"] = (await api.call("PUT", "/v1/churn/model", body={"model": model}))["scored"]
        return found

    found = with_api(cli, work, seconds=LONG_SECONDS)
    cli.answer(found, lambda: _show(found))


async def _sample(api: Api, people: int) -> list[list[float]]:
    orders: list[list[float]] = []
    after: str | None = "-1"
    while after is not None and len(orders) < people:
        page = await api.call("GET", "/v1/churn/orders", query={"after": after, "limit": min(PAGE, people - len(orders))})
        orders += [[at / DAY for at in times] for times in page["items"]]
        after = page["next"]
    return orders


def learn(orders: Sequence[Sequence[float]], now: float, horizon: float) -> dict[str, Any]:
    """The model of these order times (days), and how good one is that does not know the last `horizon` days. HomingError: too few."""
    from daemon.journey.alive import LEAST_PEOPLE, fit, history_of, regularity
    from daemon.journey.quality import auc, deciles, largest_error

    k = regularity(orders)
    model = fit([found for times in orders if (found := history_of(times, now)) is not None], k)
    if model is None:
        raise HomingError(
            f"too little to learn from: {len(orders)} people with orders, of whom {sum(len(times) > 1 for times in orders)} came back;"
            f" at least {LEAST_PEOPLE} of each are needed"
        )
    said, was = _forecast(orders, now - horizon, horizon, k)
    parts = deciles(said, was)
    return {
        "people": len(orders), "model": model._asdict(), "horizon_days": horizon, "auc": auc(said, was),
        "largest_error": round(largest_error(parts), 4), "deciles": [part._asdict() for part in parts],
    }  # fmt: skip


def _forecast(orders: Sequence[Sequence[float]], then: float, horizon: float, k: int) -> tuple[list[float], list[bool]]:
    """(what was said of an order within the horizon, whether there was one), of everybody known then."""
    from daemon.journey.alive import fit, history_of, p_order

    known = [(times, history) for times in orders if (history := history_of(times, then)) is not None]
    model = fit([history for _, history in known], k)
    if model is None:
        return [], []
    said = [p_order(model, history, horizon) for _, history in known]
    return said, [any(then < at <= then + horizon for at in times) for times, _ in known]


def _show(found: dict[str, Any]) -> None:
    model = found["model"]
    screen.say(f"fitted to {found['people']} people: " + ", ".join(f"{name} {value:.4g}" for name, value in model.items()))
    if found["auc"] is None:
        screen.say("how good it is cannot be said: too little is known of the time before")
    else:
        screen.say(
            f"orders of the last {found['horizon_days']} days, said without knowing them: AUC {found['auc']:.3f}, largest error of a tenth"
            f" {100 * found['largest_error']:.1f} points"
        )
        rows = [(part["people"], f"{100 * part['said']:.1f} %", f"{100 * part['was']:.1f} %") for part in found["deciles"]]
        screen.table(("people", "said", "ordered"), rows)
    if "scored" in found:
        screen.say(f"{found['scored']} people scored")
