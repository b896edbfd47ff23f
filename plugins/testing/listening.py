"""Servers on loopback that leave nothing open when they stop: no socket, no task, no warning of a stream nobody closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

TURNS = 5

Converse = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


async def stop_accepting(server: asyncio.Server) -> None:
    """Close the server once whom it was just accepting is there. (asyncio forgets a connection that comes between `accept` and its
    transport when the server is closed then: the socket stays open.)"""
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    await settle()
    server.close()


async def settle() -> None:
    """Some turns of the loop: what was begun or closed is there, or gone."""
    for _ in range(TURNS):
        await asyncio.sleep(0)  # noqa: TID251 - a turn takes no time


class Listener:
    """A server that speaks `converse` with each client, in a task of its own. A conversation that fails because its client is gone, or says
    what is no conversation, has ended; when it has ended in any way, even before its first step, its connection is closed."""

    def __init__(self, converse: Converse) -> None:
        self._converse = converse
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def conversations(self) -> int:
        """How many are open."""
        return len(self._open)

    async def start(self, host: str = "127.0.0.1", port: int = 0, **options: Any) -> int:
        """The port it listens on. `options`: those of `asyncio.start_server`. OSError if the port is taken."""
        if "sock" not in options:
            options |= {"host": host, "port": port}
        self._server = await asyncio.start_server(self._accept, **options)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """May be called twice, and before `start`."""
        server, self._server = self._server, None
        if server is not None:
            await stop_accepting(server)
        await self.hang_up()

    async def hang_up(self) -> None:
        """End every conversation; go on listening."""
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(list(self._open))
        await settle()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._speak(reader, writer))
        self._open[task] = writer
        task.add_done_callback(lambda task: self._open.pop(task).close())

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            return
