"""What a profile is called in a template: only what is known, in units that a template prints."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.content.variables import PROFILE_WORDS
from daemon.dispatch.words import NO_CODE, made_up, profile_words
from daemon.journey.profile import Shop
from daemon.model.campaign import Campaign, Step
from daemon.model.delivery import DAY
from daemon.model.journey import Experiment, Offer, OfferKind, Part, Variant

NOW = 1_795_000_000_000_000
NOTHING: dict[str, Any] = {
    "person": 1, "orders": 0, "value": 0, "unvalued": 0, "returns": 0, "discount_orders": 0, "first_order_at": None, "previous_order_at": None,
    "last_order_at": None, "last_product": None, "last_open_at": None, "last_click_at": None, "last_visit_at": None, "last_seen_at": None,
    "score": 0, "score_until": None, "tickets_open": 0, "subscription_active": 0, "subscription_ends_at": None, "lapse_reason": None,
    "nps": None, "last_survey_at": None, "p_alive": None,
}  # fmt: skip
FULL: dict[str, Any] = {
    **NOTHING, "orders": 3, "value": 512_500_000, "returns": 1, "discount_orders": 1, "first_order_at": NOW - 165 * DAY,
    "last_order_at": NOW - 45 * DAY - 1, "last_product": '{"name": "shoes", "category": "sport"}', "last_visit_at": NOW - 3 * DAY, "score": 4,
    "tickets_open": 1, "subscription_active": 1, "subscription_ends_at": NOW - 1, "lapse_reason": "price", "nps": 9, "last_survey_at": NOW,
}  # fmt: skip


def test_each_word_of_a_full_profile() -> None:
    """45 days and a microsecond are 45 days; 120 days between three orders are a cycle of 60; a subscription that has ended is none."""
    assert profile_words(FULL, Shop(), NOW) == {
        "tier": "high", "band": "early", "orders": 3, "value": 512.5, "discount_share": 0.3333, "days_since_order": 45, "cycle_days": 60,
        "last_product": {"name": "shoes", "category": "sport"}, "first_order_at": "2026-06-06T11:06:40.000Z",
        "last_order_at": "2026-10-04T11:06:39.999Z", "days_since_visit": 3, "score": 4, "tickets_open": 1, "returns": 1,
        "subscription_active": False, "subscription_ends_at": "2026-11-18T11:06:39.999Z", "lapse_reason": "price", "nps": 9,
        "last_survey_at": "2026-11-18T11:06:40.000Z",
    }  # fmt: skip


def test_all_words_are_known_to_the_templates() -> None:
    """A word that the loader does not know would not make it read the profile."""
    assert set(profile_words(FULL, Shop(), NOW)) <= PROFILE_WORDS


@pytest.mark.parametrize("profile", [None, NOTHING])
def test_who_has_bought_nothing_has_a_tier_and_no_purchases(profile: dict[str, Any] | None) -> None:
    """No word of orders, so that the traits of a shop that sends no events keep theirs."""
    words = profile_words(profile, Shop(), NOW)
    assert words["tier"] == "low"
    assert not words.keys() & {"orders", "value", "days_since_order", "last_product", "band"}
    assert "tier" not in profile_words(profile, Shop(), NOW, knows_tier=True)


def test_a_message_that_is_only_looked_at_has_an_offer_of_its_tier_and_no_real_code() -> None:
    """By variant before tier; a step without an offer has none, so that its words are judged as they will be."""
    offers = {
        name: Offer(name=name, parts=(Part(kind=OfferKind.PERCENT, value=value),), rank=rank, valid=2 * DAY, generate="WB-########")
        for rank, (name, value) in enumerate({"few": 15.0, "many": 30.0, "tried": 20.0}.items())
    }
    arms = Experiment(variants=(Variant(name="a", share=0.5), Variant(name="b", share=0.5, offer={"default": "tried"})))
    plain, carrying = Step(name="x", channels=("email",)), Step(name="y", channels=("email",), offer={"default": "few", "high": "many"}, experiment=arms)
    campaign = Campaign(name="w", steps=(plain, carrying), offers=offers)
    assert made_up(campaign, plain, None, "high", None, "USD", NOW, {"value": 3}) == {
        "event": {"name": "Preview", "at": "2026-11-18T11:06:40.000Z", "properties": {"value": 3}}
    }
    for variant, tier, text in ((None, "high", "30% off"), ("a", "low", "15% off"), ("b", "high", "20% off")):
        offer = made_up(campaign, carrying, variant, tier, None, "USD", NOW, {})["offer"]
        assert isinstance(offer, dict)
        assert (offer["text"], offer["code"], offer["ends_at"]) == (text, NO_CODE, "2026-11-20T11:06:40+00:00")
