"""The keys of an SMS provider: all problems at once, each with its key; and what follows from them."""

from __future__ import annotations

from typing import Any

import pytest

from channels.sms_twilio import Settings
from plugins import Secret
from plugins.settings import SettingsRefusedError, read_settings

GOOD: dict[str, Any] = {"account_sid": "AC" + "a" * 32, "auth_token": Secret("t"), "from": "+6281234567890"}
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("account_sid", {"account_sid": "SK" + "a" * 32}, "AC and 32"),
    ("auth_token", {"auth_token": Secret("")}, "empty"),
    ("api_key_sid", {"api_key_sid": "AC" + "a" * 32, "api_key_secret": Secret("s")}, "SK and 32"),
    ("api_key_secret", {"api_key_sid": "SK" + "a" * 32}, "go together"),
    ("api_key_sid", {"api_key_secret": Secret("s")}, "go together"),
    ("from", {"messaging_service_sid": "MG" + "a" * 32}, "exactly one"),
    ("from", {"from": "+0123"}, "must be a number"),
    ("from", {"from": "whatsapp:+6281234567890"}, "must be a number"),
    ("messaging_service_sid", {"from": None, "messaging_service_sid": "MGx", "countries": ["ID"]}, "MG and 32"),
    ("countries", {"from": "KEDAI"}, "is missing"),
    ("countries", {"from": "12345"}, "is missing"),
    ("countries", {"countries": ["Indonesia"]}, "no country code"),
    ("prices", {"prices": {"id": 1.0}}, "no country code"),
    ("prices", {"prices": {"ID": -1.0}}, "0 or more"),
    ("currency", {"currency": "dollars"}, "currency code"),
    ("daily_spend", {"daily_spend": 10.0}, "needs prices for ID"),
    ("daily_spend", {"daily_spend": 10.0, "prices": {"ID": 0.4}, "countries": ["ID", "MY"]}, "needs prices for MY"),
    ("daily_spend", {"daily_spend": 0.0, "prices": {"*": 0.4}}, "more than 0"),
    ("max_segments", {"max_segments": 0}, "between 1 and 10"),
    ("concurrency", {"concurrency": 0}, "between"),
    ("request_seconds", {"request_seconds": 60.0}, "between 1 and 25"),
    ("stop_words", {"stop_words": [" "]}, "empty word"),
    ("base_url", {"base_url": "http://api.twilio.com"}, "must be https"),
    ("base_url", {"base_url": "https://user:pw@api.twilio.com"}, "must be an address"),
    ("base_url", {"base_url": "ftp://x"}, "must be an address"),
    ("base_url", {"base_url": "https://[::1"}, "no address"),
]


@pytest.mark.parametrize(("key", "change", "what"), BAD)
def test_a_bad_key_is_told_by_its_name(key: str, change: dict[str, Any], what: str) -> None:
    """With what to write instead."""
    with pytest.raises(SettingsRefusedError) as refused:
        read_settings(Settings, {**GOOD, **change}, path=("providers", "sms"))
    assert [(problem.key, what in problem.what) for problem in refused.value.problems] == [(f"providers.sms.{key}", True)]


def test_all_problems_come_at_once() -> None:
    """Three of them."""
    with pytest.raises(SettingsRefusedError) as refused:
        read_settings(Settings, {"account_sid": "x", "auth_token": Secret("t"), "max_segments": 99})
    assert [problem.key for problem in refused.value.problems] == ["account_sid", "from", "max_segments"]


@pytest.mark.parametrize(
    ("change", "allowed"),
    [({}, {"ID"}), ({"from": "+60123456789"}, {"MY"}), ({"countries": ["US", "CA"]}, {"US", "CA"}), ({"from": "KEDAI", "countries": ["ID"]}, {"ID"})],
)
def test_without_countries_the_senders_own_is_allowed(change: dict[str, Any], allowed: set[str]) -> None:
    """Never all of them: SMS pumping lives of open gates."""
    assert read_settings(Settings, {**GOOD, **change}).allowed == allowed


def test_a_price_is_the_countrys_or_the_stars() -> None:
    """Without either it is 0."""
    settings = read_settings(Settings, {**GOOD, "prices": {"ID": 0.4, "*": 0.05}, "daily_spend": 10.0})
    assert (settings.price_of("ID"), settings.price_of("MY"), settings.price_of(None)) == (0.4, 0.05, 0.05)
    assert read_settings(Settings, GOOD).price_of("ID") == 0.0


def test_no_secret_shows() -> None:
    """In the settings' own text."""
    assert "Secret(***)" in repr(read_settings(Settings, GOOD))
    assert "'t'" not in repr(read_settings(Settings, GOOD))
