"""Services and the supervisor: order, failure, drain, reload."""

import asyncio
import os
import signal
from collections.abc import Callable

import pytest

from daemon.clock import SystemClock
from daemon.errors import ConfigError, HomingError, Problem
from daemon.notify import Notifier
from daemon.service import Service, Signals, Supervisor
from daemon.simulate import World, simulate


class Quiet:
    """A log that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def bind(self, **fields: object) -> "Quiet":
        return self

    def info(self, event: str, **fields: object) -> None:
        self.events.append((event, fields))

    debug = warning = error = info


class Part(Service):
    """Writes down when it starts and ends; `drain`: seconds it needs to end."""

    def __init__(self, name: str, story: list[str], world: World, *, drain: float = 0.0, fail: str = "") -> None:
        super().__init__(name)
        self.story, self.world, self.drain, self.fail = story, world, drain, fail

    async def run(self) -> None:
        self.story.append(f"{self.name} starts")
        await self.world.clock.sleep(1)
        if self.fail == "start":
            raise OSError("no port")
        self.mark_ready()
        if self.fail == "later":
            await self.world.clock.sleep(5)
            raise OSError("disk")
        if self.fail == "ends":
            return
        await self.stopping.wait()
        try:
            await self.world.clock.sleep(self.drain)
        finally:
            self.story.append(f"{self.name} ends")


def supervisor(world: World, parts: list[Service], **options: object) -> tuple[Supervisor, Signals, Quiet]:
    signals, log = Signals(), Quiet()
    notifier = Notifier(world.clock, {}, pid=1)
    return Supervisor(parts, clock=world.clock, log=log, notifier=notifier, signals=signals, **options), signals, log  # type: ignore[arg-type]


def test_what_is_to_be_done_when_all_run_is_done_once_and_then():
    """Not before the last one is ready."""

    async def main(world: World) -> list[str]:
        story: list[str] = []
        parts: list[Service] = [Part(name, story, world) for name in ("store", "web")]
        ran, signals, _ = supervisor(world, parts, settled=lambda: story.append(f"settled at {world.clock.monotonic():g}"))
        task = asyncio.ensure_future(ran.run())
        await signals.wait("ready")
        ran.request_stop()
        await task
        return story

    assert simulate(1, main).result == ["store starts", "web starts", "settled at 2", "web ends", "store ends"]


def test_services_start_in_order_each_after_the_former_is_ready_and_stop_in_reverse():
    """What is built on others goes first."""

    async def main(world: World) -> list[str]:
        story: list[str] = []
        ran, signals, _ = supervisor(world, [Part(name, story, world) for name in ("store", "dispatch", "web")])
        task = asyncio.ensure_future(ran.run())
        await signals.wait("ready")
        story.append(f"ready at {world.clock.monotonic():g}")
        ran.request_stop()
        await task
        return story

    assert simulate(1, main).result == [
        "store starts",
        "dispatch starts",
        "web starts",
        "ready at 3",
        "web ends",
        "dispatch ends",
        "store ends",
    ]


@pytest.mark.parametrize(("fail", "said"), [("start", "no port"), ("later", "disk"), ("ends", "ended by itself")])
def test_a_service_that_fails_ends_the_daemon_but_the_others_still_drain(fail: str, said: str):
    """The failure is raised after the drain, not in the middle of it."""

    async def main(world: World) -> tuple[list[str], str]:
        story: list[str] = []
        parts: list[Service] = [Part("store", story, world, drain=2), Part("web", story, world, fail=fail), Part("last", story, world)]
        ran, _, _ = supervisor(world, parts)
        try:
            await ran.run()
        except (OSError, HomingError) as error:
            return story, str(error)
        raise AssertionError("it should have failed")

    story, error = simulate(2, main).result
    assert said in error
    assert story[-1] == "store ends"
    assert ("last starts" in story) == (fail == "later")


@pytest.mark.promise("F28")
def test_drain_is_cut_off_at_its_deadline_and_still_ends_the_rest():
    """SIGTERM is followed by SIGKILL sooner or later: better to cancel ourselves, in order."""

    async def main(world: World) -> tuple[float, list[str], list[str]]:
        story: list[str] = []
        parts: list[Service] = [Part("store", story, world), Part("slow", story, world, drain=1e6)]
        ran, signals, log = supervisor(world, parts, drain_seconds=45)
        task = asyncio.ensure_future(ran.run())
        await signals.wait("ready")
        begun = world.clock.monotonic()
        ran.request_stop()
        await task
        return world.clock.monotonic() - begun, story[2:], [event for event, _ in log.events]

    seconds, story, events = simulate(1, main).result
    assert seconds == 46
    assert story == ["slow ends", "store ends"]
    assert "drain_cut_short" in events


@pytest.mark.promise("F28")
def test_a_second_stop_cuts_the_drain_short():
    """An operator who presses Ctrl-C twice means it."""

    async def main(world: World) -> float:
        ran, signals, _ = supervisor(world, [Part("slow", [], world, drain=1e6)])
        task = asyncio.ensure_future(ran.run())
        await signals.wait("ready")
        ran.request_stop()
        await signals.wait("stopping")
        ran.request_stop()
        await task
        return world.clock.monotonic()

    assert simulate(1, main).result == 2


def test_a_stop_during_the_start_is_obeyed():
    """A service that never gets ready must not hold the daemon."""

    class Never(Service):
        async def run(self) -> None:
            await self.stopping.wait()

    async def main(world: World) -> list[str]:
        story: list[str] = []
        ran, _, _ = supervisor(world, [Part("store", story, world), Never("never"), Part("web", story, world)])
        task = asyncio.ensure_future(ran.run())
        await world.clock.sleep(10)
        ran.request_stop()
        await task
        return story

    assert simulate(1, main).result == ["store starts", "store ends"]


@pytest.mark.promise("F29")
def test_a_bad_new_config_leaves_the_old_one_in_force():
    """One error line with all problems, and the daemon runs on."""
    answers: list[Exception | None] = [
        ConfigError([Problem(where="config.toml:3", key="a.b", what="wrong")]),
        OSError("odd"),
        None,
    ]

    async def main(world: World) -> tuple[list[bool], list[str]]:
        async def reload() -> None:
            answer = answers.pop(0)
            if answer:
                raise answer

        ran, signals, log = supervisor(world, [Part("store", [], world)], reload=reload)
        task = asyncio.ensure_future(ran.run())
        await signals.wait("ready")
        seen = []
        for _ in range(3):
            ran.request_reload()
            seen.append((await signals.wait("reloaded"))["ok"])
        ran.request_stop()
        await task
        assert log.events[0] == ("reload_refused", {"problems": ["config.toml:3: a.b: wrong"]})
        return seen, [event for event, _ in log.events]

    seen, events = simulate(1, main).result
    assert seen == [False, False, True]
    assert events[:3] == ["reload_refused", "reload_failed", "reloaded"]


async def test_signals_of_the_system_stop_and_reload():
    """The real loop, the real process: SIGHUP, then SIGTERM."""

    class Idle(Service):
        async def run(self) -> None:
            self.mark_ready()
            await self.stopping.wait()

    async def reload() -> None:
        pass

    clock, signals = SystemClock(), Signals()
    notifier = Notifier(clock, {}, pid=os.getpid())
    ran = Supervisor([Idle("idle")], clock=clock, log=Quiet(), notifier=notifier, reload=reload, signals=signals)
    loop = asyncio.get_running_loop()
    ran.handle_signals()
    try:
        task = asyncio.ensure_future(ran.run())
        await signals.wait("ready")
        os.kill(os.getpid(), signal.SIGHUP)
        assert (await signals.wait("reloaded"))["ok"]
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 10)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


@pytest.mark.parametrize("begin", [lambda part: None, lambda part: part.cancel()])
async def test_stopping_what_never_started_or_twice_is_no_error(begin: Callable[[Service], None]):
    """So that every way out may stop everything."""
    part = Service("idle")
    begin(part)
    await part.stop()
    await part.stop()
    with pytest.raises(RuntimeError, match="started or stopped before"):
        await part.start()


async def test_a_service_alone_tells_its_failure_to_who_waits():
    """In a test of one service nothing is swallowed."""

    class Broken(Service):
        async def run(self) -> None:
            raise OSError("no port")

    part = Broken("broken")
    with pytest.raises(RuntimeError, match="was not started"):
        await part.ready()
    await part.start()
    with pytest.raises(OSError, match="no port"):
        await part.ready()
    with pytest.raises(OSError, match="no port"):
        await part.stop()
    assert part.ended
    assert not part.is_ready


async def test_signals_are_waited_for_one_by_one_and_by_their_facts():
    """Each emission is met once; one that never comes is named together with those that did."""
    signals = Signals()
    signals.emit("claimed", rows=1)
    signals.emit("claimed", rows=2)
    signals.emit("claimed", rows=3)
    assert (await signals.wait("claimed"))["rows"] == 1
    assert (await signals.wait("claimed", rows=3))["rows"] == 3
    with pytest.raises(TimeoutError, match=r"no signal claimed .* there were {'claimed': 3}"):
        await signals.wait("claimed", timeout=0.01)
    assert len(signals.seen("claimed")) == 3
    asyncio.get_running_loop().call_soon(signals.emit, "later")
    assert await signals.wait("later") == {}
    off = Signals.off()
    off.emit("claimed")
    assert off.seen("claimed") == ()
