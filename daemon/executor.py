"""GROUND, a port: threads for what blocks. The only room (beside the store's writer) that starts any.

Each use has a small executor of its own: 40 slow look-ups in asyncio's shared one held up unrelated work for 18 s (measured).
A function and its arguments in, its result out; errors pass through. The simulated one runs everything inline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Executor(Protocol):
    """Runs a blocking function beside the loop."""

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Its result or its error. Cancelling the caller does not stop a function that has begun."""
        ...

    def close(self) -> None:
        """Drop what has not begun and let the rest end by itself; a second call does nothing."""
        ...


class ThreadExecutor:
    """`threads` threads of its own, started when first needed."""

    def __init__(self, *, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
