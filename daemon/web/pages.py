"""Web: the HTML that people see: small, without scripts, readable from either side, nothing loaded from elsewhere.

Templates lie in `templates/`; autoescape is on for all of them. The style stands in the page, allowed by its hash, so that the
policy can forbid everything else.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

from aiohttp import web
from markupsafe import Markup

from daemon.content.locales import is_rtl, language_of
from daemon.web.problems import KINDS

if TYPE_CHECKING:
    from jinja2 import Environment

LANGUAGES = ("en", "id", "ms", "fa")
_TEMPLATES = ("base.html", "unsubscribe.html", "preferences.html", "problem.html", "problems.html")

WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "ask_title": "Unsubscribe?",
        "ask": "You will get no more offers and news from us by {channel}.",
        "button": "Unsubscribe",
        "ask_note": "Nothing has been changed yet.",
        "done_title": "You are unsubscribed",
        "done": "You will get no more offers and news from us by {channel}.",
        "done_note": "Messages about your own orders may still come. You can close this page.",
        "bad_title": "This link does not work",
        "bad": "Please open the link in the message again, or copy all of it.",
        "bad_note": "Nothing was changed.",
        "wait_title": "Please try again later",
        "wait": "Too many links that do not work were opened from your network.",
        "email": "e-mail", "sms": "SMS", "push": "push message", "other": "this way",
    },
    "id": {
        "ask_title": "Berhenti berlangganan?",
        "ask": "Anda tidak akan menerima lagi penawaran dan kabar dari kami lewat {channel}.",
        "button": "Berhenti berlangganan",
        "ask_note": "Belum ada yang diubah.",
        "done_title": "Anda sudah berhenti berlangganan",
        "done": "Anda tidak akan menerima lagi penawaran dan kabar dari kami lewat {channel}.",
        "done_note": "Pesan tentang pesanan Anda sendiri mungkin masih dikirim. Anda boleh menutup halaman ini.",
        "bad_title": "Tautan ini tidak berfungsi",
        "bad": "Silakan buka lagi tautan di dalam pesan, atau salin seluruhnya.",
        "bad_note": "Tidak ada yang diubah.",
        "wait_title": "Silakan coba lagi nanti",
        "wait": "Terlalu banyak tautan yang tidak berfungsi dibuka dari jaringan Anda.",
        "email": "email", "sms": "SMS", "push": "notifikasi", "other": "saluran ini",
    },
    "ms": {
        "ask_title": "Berhenti melanggan?",
        "ask": "Anda tidak akan menerima lagi tawaran dan berita daripada kami melalui {channel}.",
        "button": "Berhenti melanggan",
        "ask_note": "Belum ada apa-apa yang diubah.",
        "done_title": "Anda telah berhenti melanggan",
        "done": "Anda tidak akan menerima lagi tawaran dan berita daripada kami melalui {channel}.",
        "done_note": "Mesej tentang pesanan anda sendiri mungkin masih dihantar. Anda boleh menutup halaman ini.",
        "bad_title": "Pautan ini tidak berfungsi",
        "bad": "Sila buka semula pautan dalam mesej itu, atau salin kesemuanya.",
        "bad_note": "Tiada apa-apa yang diubah.",
        "wait_title": "Sila cuba lagi kemudian",
        "wait": "Terlalu banyak pautan yang tidak berfungsi dibuka daripada rangkaian anda.",
        "email": "e-mel", "sms": "SMS", "push": "pemberitahuan", "other": "saluran ini",
    },
    "fa": {
        "ask_title": "اشتراک لغو شود؟",
        "ask": "دیگر پیشنهادها و خبرهای ما را از راه {channel} دریافت نخواهید کرد.",
        "button": "لغو اشتراک",
        "ask_note": "هنوز چیزی تغییر نکرده است.",
        "done_title": "اشتراک شما لغو شد",
        "done": "دیگر پیشنهادها و خبرهای ما را از راه {channel} دریافت نخواهید کرد.",
        "done_note": "پیام‌های مربوط به سفارش‌های خودتان ممکن است همچنان فرستاده شود. می‌توانید این صفحه را ببندید.",
        "bad_title": "این پیوند کار نمی‌کند",
        "bad": "لطفاً پیوند داخل پیام را دوباره باز کنید یا همهٔ آن را رونوشت کنید.",
        "bad_note": "چیزی تغییر نکرد.",
        "wait_title": "لطفاً بعداً دوباره امتحان کنید",
        "wait": "پیوندهای نادرست زیادی از شبکهٔ شما باز شده است.",
        "email": "ایمیل", "sms": "پیامک", "push": "اعلان", "other": "این کانال",
    },
}  # fmt: skip
"""The words of the unsubscribe page. A test holds the languages to the same keys."""


@functools.cache
def _pages() -> tuple[Environment, Markup, str]:
    from jinja2 import DictLoader, Environment, StrictUndefined  # at the first page: a daemon that starts shows none

    folder = resources.files("daemon.web") / "templates"
    css = (folder / "page.css").read_text(encoding="utf-8")
    sources = {name: (folder / name).read_text(encoding="utf-8") for name in _TEMPLATES}
    environment = Environment(autoescape=True, undefined=StrictUndefined, loader=DictLoader(sources), trim_blocks=True)
    return environment, Markup(css), base64.b64encode(hashlib.sha256(css.encode()).digest()).decode("ascii")  # noqa: S704  our own file


def render(
    template: str, *, status: int = 200, language: str = "en", headers: Mapping[str, str] | None = None, **values: Any
) -> web.Response:
    """A page as a response, with the headers that keep it to itself."""
    environment, css, digest = _pages()
    direction = "rtl" if is_rtl(language) else "ltr"
    text = environment.get_template(template).render(lang=language, dir=direction, css=css, **{"mood": "", **values})
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    own = {
        "Content-Security-Policy": policy,
        "Content-Language": language,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex, nofollow",
    }
    return web.Response(status=status, text=text, content_type="text/html", charset="utf-8", headers={**own, **(headers or {})})


def choose_language(request: web.BaseRequest, locale: str | None) -> str:
    """`?lang=`, else the recipient's own, else the browser's, else English; one of `LANGUAGES`."""
    asked = [request.query.get("lang", ""), locale or ""]
    weighted: list[tuple[float, str]] = []
    for item in request.headers.get("Accept-Language", "")[:500].split(","):
        name, _, weight = item.strip().partition(";q=")
        try:
            weighted.append((-float(weight or 1), name))
        except ValueError:
            continue
    asked += [name for _, name in sorted(weighted, key=lambda pair: pair[0])]
    return next((found for name in asked if (found := _spoken(name))), "en")


def _spoken(name: str) -> str | None:
    language = language_of(name) if name else ""
    return language if language in LANGUAGES else None


def problem_page(name: str) -> web.Response | None:
    """The page of a problem type; None if there is no such type. "" is the list of them."""
    if not name:
        return render("problems.html", title="Problem types", kinds=KINDS.items())
    kind = KINDS.get(name)
    return None if kind is None else render("problem.html", title=kind.title, kind=name, code=kind.status, advice=kind.advice)
