"""Web: what recipients and their mail providers reach: `/u/{token}`. The token says which delivery; nothing else is believed.

GET shows a page and changes nothing, whoever opens it (B45). POST with the one-click body of RFC 8058, or with the page's own
hidden field, unsubscribes before it answers (B46). Only links that are not ours are counted against their sender (B50).
"""

from __future__ import annotations

from email import message_from_bytes
from email.policy import HTTP
from urllib.parse import parse_qsl

from aiohttp import web

from daemon.clock import Clock
from daemon.feedback.unsubscribe import Unsubscribing
from daemon.links import UNSUBSCRIBE, Links
from daemon.web.addresses import Networks, Strikes, client_of
from daemon.web.body import media_type, read_body
from daemon.web.connection import Limits
from daemon.web.pages import WORDS, choose_language, render
from daemon.web.preference_words import WORDS as CHOOSE
from daemon.web.problems import ProblemError

CONFIRM = "unsubscribe-page"
"""The purpose of the page's hidden field: proof that the page was shown for this delivery."""
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
MOST_FIELDS = 20


class PublicPages:
    """The handlers of the public listener."""

    def __init__(self, *, links: Links, unsubscribing: Unsubscribing, clock: Clock, limits: Limits, trusted: Networks) -> None:
        self._links, self._unsubscribing, self._clock, self._limits, self._trusted = links, unsubscribing, clock, limits, trusted
        self._strikes = Strikes(clock, limits.bad_tokens)

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/u/{token}", self.show)
        app.router.add_post("/u/{token}", self.act)
        app.router.add_get("/robots.txt", self.robots)
        app.router.add_get("/healthz", self.alive)

    async def robots(self, _: web.Request) -> web.Response:
        return web.Response(text="User-agent: *\nDisallow: /\n")

    async def alive(self, _: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def show(self, request: web.Request) -> web.Response:
        delivery = self._read(request)
        found = await self._unsubscribing.find(delivery) if delivery is not None else None
        if delivery is None or found is None:
            return self._bad(request)
        language = choose_language(request, found.locale)
        if not found.active:
            return _page(language, "done", found.channel)
        return _page(
            language, "ask", found.channel, confirm=self._links.mint(CONFIRM, delivery), elsewhere=self._links.preferences_url(delivery)
        )

    async def act(self, request: web.Request) -> web.Response:
        delivery = self._read(request)
        if delivery is None:
            return self._bad(request)
        how = self._asked(await self._form(request), delivery)
        if how is None:
            raise ProblemError(400, "the body must say List-Unsubscribe=One-Click (RFC 8058), or come from the page's button")
        done = await self._unsubscribing.apply(delivery, how=how)
        return self._bad(request) if done is None else _page(choose_language(request, done.locale), "done", done.channel)

    def _read(self, request: web.Request) -> int | None:
        return self._links.read(UNSUBSCRIBE, request.match_info["token"])

    def _asked(self, form: dict[str, str], delivery: int) -> str | None:
        """one_click, page, or None: nobody asked for anything."""
        if form.get("List-Unsubscribe") == "One-Click":
            return "one_click"
        return "page" if self._links.read(CONFIRM, form.get("confirm", "")) == delivery else None

    async def _form(self, request: web.Request) -> dict[str, str]:
        kind = media_type(request, FORMS)
        return read_form(kind, request.headers["Content-Type"], await read_body(request, self._clock, self._limits))

    def _bad(self, request: web.Request) -> web.Response:
        """The same page for every link that is not (or no longer) good; after many of them, a wait."""
        language = choose_language(request, None)
        wait = self._strikes.strike(client_of(request, self._trusted))
        if wait:
            return _page(language, "wait", None, status=429, headers={"Retry-After": str(round(wait))})
        return _page(language, "bad", None, status=404)


def read_form(kind: str, content_type: str, body: bytes, most: int = MOST_FIELDS) -> dict[str, str]:
    """The text fields of a form. A form that cannot be read has none."""
    if kind == FORMS[0]:
        try:
            return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=most))
        except ValueError:
            return {}
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode("utf-8", "replace")
    form: dict[str, str] = {}
    for part in list(message_from_bytes(head + body, policy=HTTP).walk())[: most + 1]:
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            form[name] = content.decode("utf-8", "replace").strip()
    return form


def _page(
    language: str, what: str, channel: str | None, *, status: int = 200, confirm: str | None = None,
    headers: dict[str, str] | None = None, elsewhere: str | None = None,
) -> web.Response:
    words = WORDS[language]
    text = words[what].format(channel=words.get(channel or "", words["other"]))
    note = words.get(f"{what}_note", words["bad_note"])
    return render(
        "unsubscribe.html", status=status, language=language, headers=headers, title=words[f"{what}_title"], text=text, note=note,
        button=words["button"], confirm=confirm, elsewhere=elsewhere, choose=CHOOSE[language]["link"],
        mood="done" if what == "done" else "",
    )  # fmt: skip
