"""What marketers do beside a running daemon: look campaigns over (`campaigns lint`) and see a message as one recipient would (`preview`).

Reads the folder as it is now and the store read-only, whoever holds it; writes neither.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.app.setup import surroundings_of
from daemon.clock import Clock
from daemon.config import Config
from daemon.content.campaigns import CampaignVersion, read_campaigns, read_folder
from daemon.content.render import Renderer
from daemon.content.segment_file import load_segments
from daemon.content.variables import build_variables
from daemon.dispatch.words import made_up, product_words, profile_words
from daemon.errors import ConfigError, NotFoundError, Problem, StoreUnavailableError, nearest
from daemon.intake.tracker import shop_of
from daemon.model.delivery import Instant
from daemon.model.recipient import Recipient
from daemon.model.segment import Segment, Segments
from daemon.policy.rules import compile_rules
from daemon.reports.lint import Finding, LintFacts, SegmentFacts, lint, placed
from daemon.store.beside import look
from daemon.store.lint_facts import segment_sizes, trait_names
from daemon.store.products import recommended
from daemon.store.profiles import read_profile
from daemon.store.recipients import read_recipient

CHANNELS: Mapping[str, str] = {"smtp": "email", "sms_twilio": "sms", "webpush": "push"}
"""What the built-in plugins with a rate serve."""
NOWHERE = "https://example.com/unsubscribe"
TICKET = "preview"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """`problems`: what keeps a campaign from being loaded; `findings`: what its author may not have meant; `campaigns`: those looked at."""

    problems: Sequence[Problem]
    findings: Sequence[Finding]
    campaigns: Sequence[str]


def review(config: Config, names: Sequence[str], *, audience: int | None = None) -> Review:
    """The campaigns of these names, or all. NotFoundError for a name that has no folder. `audience`: see LintFacts."""
    folder = config.homing.campaigns
    segments, wrong = _segments(config)
    catalogue, problems = read_campaigns(folder, surroundings_of(config, segments))
    there = {entry.name for entry in folder.iterdir() if entry.is_dir()} if folder.is_dir() else set()
    for name in names:
        if name not in there:
            near = nearest(name, sorted(there))
            raise NotFoundError(f'no campaign "{name}" in {folder}' + (f'; did you mean "{near}"?' if near else ""))
    wanted = [name for name in sorted(catalogue.versions) if not names or name in names]
    facts = gather(config, segments, audience)
    campaigns = {name: version.campaign for name, version in catalogue.versions.items()}
    findings = [each for name in wanted for each in placed(lint(catalogue.versions[name], facts, campaigns), folder / name)]
    mine = [each for each in problems if not names or any(each.where.startswith(f"{folder / name}/") for name in names)]
    return Review(problems=[*wrong, *mine], findings=findings, campaigns=wanted)


def gather(config: Config, segments: Segments | None, audience: int | None = None) -> LintFacts:
    """What config, segments file and store say that a look at campaigns needs."""
    rates: dict[str, float] = {}
    for table in config.providers.values():
        channel = CHANNELS.get(table.plugin)
        if channel is not None and table.rate is not None:
            rates[channel] = rates.get(channel, 0.0) + table.rate.per_second
    traits, sizes = None, {}
    with contextlib.suppress(StoreUnavailableError):  # nothing is known then
        traits, sizes = look(config.homing.database, trait_names), look(config.homing.database, segment_sizes)
    return LintFacts(
        caps=compile_rules(config).caps, consent=dict(config.consent.channels), rates=rates, traits=traits, audience=audience,
        holdout=config.holdout.share,
        segments=None if segments is None else {name: _fact(each, sizes) for name, each in segments.by_name.items()},
    )  # fmt: skip


def _segments(config: Config) -> tuple[Segments | None, Sequence[Problem]]:
    """Those of the segments file; None and what is wrong with it."""
    try:
        return load_segments(config.homing.segments), ()
    except ConfigError as error:
        return None, error.problems


def _fact(segment: Segment, sizes: Mapping[str, int]) -> SegmentFacts:
    by_tier = segment.expression is not None and "tier" in segment.expression.text
    return SegmentFacts(excludes=bool(segment.exclude), by_tier=by_tier, people=sizes.get(segment.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One message. `html` is empty where the channel has none."""

    step: str
    channel: str
    variant: str | None
    locale: str | None
    subject: str
    head: Mapping[str, str]
    html: str
    text: str


def preview(
    config: Config, name: str, step: str, recipient: str, *, clock: Clock, variant: str | None = None, locale: str | None = None,
    vars: Mapping[str, Any] | None = None,
) -> list[Preview]:  # fmt: skip
    """A step's message over each of its channels, as the folder has it now, for a recipient of the store. NotFoundError, ConfigError,
    RenderError. What comes only with a send is made up: links, the code of an offer, an event."""
    version = _version(config, name)
    found = next((each for each in version.campaign.steps if each.name == step), None)
    if found is None or found.act is not None:
        near = nearest(step, [each.name for each in version.campaign.steps if each.act is None])
        raise NotFoundError(f'the campaign {name} has no message "{step}"' + (f'; did you mean "{near}"?' if near else ""))
    if variant is not None and variant not in [each.name for each in found.variants]:
        raise NotFoundError(f'the step {step} has no variant "{variant}" (it has {", ".join(v.name for v in found.variants) or "none"})')
    now = clock.instant()
    person, profile = _person(config, recipient, now)
    words = profile_words(profile, shop_of(config), now, knows_tier="tier" in person.traits)
    tier = str(words.get("tier") or person.traits.get("tier") or "default")
    renderer = Renderer(version, shop={"currency": config.shop.currency})
    products = look(config.homing.database, recommended, [person.id], now).get(person.id, [])
    made = []
    for channel in found.every_channel:
        if channel == "audience":
            continue
        more = made_up(version.campaign, found, variant, tier, locale or person.locale, config.shop.currency, now, vars or {})
        more |= {"push_join_token": TICKET, "preferences_url": NOWHERE, "countdown_url": NOWHERE}
        more |= product_words(products, locale or person.locale, config.shop.currency)
        variables = build_variables(person, vars or {}, unsubscribe_url=NOWHERE, now=now, profile=words, more=more)
        got = renderer.render(step, channel, locale or person.locale, variables, variant=variant, zone=person.zone, now=now)
        made.append(
            Preview(
                step=step, channel=channel, variant=variant, locale=got.locale, subject=got.subject, head=got.head, html=got.html,
                text=got.text,
            )
        )  # fmt: skip
    return made


def _version(config: Config, name: str) -> CampaignVersion:
    folder = config.homing.campaigns
    if not (folder / name).is_dir():
        near = nearest(name, sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else [])
        raise NotFoundError(f'no campaign "{name}" in {folder}' + (f'; did you mean "{near}"?' if near else ""))
    version, problems = read_folder(folder / name, surroundings_of(config, _segments(config)[0]))
    if problems or version is None:
        raise ConfigError(problems)
    return version


def _person(config: Config, key: str, now: Instant) -> tuple[Recipient, Mapping[str, Any] | None]:
    view = look(config.homing.database, read_recipient, key)
    if view is None:
        raise NotFoundError(f'no recipient has the id "{key}"')
    return view.recipient, look(config.homing.database, read_profile, view.recipient.id, now)
