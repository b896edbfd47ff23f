"""CONTENT: the steps of `campaign.toml` with their experiments and escalations, its audiences, and the acts that are no messages. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from daemon.config.values import BadValue, kind, one_of, parse_name, text
from daemon.content.audience_name import VARIABLES, fault_of_name
from daemon.content.campaign_table import Report, Table, channels, gap, life, share, short_text, step_name, whole, word
from daemon.errors import nearest
from daemon.model.audience import AUDIENCE, STAY, AudienceRule
from daemon.model.campaign import REACTIONS, Campaign, Escalation, Mode, Step
from daemon.model.journey import ACT_CHANNELS, DEFAULT_TIER, Act, Experiment, Metric, Season, Variant

TIERS = (DEFAULT_TIER, "high", "medium", "low")
ACTS = ("set", "call", "task")
_OF_A_MESSAGE = ("channels", "valid", "mode", "offer", "escalate", "experiment", "subject")
_FIRST_DAY, _LAST_DAY = -400, 4000


def read_steps(top: Table) -> tuple[Step, ...]:
    tables = top.array("step")
    if tables == []:
        top.fault("step", "missing: a campaign has at least one [[step]]")
    return tuple(step for table in tables or () if (step := _step(table)))


def _step(table: Table) -> Step | None:
    act = _act(table)
    table.need("name")
    name = table.take("name", step_name, "")
    if act is not None:
        step = Step(name=name, channels=(), act=act, day=table.take("day", day, None), delay=table.take("delay", gap, None),
                    where=table.take_where())  # fmt: skip
        for key in _OF_A_MESSAGE:
            table.taken.add(key)
            if key in table.table:
                table.fault(key, f"is of a message; this step is a {act.kind}")
        table.taken.update(("hours", "season"))
        for key in ("hours", "season"):
            if key in table.table:
                table.fault(key, f"is of a message; this step is a {act.kind}")
        table.close()
        return step if name else None
    table.need("channels")
    nowhere: tuple[str, ...] = ()
    over = table.take("channels", channels, nowhere)
    mode = table.take("mode", lambda value: _mode(value, over), Mode.FIRST)
    step = Step(
        name=name,
        channels=over,
        valid=table.take("valid", life, STAY if over == (AUDIENCE,) else Step(name="", channels=()).valid),
        mode=mode,
        escalate=_escalation(table.inner("escalate"), over, mode),
        day=table.take("day", day, None),
        delay=table.take("delay", gap, None),
        offer=table.take("offer", offer_by_tier, {}),
        experiment=_experiment(table.inner("experiment"), over),
        where=table.take_where(),
        subject=table.take("subject", short_text, None),
        hours=table.take_hours("hours"),
        season=_season(table.inner("season")),
    )
    table.taken.update(ACTS)
    table.close()
    return step if name and over else None


def _act(table: Table) -> Act | None:
    """What a step does that is no message; None if it is one."""
    there = [key for key in ACTS if key in table.table]
    table.taken.update(ACTS)
    if len(there) > 1:
        table.fault(there[1], f"a step does one thing; it has {there[0]} already")
    if not there:
        return None
    inner = table.inner(there[0])
    if inner is None:
        return Act(kind=there[0])
    none: tuple[str, ...] = ()
    if there[0] == "set":
        act = Act(kind="set", tags=inner.take("tags", _tags, none), traits=inner.take("traits", _traits, {}))
        if not act.tags and not act.traits:
            inner.fault(None, 'says nothing: { tags = ["comeback"] } or { traits = { club = "silver" } }')
    else:
        if there[0] == "call":
            inner.need("provider")
        channel, known = ACT_CHANNELS[there[0]], table.report.around.providers
        provider = inner.take("provider", lambda value: _provider(value, channel, known), None)
        act = Act(kind=there[0], provider=provider, text=inner.take("text", short_text, ""))
        if act.kind == "task":
            inner.need("text")
    inner.close()
    return act


def _provider(value: Any, channel: str, known: Mapping[str, str | None] | None) -> str:
    """A provider that serves the act's channel."""
    name = parse_name(value)
    if known is None:
        return name
    fitting = [each for each, serves in known.items() if serves in (channel, None)]
    if name not in known:
        raise BadValue(f'no provider "{name}" (no [providers.{name}])', nearest(name, fitting))
    if name not in fitting:
        raise BadValue(f'the provider "{name}" serves the channel {known[name]}, this goes over {channel}', nearest(name, fitting))
    return name


def day(value: Any) -> int:
    return whole(value, _FIRST_DAY, _LAST_DAY)


def offer_by_tier(value: Any) -> Mapping[str, str]:
    """`offer = "back15"`, or a table from tier to offer."""
    if isinstance(value, str):
        return {DEFAULT_TIER: parse_name(value)}
    if not isinstance(value, dict) or not value:
        raise BadValue(f'must be an offer\'s name or a table by tier such as {{ default = "back15" }}, not {kind(value)}')
    _check_tiers(value)
    return {tier: parse_name(name) for tier, name in value.items()}


def _check_tiers(found: Iterable[str]) -> None:
    for tier in found:
        if tier not in TIERS:
            raise BadValue(f'no tier "{tier}" (there are {", ".join(TIERS)})', nearest(tier, TIERS))


def share_by_tier(value: Any) -> Mapping[str, float]:
    """`expect = 0.02`, or a table from tier to share with a default."""
    if not isinstance(value, dict):
        return {DEFAULT_TIER: share(value)}
    _check_tiers(value)
    if DEFAULT_TIER not in value:
        raise BadValue("needs default: what of the other tiers?")
    return {tier: share(each) for tier, each in value.items()}


def _season(table: Table | None) -> Season | None:
    if table is None:
        return None
    table.need("name", "within")
    known = table.report.around.seasons
    found = Season(name=table.take("name", lambda value: _known_season(value, known), ""), within=table.take("within", life, 0))
    table.close()
    return found


def _known_season(value: Any, known: Collection[str] | None) -> str:
    name = parse_name(value)
    if known is not None and name not in known:
        raise BadValue(f'no season "{name}" (there are {", ".join(sorted(known))})', nearest(name, known))
    return name


def _experiment(table: Table | None, over: Sequence[str]) -> Experiment | None:
    if table is None:
        return None
    tables = table.array("variant")
    variants = tuple(_variant(each, over) for each in tables or ())
    experiment = Experiment(
        variants=variants,
        hypothesis=table.take("hypothesis", short_text, ""),
        metric=table.take("metric", lambda value: Metric(one_of(value, Metric)), Metric.GOAL),
        min_per_variant=table.take("min_per_variant", lambda value: whole(value, 1, 10**9), Experiment(variants=()).min_per_variant),
        waits=table.take("rest", _waits, False),
    )
    table.close()
    if tables is not None and len(variants) < 2:
        table.fault(None, "needs two or more [[step.experiment.variant]]")
    seen: set[str] = set()
    for index, variant in enumerate(variants):
        if variant.name and variant.name in seen:
            table.report.add((*table.path, "variant", index, "name"), f'there is another variant of the name "{variant.name}"')
        seen.add(variant.name)
    total = sum(variant.share for variant in variants)
    shared = len(variants) > 1 and all(variant.share for variant in variants)
    if shared and experiment.waits and total > 0.99:
        table.fault("rest", f"nobody is left to wait: the shares of the variants sum to {total:g}")
    elif shared and not experiment.waits and abs(total - 1) > 1e-6:
        table.fault(None, f'the shares of its variants must sum to 1 (they sum to {total:g}); rest = "wait" lets others wait for it')
    return experiment


def _waits(value: Any) -> bool:
    """`rest = "wait"`."""
    return one_of(value, ("wait",)) == "wait"


def _variant(table: Table, over: Sequence[str]) -> Variant:
    table.need("name", "share")
    nothing: tuple[str, ...] = ()
    variant = Variant(
        name=table.take("name", lambda value: _variant_name(value, over), ""),
        share=table.take("share", share, 0.0),
        subject=table.take("subject", short_text, None),
        offer=table.take("offer", offer_by_tier, None),
        day=table.take("day", day, None),
        delay=table.take("delay", gap, None),
        hours=table.take_hours("hours"),
        channels=table.take("channels", channels, nothing),
    )
    table.close()
    return variant


def _variant_name(value: Any, over: Sequence[str]) -> str:
    name = word(value, "a variant's")
    if name in over:
        raise BadValue(f'must not be "{name}": that is a channel of the step, and templates would be mistaken')
    return name


def _escalation(table: Table | None, over: Sequence[str], mode: Mode) -> Escalation | None:
    if table is None:
        return None
    nowhere: tuple[str, ...] = ()
    table.need("to")
    escalation = Escalation(
        to=table.take("to", lambda value: _other_channels(value, over, mode), nowhere),
        after=table.take("after", life, Escalation(to=()).after),
        unless=table.take("unless", _reactions, Escalation(to=()).unless),
        where=table.take_where(),
    )
    table.close()
    return escalation if escalation.to else None


def _mode(value: Any, over: Sequence[str]) -> Mode:
    mode = Mode(one_of(value, Mode))
    if len(over) == 1:
        raise BadValue("is for a step of several channels; this one has one")
    return mode


def _other_channels(value: Any, over: Sequence[str], mode: Mode) -> tuple[str, ...]:
    """Where an escalation may go: not to where the step's message has been anyway."""
    to = channels(value)
    there = [channel for channel in to if channel in over and (mode is Mode.ALL or len(over) == 1)]
    if there:
        raise BadValue(f'has "{there[0]}", over which the step goes already')
    return to


def _reactions(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise BadValue('must be a list such as ["opened", "clicked"]')
    return tuple(dict.fromkeys(one_of(item, REACTIONS) for item in value))


def _tags(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise BadValue('must be a list of tags such as ["comeback"]')
    if (split := next((item for item in value if isinstance(item, str) and "," in item), None)) is not None:
        raise BadValue(f'has a comma in "{split}": a comma parts tags; write each as one of the list')
    return tuple(dict.fromkeys(short_text(item) for item in value))


def _traits(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not value:
        raise BadValue("must be a table of traits")
    for name, each in value.items():
        parse_name(name)
        if not isinstance(each, (str, int, float, bool)):
            raise BadValue(f"the trait {name} must be a text, a number or true or false, not {kind(each)}")
        if isinstance(each, float) and not math.isfinite(each):
            raise BadValue(f"the trait {name} must be a number that ends, not {each}")
    return dict(value)


def read_audiences(top: Table) -> tuple[AudienceRule, ...]:
    return tuple(_audience(table) for table in top.array("audience") or ())


def _audience(table: Table) -> AudienceRule:
    table.need("providers", "name")
    none: tuple[str, ...] = ()
    rule = AudienceRule(
        providers=table.take("providers", _providers, none),
        name=table.take("name", _audience_name, ""),
        from_step=table.take("from", step_name, None),
        stay=table.take("valid", life, STAY),
        description=table.take("description", short_text, ""),
    )
    table.close()
    return rule


def check_audiences(campaign: Campaign, report: Report) -> None:
    steps = [step.name for step in campaign.steps]
    for index, rule in enumerate(campaign.audiences):
        if rule.from_step is not None and rule.from_step not in steps:
            report.add(("audience", index, "from"), f'no step "{rule.from_step}"', nearest(rule.from_step, steps))
    if any(AUDIENCE in step.every_channel for step in campaign.steps) and len(campaign.audiences) != 1:
        what = f"a step over the channel {AUDIENCE} needs exactly one [[audience]]: it puts its people there"
        report.add(("audience",), what if not campaign.audiences else f"{what} (there are {len(campaign.audiences)})")


def _providers(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise BadValue('must be a list of providers such as ["meta", "google"]')
    found = tuple(parse_name(item) for item in value)
    if len(set(found)) < len(found):
        raise BadValue("names a provider twice")
    return found


def _audience_name(value: Any) -> str:
    name = text(value)
    if fault := fault_of_name(name):
        raise BadValue(fault[0], nearest(fault[1], VARIABLES) if fault[1] else None)
    return name
