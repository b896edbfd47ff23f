"""The shipped win-back campaign: it loads, and reads well in each language with much and with nothing known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from daemon.content.campaigns import Surroundings, load_campaigns
from daemon.content.render import Rendered, Renderer
from daemon.content.variables import build_variables
from daemon.model.campaign import CampaignStatus
from daemon.model.recipient import Recipient
from daemon.policy.hours import parse_window
from plugins.sms_text import measure_sms

FOLDER = Path(__file__).parents[3] / "campaigns"
VERSION = load_campaigns(FOLDER, Surroundings(check_window=parse_window)).versions["winback"]
RENDERER = Renderer(VERSION, shop={"currency": "USD"})
URL = "https://go.example.com/u/v1.0123abcd.token"
LOCALES = [None, "id", "ms", "fa"]
RICH: Mapping[str, Any] = {"first_name": "Sari", "days_since_order": 45, "last_product": {"name": "Batik Kawung"}}
POOR: Mapping[str, Any] = {}


def render(locale: str | None, traits: Mapping[str, Any], job_vars: Mapping[str, Any] | None = None) -> Rendered:
    """The reminder for one recipient."""
    recipient = Recipient(id=1, key="c-1", email="a@x.example", locale=locale, traits=traits)
    return RENDERER.render("reminder", "email", locale, build_variables(recipient, job_vars or {}, unsubscribe_url=URL, now=0))


def test_smallest_config_runs_with_it() -> None:
    """It is active, takes jobs, and has every language as a variant."""
    assert VERSION.campaign.status is CampaignStatus.ACTIVE
    assert {render(locale, RICH).locale for locale in ("fa", "id", "en", "ms")} == {"fa", "id", None, "ms"}


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("traits", [RICH, POOR, {"first_name": "", "days_since_order": None}])
def test_it_reads_well_whatever_is_known(locale: str | None, traits: Mapping[str, Any]) -> None:
    """No holes, no doubled blanks, no stray markup; the link in both parts."""
    rendered = render(locale, traits)
    assert rendered.locale == locale
    assert 10 < len(rendered.subject) < 70
    assert 30 < len(rendered.head["preheader"]) < 110
    assert not re.search(r"\{\{|\{%|  | ,| \.|None|undefined|\b0 ", rendered.text)
    assert "\n\n\n" not in rendered.text
    assert URL in rendered.text
    assert URL in rendered.html


@pytest.mark.parametrize("locale", LOCALES)
def test_text_and_html_say_the_same(locale: str | None) -> None:
    """The same words in the same order, links apart."""
    rendered = render(locale, RICH)
    body = re.sub(r"(?s)^.*?</div>", "", rendered.html.split("<body>")[1], count=1)
    shown = unescape(re.sub(r"<[^>]+>", " ", body))
    strip = re.compile(r"https?://\S+|[():]")
    assert strip.sub(" ", rendered.text).split() == strip.sub(" ", shown).split()


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        (None, "It has been 45 days since your last order. Back then you chose Batik Kawung"),
        ("id", "Sudah 45 hari sejak pesanan terakhir Anda. Waktu itu Anda memilih Batik Kawung"),
        ("ms", "Sudah 45 hari sejak pesanan terakhir anda. Ketika itu anda memilih Batik Kawung"),
        ("fa", "۴۵ روز از آخرین سفارش شما می‌گذرد. آن بار Batik Kawung را انتخاب کردید"),
    ],
)
def test_it_uses_what_is_known(locale: str | None, words: str) -> None:
    """Days and product, from traits or from the job's vars."""
    assert words in render(locale, RICH).text
    assert words in render(locale, {"first_name": "Sari"}, {"days_since_order": "45", "last_product": "Batik Kawung"}).text


def test_persian_is_written_from_right_to_left() -> None:
    """The document says so."""
    assert '<html lang="fa" dir="rtl">' in render("fa-IR", RICH).html


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("traits", [RICH, POOR])
def test_the_best_customers_get_one_short_message(locale: str | None, traits: Mapping[str, Any]) -> None:
    """A push with title, words and a link; an SMS of at most two segments, with a way out."""
    recipient = Recipient(id=1, key="v-1", phone="+628111000001", locale=locale, traits=traits)
    renderer = Renderer(load_campaigns(FOLDER, Surroundings(check_window=parse_window)).versions["vip"], shop={"currency": "USD"})
    known = build_variables(recipient, {}, unsubscribe_url=URL, now=0)
    push, sms = (renderer.render("invite", channel, locale, known) for channel in ("push", "sms"))
    assert (push.locale, sms.locale) == (locale, locale)
    assert 10 < len(push.head["title"]) < 60
    assert push.head["url"].startswith("https://shop.example.com/")
    assert len(push.text) < 120
    assert measure_sms(sms.text.strip()).segments <= 3
    assert "{{" not in push.text + sms.text + push.head["title"]


def test_links_carry_the_campaign() -> None:
    """The shop's link does, the unsubscribe link does not."""
    rendered = render("id", RICH)
    assert "https://shop.example.com/id/new?utm_source=homing&utm_medium=email&utm_campaign=winback" in rendered.text
    assert f'href="{URL}"' in rendered.html
