"""The simulated loop: virtual time, seeded orders, no way out into the world."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import aiohttp
import aiosmtplib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.simulate import Deadlock, Forbidden, TooManySteps, World, simulate
from daemon.simulate.loop import BANNED


async def busy(world: World) -> list[str]:
    """Something of everything that asyncio has, with faults in it; the order of events is the result."""
    order: list[str] = []
    queue: asyncio.Queue[int] = asyncio.Queue(3)
    lock = asyncio.Lock()

    async def producer(name: int) -> None:
        for item in range(5):
            await world.clock.sleep(world.ids.rng().random())
            await queue.put(name * 10 + item)

    async def consumer(name: str) -> None:
        while True:
            item = await queue.get()
            async with lock:
                order.append(f"{name}{item}")
                await world.clock.sleep(0.1)
            queue.task_done()

    async def failing() -> None:
        await world.clock.sleep(100)
        raise ValueError("on purpose")

    async def cancelled(number: int) -> None:
        try:
            await world.clock.sleep(1e9)
        finally:
            order.append(f"cancelled {number}")

    async with asyncio.TaskGroup() as group:
        consumers = [group.create_task(consumer(name)) for name in "ab"]
        async with asyncio.TaskGroup() as inner:
            for name in range(4):
                inner.create_task(producer(name))
        await queue.join()
        for task in consumers:
            task.cancel()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(failing())
            for number in range(8):
                group.create_task(cancelled(number))
    except* ValueError:
        order.append("failed")
    done, _ = await asyncio.wait([asyncio.ensure_future(asyncio.sleep(1, n)) for n in range(5)])
    order.extend(str(task.result()) for task in done)
    return order


@pytest.mark.promise("P9")
def test_the_same_seed_gives_the_same_history_and_another_seed_another():
    """P9: what a seed found can be found again."""
    assert simulate(7, busy) == simulate(7, busy)
    assert len({simulate(seed, busy).digest for seed in range(10)}) == 10
    assert len({tuple(simulate(seed, busy).result) for seed in range(10)}) > 1


@pytest.mark.slow
def test_history_does_not_follow_the_hash_seed_or_the_addresses_of_objects():
    """The same digests in four processes with different hash seeds."""
    program = (
        "from tests.unit.simulate.test_loop import busy\n"
        "from daemon.simulate import simulate\n"
        "print([simulate(s, busy).digest for s in range(5)], simulate(3, busy).result)"
    )
    prints = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "31337", "random")
    }
    assert len(prints) == 1


def test_a_virtual_year_takes_no_time():
    """Time is moved, not waited for."""

    async def main(world: World) -> tuple[float, int]:
        begun = world.clock.instant()
        await world.clock.sleep(365 * 86_400)
        return world.clock.monotonic(), world.clock.instant() - begun

    assert simulate(1, main).result == (365 * 86_400, 365 * 86_400 * 1_000_000)


def test_the_wall_clock_may_jump_and_monotonic_time_does_not():
    """As when somebody sets the clock."""

    async def main(world: World) -> tuple[float, float]:
        before, monotonic = world.clock.now(), world.clock.monotonic()
        world.clock.jump(-3600)
        return (world.clock.now() - before).total_seconds(), world.clock.monotonic() - monotonic

    assert simulate(1, main).result == (-3600, 0)


@given(st.lists(st.floats(min_value=0, max_value=100), max_size=20), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_timers_fire_in_the_order_of_their_instants(delays: list[float], seed: int):
    """Whatever the shuffle does, time never goes back; those of one instant may change places."""

    async def main(world: World) -> list[float]:
        fired: list[float] = []
        for delay in delays:
            world.loop.call_later(delay, lambda: fired.append(world.loop.time()))
        await world.clock.sleep(101)
        return fired

    assert simulate(seed, main).result == sorted(delays)


def test_a_cancelled_timer_does_not_fire_nor_move_time():
    """A timeout that was not needed leaves no trace."""

    async def main(world: World) -> float:
        world.loop.call_later(50, lambda: pytest.fail("it was cancelled")).cancel()
        async with asyncio.timeout(70):
            await world.clock.sleep(1)
        return world.loop.time()

    assert simulate(1, main).result == 1


def test_a_deadlock_is_named_with_its_tasks():
    """Nothing ready, no timer: that can never end."""

    async def main(world: World) -> None:
        asyncio.current_task().set_name("the one that waits")  # type: ignore[union-attr]
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="the one that waits"):
        simulate(1, main)


def test_a_livelock_ends_at_the_step_limit():
    """Spinning is found too."""

    async def main(world: World) -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(TooManySteps, match="1000 steps"):
        simulate(1, main, step_limit=1000)


def test_an_error_that_nobody_awaits_fails_the_run():
    """A callback that raises must not be lost in a log."""

    async def main(world: World) -> None:
        world.loop.call_soon(lambda: 1 / 0)
        await world.clock.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        simulate(1, main)
    assert caught.group_contains(ZeroDivisionError)


@pytest.mark.parametrize("name", BANNED)
def test_the_loop_forbids_threads_sockets_and_processes(name: str):
    """Each method that would reach the world says so."""

    async def main(world: World) -> None:
        getattr(world.loop, name)()

    with pytest.raises(Forbidden, match=name):
        simulate(1, main)


async def by_thread(world: World) -> None:
    await asyncio.to_thread(int)


async def by_stream(world: World) -> None:
    await asyncio.open_connection("127.0.0.1", 9)


async def by_http(world: World) -> None:
    async with aiohttp.ClientSession() as session, session.get("http://127.0.0.1:9/"):
        pass


async def by_smtp(world: World) -> None:
    await aiosmtplib.SMTP(hostname="127.0.0.1", port=9, local_hostname="x").connect()


async def by_process(world: World) -> None:
    await asyncio.create_subprocess_exec("true")


@pytest.mark.parametrize("way", [by_thread, by_stream, by_smtp, by_process])
def test_libraries_cannot_reach_the_world(way):
    """What they are made of is forbidden, so they are."""
    with pytest.raises(Forbidden):
        simulate(1, way)


def test_http_cannot_reach_the_world():
    """aiohttp wraps or meets the ban at its first socket."""
    with pytest.raises((Forbidden, ExceptionGroup, aiohttp.ClientError)):
        simulate(1, by_http)


def test_async_generators_are_closed_on_the_loop():
    """asyncio closes them by call_soon_threadsafe on its own thread, which is allowed."""
    closed: list[bool] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(3):
                yield number
        finally:
            closed.append(True)

    async def main(world: World) -> None:
        async for _ in numbers():
            break

    simulate(1, main)
    assert closed == [True]


def test_without_the_shuffle_callbacks_run_in_the_order_they_were_scheduled():
    """For looking at one history step by step."""

    async def main(world: World) -> list[int]:
        order: list[int] = []
        for number in range(20):
            world.loop.call_soon(order.append, number)
        await world.clock.sleep(1)
        return order

    assert simulate(1, main, shuffle=False).result == list(range(20))
    assert simulate(1, main).result != list(range(20))
