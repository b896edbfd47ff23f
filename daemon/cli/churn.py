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
    """Fit the model of who still is a customer (MBG/CNBD-k) to when people ordered, and one of the leading signs (opens, visits, gaps,
    tickets, returns, discounts) to who ordered in the last HORIZON days; score everybody: the columns `p_alive` and `churn_probability`.

    How good they are: the first is fitted once more without the last HORIZON days, the second to one half of the people and tried on the
    other. Run it after an import, and then once a month; the daemon keeps scores up to date by it.
    """

    async def work(api: Api) -> dict[str, Any]:
        from daemon.clock import SystemClock

        orders = await _sample(api, sample)
        found = learn(orders, SystemClock().instant() / DAY, horizon)
        names, signs, came = await _signs(api, sample, found["model_then"] or found["model"], horizon)
        found["forecast"] = foresee(names, signs, came, horizon)
        if not dry_run:
            body: dict[str, Any] = {"model": {**found["model"], "people": found["people"]}}
            if found["forecast"] is not None:
                body["forecast"] = {name: found["forecast"][name] for name in ("means", "spreads", "weights", "horizon_days")}
            found["scored"] = (await api.call("PUT", "/v1/churn/model", body=body))["scored"]
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


async def _signs(api: Api, people: int, model: dict[str, Any], horizon: int) -> tuple[list[str], list[list[float]], list[bool]]:
    names: list[str] = []
    signs: list[list[float]] = []
    came: list[bool] = []
    after: str | None = "-1"
    spelled = ",".join(str(model[name]) for name in ("r", "alpha", "a", "b", "k"))
    while after is not None and len(signs) < people:
        query = {"after": after, "limit": PAGE, "model": spelled, "horizon": horizon}
        page = await api.call("GET", "/v1/churn/signs", query=query)
        names, after = page["names"], page["next"]
        signs += [found for found, _ in page["items"]]
        came += [happened for _, happened in page["items"]]
    return names, signs, came


def foresee(names: Sequence[str], signs: Sequence[Sequence[float]], came: Sequence[bool], horizon: int) -> dict[str, Any] | None:
    """The model of the signs: how likely no order comes. How good it is: fitted to every other person, tried on the rest. None: too few."""
    from daemon.journey.alive import LEAST_PEOPLE
    from daemon.journey.logistic import fit_logistic, probability
    from daemon.journey.quality import auc, deciles, largest_error

    gone = [not happened for happened in came]
    if min(sum(gone), len(gone) - sum(gone)) < LEAST_PEOPLE:
        return None
    whole, half = fit_logistic(signs, gone), fit_logistic(signs[::2], gone[::2])
    if whole is None or half is None:
        return None
    said = [probability(half, row) for row in signs[1::2]]
    parts = deciles(said, gone[1::2])
    return {
        **whole._asdict(), "horizon_days": horizon, "people": len(signs), "auc": auc(said, gone[1::2]),
        "largest_error": round(largest_error(parts), 4), "deciles": [part._asdict() for part in parts],
        "signs": dict(zip(names, (round(weight, 3) for weight in whole.weights[1:]), strict=True)),
    }  # fmt: skip


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
    then, said, was = _forecast(orders, now - horizon, horizon, k)
    parts = deciles(said, was)
    return {
        "people": len(orders), "model": model._asdict(), "model_then": then, "horizon_days": horizon, "auc": auc(said, was),
        "largest_error": round(largest_error(parts), 4), "deciles": [part._asdict() for part in parts],
    }  # fmt: skip


def _forecast(
    orders: Sequence[Sequence[float]], then: float, horizon: float, k: int
) -> tuple[dict[str, Any] | None, list[float], list[bool]]:
    """(The model of then, what it said of an order within the horizon, whether there was one), of everybody known then."""
    from daemon.journey.alive import fit, history_of, p_order

    known = [(times, history) for times in orders if (history := history_of(times, then)) is not None]
    model = fit([history for _, history in known], k)
    if model is None:
        return None, [], []
    said = [p_order(model, history, horizon) for _, history in known]
    return model._asdict(), said, [any(then < at <= then + horizon for at in times) for times, _ in known]


def _show_tenths(found: dict[str, Any], happened: str) -> None:
    rows = [(part["people"], f"{100 * part['said']:.1f} %", f"{100 * part['was']:.1f} %") for part in found["deciles"]]
    screen.table(("people", "said", happened), rows)


def _show(found: dict[str, Any]) -> None:
    from daemon.journey.signs import SAYS

    model = found["model"]
    screen.say(f"fitted to {found['people']} people: " + ", ".join(f"{name} {value:.4g}" for name, value in model.items()))
    if found["auc"] is None:
        screen.say("how good it is cannot be said: too little is known of the time before")
    else:
        screen.say(
            f"orders of the last {found['horizon_days']} days, said without knowing them: AUC {found['auc']:.3f}, largest error of a tenth"
            f" {100 * found['largest_error']:.1f} points"
        )
        _show_tenths(found, "ordered")
    if (signs := found["forecast"]) is None:
        screen.say("signs: too few people ordered, or stayed away, to learn from them")
    else:
        screen.say(
            f"by their signs, who does not order in {signs['horizon_days']} days, of people it was not fitted to: AUC {signs['auc']:.3f},"
            f" largest error of a tenth {100 * signs['largest_error']:.1f} points"
        )
        _show_tenths(signs, "stayed away")
        weights = sorted(signs["signs"].items(), key=lambda item: -abs(item[1]))
        screen.table(("sign", "weight", "is"), [(name, weight, SAYS[name]) for name, weight in weights])
    if "scored" in found:
        screen.say(f"{found['scored']} people scored")
