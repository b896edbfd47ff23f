"""A daemon that tells a real server what happens, over kills -9: each fact at least once, always under the same id, in order."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.ports import free_port
from tests.system.conftest import Build
from tests.system.daemon_world import House, document, person, wait_for

pytestmark = pytest.mark.slow

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


class Hearer(ThreadingHTTPServer):
    """Proves each request with the standard's own library. `heard`: the bodies that it took, in order; `status`: what it answers."""

    heard: list[dict[str, Any]]
    wrong: list[str]
    status: int
    delay: float


@contextmanager
def hearer(delay: float = 0.0) -> Iterator[Hearer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert isinstance(self.server, Hearer)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                found = Webhook(SECRET).verify(body, dict(self.headers))
                assert found["id"] == self.headers["webhook-id"]
            except Exception as error:
                self.server.wrong.append(repr(error))
                raise
            time.sleep(self.server.delay)
            status = self.server.status
            if status == 200:
                self.server.heard.append(found)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    server = Hearer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.heard, server.wrong, server.status, server.delay = [], [], 200, delay
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def notify(house: House, *ports: int, events: str = '["*"]') -> None:
    (house.folder / "secret").write_text(SECRET)
    (house.folder / "secret").chmod(0o600)
    with house.config.open("a") as config:
        for port in ports:
            config.write(f'[[notify]]\nurl = "http://127.0.0.1:{port}/homing"\nsecret = {{ file = "secret" }}\nevents = {events}\n')


def firsts(heard: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As the other side keeps them: the first of each id. The same id is the same fact, word for word."""
    seen: dict[str, dict[str, Any]] = {}
    for each in heard:
        assert seen.setdefault(each["id"], each) == each
    return list(seen.values())


def test_each_fact_is_told_over_kills_under_one_id_and_in_order(build: Build) -> None:
    """Eight kills while 400 are sent and told, one target dead: what the store says became of each is what was told of it."""
    house = build()
    with hearer(0.002) as server:
        notify(house, server.server_port, free_port())
        house.start()
        house.give(document("told", [person(f"p-{i}") for i in range(400)]))
        for turn in range(8):
            wait_for(lambda turn=turn: len(server.heard) >= 10 + 40 * turn, "some are told")  # type: ignore[misc]
            house.kill()
            house.start()
        house.settled("told")
        wait_for(lambda: "job.finished" in {each["type"] for each in server.heard}, "all is told", 60)
        said = house("status").out
        assert server.wrong == []
        told = firsts(server.heard)
        of_delivery: dict[str, list[str]] = {}
        for each in told:
            if each["type"].startswith("delivery."):
                of_delivery.setdefault(each["data"]["recipient"], []).append(each["type"].removeprefix("delivery."))
        became = {str(key): str(state) for key, state in house.ask("SELECT r.key, d.state FROM delivery d JOIN recipient r ON r.id = d.person")}
        assert {key: types[-1] for key, types in of_delivery.items()} == became
        assert len(became) == 400 and all(len(types) == 1 for types in of_delivery.values())
        types = [each["type"] for each in told]
        assert [one for one in types if one.startswith("job.")] == ["job.accepted", "job.finished"]
        assert types.index("job.finished") == len(types) - 1
        status = house.status()["notices"]
        assert {each["error"] is None for each in status} == {True, False}
        assert f"127.0.0.1:{server.server_port}#" in said
        assert house.stop() == 0


def test_what_happens_while_a_target_is_down_is_told_when_it_is_back(build: Build) -> None:
    """503 at first; a reload to other events; without [[notify]] nothing is left in the store but an empty place."""
    house = build()
    with hearer() as server:
        server.status = 503
        notify(house, server.server_port, events='["delivery.*"]')
        house.start()
        house.give(document("down", [person(f"d-{i}") for i in range(5)]))
        house.settled("down")
        wait_for(lambda: house.status()["notices"][0]["error"] == "answered 503", "it was tried")
        assert server.heard == []
        server.status = 200
        wait_for(lambda: len(server.heard) == 5, "all are told")
        assert {each["type"] for each in firsts(server.heard)} == {"delivery.accepted"}
        wait_for(lambda: house.status()["notices"][0]["waiting"] == 0, "nothing waits")
        house.config.write_text(house.config.read_text().partition("[[notify]]")[0])
        house.hang_up()
        wait_for(lambda: house.status()["notices"] == [], "nobody is told any more")
        house.give(document("later", [person("l-1")]))
        house.settled("later")
        assert house.ask("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'") == [(0,)]
        assert house.ask("SELECT count(*) FROM notice_target") == [(0,)]
        assert house.stop() == 0
