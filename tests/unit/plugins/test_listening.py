"""A server of the kit leaves nothing open, whenever it stops."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings

import pytest

from plugins.testing.listening import Listener


async def hears(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)


@pytest.mark.parametrize("turns", range(6))
def test_whoever_comes_while_it_stops_is_closed(turns: int) -> None:
    """However many turns of the loop lie between: before `accept`, between it and the transport, before the first step of the conversation."""

    async def run() -> int:
        listener = Listener(hears)
        port = await listener.start()
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            for _ in range(turns):
                await asyncio.sleep(0)
            await listener.stop()
            assert listener.conversations == 0
            try:
                return len(client.recv(1))
            except ConnectionResetError:  # nobody had accepted it
                return 0

    gc.collect()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert asyncio.run(run()) == 0
        gc.collect()
    assert [str(one.message) for one in told] == []


async def test_a_conversation_ends_with_its_client_and_others_go_on() -> None:
    """Hanging up ends all, and the next one is served."""
    listener = Listener(hears)
    port = await listener.start()
    for _ in range(2):
        _, gone = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        gone.close()
        await gone.wait_closed()
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        await listener.hang_up()
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    await listener.stop()
    await listener.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
