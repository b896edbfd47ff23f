"""The shipped campaigns: they load, nothing is found in them, and each template is a whole message in each of the four languages."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.app.marketing import gather
from daemon.app.setup import surroundings_of
from daemon.config import load_for_client
from daemon.content.campaigns import CampaignVersion, read_campaigns
from daemon.content.offer_words import offer_variables
from daemon.content.render import Renderer
from daemon.content.segment_file import load_segments
from daemon.content.sms_check import sms_warnings
from daemon.content.variables import build_variables
from daemon.dispatch.words import profile_words
from daemon.journey.profile import Shop
from daemon.model.campaign import CampaignStatus, Step
from daemon.model.delivery import DAY
from daemon.model.recipient import Recipient
from daemon.policy.caps import Cap
from daemon.reports.lint import lint

ROOT = Path(__file__).parents[3]
NOW = 1_795_000_000_000_000
LANGUAGES = ("en", "id", "ms", "fa")
CONFIG = load_for_client(ROOT / "config.toml", {})
SEGMENTS = load_segments(CONFIG.homing.segments)
CATALOGUE, PROBLEMS = read_campaigns(ROOT / "campaigns", surroundings_of(CONFIG, SEGMENTS))
PLAYBOOK = {
    "standard": [45, 60, 90], "high_value": [30, 45, 60, 80, 100], "deep_lapse": [180, 195, 215], "cart": [], "replenish": [0],
    "post_reactivation": [3, 10, 20, 30], "season": [100, 115], "nps": [], "inactive": [30, 60, 90], "welcome": [], "birthday": [0, 10],
    "contract": [-30, -7, 3, 20], "second_purchase": [30, 40], "engagement": [], "browsed": [], "store_visit": [], "detractors": [],
    "referral": [2], "referral_reward": [], "back_in_stock": [], "new_arrivals": [],
}  # fmt: skip
FACTS = replace(
    gather(CONFIG, SEGMENTS, audience=50_000), traits=["first_name"], rates={"email": 50.0, "sms": 10.0},
    caps=(Cap(name="weekly", limit=2, rolling=7 * DAY),),
)  # fmt: skip
"""A shop as the playbook takes it to be."""
PROFILE: dict[str, Any] = {
    "orders": 4, "value": 1_250_000_000, "returns": 0, "discount_orders": 1, "first_order_at": NOW - 345 * DAY, "last_order_at": NOW - 45 * DAY,
    "last_product": '{"name": "Aruna"}', "score": 0, "tickets_open": 0, "subscription_active": 0, "subscription_ends_at": NOW + 30 * DAY, "last_seen_at": NOW - 40 * DAY,
}  # fmt: skip


def messages() -> list[tuple[str, Step, str]]:
    """(campaign, step, channel) of each message of the playbook."""
    found = [(name, step, channel) for name in PLAYBOOK for step in CATALOGUE.versions[name].campaign.steps for channel in step.every_channel]
    return [each for each in found if each[2] != "audience"]


def render(name: str, step: Step, channel: str, language: str, **traits: Any) -> Any:
    """A message to a recipient with a profile; the best offer that the step may carry."""
    version = CATALOGUE.versions[name]
    person = Recipient(id=1, key="c-1", email="a@example.com", locale=language, zone="Asia/Jakarta", traits=traits)
    more: dict[str, object] = {
        "event": {"properties": {"products": [{"name": "Aruna"}, {"name": "Bima"}]}}, "recommendations": [{"name": "Citra"}],
        "preferences_url": "https://go.example.com/p/x", "countdown_url": "https://go.example.com/d/x.png",
    }  # fmt: skip
    for offer in [version.campaign.offers[each] for each in step.offer.values()]:
        more["offer"] = offer_variables(offer, locale=language, currency="USD", code="WB-12345678", shown_end=NOW + 7 * DAY)
    words = profile_words(PROFILE, Shop(), NOW)
    variables = build_variables(person, {}, unsubscribe_url="https://go.example.com/u/x", now=NOW, profile=words, more=more)
    return Renderer(version, shop={"currency": "USD"}).render(step.name, channel, language, variables, zone="Asia/Jakarta", now=NOW)


def test_all_shipped_campaigns_load() -> None:
    """With the shipped config; only the plain one, which the demo runs, is active."""
    assert [str(problem) for problem in PROBLEMS] == []
    assert {name for name, version in CATALOGUE.versions.items() if version.campaign.status is CampaignStatus.ACTIVE} == {"winback"}
    assert {*PLAYBOOK, "winback", "vip"} == set(CATALOGUE.versions)


@pytest.mark.parametrize("name", [*PLAYBOOK, "winback", "vip"])
def test_nothing_is_found_in_a_shipped_campaign(name: str) -> None:
    """They are to be copied. Two templates of the plain one leave their text part to Homing: tests show by them how it is made."""
    campaigns = {each: version.campaign for each, version in CATALOGUE.versions.items()}
    meant = ("reminder.email.id.liquid", "reminder.email.ms.liquid") if name == "winback" else ()
    found = [each for each in lint(CATALOGUE.versions[name], FACTS, campaigns) if (each.file, each.rule) not in {(m, "no-text-part") for m in meant}]
    assert [str(each) for each in found] == []
    assert sms_warnings(CATALOGUE.versions[name]) == []


@pytest.mark.parametrize(("name", "days"), PLAYBOOK.items())
def test_days_are_those_of_the_sources(name: str, days: list[int]) -> None:
    """Win-back: what is sent."""
    assert [step.day for step in CATALOGUE.versions[name].campaign.steps if step.day is not None] == days


@pytest.mark.parametrize(("name", "step", "channel"), [pytest.param(*each, id=f"{each[0]}-{each[1].name}-{each[2]}") for each in messages()])
def test_each_message_is_whole_in_each_language(name: str, step: Step, channel: str) -> None:
    """Its own language, its reading direction, personal, with a way out; and still a message to who has no name."""
    for language in LANGUAGES:
        made = render(name, step, channel, language, first_name="Sari")
        assert made.locale == (None if language == "en" else language)
        assert "Sari" in made.text + made.subject + str(made.head)
        if channel == "email":
            assert "https://go.example.com/u/x" in made.text
            assert made.html.count("<html") == 1
            assert ('dir="rtl"' in made.html) == (language == "fa")
            assert made.subject.startswith("Sari")
        if name == "cart" and channel == "email":
            assert made.text.count("- Aruna\n- Bima\n") == 1
        if step.offer:
            assert "WB-12345678" in made.text
        render(name, step, channel, language)


@pytest.mark.parametrize("name", PLAYBOOK)
def test_no_discount_stands_in_the_words(name: str) -> None:
    """Numbers are in the offers, so that a changed offer changes each message."""
    version = CATALOGUE.versions[name]
    for file, text in version.files.items():
        if file.endswith(".liquid"):
            assert not re.search(r"[0-9۰-۹]\s*[%٪]|[%٪]\s*[0-9۰-۹]", re.sub(r'style="[^"]*"|\{[%{].*?[%}]\}', "", text)), file


def test_persian_dates_are_of_the_persian_calendar() -> None:
    """18 November 2026 and a week is 4 Azar 1405."""
    step = next(step for step in CATALOGUE.versions["standard"].campaign.steps if step.name == "offer")
    assert "۴ آذر ۱۴۰۵" in render("standard", step, "email", "fa", first_name="سارا").text


def test_a_version_of_the_playbook_survives_the_store() -> None:
    """All that a campaign may say is in one of them."""
    for version in CATALOGUE.versions.values():
        assert CampaignVersion.from_json(version.to_json()) == version
