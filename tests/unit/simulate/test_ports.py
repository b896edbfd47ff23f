"""The simulated disk, network, names and executor behave as the real ones, and worse when told to."""

import errno
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from daemon.simulate import SeededIds, SimDisk, SimStream, World, simulate

ROOT = Path("/state")
NAMES = st.sampled_from(["a", "b", "c"])


class DiskMachine(RuleBasedStateMachine):
    """Whatever is done and whenever power goes: what was synced under a synced name is there, and nothing is there that never was."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = SimDisk(5)
        self.disk.make_folder(ROOT)
        self.safe: dict[str, bytes] = {}
        self.ever: dict[str, set[bytes]] = {}

    @rule(name=NAMES, data=st.binary(max_size=8))
    def write_atomic(self, name: str, data: bytes) -> None:
        self.disk.write_atomic(ROOT / name, data)
        self.safe[name] = data
        self.ever.setdefault(name, set()).add(data)

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        self.disk.remove(ROOT / name)
        self.safe.pop(name, None)

    @rule(name=NAMES, data=st.binary(min_size=1, max_size=8), sync=st.booleans())
    def append(self, name: str, data: bytes, sync: bool) -> None:
        if name not in self.safe:
            return
        with self.disk.append(ROOT / name) as file:
            file.write(data)
            if sync:
                file.sync()
        if sync:
            self.safe[name] = self.read(name)

    @rule()
    def crash(self) -> None:
        self.disk.crash()
        for name, content in self.safe.items():
            assert self.read(name).startswith(content)
        assert set(self.disk.names(ROOT)) - {".a.tmp", ".b.tmp", ".c.tmp"} == set(self.safe)
        self.safe = {name: self.read(name) for name in self.safe}

    @invariant()
    def readable(self) -> None:
        for name, content in self.safe.items():
            assert self.read(name).startswith(content)

    def read(self, name: str) -> bytes:
        with self.disk.open_regular(ROOT / name) as file:
            return file.read()


DiskMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestDisk = DiskMachine.TestCase


def test_unsynced_bytes_and_names_may_be_lost_at_a_crash():
    """Over some seeds each fate is met: lost, torn, whole."""
    fates = set()
    for seed in range(40):
        disk = SimDisk(seed)
        disk.make_folder(ROOT)
        file = disk.create(ROOT / "x")
        file.write(b"12345678")
        disk.crash()
        fates.add(disk.open_regular(ROOT / "x").read() if "x" in disk.names(ROOT) else None)
        with pytest.raises(OSError, match="went down"):
            file.write(b"9")
    assert {None, b"12345678"} < fates
    assert any(fate is not None and 0 < len(fate) < 8 for fate in fates)


def test_a_full_and_a_failing_disk_raise_what_the_system_would():
    """ENOSPC and EIO."""
    disk = SimDisk(1, capacity=4)
    disk.make_folder(ROOT)
    with disk.create(ROOT / "x") as file:
        file.write(b"1234")
        with pytest.raises(OSError, match="no space") as caught:
            file.write(b"5")
        assert caught.value.errno == errno.ENOSPC
        disk.failing = True
        with pytest.raises(OSError, match="the disk fails"):
            file.sync()
    assert disk.free(ROOT) == 0
    with pytest.raises(FileNotFoundError):
        disk.open_regular(ROOT / "absent")
    with pytest.raises(FileNotFoundError):
        disk.names(Path("/absent"))


async def echo(stream: SimStream) -> None:
    while data := await stream.read(100):
        stream.write(data)
        await stream.drain()


def test_streams_carry_bytes_in_order_after_a_latency_and_end():
    """Reading gives at least one byte, or none at the end."""

    async def main(world: World) -> tuple[bytes, bool]:
        world.dns.hosts["relay.example"] = ["192.0.2.1", "192.0.2.2"]
        world.net.listen("192.0.2.2", 25, echo)
        stream = await world.net.open_stream("relay.example", 25)
        data = b"".join(bytes([n]) * 50 for n in range(40))
        for start in range(0, len(data), 7):
            stream.write(data[start : start + 7])
        got = b""
        while len(got) < len(data):
            got += await stream.read(64)
        stream.close()
        return got, got == data and await stream.read(1) == b""

    history = simulate(3, main)
    assert history.result[1]
    assert history.seconds > 0


def test_a_writer_waits_for_a_slow_reader():
    """Memory does not follow what the peer does not read."""

    async def slow(stream: SimStream) -> None:
        while await stream.read(10_000):
            await world_clock.sleep(1)

    async def main(world: World) -> float:
        nonlocal world_clock
        world_clock = world.clock
        world.net.listen("192.0.2.1", 25, slow)
        stream = await world.net.open_stream("192.0.2.1", 25)
        for _ in range(30):
            stream.write(b"x" * 10_000)
            await world.clock.sleep(0.1)
            await stream.drain()
        stream.close()
        return world.clock.monotonic()

    world_clock = None  # type: ignore[assignment]
    assert simulate(1, main).result > 20


def test_refused_unreachable_unknown_and_aborted_are_the_errors_of_the_real_world():
    """OSErrors, each of its kind."""

    async def crash(stream: SimStream) -> None:
        await stream.read(1)
        stream.abort()

    async def main(world: World) -> list[str]:
        seen = []
        world.net.unreachable.add("192.0.2.9")
        world.net.listen("192.0.2.1", 25, crash)
        for host, port in (("192.0.2.1", 26), ("192.0.2.9", 25), ("absent.example", 25)):
            try:
                await world.net.open_stream(host, port, timeout=5)
            except OSError as error:
                seen.append(type(error).__name__)
        stream = await world.net.open_stream("192.0.2.1", 25)
        stream.write(b"x")
        for act in (stream.read(1), stream.drain()):
            try:
                await act
            except OSError as error:
                seen.append(type(error).__name__)
        world.net.forget("192.0.2.1", 25)
        return seen

    assert simulate(1, main).result == [
        "ConnectionRefusedError",
        "TimeoutError",
        "gaierror",
        "ConnectionResetError",
        "ConnectionResetError",
    ]


def test_the_inline_executor_runs_at_once_and_passes_errors_on():
    """No thread, the same shape."""

    async def main(world: World) -> int:
        with pytest.raises(ZeroDivisionError):
            await world.executor.run(lambda: 1 / 0)
        world.executor.close()
        return await world.executor.run(int, "7")

    assert simulate(1, main).result == 7


def test_seeded_ids_repeat_and_their_streams_do_not_touch():
    """One more jitter does not change the next token."""
    one, two = SeededIds(4), SeededIds(4)
    two.rng().random()
    assert (one.token_bytes(8), one.nonce()) == (two.token_bytes(8), two.nonce())
    assert one.nonce() != one.nonce()
    assert SeededIds(5).nonce() != SeededIds(6).nonce()
