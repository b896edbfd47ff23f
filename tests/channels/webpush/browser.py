"""A headless Chromium as a process, spoken to over the DevTools protocol (CDP): enough for pages, workers and pushes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-port=0",
)  # fmt: skip
START_SECONDS = 60.0


def find_browser() -> str | None:
    """Its program, None if this machine has none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Tab:
    """One page of the browser. `call` a method of the protocol, `wait` for an event, `run` JavaScript."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.events: list[tuple[str, Any]] = []
        self._told = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                answer = self._answers.pop(said["id"], None)
                if answer is not None and not answer.done():
                    answer.set_result(said)
            else:
                self.events.append((said["method"], said["params"]))
                self._told.set()

    async def call(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        self._answers[number] = answer = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(30):
            said = await answer
        assert "error" not in said, f"{method}: {said['error']}"
        return said["result"]

    async def wait(self, found: Any, what: str, seconds: float = 30.0) -> Any:
        """The first true answer of `found(method, params)` among all events so far and to come."""
        try:
            async with asyncio.timeout(seconds):
                seen = 0
                while True:
                    self._told.clear()
                    for method, params in self.events[seen:]:
                        seen += 1
                        if answer := found(method, params):
                            return answer
                    await self._told.wait()
        except TimeoutError:
            raise AssertionError(f"not within {seconds:.0f} s: {what}; events: {self.events[-10:]}") from None

    async def run(self, script: str) -> Any:
        """The value of an expression, awaited, as JSON has it."""
        said = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._socket.close()


@asynccontextmanager
async def open_tab(program: str, folder: Path) -> AsyncIterator[Tab]:
    """A browser with a fresh profile in `folder`, and its first page; ended with all that it started."""
    with (folder / "browser.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program, *FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank", stdout=log, stderr=log, start_new_session=True
        )
        try:
            port = await _port(folder / "profile" / "DevToolsActivePort", process)
            async with aiohttp.ClientSession() as session:
                pages = await (await session.get(f"http://127.0.0.1:{port}/json/list")).json()
                address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
                socket = await session.ws_connect(address, max_msg_size=0)
                tab = Tab(socket)
                try:
                    yield tab
                finally:
                    await tab.close()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a group of its own: only what this browser started
            await process.wait()


async def _port(file: Path, process: asyncio.subprocess.Process) -> int:
    for _ in range(int(START_SECONDS / 0.05)):
        assert process.returncode is None, "the browser ended at once; see browser.log"
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        await asyncio.sleep(0.05)
    raise AssertionError("the browser did not start")
