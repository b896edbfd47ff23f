"""What systemd hears, on a real datagram socket."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.clock import SystemClock
from daemon.notify import Notifier
from daemon.simulate import World, simulate


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "n"))
        server.setblocking(False)
        yield server


def heard(manager: socket.socket) -> list[str]:
    lines = []
    while True:
        try:
            lines.append(manager.recv(4096).decode())
        except BlockingIOError:
            return lines


def test_the_manager_hears_ready_reloading_status_watchdog_and_stopping(manager: socket.socket):
    """The words of sd_notify(3); MONOTONIC_USEC is CLOCK_MONOTONIC, as Type=notify-reload wants."""
    notifier = Notifier(SystemClock(), {"NOTIFY_SOCKET": manager.getsockname()}, pid=1)
    before = int(SystemClock().monotonic() * 1e6)
    assert notifier.ready("sending\nnow")
    assert notifier.reloading()
    assert notifier.status("3 queues")
    assert notifier.alive()
    assert notifier.stopping()
    ready, reloading, *rest = heard(manager)
    assert ready == "READY=1\nSTATUS=sending now"
    word, _, instant = reloading.partition("\nMONOTONIC_USEC=")
    assert word == "RELOADING=1"
    assert before <= int(instant) <= int(SystemClock().monotonic() * 1e6)
    assert rest == ["STATUS=3 queues", "WATCHDOG=1", "STOPPING=1"]


def test_an_abstract_socket_is_reached_too():
    """systemd names it with an @."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind("\0homing-test-notify")
        assert Notifier(SystemClock(), {"NOTIFY_SOCKET": "@homing-test-notify"}, pid=1).ready()
        assert server.recv(100) == b"READY=1"


def test_without_a_manager_or_with_a_deaf_one_nothing_happens(tmp_path: Path):
    """Running by hand is no error, and neither is a socket that is gone."""
    assert not Notifier(SystemClock(), {}, pid=1).ready()
    assert not Notifier(SystemClock(), {"NOTIFY_SOCKET": str(tmp_path / "gone")}, pid=1).ready()
    assert not Notifier(SystemClock(), {"NOTIFY_SOCKET": "vsock:2:1"}, pid=1).ready()


@pytest.mark.promise("F31")
def test_the_watchdog_is_pinged_at_half_its_interval_only_while_the_daemon_is_healthy(manager: socket.socket):
    """A daemon that makes no progress is restarted."""
    healthy = [True, True, False, False, True]

    async def main(world: World) -> list[float]:
        environ = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}
        notifier = Notifier(world.clock, environ, pid=7)
        asked: list[float] = []

        def is_healthy() -> bool:
            asked.append(world.clock.monotonic())
            if len(asked) > len(healthy):
                raise StopAsyncIteration
            return healthy[len(asked) - 1]

        try:
            await notifier.watch(is_healthy)
        except StopAsyncIteration:
            pass
        return asked

    assert simulate(1, main).result == [0, 15, 30, 45, 60, 75]
    assert heard(manager) == ["WATCHDOG=1"] * 3


@pytest.mark.parametrize(
    "environ", [{}, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}]
)
async def test_nobody_watches_unless_the_manager_says_so_to_this_process(environ: dict[str, str]):
    """WATCHDOG_PID of another process is not ours."""
    notifier = Notifier(SystemClock(), environ, pid=7)
    assert notifier.watchdog_seconds is None
    await notifier.watch(lambda: pytest.fail("asked"))
