"""The demo's stage: a folder with config, campaigns and jobs, the local providers, and the real daemon as a process of its own.

Everything goes through the doors that a shop would use: the spool folder, `homing enqueue`, HTTP. Nothing here prints; the
command line does. The daemon and its commands are started with this Python, so the demo needs nothing but an installed Homing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import aiohttp

from daemon.clock import Clock, SystemClock
from daemon.errors import HomingError
from daemon.sandbox import vips
from daemon.sandbox.house import Sandbox
from daemon.sandbox.vips import VipKind
from daemon.sandbox.world import HOME_COUNTRIES, NEWS_QUEUE, SEGMENTS, WINDOW, Person, SampleJob, suppressed_addresses

CAP = '[[cap]]\nname = "two-days"\nlimit = 1\nrolling = "2d"\n'
START_SECONDS = 30.0
QUIET_SECONDS = 45.0
LOOK_SECONDS = 0.2
FIRST_PORT, PORTS = 30_000, 2_700
_SCOPES = ("jobs:read", "jobs:write", "recipients:read", "recipients:write", "operate:read")

CONFIG = """\
# The config of `homing demo`: the smallest one, and what the sample shows.
[homing]
state_dir = "var"
default_zone = "Asia/Jakarta"
unknown_zone = "intersect"              # someone of unknown zone is written to only when it is day in all zones that are possible
home_countries = {countries}
test_addresses = ["tester@example.com"]
[http]
listen = "127.0.0.1:{admin}"
public_listen = "127.0.0.1:{public}"
public_url = "http://127.0.0.1:{public}"
[window]
start = "{start}"
end = "{end}"
{windows}
[consent]
email = "explicit"                      # no consent on record, no mail
{cap}
[shop]
currency = "USD"
{providers}
"""


CAMPAIGNS = ("winback", "vip")
"""Those of the shipped ones that the demo runs; the others want segments and a shop's events."""


def sample_campaigns() -> Path:
    """The folder of the shipped campaigns, in the source tree or in the installed package."""
    folder = Path(str(resources.files("daemon.sandbox") / "campaigns"))
    if not (folder / "winback" / "campaign.toml").is_file():
        raise HomingError(f"{folder}: the sample campaign is missing; install Homing again")
    return folder


def free_ports(count: int) -> list[int]:
    """Ports that nobody has, all different. Below those that the system gives away by itself: they are bound only a moment later."""
    found: list[int] = []
    start = os.getpid() * 211
    for number in range(PORTS):
        port = FIRST_PORT + (start + number) % PORTS
        with contextlib.suppress(OSError), socket.socket() as bound:
            bound.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise HomingError(f"not enough free ports on 127.0.0.1 between {FIRST_PORT} and {FIRST_PORT + PORTS}")


class Stage:
    """`offset_seconds`: how far the wall clock of daemon and local providers is set ahead of the machine's."""

    def __init__(self, folder: Path, *, offset_seconds: int = 0) -> None:
        self.folder, self.offset_seconds = folder, offset_seconds
        self.clock: Clock = SystemClock(offset_seconds=offset_seconds)
        self.config = folder / "config.toml"
        self.state = folder / "var"
        self.sandbox = Sandbox(folder / "sandbox", self.clock, offset_seconds=offset_seconds)
        self.daemon: asyncio.subprocess.Process | None = None
        self.token = ""
        self.admin = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything up; at the end everything down, the daemon by SIGTERM."""
        try:
            await self.sandbox.start()
            self._write_config()
            await self._start_daemon()
            yield
        finally:
            await self.stop_daemon()
            await self.sandbox.stop()

    def _write_config(self) -> None:
        admin, public = free_ports(2)
        self.admin = f"http://127.0.0.1:{admin}"
        windows = "".join(f'[window.channels.{name}]\nstart = "{start}"\nend = "{end}"\n' for name, (start, end) in vips.WINDOWS.items())
        text = CONFIG.format(
            countries=json.dumps(HOME_COUNTRIES), admin=admin, public=public, start=WINDOW[0], end=WINDOW[1], cap=CAP, windows=windows,
            providers=self.sandbox.write_providers(HOME_COUNTRIES).read_text(encoding="utf-8"),
        )  # fmt: skip
        for queue in (*(segment[0] for segment in SEGMENTS), NEWS_QUEUE, vips.QUEUE):
            campaign = "winback" if queue.startswith("lapsed") else queue
            text += f"[queues.{queue}]\n" + (f'campaign = "{campaign}"\n' if queue != NEWS_QUEUE else "")
        self.config.write_text(text, encoding="utf-8")
        for name in CAMPAIGNS:
            shutil.copytree(sample_campaigns() / name, self.folder / "campaigns" / name, dirs_exist_ok=True)

    def _environ(self) -> dict[str, str]:
        """Nothing of the caller's own Homing settings."""
        return {key: value for key, value in os.environ.items() if not key.upper().startswith("HOMING__")}

    async def _start_daemon(self) -> None:
        log = (self.folder / "daemon.log").open("ab")
        with log:
            self.daemon = await asyncio.create_subprocess_exec(
                *self._program("run", "--clock-offset", str(self.offset_seconds)), stderr=log, stdin=asyncio.subprocess.DEVNULL,
                env=self._environ(), cwd=self.folder,
            )  # fmt: skip
        await self._until(self._ready, START_SECONDS, "is not ready")
        scopes = await self.command("token", "create", "demo", *_SCOPES)
        self.token = scopes["token"]

    async def _ready(self) -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.admin}/readyz") as reply:
                return reply.status == 200
        except aiohttp.ClientError:
            return False

    async def _until(self, question: Callable[[], Awaitable[bool]], seconds: float, what: str) -> None:
        """Ask until it is so. HomingError with the end of the daemon's log when the daemon ends or the time is up."""
        deadline = self.clock.monotonic() + seconds
        while not await question():
            dead = self.daemon is not None and self.daemon.returncode is not None
            if dead or self.clock.monotonic() > deadline:
                tail = (self.folder / "daemon.log").read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
                raise HomingError("\n".join([f"the daemon {'ended' if dead else f'{what} after {seconds:.0f} s'}; its log ends:", *tail]))
            await self.clock.sleep(LOOK_SECONDS)

    def _program(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "daemon.cli.main", "--config", str(self.config), *words]

    async def command(self, *words: str) -> Any:
        """A command of `homing`, with `--json`; its answer. HomingError with what it said when it fails."""
        process = await asyncio.create_subprocess_exec(
            *self._program("--json", *words), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=self._environ(), cwd=self.folder,
        )  # fmt: skip
        answer, said = await process.communicate()
        if process.returncode != 0:
            raise HomingError(f"homing {' '.join(words)} ended with {process.returncode}: {said.decode(errors='replace').strip()}")
        return json.loads(answer.splitlines()[-1])

    async def stop_daemon(self) -> int | None:
        """SIGTERM and wait; its exit code. A second call does nothing."""
        process, self.daemon = self.daemon, None
        if process is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        return await process.wait()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """An answer of the API."""
        return await self._http("GET", path, query=query)

    async def _http(self, method: str, path: str, *, query: Mapping[str, str] | None = None, data: bytes | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession(self.admin, headers=headers) as session,
            session.request(method, path, params=query, data=data) as reply,
        ):
            answer = await reply.json(content_type=None)
            if reply.status >= 400:
                raise HomingError(f"{method} {path}: {answer.get('detail', reply.status)}")
            return answer

    async def suppress(self, people: Sequence[Person]) -> Any:
        """The shop's own unsubscribe list, imported as a file."""
        path = self.folder / "unsubscribed.txt"
        path.write_text("".join(f"{address}\n" for address in suppressed_addresses(people)), encoding="utf-8")
        return await self.command("suppressions", "import", str(path))

    async def subscribe(self, people: Sequence[Person]) -> int:
        """What the shop's pages do: each browser that takes pushes is registered. How many there are."""
        count = 0
        for person in sorted((person for person in people if person.browser is not None), key=lambda person: person.browser or 0):
            subscription = self.sandbox.push.new_subscription("410" if person.kind is VipKind.GONE else None)
            body = json.dumps({"subscription": subscription, "source": "the shop's pages", "text": "Allow notifications"})
            await self._http("PUT", f"/v1/recipients/{person.id}/push", data=body.encode())
            count += 1
        return count

    async def enqueue(self, job: SampleJob) -> Any:
        """By the command line, as NDJSON."""
        path = self.folder / f"{job.id}.ndjson"
        path.write_text(job.ndjson(), encoding="utf-8")
        return await self.command("enqueue", job.queue, str(path))

    async def spool(self, job: SampleJob) -> None:
        """By the spool folder: written under tmp, renamed into new."""
        folder = self.state / "spool" / job.queue
        path = folder / "tmp" / f"{job.id}.ndjson"
        path.write_text(job.ndjson(), encoding="utf-8")
        path.rename(folder / "new" / path.name)

    async def post(self, job: SampleJob) -> Any:
        """Over HTTP, as one JSON document."""
        return await self._http("POST", "/v1/jobs", data=job.document().encode())

    async def settled(self, jobs: Sequence[SampleJob]) -> None:
        """Return when every job is read to its end, nothing is due any more, and nothing is under way."""
        quiet = 0

        async def question() -> bool:
            nonlocal quiet
            quiet = quiet + 1 if await self._quiet(jobs) else 0
            return quiet >= 3

        await self._until(question, QUIET_SECONDS, "has not settled")

    async def audiences_settled(self) -> None:
        """Return when the platforms have acknowledged everyone that should be in."""
        await self.command("audience", "sync")

        async def question() -> bool:
            shown = await self.command("audience", "status")
            waiting = [each["pending"]["add"] + each["pending"]["remove"] for each in shown["audiences"]]
            return bool(waiting) and not any(waiting)

        await self._until(question, QUIET_SECONDS, "has not brought its audiences up to date")

    async def _quiet(self, jobs: Sequence[SampleJob]) -> bool:
        known = {job["job"]: job for job in (await self.get("/v1/jobs", {"limit": "100"}))["items"]}
        if any(known.get(job.id, {"state": "receiving"})["state"] == "receiving" for job in jobs):
            return False
        status = await self.get("/v1/status")
        waiting = status["deliveries"].get("planned", 0) + status["deliveries"].get("claimed", 0) + status["in_flight"]
        return not waiting and status["oldest_due"] is None
