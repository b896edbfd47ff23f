"""Twilio SMS: the keys of a `[providers.NAME]` table with `plugin = "sms_twilio"`, checked before anything is opened.

All problems are told at once, each with its key, so that the loader can print them beside the line of config.toml.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from channels.sms_twilio.numbers import place_of
from plugins import Secret, SettingError
from plugins.http import is_loopback

ANY = "*"
"""In `prices`: every other country."""

_SID = re.compile(r"[0-9a-fA-F]{32}")
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_SHORT = re.compile(r"[0-9]{3,8}")
_ALPHANUMERIC = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 &+_-]{1,11}")
_SENDERS = (_NUMBER, _SHORT, _ALPHANUMERIC)
_COUNTRY = re.compile(r"[A-Z]{2}")
_CURRENCY = re.compile(r"[A-Z]{3}")


class Problem(NamedTuple):
    """What is wrong with a key."""

    key: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The provider's keys; the key `from` is the field `from_`. Durations in seconds.

    account_sid, auth_token: from the console's first page; the token also checks the signature of callbacks. api_key_sid,
    api_key_secret: sign in by an API key instead. webhook_secret: the shared key, if callbacks are signed by one.
    from: a number (+E.164), short code or sender name; or messaging_service_sid: exactly one of both.
    countries: where messages may go, as ["ID", "MY"]; empty = the country of `from`. max_segments: a longer message is refused.
    smart_encoding: replace typographic quotes, dashes and spaces where that makes a message GSM-7 (70 -> 160 characters a segment).
    prices: of a segment by country, { ID = 0.4, "*" = 0.05 }, in `currency`; daily_spend: the most that may be spent in a day.
    stop_words: replies that mean STOP, beside the usual ones. concurrency: requests at once. request_seconds: for one, all in all.
    base_url: Twilio's address; another one only for tests and the sandbox.
    """

    account_sid: str
    auth_token: Secret
    from_: str | None = None
    messaging_service_sid: str | None = None
    api_key_sid: str | None = None
    api_key_secret: Secret | None = None
    webhook_secret: Secret | None = None
    countries: tuple[str, ...] = ()
    max_segments: int = 3
    smart_encoding: bool = False
    prices: Mapping[str, float] = field(default_factory=dict)
    currency: str = "USD"
    daily_spend: float | None = None
    stop_words: tuple[str, ...] = ()
    concurrency: int = 20
    request_seconds: float = 20.0
    base_url: str = "https://api.twilio.com"

    def __post_init__(self) -> None:
        problems = [*self._account_problems(), *self._sender_problems(), *self._price_problems(), *self._number_problems()]
        if problems:
            raise ExceptionGroup("the settings of a Twilio SMS provider", [SettingError(*problem) for problem in problems])

    @property
    def allowed(self) -> frozenset[str]:
        """The countries that messages may go to."""
        return frozenset(self.countries or (_home(self.from_),)) - {""}

    def price_of(self, country: str | None) -> float:
        """Of one segment, in `currency`; 0 if the operator gave none."""
        return self.prices.get(country or ANY, self.prices.get(ANY, 0.0))

    def _account_problems(self) -> Iterator[Problem]:
        if not _is_sid(self.account_sid, "AC"):
            yield Problem("account_sid", "must be AC and 32 hexadecimal digits")
        if not self.auth_token.reveal():
            yield Problem("auth_token", "is empty")
        if (self.api_key_sid is None) != (self.api_key_secret is None):
            missing = "api_key_secret" if self.api_key_secret is None else "api_key_sid"
            yield Problem(missing, "is missing: api_key_sid and api_key_secret go together")
        elif self.api_key_sid is not None and not _is_sid(self.api_key_sid, "SK"):
            yield Problem("api_key_sid", "must be SK and 32 hexadecimal digits")
        if (what := _url_problem(self.base_url)) is not None:
            yield Problem("base_url", what)

    def _sender_problems(self) -> Iterator[Problem]:
        if (self.from_ is None) == (self.messaging_service_sid is None):
            yield Problem("from", "give exactly one of from and messaging_service_sid")
        elif self.messaging_service_sid is not None and not _is_sid(self.messaging_service_sid, "MG"):
            yield Problem("messaging_service_sid", "must be MG and 32 hexadecimal digits")
        elif self.from_ is not None and not any(form.fullmatch(self.from_) for form in _SENDERS):
            yield Problem("from", "must be a number such as +6281111111111, a short code, or a sender name of up to 11 letters and digits")
        elif not self.countries and not _home(self.from_):
            yield Problem("countries", "is missing: name the countries that messages may go to (a sender that is no phone number has none)")
        for country in self.countries:
            if _COUNTRY.fullmatch(country) is None:
                yield Problem("countries", f'"{country}" is no country code such as "ID"')

    def _price_problems(self) -> Iterator[Problem]:
        for country, price in self.prices.items():
            if country != ANY and _COUNTRY.fullmatch(country) is None:
                yield Problem("prices", f'"{country}" is no country code such as "ID", and not "*"')
            if not (math.isfinite(price) and price >= 0):
                yield Problem("prices", f"{country}: must be 0 or more")
        if _CURRENCY.fullmatch(self.currency) is None:
            yield Problem("currency", "must be a currency code such as USD")
        if self.daily_spend is None:
            return
        if not (math.isfinite(self.daily_spend) and self.daily_spend > 0):
            yield Problem("daily_spend", "must be more than 0")
        elif ANY not in self.prices and (unpriced := sorted(self.allowed - self.prices.keys())):
            yield Problem("daily_spend", f'needs prices for {", ".join(unpriced)}: give prices = {{ {unpriced[0]} = .., "*" = .. }}')

    def _number_problems(self) -> Iterator[Problem]:
        if not 1 <= self.max_segments <= 10:
            yield Problem("max_segments", "must be between 1 and 10 (Twilio takes 1,600 characters)")
        if not 1 <= self.concurrency <= 500:
            yield Problem("concurrency", "must be between 1 and 500")
        if not 1 <= self.request_seconds <= 25:  # the shared session ends at 30 s
            yield Problem("request_seconds", "must be between 1 and 25")
        for word in self.stop_words:
            if not word.strip():
                yield Problem("stop_words", "has an empty word")


def _is_sid(text: str, prefix: str) -> bool:
    return text.startswith(prefix) and _SID.fullmatch(text[len(prefix) :]) is not None


def _home(sender: str | None) -> str:
    """The country of a sender that is a phone number, else nothing."""
    return (place_of(sender).country or "") if sender is not None and _NUMBER.fullmatch(sender) else ""


def _url_problem(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is no address"
    if parts.scheme not in ("https", "http") or not host or parts.query or parts.fragment or parts.username:
        return "must be an address such as https://api.twilio.com"
    if parts.scheme == "http" and not is_loopback(host):
        return "must be https: the token would cross the network in clear"
    return None
