"""The real ports: DNS, network, disk, executor, clock, ids, errors."""

import asyncio
import errno
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from daemon import errors
from daemon.clock import SystemClock, iso, to_datetime, to_instant
from daemon.disk import SystemDisk
from daemon.dns import SystemDns
from daemon.executor import ThreadExecutor
from daemon.ids import MAX_ID, SystemIds, decode_id, encode_id
from daemon.net import SystemNet
from daemon.simulate import SimDns
from plugins import contract


class Moved:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return to_datetime(self.instant())

    def instant(self) -> int:
        return int(self.seconds * 1e6)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here sleeps")


class Names:
    """An executor that answers look-ups from a table, when the test lets it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, tuple[str, ...] | OSError] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    async def run(self, function, *args):
        self.asked.append(args[0])
        await self.gate.wait()
        answer = self.answers[args[0]]
        if isinstance(answer, OSError):
            raise answer
        return answer

    def close(self) -> None:
        pass


# --- dns -------------------------------------------------------------------------------------------------------------------------


async def test_dns_really_resolves_this_machine_and_leaves_addresses_alone():
    """`localhost` by getaddrinfo; an address needs no look-up."""
    dns = SystemDns(SystemClock())
    found = await dns.resolve("localhost", 25)
    assert {address for address, _ in found} <= {"127.0.0.1", "::1"}
    assert found
    assert await dns.resolve("192.0.2.1", 25) == [("192.0.2.1", 25)]
    assert await dns.resolve("::1", 25) == [("::1", 25)]
    with pytest.raises(OSError, match="no host name"):
        await dns.resolve("a" * 64 + ".example", 25)
    await dns.close()
    await dns.close()


@pytest.mark.promise("F16")
async def test_dns_asks_once_for_many_and_keeps_the_answer_for_a_minute():
    """Coalescing and cache; a failure is kept too, but shortly."""
    clock, names = Moved(), Names()
    names.answers = {"mx.example": ("192.0.2.1", "192.0.2.2"), "absent.example": socket.gaierror(socket.EAI_NONAME, "unknown")}
    dns = SystemDns(clock, executor=names)
    names.gate.clear()
    waiting = [asyncio.ensure_future(dns.resolve("mx.example", port)) for port in range(20)]
    await asyncio.sleep(0)
    names.gate.set()
    assert await asyncio.gather(*waiting) == [[("192.0.2.1", port), ("192.0.2.2", port)] for port in range(20)]
    clock.seconds += 59
    await dns.resolve("mx.example", 25)
    assert names.asked == ["mx.example"]
    clock.seconds += 2
    await dns.resolve("mx.example", 25)
    assert names.asked == ["mx.example"] * 2
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            await dns.resolve("absent.example", 25)
    clock.seconds += 6
    with pytest.raises(socket.gaierror):
        await dns.resolve("absent.example", 25)
    assert names.asked[2:] == ["absent.example"] * 2


@pytest.mark.promise("F15", "F16")
async def test_dns_gives_up_on_a_slow_name_and_refuses_too_many_at_once():
    """One slow zone holds up nobody else, and never without bound."""
    names = Names()
    names.gate.clear()
    dns = SystemDns(Moved(), executor=names, waiting=2, deadline_seconds=0.01)
    with pytest.raises(TimeoutError, match=r"no answer for slow1\.example"):
        await dns.resolve("slow1.example", 25)
    with pytest.raises(TimeoutError, match="no answer"):
        await dns.resolve("slow2.example", 25)
    with pytest.raises(TimeoutError, match="2 look-ups wait already"):
        await dns.resolve("slow3.example", 25)
    await dns.close()


@pytest.mark.promise("F16")
async def test_closing_the_resolver_ends_the_waiting_with_an_error_of_the_network():
    """Not with a cancellation that nobody asked for."""
    names = Names()
    names.gate.clear()
    dns = SystemDns(Moved(), executor=names)
    waiting = asyncio.ensure_future(dns.resolve("a.example", 25))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await dns.close()
    with pytest.raises(OSError, match="resolver is closed"):
        await waiting


# --- net -------------------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def serve(handler, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on loopback; at the end every connection has been closed on its side too."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            await handler(reader, writer)
        finally:
            writer.close()
            await asyncio.wait({asyncio.ensure_future(writer.wait_closed())})

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*tasks)


async def test_a_stream_is_opened_to_the_first_address_that_answers():
    """The port refuses on one address and answers on the next."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read(10)).upper())

    net = SystemNet(SimDns({"relay.example": ["127.0.0.2", "127.0.0.1"], "nowhere.example": ["127.0.0.2"]}))
    async with serve(echo) as port:
        stream = await net.open_stream("relay.example", port)
        stream.write(b"hello")
        await stream.drain()
        assert await stream.read(100) == b"HELLO"
        assert await stream.read(100) == b""
        stream.close()
        with pytest.raises(ConnectionRefusedError):
            await net.open_stream("nowhere.example", port)
        with pytest.raises(socket.gaierror):
            await net.open_stream("absent.example", port)


async def test_tls_is_checked_against_the_name_that_was_asked_for():
    """A certificate of another name ends the attempt."""
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("relay.example").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        await writer.drain()

    net = SystemNet(SimDns({"relay.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]}), tls_context=client_context)
    async with serve(greet, server_context) as port:
        stream = await net.open_stream("relay.example", port, tls=True)
        assert await stream.read(100) == b"220 hello\r\n"
        stream.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await net.open_stream("other.example", port, tls=True)


async def test_a_peer_that_never_answers_runs_into_the_deadline():
    """TLS against a server that says nothing."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serve(silent) as port:
        with pytest.raises(TimeoutError, match=r"no connection to 127\.0\.0\.1"):
            await SystemNet(SystemDns(SystemClock())).open_stream("127.0.0.1", port, tls=True, timeout=0.05)


# --- disk ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P1")
def test_files_are_written_whole_or_not_at_all(tmp_path: Path):
    """Also over a temporary file that a crash left; nothing else stays behind."""
    disk, path = SystemDisk(), tmp_path / "receipt.json"
    (tmp_path / ".receipt.json.tmp").write_text("left over")
    disk.write_atomic(path, b"one")
    disk.write_atomic(path, b"two", mode=0o640)
    assert disk.names(tmp_path) == ["receipt.json"]
    with disk.open_regular(path) as file:
        assert file.read() == b"two"
    assert path.stat().st_mode & 0o777 == 0o640
    assert disk.free(tmp_path) > 0


def test_a_failed_atomic_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A full disk, for one."""
    disk, path = SystemDisk(), tmp_path / "x"
    disk.write_atomic(path, b"old")

    def full(descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="full"):
        disk.write_atomic(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert disk.names(tmp_path) == ["x"]


@pytest.mark.promise("P1")
def test_every_change_of_a_name_syncs_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A rename that is not synced may be undone by a crash."""
    disk, synced = SystemDisk(), []
    real = os.fsync

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    disk.make_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]
    disk.make_folder(tmp_path / "a" / "b")
    synced.clear()
    disk.write_atomic(tmp_path / "a" / "x", b"1")
    assert synced == [tmp_path / "a" / ".x.tmp", tmp_path / "a"]
    synced.clear()
    disk.rename(tmp_path / "a" / "x", tmp_path / "a" / "b" / "x")
    assert synced == [tmp_path / "a" / "b", tmp_path / "a"]
    synced.clear()
    disk.remove(tmp_path / "a" / "b" / "x")
    disk.remove(tmp_path / "a" / "b" / "x")
    assert synced == [tmp_path / "a" / "b"]


@pytest.mark.promise("B1")
def test_symlinks_pipes_and_folders_are_not_opened(tmp_path: Path):
    """CWE-59: a producer must not have us read or write another file; a pipe must not hold us up."""
    disk = SystemDisk()
    (tmp_path / "target").write_text("x")
    (tmp_path / "link").symlink_to("target")
    os.mkfifo(tmp_path / "pipe")
    for name, code in (("link", errno.ELOOP), ("pipe", errno.EINVAL), (".", errno.EINVAL)):
        with pytest.raises(OSError) as caught:
            disk.open_regular(tmp_path / name)
        assert caught.value.errno == code
    with pytest.raises(OSError):
        disk.append(tmp_path / "link")
    with pytest.raises(FileExistsError):
        disk.create(tmp_path / "link")


def test_appending_continues_and_large_writes_are_whole(tmp_path: Path):
    """Partial writes of the system are continued."""
    disk = SystemDisk()
    for _ in range(2):
        with disk.append(tmp_path / "log") as file:
            file.write(b"x" * 3_000_000)
            file.sync()
            file.close()
    assert (tmp_path / "log").stat().st_size == 6_000_000


# --- executor, clock, ids, errors ------------------------------------------------------------------------------------------------


async def test_an_executor_has_threads_of_its_own_and_passes_errors_on():
    """So that one use cannot starve another."""
    executor = ThreadExecutor(threads=1, name="mine")
    assert (await executor.run(lambda: threading.current_thread().name)).startswith("mine")
    with pytest.raises(ZeroDivisionError):
        await executor.run(lambda: 1 // 0)
    executor.close()
    executor.close()


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_instants_and_datetimes_convert_exactly(moment: datetime, minutes: int):
    """To the microsecond, from any offset."""
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert to_datetime(to_instant(aware)) == aware


def test_clock_readings_agree_and_texts_are_utc():
    """One instant, three forms."""
    clock = SystemClock()
    assert abs(to_instant(clock.now()) - clock.instant()) < 5_000_000
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()
    assert iso(1_795_322_411_120_999) == "2026-11-22T04:40:11.120Z"
    assert iso(1_795_322_411_120_999, digits=0) == "2026-11-22T04:40:11Z"
    with pytest.raises(ValueError, match="no zone"):
        to_instant(datetime(2026, 1, 1))


async def test_the_system_clock_sleeps():
    """Zero is one turn of the loop."""
    turned = []
    asyncio.get_running_loop().call_soon(turned.append, 1)
    await SystemClock().sleep(-1)
    assert turned == [1]


@given(st.integers(0, MAX_ID), st.integers(0, MAX_ID))
def test_public_ids_read_back_and_keep_their_order(one: int, two: int):
    """13 characters, small letters and look-alikes too."""
    assert decode_id(encode_id(one)) == one
    assert decode_id(encode_id(one).lower().replace("0", "o").replace("1", "l")) == one
    assert len(encode_id(one)) == 13
    assert (encode_id(one) < encode_id(two)) == (one < two)


@pytest.mark.parametrize("text", ["", "0" * 12, "0" * 14, "U" * 13, "Z" * 13, "0123456789AB!", "٠" * 13])
def test_what_is_no_id_is_none(text: str):
    """Never an error: it comes from outside."""
    assert decode_id(text) is None


@pytest.mark.parametrize("number", [-1, MAX_ID + 1])
def test_a_number_that_is_no_id_is_refused(number: int):
    """It would not come back."""
    with pytest.raises(ValueError, match="63-bit"):
        encode_id(number)


def test_system_ids_do_not_repeat():
    """Keys, nonces and the generator's own seed come from the machine."""
    ids = SystemIds()
    assert len(ids.token_bytes(16)) == 16
    assert ids.nonce() != ids.nonce()
    assert ids.rng() is ids.rng()
    assert SystemIds().rng().random() != SystemIds().rng().random()


def test_every_error_of_the_tree_is_drawn_with_its_exit_code():
    """The docstring is the drawing; the command line answers with these codes."""
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.HomingError):
            assert any(f"{name} " in line and f" {kind.exit_code} " in line for line in (errors.__doc__ or "").splitlines()), name


def test_the_ports_have_the_shape_that_plugins_are_promised():
    """`plugins.contract` never imports us; the shapes must agree all the same."""

    def clock(value: contract.Clock) -> contract.Clock:
        return value

    def dns(value: contract.Dns) -> contract.Dns:
        return value

    def opener(value: contract.OpenStream) -> contract.OpenStream:
        return value

    assert clock(SystemClock())
    assert dns(SystemDns(SystemClock()))
    assert opener(SystemNet(SimDns()).open_stream)
