"""POLICY, the rules of one config, compiled: windows, caps, weights, consent, zones. `version` names them in each decision.

`compile_rules` takes the checked config and reports what only this floor can see (window texts, weights above their cap)
as one ConfigError. A new config makes a new object; nothing here changes after that but two small caches.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from daemon.config.load import Config
from daemon.config.schema import CapTable
from daemon.errors import ConfigError, Problem
from daemon.model.audience import AUDIENCE
from daemon.model.delivery import MINUTE
from daemon.policy import zones as z
from daemon.policy.caps import UNIT, Cap, OnCap, longest_reach
from daemon.policy.hours import WindowError, WindowRule, parse_window
from daemon.policy.periods import Calendar
from daemon.policy.permission import ConsentRule
from daemon.policy.subject import Candidate, PersonFacts

SPREAD = 30 * MINUTE
DEFAULT_CONSENT: Mapping[str, str] = {"email": ConsentRule.IMPLIED, "sms": ConsentRule.EXPLICIT, "push": ConsentRule.EXPLICIT}
DEFAULT_WINDOW = parse_window({}, start="09:00", end="21:00")
_CACHE = 4096
AUDIENCE_DAY = "audience_day"
"""The weight of a day in an audience, as `[weights]` calls it."""

KeyPath = tuple[str | int, ...]
_WindowKey = tuple[str, frozenset[str], WindowRule | None, WindowRule | None, WindowRule | None]


class Scope(NamedTuple):
    """The caps over one kind of message, the dropping ones first, and the checks of a message that passes them all."""

    caps: tuple[Cap, ...]
    passed: tuple[tuple[str, str], ...]
    calendars: tuple[Calendar, ...]


NO_CAPS = Scope((), (), ())


class Named(NamedTuple):
    """A window rule and what it is called in `rule` and texts."""

    name: str
    rule: WindowRule


class Windows(NamedTuple):
    """The window rules over one message, with and without their names."""

    named: tuple[Named, ...]
    rules: tuple[WindowRule, ...]


NO_WINDOWS = Windows((), ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Everything from the config that a decision rests on. Durations in microseconds."""

    window: WindowRule = DEFAULT_WINDOW
    channel_windows: Mapping[str, WindowRule] = field(default_factory=dict)
    country_windows: Mapping[str, WindowRule] = field(default_factory=dict)
    caps: tuple[Cap, ...] = ()
    consent: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_CONSENT))
    home_countries: tuple[str, ...] = ()
    default_zone: str | None = None
    unknown_zone: str = z.UnknownZone.INTERSECT
    spread: int = SPREAD
    version: str = field(init=False)
    passed: tuple[str, str] = field(init=False, compare=False, repr=False)
    """The rule of a Send: all of them."""
    horizon: int = field(init=False)
    """How far back touches are needed, in microseconds; 0 = there is no cap."""
    fallback: z.ZoneGuess = field(init=False)
    _caps: dict[tuple[str, str | None, str], Scope] = field(init=False, compare=False, repr=False)
    _windows: dict[_WindowKey, Windows] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        guess = z.fallback_zones(home_countries=self.home_countries, default_zone=self.default_zone, unknown_zone=self.unknown_zone)
        digest = hashlib.sha256(self.canonical().encode()).hexdigest()
        version = f"sha256:{digest[:16]}"
        made = {
            "version": version, "passed": ("policy", version), "horizon": longest_reach(self.caps), "fallback": guess,
            "_caps": {}, "_windows": {},
        }  # fmt: skip
        for name, value in made.items():
            object.__setattr__(self, name, value)

    def canonical(self) -> str:
        """The rules as JSON text, the same for equal rules: what `version` is the digest of."""
        rules = {
            "window": self.window.texts(),
            "channels": {key: rule.texts() for key, rule in self.channel_windows.items()},
            "countries": {key: rule.texts() for key, rule in self.country_windows.items()},
            "caps": [{"name": cap.name, "on_cap": cap.on_cap, "weights": cap.weights, **cap.facts()} for cap in self.caps],
            "consent": dict(self.consent),
            "home_countries": self.home_countries,
            "default_zone": self.default_zone,
            "unknown_zone": self.unknown_zone,
            "spread": self.spread,
            "tzdata": z.tzdata_version(),
        }
        return json.dumps(rules, sort_keys=True, separators=(",", ":"))

    def scope(self, candidate: Candidate) -> Scope:
        """The caps that a marketing message comes under."""
        key = candidate.channel, candidate.topic, candidate.campaign
        found = self._caps.get(key)
        if found is None:
            if len(self._caps) >= _CACHE:
                self._caps.clear()
            caps = (cap for cap in self.caps if cap.covers(*key))
            ordered = tuple(sorted(caps, key=lambda cap: cap.on_cap is not OnCap.DROP))
            calendars = {cap.calendar for cap in ordered if cap.calendar is not None}
            found = self._caps[key] = Scope(ordered, tuple((cap.rule, "pass") for cap in ordered), tuple(sorted(calendars)))
        return found

    def windows(self, candidate: Candidate, person: PersonFacts) -> Windows:
        """All window rules over a candidate that ever close; the config's first."""
        countries = self._countries(person) if self.country_windows else _NOWHERE
        key = candidate.channel, countries, candidate.campaign_window, candidate.job_window, person.quiet_hours
        found = self._windows.get(key)
        if found is None:
            if len(self._windows) >= _CACHE:
                self._windows.clear()
            named = self._all_windows(*key)
            found = self._windows[key] = Windows(named, tuple(item.rule for item in named))
        return found

    def guess_zones(self, person: PersonFacts) -> z.ZoneGuess:
        """Where the person may be."""
        if person.zone is not None and (known := z.explicit_zone(person.zone)) is not None:
            return known
        guess = z.candidate_zones(
            explicit=person.zone, device=person.device_zone, phone=person.phone, address_zone=person.address_zone, country=person.country,
        )  # fmt: skip
        return guess if guess.names else self.fallback

    def _all_windows(
        self, channel: str, countries: frozenset[str], campaign: WindowRule | None, job: WindowRule | None, quiet: WindowRule | None
    ) -> tuple[Named, ...]:
        found = [("window", self.window), (f"window.channels.{channel}", self.channel_windows.get(channel))]
        found += [(f"window.countries.{code}", self.country_windows.get(code)) for code in sorted(countries)]
        found += [("campaign.window", campaign), ("job.window", job), ("recipient.quiet_hours", quiet)]
        return tuple(Named(name, rule) for name, rule in found if rule is not None and not rule.always)

    def _countries(self, person: PersonFacts) -> frozenset[str]:
        """The person's country; unknown: the phone number's; unknown: those of the zones that are possible."""
        if person.country:
            return frozenset({person.country.upper()})
        if person.phone and (code := z.phone_country(person.phone)):
            return frozenset({code})
        return frozenset(filter(None, map(z.zone_country, self.guess_zones(person).names)))


_NOWHERE: frozenset[str] = frozenset()


def compile_rules(config: Config, *, spread: int = SPREAD) -> Rules:
    """The rules of a config. ConfigError has all problems, with the file and line of each."""
    problems: list[Problem] = []

    def window(path: KeyPath, table: Mapping[str, Any]) -> WindowRule:
        try:
            return parse_window(table)
        except WindowError as error:
            problems.extend(config.problem((*path, each.key), each.what, each.suggestion) for each in (error, *error.others))
            return DEFAULT_WINDOW

    weights = {AUDIENCE if channel == AUDIENCE_DAY else channel: round(weight * UNIT) for channel, weight in config.weights.items()}
    caps = tuple(new_cap(table, weights) for table in config.caps)
    for index, table in enumerate(config.caps):
        if table.count == "touches" and table.limit % 1:
            problems.append(config.problem(("cap", index, "limit"), f"must be a whole number of touches (got {table.limit:g})"))
    rules = Rules(
        window=window(("window",), config.window.default),
        channel_windows={key: window(("window", "channels", key), table) for key, table in config.window.channels.items()},
        country_windows={key: window(("window", "countries", key), table) for key, table in config.window.countries.items()},
        caps=caps, consent=dict(config.consent.channels), home_countries=tuple(config.homing.home_countries),
        default_zone=config.homing.default_zone, unknown_zone=config.homing.unknown_zone, spread=spread,
    )  # fmt: skip
    for index, cap in enumerate(caps):
        problems += (config.problem(("cap", index, "limit"), what) for what in impossible(cap))
    for country in config.consent.countries:
        problems.append(config.problem(("consent", "countries", country), "is not supported yet"))
    if problems:
        raise ConfigError(problems)
    return rules


def new_cap(table: CapTable, weights: Mapping[str, int]) -> Cap:
    """A `[[cap]]` as the rules use it. `weights`: channel -> thousandths of a unit."""
    units = table.count == "units"
    return Cap(
        name=table.name, limit=round(table.limit * UNIT) if units else int(table.limit), rolling=table.rolling,
        calendar=Calendar(table.calendar) if table.calendar else None, channels=frozenset(table.channels) or None,
        topics=frozenset(table.topics) or None, campaign=table.campaign or None, weights=dict(weights) if units else None,
        on_cap=OnCap(table.on_cap),
    )  # fmt: skip


def impossible(cap: Cap) -> list[str]:
    """Channels whose single message is more than the whole cap: nothing could ever be sent over them."""
    channels = cap.channels if cap.channels is not None else (cap.weights or {}).keys() - {AUDIENCE}
    heavy = [channel for channel in sorted(channels) if cap.weight(channel) > cap.limit]
    return [f"one message over {channel} weighs {cap.shown(cap.weight(channel)):g} units: it could never be sent" for channel in heavy]
