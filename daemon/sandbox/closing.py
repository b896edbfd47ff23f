"""SANDBOX, closing: what a server that stops must still wait for, so that it leaves no connection open behind it."""

from __future__ import annotations

import asyncio

TURNS = 5


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
