"""Segments over HTTP: list, preview, evaluate, import."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from daemon.model.delivery import DAY
from daemon.store.events import take_events
from daemon.store.writer import Lane
from tests.stages.intake_world import NOW
from tests.stages.web_world import WebWorld
from tests.store.test_events import SHOP, row

LINES = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Two buyers and somebody who only looked."""
    world = await WebWorld.open(tmp_path)
    rows = [row("Order Completed", f"m-{n}", NOW - n * DAY, f"c-{n}", revenue=10) for n in (40, 10)]
    await world.inner.store.write(Lane.EVENTS, take_events, [*rows, row("Page Viewed", "m-1", NOW - DAY, "c-1")], SHOP, NOW)
    yield await world.api("recipients:write", "recipients:read")
    await world.close()


async def call(session: aiohttp.ClientSession, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
    async with session.request(method, path, **more) as answer:
        return answer.status, await answer.json()


async def test_list_preview_and_evaluate(session: aiohttp.ClientSession) -> None:
    """A preview counts what matches now; evaluating is what fills a segment."""
    status, found = await call(session, "GET", "/v1/segments/buyers/preview?limit=1")
    assert (status, found["matching"], found["members"], len(found["sample"])) == (200, 2, None, 1)
    assert await call(session, "POST", "/v1/segments/evaluate", json={"segments": ["buyers"]}) == (200, {"members": {"buyers": 2}})
    status, found = await call(session, "GET", "/v1/segments")
    assert [(item["segment"], item["members"], item["imported"]) for item in found["items"]] == [("buyers", 2, False), ("partners", None, True)]
    status, found = await call(session, "GET", "/v1/segments/byers/preview")
    assert (status, found["detail"]) == (404, 'no segment "byers"; did you mean "buyers"?')


async def test_import(session: aiohttp.ClientSession) -> None:
    """Ids and objects; unknown ones are named; a line that is neither refuses the piece."""
    lines = b'"c-1"\n{"id": "c-40"}\n"c-9"\n'
    status, found = await call(session, "POST", "/v1/segments/partners/import?last=true", data=lines, headers=LINES)
    assert (status, found["kept"], found["unknown"]) == (200, 2, ["c-9"])
    status, found = await call(session, "POST", "/v1/segments/partners/import", data=b"c-1\n", headers=LINES)
    assert (status, found["errors"][0]["line"]) == (422, 1)
    status, found = await call(session, "POST", "/v1/segments/buyers/import", data=b'"c-1"\n', headers=LINES)
    assert status == 422
    status, found = await call(session, "GET", "/v1/segments/partners/preview")
    assert found["matching"] == 2


async def test_churn(session: aiohttp.ClientSession) -> None:
    """Order times page by page, without names; a model is taken, and what is none is refused."""
    status, first = await call(session, "GET", "/v1/churn/orders?limit=1")
    assert (status, len(first["items"])) == (200, 1)
    status, second = await call(session, "GET", f"/v1/churn/orders?limit=1&after={first['next']}")
    assert {tuple(times) for page in (first, second) for times in page["items"]} == {(NOW - 40 * DAY,), (NOW - 10 * DAY,)}
    assert (await call(session, "GET", "/v1/churn/orders?after=x"))[0] == 422
    model = {"r": 1.0, "alpha": 40, "a": 0.9, "b": 3, "k": 2, "people": 100}
    assert await call(session, "PUT", "/v1/churn/model", json={"model": model}) == (200, {"scored": 2})
    for wrong in ({**model, "r": -1}, {**model, "people": 0}, {}):
        assert (await call(session, "PUT", "/v1/churn/model", json={"model": wrong}))[0] == 422
    status, found = await call(session, "GET", "/v1/churn/signs?model=1,40,0.9,3,2&horizon=20")
    assert (status, len(found["names"]), [came for _, came in found["items"]]) == (200, 11, [False]), "one of the two came later"
    forecast = {"means": [0.0] * 11, "spreads": [1.0] * 11, "weights": [0.5] + [0.1] * 11, "horizon_days": 90}
    assert (await call(session, "PUT", "/v1/churn/model", json={"model": model, "forecast": forecast}))[0] == 200
    status, found = await call(session, "PUT", "/v1/churn/model", json={"model": model, "forecast": {**forecast, "means": []}})
    assert (status, found["errors"][0]["pointer"]) == (422, "/forecast/means")
    assert (await call(session, "GET", "/v1/churn/signs?model=1,x"))[0] == 422
