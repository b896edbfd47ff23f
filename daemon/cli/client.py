"""The way to the API for every command: over STATE/control.sock to the daemon, or, without one, to the same API in this process.

One client for both, so that a command answers the same either way. What the API refuses becomes the error, and with it the
exit code, that the daemon's own code would have raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from daemon.cli import screen
from daemon.cli.context import Cli
from daemon.errors import (
    ConfigError,
    GuardRefusedError,
    HomingError,
    IntakeError,
    NotFoundError,
    StateHeldError,
    StoreUnavailableError,
    UsageError,
)

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")
Query = Mapping[str, Any] | None
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 300.0
STARTING_SECONDS = 5.0
LOOK_SECONDS = 0.1
_INTAKE = ("invalid-json", "invalid-job", "job-conflict", "unknown-queue", "unknown-campaign", "too-large", "unsupported-media-type")
_OF_A_LINE = ("columns", "encoding", "head")
"""Codes of faults whose line is one of the body; those of a JSON document may count rows."""


class Api:
    """Requests to the API; JSON in, JSON out. `offline`: it is served by this process."""

    def __init__(self, session: aiohttp.ClientSession, *, offline: bool) -> None:
        self._session = session
        self.offline = offline

    async def call(
        self, method: str, path: str, *, query: Query = None, body: Any = None, data: Any = None, media: str | None = None,
        packed: bool = False,
    ) -> Any:
        """The answer's JSON. `packed`: the data is gzip. Raises the HomingError that a problem stands for."""
        import aiohttp

        params = {key: str(value) for key, value in (query or {}).items() if value is not None}
        headers = {"Content-Type": media} if media else {}
        if packed:
            headers["Content-Encoding"] = "gzip"
        try:
            async with self._session.request(method, path, params=params, json=body, data=data, headers=headers) as reply:
                if reply.status >= 400:
                    raise error_of(reply.status, await _json(reply))
                return await reply.json() if reply.status != 204 else None
        except aiohttp.ClientError as error:
            what = f"the daemon hung up ({type(error).__name__}: {error}); what became of the request is not known"
            raise StoreUnavailableError(what) from None
        except TimeoutError:
            raise StoreUnavailableError(f"the daemon gave no answer within {ANSWER_SECONDS:.0f} s") from None

    async def pages(self, path: str, query: Query = None) -> AsyncIterator[Any]:
        """All items of a list."""
        after: str | None = None
        while True:
            page = await self.call("GET", path, query={**(query or {}), "cursor": after})
            for item in page["items"]:
                yield item
            after = page.get("next")
            if not after:
                return


async def _json(reply: aiohttp.ClientResponse) -> Mapping[str, Any]:
    try:
        found = await reply.json(content_type=None)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"detail": f"the daemon answered {reply.status} {reply.reason}"}


def error_of(status: int, problem: Mapping[str, Any]) -> HomingError:
    """The error that a problem (RFC 9457) of the API stands for."""
    kind = str(problem.get("type", "")).rpartition("/")[2]
    detail = str(problem.get("detail", "")) or f"status {status}"
    faults = problem.get("errors") or []
    if any(fault.get("code") == "config" for fault in faults):
        return ConfigError("\n".join([detail, *(fault["detail"] for fault in faults)]))
    lines = [_fault(fault) for fault in faults if fault.get("detail") and fault["detail"] not in detail]
    if len(faults) == 1 and not lines and faults[0].get("line") and faults[0].get("code") in _OF_A_LINE:
        detail = f"line {faults[0]['line']}: {detail}"
    text = "\n".join([detail, *(f"  {line}" for line in lines)])
    if kind == "guard-refused":
        return GuardRefusedError(text)
    if kind == "not-found" or status == 404:
        return NotFoundError(text)
    if kind == "not-ready" or status == 503:
        return StoreUnavailableError(text)
    if kind in _INTAKE:
        return IntakeError(kind, text)
    return UsageError(text) if status == 422 else HomingError(text)


def _fault(fault: Mapping[str, Any]) -> str:
    line = f"line {fault['line']}: " if fault.get("line") else ""
    pointer = f"{fault['pointer']}: " if fault.get("pointer") else ""
    return f"{line}{pointer}{fault['detail']}"


def segment(text: str) -> str:
    """A name as one segment of a path."""
    return quote(text, safe="")


def daemon_runs(state_dir: Path) -> bool:
    """Somebody listens on the control socket."""
    from daemon.web.control import reachable_path, socket_path

    path = socket_path(state_dir)
    if not path.exists():
        return False
    name, folder = reachable_path(path)
    with contextlib.ExitStack() as stack:
        if folder is not None:
            import os

            stack.callback(os.close, folder)
        probe = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        probe.settimeout(CONNECT_SECONDS)
        try:
            probe.connect(name)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except PermissionError:
            raise StateHeldError(f"{path}: a daemon runs here under another user; call homing as that user") from None
        except TimeoutError:
            raise StoreUnavailableError(f"{path}: the daemon does not take connections") from None
    return True


@contextlib.asynccontextmanager
async def connect(cli: Cli, *, seconds: float = ANSWER_SECONDS, looks: bool = False) -> AsyncIterator[Api]:
    """The API of the daemon, or of this process under the state lock (StateHeldError when someone else has that). `looks`: it only looks
    at what is in the store, so that a mistake in a campaign is a warning."""
    state_dir = _state_dir(cli)
    async with contextlib.AsyncExitStack() as stack:
        offline = False
        folder = state_dir
        if not daemon_runs(state_dir):
            from daemon.app.offline import serve_offline

            try:
                try:
                    folder = await stack.enter_async_context(serve_offline(cli.config_path))
                except ConfigError as wrong:
                    if not looks:
                        raise
                    folder = await stack.enter_async_context(serve_offline(cli.config_path, lenient=True))
                    _warn("no daemon would start with these mistakes:", wrong)
                offline = True
            except StateHeldError as held:
                await _wait_for_daemon(state_dir, held)
        session = await stack.enter_async_context(_session(folder, seconds))
        yield Api(session, offline=offline)


def _state_dir(cli: Cli) -> Path:
    """Of the config; where that is wrong, of the daemon that goes on with the one it has: whoever asks it is told of the mistake."""
    try:
        return cli.config.homing.state_dir
    except ConfigError as wrong:
        found = cli.state_dir_alone()
        if found is None or not daemon_runs(found):
            raise
        _warn(f"{cli.config_path} is wrong now, and the daemon goes on with the config that it has:", wrong)
        return found


def _warn(what: str, wrong: ConfigError) -> None:
    screen.note(f"warning: {what}")
    for line in str(wrong).splitlines():
        screen.note(f"  {line}")


async def _wait_for_daemon(state_dir: Path, held: StateHeldError) -> None:
    """Someone holds the state folder and takes no questions yet: a daemon that is just starting. Raises `held` in the end."""
    from daemon.clock import SystemClock

    clock = SystemClock()
    deadline = clock.monotonic() + STARTING_SECONDS
    while not daemon_runs(state_dir):
        if clock.monotonic() > deadline:
            raise held
        await clock.sleep(LOOK_SECONDS)


@contextlib.asynccontextmanager
async def _session(folder: Path, seconds: float) -> AsyncIterator[aiohttp.ClientSession]:
    import os

    import aiohttp

    from daemon.web.control import reachable_path, socket_path

    name, descriptor = reachable_path(socket_path(folder))
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=seconds)
    try:
        async with aiohttp.ClientSession("http://localhost", connector=aiohttp.UnixConnector(name), timeout=timeout) as session:
            yield session
    finally:
        if descriptor is not None:
            os.close(descriptor)


async def tell_daemon(state_dir: Path, method: str, path: str, body: Any, seconds: float) -> Any:
    """One request to the daemon that runs on this state folder, whatever the config says."""
    async with _session(state_dir, seconds) as session:
        return await Api(session, offline=False).call(method, path, body=body)


def with_api(cli: Cli, work: Callable[[Api], Awaitable[T]], *, seconds: float = ANSWER_SECONDS, looks: bool = False) -> T:
    """Run `work` with a connection (see `connect`), from a command."""

    async def run() -> T:
        async with connect(cli, seconds=seconds, looks=looks) as api:
            return await work(api)

    return asyncio.run(run())


def call(cli: Cli, method: str, path: str, *, query: Query = None, body: Any = None, seconds: float = ANSWER_SECONDS) -> Any:
    """One request."""

    async def work(api: Api) -> Any:
        return await api.call(method, path, query=query, body=body)

    return with_api(cli, work, seconds=seconds)


def every(cli: Cli, path: str, query: Query = None) -> list[Any]:
    """All items of a list."""

    async def work(api: Api) -> list[Any]:
        return [item async for item in api.pages(path, query)]

    return with_api(cli, work)
