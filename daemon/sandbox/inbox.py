"""The sandbox's inbox page: what arrived, as a recipient would see it.

Messages are hostile input. All text goes through jinja2's autoescape; HTML bodies are served apart, under a `sandbox`
policy, in a sandboxed frame: no script runs, no form posts, nothing is loaded but pictures. Unknown `Host` headers are
refused, so that a web page elsewhere cannot read the inbox by DNS rebinding. Reads the `Mailbox`, changes nothing. What came over
other channels is in `inbox_channels`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from jinja2 import DictLoader, Environment, StrictUndefined

from daemon.sandbox.ads import AdsServer
from daemon.sandbox.inbox_channels import ChannelPages, Tab
from daemon.sandbox.mailbox import Mailbox, parse, text_of
from daemon.sandbox.push import PushService
from daemon.sandbox.twilio import TwilioServer

PAGE_SIZE = 50
PAGES = ("base.html", "list.html", "message.html", "sms.html", "push.html", "audiences.html", "audience.html")
_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; frame-src 'self'; form-action 'self' http: https:; base-uri 'none'; frame-ancestors 'none'"
)
_BODY_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src http: https: data:; style-src 'unsafe-inline'"
)
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_LINK = re.compile(r"<([^<>]+)>")


def one_click_url(message: EmailMessage) -> str | None:
    """The https or http address that a one-click unsubscribe posts to (RFC 8058), None if the message offers none."""
    if str(message.get("List-Unsubscribe-Post", "")).strip().lower() != "list-unsubscribe=one-click":
        return None
    for link in _LINK.findall(str(message.get("List-Unsubscribe", ""))):
        try:
            if urlsplit(link).scheme in ("http", "https"):
                return str(link)
        except ValueError:
            continue
    return None


def _environment() -> Environment:
    folder = resources.files("daemon.sandbox") / "pages"
    pages = {name: (folder / name).read_text(encoding="utf-8") for name in PAGES}
    return Environment(autoescape=True, undefined=StrictUndefined, loader=DictLoader(pages))


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Inbox:
    """The page as a service on loopback; `port` 0 takes a free one."""

    def __init__(
        self, mailbox: Mailbox, *, sms: TwilioServer | None = None, push: PushService | None = None, ads: AdsServer | None = None,
        host: str = "127.0.0.1", port: int = 1080,
    ) -> None:  # fmt: skip
        self._mailbox, self._host, self.port = mailbox, host, port
        self._channels = ChannelPages(self._page, sms=sms, push=push, ads=ads)
        self._pages = _environment()
        self._style = (resources.files("daemon.sandbox") / "pages" / "inbox.css").read_text(encoding="utf-8")
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}/"

    async def start(self) -> None:
        """OSError if the port is taken."""
        if self._runner is not None:
            return
        app = web.Application(middlewares=[self._guard])
        app.add_routes([
            web.get("/", self._list),
            web.get("/inbox.css", self._css),
            web.get(r"/m/{n:\d{1,12}}", self._message),
            web.get(r"/m/{n:\d{1,12}}/html", self._html),
            web.get(r"/m/{n:\d{1,12}}/raw", self._raw),
            *self._channels.routes(),
        ])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, self._host, self.port)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self.port = runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        name = (request.host or "").rpartition(":")[0] or request.host
        if name not in _LOCAL_NAMES | {self._host}:
            raise web.HTTPMisdirectedRequest(text="this inbox answers on loopback names only\n")
        response = await handler(request)
        response.headers.setdefault("Content-Security-Policy", _PAGE_POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        return response

    def _page(self, name: str, *, here: str = "/", **values: Any) -> web.Response:
        tabs = [Tab("Mail", "/", self._mailbox.total), *self._channels.tabs()]
        return web.Response(text=self._pages.get_template(name).render(tabs=tabs, here=here, **values), content_type="text/html")

    def _content(self, request: web.Request) -> tuple[int, bytes]:
        number = int(request.match_info["n"])
        content = self._mailbox.content(number)
        if content is None:
            raise web.HTTPNotFound(text="no such message\n")
        return number, content

    async def _list(self, request: web.Request) -> web.Response:
        search = request.query.get("q", "")[:200]
        page = request.query.get("page", "1")
        number = max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 7 else 1
        entries, found = self._mailbox.newest(search, skip=(number - 1) * PAGE_SIZE, limit=PAGE_SIZE)
        return self._page("list.html", entries=entries, found=found, search=search, page=number, pages=max(1, -(-found // PAGE_SIZE)))

    async def _message(self, request: web.Request) -> web.Response:
        number, content = self._content(request)
        message = parse(content)
        headers = [(name, str(value)) for name, value in message.items()]
        return self._page(
            "message.html", n=number, subject=str(message.get("Subject", "")), headers=headers, entry=self._mailbox.entry(number),
            text=text_of(message, "plain"), html=text_of(message, "html") is not None, unsubscribe=one_click_url(message),
        )  # fmt: skip

    async def _html(self, request: web.Request) -> web.Response:
        body = text_of(parse(self._content(request)[1]), "html") or ""
        links = '<base target="_blank">'  # links open beside the page: inside the frame its policy forbids them
        return web.Response(text=links + body, content_type="text/html", headers={"Content-Security-Policy": _BODY_POLICY})

    async def _raw(self, request: web.Request) -> web.Response:
        return web.Response(body=self._content(request)[1], content_type="text/plain", charset="utf-8")

    async def _css(self, request: web.Request) -> web.Response:
        return web.Response(text=self._style, content_type="text/css")
