"""Web: `/p/{token}`, where a recipient says what it wants: topics, how often, over which channel, in which language, or nothing at all.

GET shows the page and changes nothing, whoever opens it; POST acts only with the page's own hidden field, which is made for the delivery
that the link stood in. No script is needed. The page names no address and no name: a mail may be passed on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from aiohttp import web
from babel import Locale

from daemon.clock import Clock, iso
from daemon.content.formats import write_date
from daemon.content.locales import fallbacks, language_of
from daemon.feedback.unsubscribe import Unsubscribing
from daemon.links import PREFERENCES, Links
from daemon.model.delivery import DAY
from daemon.store.preferences import Preferences, Wish
from daemon.web.addresses import Networks, Strikes, client_of
from daemon.web.body import media_type, read_body
from daemon.web.connection import Limits
from daemon.web.pages import WORDS as COMMON
from daemon.web.pages import choose_language, render
from daemon.web.preference_words import LANGUAGE_NAMES, WORDS
from daemon.web.problems import ProblemError
from daemon.web.public import FORMS, read_form

CONFIRM = "preferences-page"
"""The purpose of the page's hidden field."""
PAUSES = (7, 30, 90)
MOST_FIELDS = 200
TOPIC = "topic."


class PreferencePages:
    """The handlers. The public listener has them."""

    def __init__(self, *, links: Links, door: Unsubscribing, clock: Clock, limits: Limits, trusted: Networks) -> None:
        self._links, self._door, self._clock, self._limits, self._trusted = links, door, clock, limits, trusted
        self._strikes = Strikes(clock, limits.bad_tokens)

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/p/{token}", self.show)
        app.router.add_post("/p/{token}", self.act)

    async def show(self, request: web.Request) -> web.Response:
        delivery = self._read(request)
        known = await self._door.preferences(delivery) if delivery is not None else None
        if delivery is None or known is None:
            return self._bad(request)
        return self._page(choose_language(request, known.locale), delivery, known)

    async def act(self, request: web.Request) -> web.Response:
        delivery = self._read(request)
        known = await self._door.preferences(delivery) if delivery is not None else None
        if delivery is None or known is None:
            return self._bad(request)
        kind = media_type(request, FORMS)
        form = read_form(kind, request.headers["Content-Type"], await read_body(request, self._clock, self._limits), MOST_FIELDS)
        if self._links.read(CONFIRM, form.get("confirm", "")) != delivery or form.get("do") not in ("save", "stop"):
            raise ProblemError(400, "the body must come from the page's buttons")
        if form["do"] == "stop":
            done = await self._door.prefer(delivery, Wish(topics={}, stop=True))
        else:
            done = await self._door.prefer(delivery, self._wish(form, known))
        if done is None:
            return self._bad(request)
        language = choose_language(request, done.locale)
        if form["do"] == "stop":
            words = WORDS[language]
            return _render(language, title=words["stopped_title"], texts=[words["stopped"]], mood="done")
        spoken = language_of(done.locale)
        language = spoken if spoken in WORDS else language
        return self._page(language, delivery, done, notice=WORDS[language]["saved"])

    def _wish(self, form: Mapping[str, str], known: Preferences) -> Wish:
        """What the form says; what it does not say stays as it is."""
        now, pace, language = self._clock.instant(), form.get("pace", ""), form.get("language")
        paused = known.paused_until if pace not in ("all", "weekly") else None
        if pace.isdecimal() and int(pace) in PAUSES:
            paused = now + int(pace) * DAY
        preferred = form.get("channel", known.preferred)
        return Wish(
            topics={name: f"{TOPIC}{name}" in form for name in self._door.topics()}, paused_until=paused,
            weekly=pace == "weekly" or (known.weekly and pace != "all"), preferred=preferred if preferred in known.reachable else None,
            locale=language if language in LANGUAGE_NAMES and language != language_of(known.locale) else None,
        )  # fmt: skip

    def _page(self, language: str, delivery: int, known: Preferences, *, notice: str = "") -> web.Response:
        words = WORDS[language]
        topics = [
            {"name": name, "title": _title(table.titles, language), "on": name not in known.off}
            for name, table in self._door.topics().items()
        ]  # fmt: skip
        groups = [self._pace(language, known), _languages(language, known)]
        if len(known.reachable) > 1:
            groups.insert(1, _channels(language, known))
        form = {"confirm": self._links.mint(CONFIRM, delivery), "topics": topics, "groups": groups}
        texts = [words["intro"]]
        if known.stopped:
            gone = [words.get(channel, channel) for channel in sorted(known.stopped)]
            texts.insert(0, words["already"].format(channels=("، " if language == "fa" else ", ").join(gone)))
        return _render(language, title=words["title"], texts=texts, notice=notice, form=form)

    def _pace(self, language: str, known: Preferences) -> dict[str, Any]:
        words = WORDS[language]
        choices = [("all", words["pace_all"]), ("weekly", words["pace_weekly"])]
        paused = known.paused_until is not None and known.paused_until > self._clock.instant()
        if paused and known.paused_until is not None:
            date = write_date(iso(known.paused_until)[:10], "long", Locale.parse(language), UTC)
            choices.append(("keep", words["pace_keep"].format(date=date)))
        choices += [(str(days), words[f"pace_{days}"]) for days in PAUSES]
        return _group("pace", words["pace"], choices, "keep" if paused else "weekly" if known.weekly else "all")

    def _read(self, request: web.Request) -> int | None:
        return self._links.read(PREFERENCES, request.match_info["token"])

    def _bad(self, request: web.Request) -> web.Response:
        """The same page for every link that is not (or no longer) good; after many of them, a wait."""
        language = choose_language(request, None)
        wait = self._strikes.strike(client_of(request, self._trusted))
        what, words = "wait" if wait else "bad", COMMON[language]
        headers = {"Retry-After": str(round(wait))} if wait else {}
        texts = [words[what], words["bad_note"]]
        return _render(language, title=words[f"{what}_title"], texts=texts, status=429 if wait else 404, headers=headers)


def _group(name: str, legend: str, choices: Sequence[tuple[str, str]], chosen: str) -> dict[str, Any]:
    """Radio buttons, of which one is chosen."""
    buttons = [{"value": value, "text": text, "lang": ""} for value, text in choices]
    return {"name": name, "legend": legend, "chosen": chosen, "choices": buttons}


def _channels(language: str, known: Preferences) -> dict[str, Any]:
    words = WORDS[language]
    choices = [("", words["channel_any"]), *((channel, words.get(channel, channel)) for channel in known.reachable)]
    return _group("channel", words["channel"], choices, known.preferred if known.preferred and known.preferred in known.reachable else "")


def _languages(language: str, known: Preferences) -> dict[str, Any]:
    """Each in its own words."""
    group = _group("language", WORDS[language]["language"], list(LANGUAGE_NAMES.items()), language_of(known.locale))
    for choice in group["choices"]:
        choice["lang"] = choice["value"]
    return group


def _title(titles: Mapping[str, str], language: str) -> str:
    return next((titles[name] for name in fallbacks(language) if name is not None and name in titles), titles[""])


def _render(
    language: str, *, title: str, texts: Sequence[str], notice: str = "", form: Mapping[str, Any] | None = None, status: int = 200,
    headers: Mapping[str, str] | None = None, mood: str = "",
) -> web.Response:  # fmt: skip
    return render(
        "preferences.html", status=status, language=language, headers=headers, title=title, texts=texts, notice=notice, form=form,
        words=WORDS[language], mood=mood,
    )  # fmt: skip
