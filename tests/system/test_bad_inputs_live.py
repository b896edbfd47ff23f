"""All bad inputs against one running daemon: nothing is a fault of ours, nobody gets a message, and the next good job goes through."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.system import bad_inputs
from tests.system.conftest import Build
from tests.system.daemon_world import House, document, person, wait_for

pytestmark = pytest.mark.slow
GROWTH = 16 * 1024
"""KiB by which memory may be larger after the second round of everything than after the first."""


class Caller:
    """Sends requests over one connection that is made anew when the daemon ends it. Keeps every answer's status."""

    def __init__(self, port: int, token: str | None) -> None:
        self._port, self._token = port, token
        self._line: http.client.HTTPConnection | None = None
        self.statuses: list[tuple[int, str, str, str]] = []

    def __call__(self, method: str, path: str, body: bytes | None = None, media: str = "") -> tuple[int, bytes]:
        for attempt in (1, 2):
            line = self._line = self._line or http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            try:
                answer = self._ask(line, method, path, body, media)
                break
            except (http.client.RemoteDisconnected, ConnectionError):  # ended after the last answer
                self.close()
                assert attempt == 1, (method, path[:80], body and body[:80])
        text = answer.read()
        if answer.will_close:
            self.close()
        self.statuses.append((answer.status, method, path[:80], repr(body[:80]) if body else ""))
        assert b"Traceback" not in text
        if answer.status >= 400 and method != "HEAD" and self._token is not None:
            assert answer.headers["Content-Type"].startswith("application/problem+json")
            assert json.loads(text)["status"] == answer.status
        return answer.status, text

    def _ask(self, line: http.client.HTTPConnection, method: str, path: str, body: bytes | None, media: str) -> http.client.HTTPResponse:
        line.putrequest(method, path, skip_accept_encoding=True)
        if self._token is not None:
            line.putheader("Authorization", f"Bearer {self._token}")
        if body is not None:
            line.putheader("Content-Length", str(len(body)))
            line.putheader("Content-Type", media)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # answered before it had the whole body
            line.endheaders(body)
        return line.getresponse()

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


@pytest.mark.promise(
    "B1", "B2", "B4", "B5", "B6", "B7", "B8", "B9", "B10", "B11", "B16", "B17", "B18", "B19", "B20", "B21", "B22", "B23", "B29", "B33", "B35",
    "B36", "B37", "B38", "B39", "B40", "B41", "B45", "B47", "B48", "F41",
)  # fmt: skip
def test_a_daemon_that_was_given_everything_at_once_is_well(build: Build) -> None:
    """No 5xx, no traceback, no message to anybody, memory flat in the second round; then one good job is sent once."""
    house = build()
    house.start()
    token = house("token", "create", "everything", "admin:write", "--json").json["token"]
    calls = Caller(house.admin, token)
    for round_ in (1, 2):
        spool_files(house, round_)
        rows_of_a_job(house, calls, round_)
        templates(calls, round_)
        requests(calls)
        raw_bytes(house)
        links(house)
        if round_ == 1:
            before = memory(house)
    grown = memory(house) - before
    assert grown < GROWTH, f"{grown} KiB"
    away = [entry for entry in calls.statuses if entry[0] == 503 and entry[2].startswith("/v1/recipients/")]  # nobody takes browsers here
    assert [entry for entry in calls.statuses if entry[0] >= 500 and entry not in away] == []
    assert len(calls.statuses) > 1000
    for event in ("request_failed", "plugin_fault", "send_failed", "render_failed", "outcomes_not_recorded"):
        assert house.events(event) == []
    assert house.relay.taken() == []
    house.give(document("after-all", [person("good")]))
    house.settled("after-all")
    assert house.relay.counts() == {"good@example.com": 1}
    calls.close()
    assert house.stop() == 0


def memory(house: House) -> int:
    """KiB resident."""
    assert house._daemon is not None
    status = Path(f"/proc/{house._daemon.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0])


def spool_files(house: House, round_: int) -> None:
    """Each file ends in failed/ with its code; nothing stays in new/."""
    folder = house.state / "spool" / "lapsed"
    wanted = {f"r{round_}-{name}": code for name, (_, code) in bad_inputs.FILES.items()}
    wanted |= {f"r{round_}-{name}": code for name, (_, code) in bad_inputs.ODD.items()}
    for name, (content, _) in bad_inputs.FILES.items():
        (folder / "tmp" / "x").write_bytes(content)
        (folder / "tmp" / "x").rename(folder / "new" / f"r{round_}-{name}")
    for name, (make, _) in bad_inputs.ODD.items():
        make(folder / "new" / f"r{round_}-{name}")
    for name in bad_inputs.NAMES:
        with contextlib.suppress(OSError):  # a disk may refuse bytes that are not UTF-8
            Path(os.fsdecode(os.fsencode(folder / "new") + b"/" + name)).write_bytes(bad_inputs.document())
    (folder / "new" / f"r{round_}-empty.json").touch()
    wait_for(lambda: not os.listdir(folder / "new"), "the spool is empty")
    for name, code in wanted.items():
        reason = json.loads((folder / "failed" / f"{name}.reason.json").read_text())
        assert code in (reason["type"], reason["code"]), reason
        assert os.path.lexists(folder / "failed" / name), name
    reasons = [json.loads(path.read_text()) for path in (folder / "failed").glob("*.reason.json")]
    assert len([reason for reason in reasons if reason["code"] == "name"]) >= 1
    assert all(reason["file"].isprintable() and reason["detail"].isprintable() for reason in reasons)
    assert (folder / "done" / f"r{round_}-empty.json").exists()
    shutil.rmtree(folder / "failed")
    house.hang_up()
    wait_for((folder / "failed").is_dir, "a reload makes the folder anew")


def rows_of_a_job(house: House, calls: Caller, round_: int) -> None:
    """Each bad row is named with its field and code, in a document and in NDJSON; no value stands in an error."""
    rows = [f'{{"id": "r-{number}", {fields}}}' for number, (fields, _, _) in enumerate(bad_inputs.ROWS, start=1)]
    for form, media in (("doc", bad_inputs.JSON), ("lines", "application/x-ndjson")):
        key = f"rows-{form}-{round_}"
        head = json.dumps({"id": key, "queue": "lapsed"})
        body = bad_inputs.document(", ".join(rows), id=key, queue="lapsed") if form == "doc" else "\n".join([head, *rows, ""]).encode()
        assert calls("POST", "/v1/jobs", body, media)[0] == 202
        job = house.expanded(key)
        assert (job["rows"], job["accepted"], job["rejected"]) == (len(rows), 0, len(rows))
        first = 0 if form == "doc" else 1
        found = {(error["line"] - first, error["field"], error["code"]) for error in job["errors"]}
        assert {(number, field, code) for number, (_, field, code) in enumerate(bad_inputs.ROWS, start=1)} <= found
        assert all(error["detail"].isprintable() and len(error["detail"]) < 400 for error in job["errors"])


def templates(calls: Caller, round_: int) -> None:
    """A job's own message that attacks is refused before anybody is planned."""
    attacks = (
        "{% include '/etc/passwd' %}", "{{ ''.__class__ }}", "{% for i in (1..100000000) %}x{% endfor %}", "{{ 'x' | times: 1000000000 }}", "{% raw",
        "{{ a.b.c.d.e | nosuchfilter }}", "{% render 'x' %}", "{% layout 'x' %}", "{%",
    )  # fmt: skip
    for number, attack in enumerate(attacks):
        message = {"channel": "email", "purpose": "marketing", "subject": "Hi", "html": f"<p>{attack}</p>"}
        body = bad_inputs.document(id=f"attack-{round_}-{number}", queue="lapsed", message=message, expected_count=9)
        status, text = calls("POST", "/v1/jobs", body, bad_inputs.JSON)
        assert status in (202, 422), text  # one that only fails when it is rendered is planned, but the count holds the job


def requests(calls: Caller) -> None:
    """Every route with odd ids, queries, bodies and types: never a 2xx to what makes no sense, never a 5xx."""
    described: dict[str, Any] = json.loads(calls("GET", "/openapi.json")[1])
    for path, methods in described["paths"].items():
        for method in (name.upper() for name in methods if name in ("get", "post", "put", "delete")):
            if path in ("/v1/gate/stop", "/v1/reload"):
                continue  # they take an empty body and do what they say
            for odd in bad_inputs.ODD_IDS if "{" in path else ():
                status, _ = calls(method, re.sub(r"\{[^}]*\}", odd, path), b"{}" if method in ("POST", "PUT") else None, bad_inputs.JSON)
                fine = path.startswith(("/problems", "/v1/recipients/{id}"))  # any printable text may be the id of a new one
                away = path.endswith("/push")  # nobody takes subscriptions here
                allowed = {404, 409, 415, 422, *[200] * fine, *[503] * away}  # 415: it takes lines, not one object
                assert status in allowed, (method, path, odd, status)
            plain = re.sub(r"\{[^}]*\}", "none", path)
            for query in bad_inputs.ODD_QUERIES:
                calls(method, f"{plain}?{query}", b"{}" if method in ("POST", "PUT") else None, bad_inputs.JSON)
            if method == "POST":
                for body in bad_inputs.ODD_BODIES:
                    calls(method, plain, body, bad_inputs.JSON)
                for media in bad_inputs.ODD_MEDIA:
                    calls(method, plain, b'{"expect": "\xff"}', media)


def raw_bytes(house: House) -> None:
    """One answer of 400 or 431, and the line ends: what follows is never read as a request, on either listener."""

    def send(item: tuple[str, bytes, int]) -> tuple[str, bytes]:
        name, data, port = item
        return name, b"".join(_pieces(data, port))

    items = [(name, data, port) for name, data in bad_inputs.RAW.items() for port in (house.admin, house.public)]
    with ThreadPoolExecutor(4) as threads:
        for name, answer in threads.map(send, items):
            assert [status in (b"400", b"431") for status in re.findall(rb"HTTP/1\.\d (\d\d\d) ", answer)] == [True], (name, answer)


def _pieces(data: bytes, port: int) -> Iterator[bytes]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line, contextlib.suppress(ConnectionError):
        with contextlib.suppress(ConnectionError):
            line.sendall(data)
        while piece := line.recv(65536):
            yield piece


def links(house: House) -> None:
    """Strangers at the public listener: 404, 405, 413, 415, 429 and nothing else, and nothing is changed."""
    stranger = Caller(house.public, None)
    for method, path, body, media in bad_inputs.LINKS:
        stranger(method, path, body, media)
    stranger.close()
    assert {entry[0] for entry in stranger.statuses} <= {400, 404, 405, 413, 415, 429}
    assert house.ask("SELECT count(*) FROM suppression") == [(0,)]
