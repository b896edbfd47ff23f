"""Local advertising platforms: Meta's and Google's on one port. They check what they get as strictly as the real ones say they do, keep
audiences as sets that change with a delay, and go wrong when they are told to.

    ads = AdsServer(clock, port=0, lag_seconds=0)        await ads.start()         config: ads.meta_keys(), ads.google_keys()
    ads.members("meta", "winback-high")  ads.log("meta")  ads.breaches             ads.fail("meta", "rate", "500")  ads.advance(86_400)

Faults, by batch: `rate` `500` `transient` `operator` `drop` (takes it, hangs up) for both; `blocked` `policy` `wait` `redo` `expired` for
Meta; `day` `violations` `failed` for Google. One person in 4096 (by hash) is never matched: a partial failure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from daemon.clock import Clock
from daemon.sandbox.ads_google import GoogleServer, make_credentials
from daemon.sandbox.ads_meta import MetaServer
from daemon.sandbox.ads_set import Ledger, Row

NETWORKS = ("meta", "google")
META_TOKEN = "EAAsandboxtoken"  # noqa: S105 - of a platform that only this machine has
META_SECRET = "sandbox-app-secret"  # noqa: S105 - as above
META_ACCOUNT, GOOGLE_ACCOUNT = "1200340056", "1234567890"
MOST_BYTES = 16 * 1024 * 1024


class AdsServer:
    """The platforms as one service: `start` binds, `stop` closes; both may be called twice. `port` 0 takes a free one."""

    def __init__(
        self, clock: Clock, *, host: str = "127.0.0.1", port: int = 1027, lag_seconds: float = 0.0, answer_seconds: float = 0.0,
        token_seconds: float = 3600.0,
    ) -> None:  # fmt: skip
        """`lag_seconds`: until a change shows (the real ones: up to a day) · `answer_seconds`: until Google tells of a request."""
        self._clock, self._host, self.port = clock, host, port
        self.lag_seconds, self.answer_seconds = lag_seconds, answer_seconds
        self._ahead = 0.0
        self._queues: dict[str, deque[str]] = {network: deque() for network in NETWORKS}
        self.fault: Callable[[str], str | None] | None = None
        """Asked for each batch when nothing is queued: network -> the fault's name, or None."""
        self._ledgers = {network: Ledger(network, self.now, lambda: self.lag_seconds) for network in NETWORKS}
        self.meta = MetaServer(
            self._ledgers["meta"], token=META_TOKEN, app_secret=META_SECRET, account=META_ACCOUNT, fault=lambda: self._next("meta")
        )
        self.google = GoogleServer(
            self._ledgers["google"], account=GOOGLE_ACCOUNT, wall=lambda: clock.now().timestamp(), fault=lambda: self._next("google"),
            answer_seconds=lambda: self.answer_seconds, token_seconds=token_seconds,
        )  # fmt: skip
        self._runner: web.AppRunner | None = None

    def now(self) -> float:
        """The platforms' own time in seconds: the clock's, put forward by `advance`."""
        return self._clock.monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let this much time pass at the platforms."""
        self._ahead += seconds

    def fail(self, network: str, *faults: str) -> None:
        """The next batches go wrong like this, in this order; "" = this one does not."""
        self._queues[network].extend(faults)

    def _next(self, network: str) -> str | None:
        if self._queues[network]:
            return self._queues[network].popleft() or None
        return self.fault(network) if self.fault is not None else None

    def members(self, network: str, name: str) -> set[Row]:
        """Who shows in the audience of this name now: (hash of the e-mail, hash of the phone)."""
        return self._ledgers[network].members(name)

    def names(self, network: str) -> list[str]:
        return sorted(each.name for each in self._ledgers[network].audiences.values())

    def log(self, network: str) -> list[Mapping[str, Any]]:
        """What was asked, oldest first: act (make, add, remove, token), audience, rows, fault.."""
        return self._ledgers[network].log

    @property
    def breaches(self) -> list[str]:
        """What no client may ever do; empty if all was well."""
        return [what for ledger in self._ledgers.values() for what in ledger.breaches]

    @property
    def origin(self) -> str:
        return f"http://{self._host}:{self.port}"

    def meta_keys(self) -> dict[str, str]:
        """The keys of a provider table that lead here; `access_token` and `app_secret` are secrets."""
        return {"base_url": self.origin, "account_id": META_ACCOUNT, "access_token": META_TOKEN, "app_secret": META_SECRET}

    def google_keys(self) -> dict[str, str]:
        """The same; `credentials` is the text of a key file."""
        return {
            "base_url": self.origin, "account_id": GOOGLE_ACCOUNT,
            "credentials": make_credentials(self.google.key, f"{self.origin}/token"),
        }  # fmt: skip

    async def start(self) -> None:
        """Bind. OSError if the port is taken."""
        if self._runner is not None:
            return
        app = web.Application(client_max_size=MOST_BYTES)
        app.add_routes([*self.meta.routes(), *self.google.routes(), web.get("/ads/log", self._show)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, self._host, self.port)
        await site.start()
        self._runner = runner
        self.port = runner.addresses[0][1]
        self.google.base = self.origin

    async def stop(self) -> None:
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _show(self, _: web.Request) -> web.Response:
        """The log and the audiences with their sizes, for an inbox page."""
        sizes = {
            network: [{"name": each.name, "members": len(ledger.members(each.name))} for each in ledger.audiences.values()]
            for network, ledger in self._ledgers.items()
        }
        return web.json_response({"audiences": sizes, "log": {network: self.log(network)[-200:] for network in NETWORKS}})
