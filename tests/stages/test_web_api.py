"""The API: who may do what, what is refused and how, jobs in and out, what operators do (B33-B41, B57, B62)."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from daemon.store.tokens import revoke_token
from daemon.store.writer import Lane
from daemon.web.openapi import statuses
from daemon.web.problems import KINDS
from tests.stages.intake_world import job
from tests.stages.web_world import ROOMY, WebWorld

PROBLEM = "application/problem+json"


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[WebWorld]:
    world = await WebWorld.open(tmp_path)
    yield world
    await world.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WebWorld]:
    """One world for the tests that leave nothing behind: opening one takes longer than they do."""
    world = await WebWorld.open(tmp_path_factory.mktemp("web"), limits=ROOMY)
    yield world
    await world.close()


together = pytest.mark.asyncio(loop_scope="module")


async def problem_of(answer: aiohttp.ClientResponse, status: int, kind: str) -> dict[str, Any]:
    assert answer.status == status, await answer.text()
    assert answer.content_type == PROBLEM
    found: dict[str, Any] = json.loads(await answer.text())
    assert set(found) == {"type", "title", "status", "detail", "instance", "request_id", "errors"}
    assert (found["type"], found["status"]) == (kind if kind.startswith("about:") else f"/problems/{kind}", status)
    assert answer.headers["X-Request-Id"] == found["request_id"]
    assert "Traceback" not in json.dumps(found)
    return found


@pytest.mark.promise("B33")
async def test_no_wrong_and_revoked_tokens_look_the_same(web: WebWorld) -> None:
    """B33: one body for all that is no valid token, whatever is wrong with it; another for a token without the scope."""
    session = await web.api()
    good = await web.token("jobs:read", name="good")
    revoked = await web.token("jobs:read", name="revoked")
    await web.inner.store.write(Lane.EXIT, revoke_token, name="revoked", now=web.inner.clock.wall)
    seen = []
    for header in (None, "Bearer", "Bearer x", f"Basic {good}", f"Bearer {revoked}", f"Bearer {good[:-1]}x"):
        async with session.get("/v1/jobs", headers={"Authorization": header} if header else {}) as answer:
            found = await problem_of(answer, 401, "unauthorized")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            seen.append({key: value for key, value in found.items() if key != "request_id"})
        if len(seen) == 4:
            web.inner.clock.wall += 1  # (the strikes are counted on the monotonic clock)
        if len(seen) == 5:
            break
    assert all(found == seen[0] for found in seen)
    async with session.get("/v1/queues", headers={"Authorization": f"Bearer {good}"}) as answer:
        await problem_of(answer, 403, "forbidden")
    async with session.get("/v1/jobs", headers={"Authorization": f"bearer {good}"}) as answer:
        assert answer.status == 200


@pytest.mark.promise("B33")
async def test_many_wrong_tokens_are_told_to_wait_and_a_good_one_never(web: WebWorld) -> None:
    """After `bad_tokens` in a minute 429 with Retry-After; the same address with a valid token goes on."""
    session, good = await web.api(), await web.token("jobs:read")
    answers = []
    for number in range(8):
        async with session.get("/v1/jobs", headers={"Authorization": f"Bearer homing_{number}"}) as answer:
            answers.append(answer.status)
    assert answers == [401] * 5 + [429] * 3
    async with session.get("/v1/jobs") as answer:
        await problem_of(answer, 429, "rate-limited")
        assert int(answer.headers["Retry-After"]) >= 1
    async with session.get("/v1/jobs", headers={"Authorization": f"Bearer {good}"}) as answer:
        assert answer.status == 200


@pytest.mark.promise("B33")
@together
async def test_every_route_is_closed_without_its_scope(shared: WebWorld) -> None:
    """The matrix: each route with a scope answers 401 without a token, 403 with every scope but its own."""
    from daemon.store.tokens import SCOPES, allows

    bare = await shared.api()
    for index, route in enumerate(route for route in shared.server.routes if route.scope):
        assert route.scope in SCOPES
        others = [scope for scope in SCOPES if not allows(frozenset({scope}), route.scope)]
        token = await shared.token(*others, name=f"t{index}")
        path = route.path.replace("{", "").replace("}", "")
        async with bare.request(route.method, path, headers={"Authorization": f"Bearer {token}"}) as answer:
            await problem_of(answer, 403, "forbidden")
        if index < 5:
            async with bare.request(route.method, path) as answer:
                await problem_of(answer, 401, "unauthorized")


@pytest.mark.promise("P1", "B34")
async def test_a_job_is_answered_when_it_is_on_disk(web: WebWorld) -> None:
    """202 with the receipt; the same again gets the same receipt, other content under the id 409."""
    session = await web.api("jobs:write", "jobs:read")
    async with session.post("/v1/jobs", json=job(2)) as answer:
        assert answer.status == 202
        first = await answer.json()
    assert (first["job"], first["state"], first["source"], first["queue"]) == ("lapsed-45-2026-11-22", "receiving", "http", "lapsed-45")
    assert await web.inner.sql("SELECT count(*) FROM job") == [(1,)]
    async with session.post("/v1/jobs", json=job(2)) as answer:
        assert (answer.status, await answer.json()) == (202, first)
    async with session.post("/v1/jobs", json=job(3)) as answer:
        await problem_of(answer, 409, "job-conflict")
    await web.inner.settle()
    async with session.get("/v1/jobs/lapsed-45-2026-11-22") as answer:
        found = await answer.json()
    assert (found["state"], found["rows"], found["accepted"], found["deliveries"]) == ("accepted", 2, 2, {"due": 2})


async def test_ndjson_csv_and_gzip_bodies_stream_in(web: WebWorld) -> None:
    """NDJSON: head first; CSV: the head in the query; gzip of either. All end in the same job."""
    session = await web.api("jobs:write", "jobs:read")
    lines = [{"id": "n-1", "queue": "lapsed-45"}, {"id": "a", "email": "a@example.com"}, {"id": "b", "email": "b@example.com"}]
    ndjson = "\n".join(map(json.dumps, lines)).encode()
    async with session.post("/v1/jobs", data=ndjson, headers={"Content-Type": "application/x-ndjson"}) as answer:
        assert answer.status == 202, await answer.text()
    packed = {"Content-Type": "application/x-ndjson; charset=utf-8", "Content-Encoding": "gzip"}
    async with session.post("/v1/jobs", data=gzip.compress(ndjson), headers=packed) as answer:
        assert (answer.status, (await answer.json())["job"]) == (202, "n-1")
    csv = b"id,email\nc,c@example.com\nd,d@example.com\n"
    async with session.post("/v1/jobs?id=c-1&queue=lapsed-45&expected_count=2", data=csv, headers={"Content-Type": "text/csv"}) as answer:
        assert answer.status == 202, await answer.text()
        assert (await answer.json())["expected"] == 2
    await web.inner.settle()
    async with session.get("/v1/jobs?limit=1") as answer:
        page = await answer.json()
        assert [item["job"] for item in page["items"]] == ["c-1"]
    async with session.get("/v1/jobs", params={"limit": "1", "cursor": page["next"]}) as answer:
        page = await answer.json()
        assert ([item["job"] for item in page["items"]], page["next"]) == (["n-1"], None)
    async with session.get("/v1/jobs?queue=other&state=held") as answer:
        assert (await answer.json())["items"] == []


@pytest.mark.promise("B38")
@together
@pytest.mark.parametrize(
    ("body", "headers", "status", "kind"),
    [
        (b"{", {}, 400, "invalid-json"),
        (b'{"id": "x", "queue": "nowhere", "campaign": "winback", "recipients": []}', {}, 422, "unknown-queue"),
        (b'{"id": "x", "queue": "lapsed-45", "campaign": "none", "recipients": []}', {}, 422, "unknown-campaign"),
        (b'{"queue": "lapsed-45", "recipients": []}', {}, 422, "invalid-job"),
        (b"a", {"Content-Type": "text/plain"}, 415, "unsupported-media-type"),
        (b"a", {"Content-Encoding": "br"}, 415, "unsupported-media-type"),
        (b"a", {"Content-Type": "application/json; charset=utf-16"}, 415, "unsupported-media-type"),
        (b"not gzip", {"Content-Encoding": "gzip"}, 400, "invalid-json"),
        (b" " * 500_001, {}, 413, "too-large"),
    ],
    ids=["cut", "queue", "campaign", "no-id", "type", "encoding", "charset", "no-gzip", "large"],
)  # fmt: skip
async def test_a_bad_job_is_named_and_leaves_nothing(shared: WebWorld, body: bytes, headers: dict[str, str], status: int, kind: str) -> None:
    """B35, B38: each with its type, none with a row in the store or a file in the folder."""
    session = await shared.api("jobs:write")
    async with session.post("/v1/jobs", data=body, headers={"Content-Type": "application/json", **headers}) as answer:
        found = await problem_of(answer, status, kind)
        if status == 415:
            assert "application/json" in answer.headers["Accept"]
    assert "nowhere" in found["detail"] or kind != "unknown-queue"
    assert await shared.inner.sql("SELECT count(*) FROM job") == [(0,)]
    assert [path.name for path in (shared.inner.folder / "jobs").rglob("*") if path.is_file()] == []


@pytest.mark.promise("B35", "F41")
async def test_a_body_cut_off_by_a_disconnect_accepts_nothing(web: WebWorld) -> None:
    """The peer goes away in the middle: no job, no file."""
    import asyncio

    token = await web.token("jobs:write")
    reader, writer = await asyncio.open_connection(web.admin.host, web.admin.port)
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
    writer.write(head.encode() + b'{"id": "x", ')
    await writer.drain()
    writer.close()
    folder = web.inner.folder / "jobs"
    async with asyncio.timeout(5):
        while not web.inner.log.events or [path for path in folder.rglob("*") if path.is_file()]:
            await asyncio.sleep(0.02)
    assert reader is not None
    assert await web.inner.sql("SELECT count(*) FROM job") == [(0,)]


async def test_a_job_is_paused_resumed_and_cancelled(web: WebWorld) -> None:
    """Each answers the job as it then stands; what cannot be is a 409 of the guard."""
    session = await web.api("jobs:write")
    async with session.post("/v1/jobs", json=job(2, id="j")) as answer:
        assert answer.status == 202
    await web.inner.settle()
    for word, state in (("pause", "paused"), ("pause", "paused"), ("resume", "accepted"), ("cancel", "cancelled")):
        async with session.post(f"/v1/jobs/j/{word}") as answer:
            assert (answer.status, (await answer.json())["state"]) == (200, state)
    async with session.post("/v1/jobs/j/resume") as answer:
        await problem_of(answer, 409, "guard-refused")


@pytest.mark.promise("B39")
@together
@pytest.mark.parametrize("name", ["1%20OR%201=1", "..%2F..%2Fetc", "%00", "-1", "%ff%fe", "x" * 3000, "%F0%9F%98%80", "a%2Fb"])
async def test_an_odd_id_is_not_found(shared: WebWorld, name: str) -> None:
    """B39: 404 always, the same for ids that cannot be."""
    import yarl

    session = await shared.api("admin:read")
    for path in (f"/v1/jobs/{name}", f"/v1/recipients/{name}/explain"):
        async with session.get(yarl.URL(f"http://{shared.admin}{path}", encoded=True)) as answer:
            await problem_of(answer, 404, "not-found")


@pytest.mark.promise("B40", "B41")
@together
@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=1000000000", "invalid"), ("limit=0", "invalid"), ("limit=x", "invalid"), ("limit=1&limit=2", "repeated_parameter"),
        ("sort=id", "unknown_parameter"), ("state=' OR 1", "invalid"), ("cursor=abcd", "cursor"), ("cursor=%00%ff", "cursor"),
        ("limit=99999999999999999999999", "invalid"),
    ],
)  # fmt: skip
async def test_a_bad_parameter_is_422(shared: WebWorld, query: str, code: str) -> None:
    """B40, B41: limits, forged cursors, unknown and repeated parameters; values are not repeated in the answer."""
    session = await shared.api("jobs:read")
    async with session.get(f"/v1/jobs?{query}") as answer:
        found = await problem_of(answer, 422, "about:blank")
    assert [error["code"] for error in found["errors"]] == [code]
    assert "OR 1" not in json.dumps(found)


@pytest.mark.promise("B40")
@together
async def test_a_cursor_is_good_for_its_own_list_only(shared: WebWorld) -> None:
    """B40: a cursor of one list is refused by another, and so is one with a changed character."""
    session = await shared.api("operate:read")
    async with session.get("/v1/held?limit=2") as answer:
        page = await answer.json()
    assert [item["n"] for item in page["items"]] == [0, 1]
    async with session.get("/v1/held", params={"limit": "3", "cursor": page["next"]}) as answer:
        rest = await answer.json()
    assert ([item["n"] for item in rest["items"]], rest["next"]) == ([2, 3, 4], None)
    async with session.get("/v1/doubts", params={"cursor": page["next"]}) as answer:
        await problem_of(answer, 422, "about:blank")
    forged = page["next"][:-2] + ("A" if page["next"][-2] != "A" else "B") + page["next"][-1]
    async with session.get("/v1/held", params={"cursor": forged}) as answer:
        await problem_of(answer, 422, "about:blank")


@pytest.mark.promise("B38")
@together
@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"[1]", 422, "about:blank"), (b"{", 400, "invalid-json"), (b'{"expect": 1, "expect": 2}', 400, "invalid-json"),
        (b'{"expect": NaN}', 400, "invalid-json"), (b"[" * 3000, 400, "invalid-json"), (b"[" * 200 + b"]" * 200, 400, "invalid-json"),
        (b'{"expect": ' + b"9" * 3000 + b"}", 422, "about:blank"),
        (b'{"expect": true}', 422, "about:blank"), (b'{"unknown": 1}', 422, "about:blank"), (b'{"a": "\xff"}', 400, "invalid-json"),
        (b'{"delivery": "ILU"}', 422, "about:blank"), (b'{"expect": 3}', 200, ""), (b"{}", 409, "guard-refused"), (b"", 409, "guard-refused"),
    ],
)  # fmt: skip
async def test_fields_of_a_body_are_checked(shared: WebWorld, body: bytes, status: int, kind: str) -> None:
    """B38: types, unknown fields, depth bombs, what parsers disagree about; a guard's refusal is no error of the body."""
    session = await shared.api("operate:write")
    async with session.post("/v1/held/release", data=body, headers={"Content-Type": "application/json"}) as answer:
        if status == 200:
            assert (answer.status, await answer.json()) == (200, {"released": 3})
        else:
            await problem_of(answer, status, kind)


async def test_operators_words_reach_the_operations(web: WebWorld) -> None:
    """Queues, campaigns, kill switch, doubts: the body's fields and the path's names arrive as they are meant."""
    session = await web.api("operate:write", "operate:read")
    async with session.post("/v1/queues/lapsed-45/pause") as answer:
        assert await answer.json() == {"queue": "lapsed-45", "paused": True}
    async with session.post("/v1/queues/none/pause") as answer:
        await problem_of(answer, 404, "not-found")
    async with session.post("/v1/queues/lapsed-45/cancel", json={"expect": 1}) as answer:
        assert "2" in (await problem_of(answer, 409, "guard-refused"))["detail"]
    async with session.post("/v1/campaigns/winback/test", json={"to": ["me@example.com"], "locale": "fa"}) as answer:
        assert answer.status == 200
    assert web.operator.asked[-1] == ("test", ("winback", ("me@example.com",), "fa", None))
    async with session.post("/v1/gate/stop") as answer:
        assert (await answer.json())["holds"] == {"kill_switch": "stopped over the API by token-1"}
    async with session.post("/v1/gate/start", json={"expect": 1}) as answer:
        await problem_of(answer, 409, "guard-refused")
    async with session.post("/v1/gate/start", json={"expect": 2}) as answer:
        assert (await answer.json())["open"] is True
    for wrong in ("not-an-id", "0000000000001"):
        async with session.post(f"/v1/doubts/{wrong}/resolve", json={"as": "sent"}) as answer:
            await problem_of(answer, 404, "not-found")


@together
async def test_unknown_paths_and_methods(shared: WebWorld) -> None:
    """404 as a problem; 405 names what is allowed; the page of each problem type is there."""
    session = await shared.api("admin:read")
    async with session.get("/v2/none") as answer:
        await problem_of(answer, 404, "not-found")
    async with session.put("/v1/jobs") as answer:
        await problem_of(answer, 405, "about:blank")
        assert answer.headers["Allow"] == "GET, HEAD, POST"
    for kind in KINDS:
        async with session.get(f"/problems/{kind}") as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")
            assert kind in await answer.text()
    async with session.get("/problems/none") as answer:
        await problem_of(answer, 404, "not-found")
    async with session.head("/healthz") as answer:
        assert (answer.status, await answer.read()) == (200, b"")


async def test_health_readiness_and_metrics_are_open_on_loopback(web: WebWorld) -> None:
    """/readyz says why not; /metrics without a token for a peer on this machine, not for one behind a proxy."""
    session = await web.api()
    async with session.get("/readyz") as answer:
        assert answer.status == 200
    web.ready.append("the store is being upgraded")
    async with session.get("/readyz") as answer:
        assert (await problem_of(answer, 503, "not-ready"))["detail"] == "the store is being upgraded"
        assert int(answer.headers["Retry-After"]) > 0
    async with session.get("/healthz") as answer:
        assert answer.status == 200
    async with session.get("/metrics") as answer:
        assert answer.content_type == "text/plain"
        assert b"homing_http_requests_total" in await answer.read()
    async with session.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"}) as answer:
        await problem_of(answer, 401, "unauthorized")


@pytest.mark.promise("B62")
async def test_scraping_does_not_touch_the_store(web: WebWorld) -> None:
    """B62: health and metrics go on while the store answers nothing."""
    await web.inner.store.close()
    session = await web.api()
    for path in ("/healthz", "/metrics", "/readyz") * 5:
        async with session.get(path) as answer:
            assert answer.status == 200
    async with session.get("/v1/jobs") as answer:
        assert answer.status in (500, 503)
        assert "Traceback" not in await answer.text()


async def test_tokens_are_made_listed_and_revoked(web: WebWorld) -> None:
    """The text is shown once; a revoked token is refused at once, although tokens are kept for a second."""
    session = await web.control()
    async with session.post("/v1/tokens", json={"name": "crm", "scopes": ["jobs:read"]}) as answer:
        assert answer.status == 201
        made = await answer.json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    bare = await web.api()
    async with bare.get("/v1/jobs", headers=headers) as answer:
        assert answer.status == 200
    async with session.get("/v1/tokens") as answer:
        assert made["token"] not in await answer.text()
    async with session.delete("/v1/tokens/crm") as answer:
        assert answer.status == 200
    async with bare.get("/v1/jobs", headers=headers) as answer:
        await problem_of(answer, 401, "unauthorized")
    async with session.post("/v1/tokens", json={"name": "crm", "scopes": ["job:read"]}) as answer:
        assert "jobs:read" in (await problem_of(answer, 422, "about:blank"))["detail"]


@pytest.mark.promise("B57")
@together
async def test_the_host_header_changes_nothing(shared: WebWorld) -> None:
    """B57: whatever Host says, no answer repeats it."""
    session = await shared.api()
    async with session.get("/openapi.json", headers={"Host": "evil.example"}) as answer:
        assert answer.status == 200
        assert "evil.example" not in await answer.text()


@together
async def test_the_description_is_what_the_router_does(shared: WebWorld) -> None:
    """OpenAPI 3.1: every route and no other, each with its scope, its parameters, and every status it may answer."""
    session = await shared.api()
    async with session.get("/openapi.json") as answer:
        document = await answer.json()
    assert document["openapi"].startswith("3.1")
    runner_routes = {(route.method, route.path) for route in shared.server.routes}
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == runner_routes
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(names) == len(set(names))
    for route in shared.server.routes:
        operation = document["paths"][route.path][route.method.lower()]
        assert bool(operation["security"]) == (route.scope is not None)
        assert set(operation["responses"]) == {str(route.status), "default", *map(str, statuses(route))}
        assert {p["name"] for p in operation["parameters"] if p["in"] == "path"} == {
            part[1:-1] for part in route.path.split("/") if part.startswith("{")
        }
    text = json.dumps(document)
    for name in {piece.split('"')[0] for piece in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"]


@together
async def test_every_answer_is_a_described_one(shared: WebWorld) -> None:
    """Each route, called with nothing, with rubbish and with a wrong type, answers a status of its description."""
    session = await shared.control()
    async with session.get("/openapi.json") as answer:
        document = await answer.json()
    for route in shared.server.routes:
        known = set(document["paths"][route.path][route.method.lower()]["responses"])
        path = route.path.replace("{", "").replace("}", "")
        for sent in ({}, {"json": {"rubbish": 1}}, {"data": b"x", "headers": {"Content-Type": "text/x-odd"}}, {"params": {"odd": "1"}}):
            async with session.request(route.method, path, **sent) as answer:  # type: ignore[arg-type]
                assert str(answer.status) in known, (route.method, path, sent, answer.status, await answer.text())
                assert answer.status < 500 or answer.status == 503


@together
@pytest.mark.promise("B9", "B38")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/held/release", b'{"reason": "\\ud800"}'),
        ("/v1/held/cancel", b'{"job": "a\\udfffb"}'),
        ("/v1/campaigns/winback/test", b'{"to": ["\\ud800@example.com"]}'),
        ("/v1/suppressions/remove", b'{"address": "\\ud800@example.com"}'),
        ("/v1/held/release", b'{"\\ud800": 1}'),
    ],
)
async def test_half_a_pair_of_surrogates_is_no_text(shared: WebWorld, path: str, body: bytes) -> None:
    """JSON can spell it, but neither the store nor an answer can hold it: refused as the body's fault, not ours."""
    session = await shared.api("operate:write")
    async with session.post(path, data=body, headers={"Content-Type": "application/json"}) as answer:
        await problem_of(answer, 400, "invalid-json")


@together
@pytest.mark.promise("B9", "B11")
@pytest.mark.parametrize("field", ["subject", "text", "html", "topic"])
async def test_a_job_s_own_message_of_half_a_pair_is_refused(shared: WebWorld, field: str) -> None:
    """422 with the field's name."""
    session = await shared.api("jobs:write")
    message = {"channel": "email", "purpose": "marketing", "subject": "Hi", "text": "Hello", field: "\ud800"}
    body = json.dumps({"id": "half", "queue": "bare", "message": message, "recipients": []}).encode()
    async with session.post("/v1/jobs", data=body, headers={"Content-Type": "application/json"}) as answer:
        found = await problem_of(answer, 422, "invalid-job")
    assert [(error["pointer"], error["code"]) for error in found["errors"]] == [("/message", "control_char")]
