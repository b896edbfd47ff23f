"""A headless Firefox with a push service of its own on this machine: it subscribes, decrypts and shows by itself, nothing is handed to it.

`AutoPush` speaks Mozilla's push protocol to the browser (a web socket) and RFC 8030 to senders; `open_page` drives the browser over
WebDriver BiDi. The preferences are those that Firefox itself has for tests (`dom.push.testing.*`).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

NAMES = ("firefox-esr", "firefox")
START_SECONDS = 90.0


def find_firefox() -> str | None:
    """Its program, None if this machine has none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class AutoPush:
    """Takes pushes for channels that the browser has registered, and hands them to it as they are."""

    def __init__(self) -> None:
        self.port = 0
        self.pushed: list[dict[str, str]] = []
        self._channels: dict[str, str] = {}
        self._browser: web.WebSocketResponse | None = None
        self._numbers = itertools.count(1)
        self._runner: web.AppRunner | None = None
        self.acked = asyncio.Event()
        self.acks: list[Any] = []

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/", self._talk)
        app.router.add_post("/wpush/{channel}", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        self._browser = browser = web.WebSocketResponse(protocols=("push-notification",))
        await browser.prepare(request)
        async for message in browser:
            said = json.loads(message.data)
            kind = said.get("messageType")
            if kind == "hello":
                await browser.send_json({"messageType": "hello", "status": 200, "uaid": "a" * 32, "use_webpush": True, "broadcasts": {}})
            elif kind == "register":
                channel = said["channelID"]
                self._channels[channel] = channel
                answer = {"messageType": "register", "status": 200, "channelID": channel, "pushEndpoint": f"{self.origin}/wpush/{channel}"}
                await browser.send_json(answer)
            elif kind == "unregister":
                await browser.send_json({"messageType": "unregister", "status": 200, "channelID": said["channelID"]})
            elif kind == "ack":
                self.acks.append(said)
                self.acked.set()
        return browser

    async def _take(self, request: web.Request) -> web.Response:
        channel = request.match_info["channel"]
        if channel not in self._channels or self._browser is None:
            return web.Response(status=410)
        body = await request.read()
        self.pushed.append(dict(request.headers))
        await self._browser.send_json({
            "messageType": "notification", "channelID": channel, "version": f"v{next(self._numbers)}",
            "data": base64.urlsafe_b64encode(body).rstrip(b"=").decode(), "headers": {"encoding": "aes128gcm"},
        })  # fmt: skip
        return web.Response(status=201, headers={"Location": f"{self.origin}/m/1"})


class Page:
    """The browser's page, over WebDriver BiDi."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.context = ""

    async def call(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(60):
            while True:
                said = (await self._socket.receive()).json()
                if said.get("id") == number:
                    assert said["type"] == "success", f"{method}: {said}"
                    return said["result"]

    async def run(self, script: str) -> Any:
        """The JSON value of an expression, awaited."""
        said = await self.call(
            "script.evaluate", expression=f"(async () => JSON.stringify(await ({script})))()", target={"context": self.context},
            awaitPromise=True, userActivation=True,
        )  # fmt: skip
        assert said["type"] == "success", said
        text = said["result"].get("value")
        return None if text is None else json.loads(text)


@asynccontextmanager
async def open_page(program: str, folder: Path, push: AutoPush) -> AsyncIterator[Page]:
    """A browser with a fresh profile that knows `push` as its push service; ended with all that it started."""
    profile = folder / "profile"
    profile.mkdir()
    prefs: dict[str, object] = {
        "dom.push.serverURL": f"ws://127.0.0.1:{push.port}/",
        "dom.push.testing.allowInsecureServerURL": True,
        "dom.push.testing.ignorePermission": True,
        "dom.push.connection.enabled": True,
        "dom.push.enabled": True,
        "permissions.default.desktop-notification": 1,
        "dom.serviceWorkers.testing.enabled": True,
        "network.proxy.allow_hijacking_localhost": False,
        "browser.shell.checkDefaultBrowser": False,
        "datareporting.policy.dataSubmissionEnabled": False,
        "app.update.auto": False,
        "alerts.useSystemBackend": False,
        "messaging-system.rsexperimentloader.enabled": False,
        "network.captive-portal-service.enabled": False,
        "network.connectivity-service.enabled": False,
        "remote.prefs.recommended": True,
    }
    # The remote agent switches push off among its recommended preferences: ours come after them.
    (profile / "user.js").write_text("".join(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in prefs.items()))
    with (folder / "firefox.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program, "--headless", "--no-remote", "--remote-debugging-port", "0", "--profile", str(profile), "about:blank",
            stdout=log, stderr=log, start_new_session=True, env={**os.environ, "HOME": str(folder), "MOZ_HEADLESS": "1"},
        )  # fmt: skip
        try:
            port = await _port(folder / "firefox.log", process)
            async with aiohttp.ClientSession() as session:
                socket = await session.ws_connect(f"ws://127.0.0.1:{port}/session", max_msg_size=0)
                page = Page(socket)
                await page.call("session.new", capabilities={})
                page.context = (await page.call("browsingContext.getTree"))["contexts"][0]["context"]
                yield page
                await socket.close()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a group of its own: only what this browser started
            await process.wait()


async def _port(log: Path, process: asyncio.subprocess.Process) -> int:
    for _ in range(int(START_SECONDS / 0.1)):
        assert process.returncode is None, f"the browser ended at once: {log.read_text(errors='replace')[-500:]}"
        for line in log.read_text(errors="replace").splitlines():
            if "WebDriver BiDi listening on" in line:
                return int(line.rpartition(":")[2])
        await asyncio.sleep(0.1)
    raise AssertionError(f"the browser did not start: {log.read_text(errors='replace')[-500:]}")
