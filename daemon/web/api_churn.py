"""Web: what models of churn are learned from, and the models: the fit itself runs in `homing segments churn`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from daemon.journey.alive import Model
from daemon.journey.logistic import Logistic
from daemon.journey.signs import NAMES
from daemon.model.delivery import Instant
from daemon.store.churn import Forecast
from daemon.web.fields import Field
from daemon.web.problems import Fault, ProblemError, invalid
from daemon.web.route import Call, Route

PARAMETERS = ("r", "alpha", "a", "b", "k")
PAGE = (
    Field(name="after", most=20, about="`next` of the page before."),
    Field(name="limit", kind="integer", least=1, most=1000, about="How many people (default 500)."),
)
MODEL = Field(name="model", most=200, required=True, about="r,alpha,a,b,k of the model by which silence is judged.")
HORIZON = Field(name="horizon", kind="integer", least=1, most=365, about="So many days ago (default 90).")


class ChurnDoor(Protocol):
    """`audience.segment_desk.SegmentDesk`."""

    async def order_times(self, after: int, limit: int, /) -> tuple[Sequence[Sequence[Instant]], int | None]: ...
    async def signs(
        self, after: int, limit: int, model: Model, horizon_days: int, /
    ) -> tuple[Sequence[tuple[Sequence[float], bool]], int | None]: ...
    async def adopt(self, model: Model, people: int, forecast: Forecast | None, /) -> int: ...


class ChurnApi:
    """The routes."""

    def __init__(self, *, door: ChurnDoor) -> None:
        self._door = door

    def routes(self) -> Sequence[Route]:
        model = Field(name="model", kind="object", required=True, about="r, alpha, a, b, k; people: to how many it was fitted.")
        forecast = Field(name="forecast", kind="object", about="means, spreads, weights of the signs, and horizon_days.")
        return (
            Route(
                method="GET", path="/v1/churn/orders", name="listOrderTimes", tag="segments", scope="recipients:read",
                handler=self.order_times, query=PAGE, summary="When people ordered, without who they are: what a model is learned from.",
            ),
            Route(
                method="GET", path="/v1/churn/signs", name="listSigns", tag="segments", scope="recipients:read", handler=self.signs,
                query=(*PAGE, MODEL, HORIZON), summary="People's leading signs as they were, and whether an order came since.",
            ),
            Route(
                method="PUT", path="/v1/churn/model", name="putChurnModel", tag="segments", scope="recipients:write", handler=self.adopt,
                body=(model, forecast),
                summary="Take models of who still is a customer: `p_alive` and `churn_probability` are by them from now on.",
            ),
        )  # fmt: skip

    async def order_times(self, call: Call) -> dict[str, Any]:
        found, following = await self._door.order_times(_after(call), int(call.query.get("limit", 500)))
        return {"items": found, "next": None if following is None else str(following)}

    async def signs(self, call: Call) -> dict[str, Any]:
        try:
            said = dict(zip(PARAMETERS, map(float, call.query["model"].split(",")), strict=True))
        except ValueError:
            said = {}
        horizon = int(call.query.get("horizon", 90))
        found, following = await self._door.signs(_after(call), int(call.query.get("limit", 500)), _model(said), horizon)
        return {"names": NAMES, "items": found, "next": None if following is None else str(following)}

    async def adopt(self, call: Call) -> dict[str, Any]:
        said, forecast = call.body["model"], call.body.get("forecast")
        people = said.get("people")
        if not isinstance(people, int) or isinstance(people, bool) or people < 1:
            raise _wrong("/model/people", "must be the number of people it was fitted to")
        return {"scored": await self._door.adopt(_model(said), people, None if forecast is None else _forecast(forecast))}


def _wrong(pointer: str, detail: str) -> ProblemError:
    return invalid([Fault(pointer=pointer, code="model", detail=detail)])


def _after(call: Call) -> int:
    after = str(call.query.get("after", "-1"))
    if not re.fullmatch(r"-1|[0-9]{1,19}", after, re.ASCII):
        raise invalid([Fault(pointer="after", code="after", detail="after must be the `next` of another page")], where="the query")
    return int(after)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**9


def _model(said: Mapping[str, Any]) -> Model:
    numbers = [said.get(name) for name in PARAMETERS]
    if not all(_number(value) and value > 0 for value in numbers):  # type: ignore[operator]  # a number by then
        raise _wrong("/model", "needs r, alpha, a, b and k, numbers above 0")
    r, alpha, a, b, k = (float(value) for value in numbers)  # type: ignore[arg-type]
    return Model(r, alpha, a, b, min(max(round(k), 1), 20))


def _forecast(said: Mapping[str, Any]) -> Forecast:
    lists = [said.get(name) for name in ("means", "spreads", "weights")]
    for place, (name, found) in enumerate(zip(("means", "spreads", "weights"), lists, strict=True)):
        length = len(NAMES) + (place == 2)
        if not isinstance(found, list) or len(found) != length or not all(map(_number, found)) or (place == 1 and min(found) <= 0):
            raise _wrong(f"/forecast/{name}", f"must be {length} numbers: one for each of {', '.join(NAMES)}")
    horizon = said.get("horizon_days")
    if not isinstance(horizon, int) or not 1 <= horizon <= 365:
        raise _wrong("/forecast/horizon_days", "must be 1 to 365")
    means, spreads, weights = (tuple(map(float, found)) for found in lists)  # type: ignore[arg-type]
    return Forecast(logistic=Logistic(means, spreads, weights), horizon_days=horizon)
