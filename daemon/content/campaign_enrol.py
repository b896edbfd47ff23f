"""CONTENT: who enters a campaign, what ends a walk, what follows: [enrol], [goal], [exit], [after], [survey] of `campaign.toml`. Pure."""

from __future__ import annotations

import re
from typing import Any

from daemon.config.values import BadValue, one_of, parse_name, text
from daemon.content.campaign_table import Table, event_name, flag, gap, life, names
from daemon.errors import nearest
from daemon.model.campaign import REACTIONS
from daemon.model.journey import After, Enrol, Exit, Goal, Late, Survey, SurveyKind, Trigger

ANCHORS = (
    "last_order_at", "first_order_at", "last_open_at", "last_click_at", "last_visit_at", "last_seen_at", "last_survey_at",
    "subscription_ends_at", "event", "entered",
)  # fmt: skip
"""What days may be counted from; or `traits.NAME`, a date."""
TRAIT = "traits."
_PATH = re.compile(r'[^"\\.\x00-\x1f]{1,100}(\.[^"\\.\x00-\x1f]{1,100}){0,3}')
"""As the language of segments knows them."""
_WAYS = ("segment", "trigger", "jobs")
_SCALES = {SurveyKind.NPS: ("0-10", "1-10"), SurveyKind.CSAT: ("1-5", "1-10")}


def read_enrol(top: Table) -> tuple[Enrol, int | None]:
    """Who enters; and how long after a walk's end the next may begin, None = never."""
    table = top.inner("enrol")
    if table is None:
        if "enrol" not in top.table:
            top.fault("enrol", 'missing: [enrol] with segment = "..", trigger = {..} or jobs = true')
        return Enrol(), None
    jobs = table.take("jobs", flag, False)
    ways = [way for way in _WAYS if way in table.table and (way != "jobs" or jobs)]
    if len(ways) != 1:
        found = f"there are {' and '.join(ways)}" if ways else "there is none"
        table.fault(None, f"needs exactly one of segment, trigger and jobs = true ({found})")
    trigger = _trigger(table.inner("trigger"))
    around = table.report.around
    enrol = Enrol(
        jobs=jobs,
        segment=table.take("segment", lambda value: _segment(value, around.segments), None),
        trigger=trigger,
        anchor=table.take("anchor", _anchor, "event" if trigger else Enrol().anchor),
        late=table.take("late", lambda value: Late(one_of(value, Late)), Late.FIRST),
        min_gap=table.take("min_gap", gap, 0),
    )
    if enrol.anchor == "event" and trigger is None and "anchor" in table.table:
        table.fault("anchor", 'is for a trigger: only then there is an event; "entered" counts from the enrolment')
    again = table.take("again", lambda value: None if value == "never" else life(value), None)
    table.close()
    return enrol, again


def _trigger(table: Table | None) -> Trigger | None:
    if table is None:
        return None
    event = table.take("event", event_name, None)
    where = table.take_where(event=True)
    absent = table.take("not", lambda value: one_of(value, REACTIONS), None)
    of = table.take("of", _step_of, None)
    after = table.take("after", life, 0)
    if ("event" in table.table) == ("not" in table.table):
        table.fault(None, 'needs exactly one of event = ".." and not = ".." (with of and after)')
    elif "not" in table.table:
        table.need("of", "after")
        if where:
            table.fault("where", "is on an event's properties; what did not happen has none")
    for key in ("of", "after"):
        if key in table.table and "not" not in table.table:
            table.fault(key, "goes with not; the first step's delay lets an event's recipients wait")
    table.close()
    return Trigger(event=event, where=where, absent=absent, of=of, after=after)


def read_goal(top: Table) -> Goal | None:
    table = top.inner("goal")
    if table is None:
        return None
    table.need("event")
    goal = Goal(
        event=table.take("event", event_name, ""),
        where=table.take_where(event=True),
        horizon=table.take("horizon", life, Goal(event="").horizon),
    )
    table.close()
    return goal


def read_exit(top: Table) -> Exit:
    table = top.inner("exit")
    if table is None:
        return Exit()
    none: tuple[str, ...] = ()
    known = table.report.around.segments
    found = Exit(
        events=table.take("events", _events, none),
        segments=table.take(
            "segments", lambda value: tuple(_segment(each, known) for each in names(value, '["active_subscribers"]')), none
        ),
    )
    table.close()
    return found


def read_after(top: Table) -> After:
    table = top.inner("after")
    if table is None:
        return After()
    after = After(
        goal=table.take("goal", parse_name, None),
        finish=table.take("finish", lambda value: one_of(value, ("sunset",)), None),
    )
    table.close()
    return after


def read_survey(top: Table, campaign: str) -> Survey | None:
    table = top.inner("survey")
    if table is None:
        return None
    kind = table.take("kind", lambda value: SurveyKind(one_of(value, SurveyKind)), SurveyKind.NPS)
    name = table.take("name", parse_name, campaign)
    scales = _SCALES.get(kind, ())
    if not scales and "scale" in table.table:
        table.taken.add("scale")
        table.fault("scale", f'a survey of the kind "{kind}" is answered in words; it has no scale')
        scale = "0-0"
    else:
        scale = table.take("scale", lambda value: one_of(value, scales), scales[0] if scales else "0-0")
    low, _, high = scale.partition("-")
    table.close()
    return Survey(name=name, kind=kind, low=int(low), high=int(high))


def _segment(value: Any, known: Any) -> str:
    name = parse_name(value)
    if known is not None and name not in known:
        raise BadValue(f'no segment "{name}" in the segments file', nearest(name, known))
    return name


def _anchor(value: Any) -> str:
    anchor = text(value)
    if anchor in ANCHORS or (anchor.startswith(TRAIT) and _PATH.fullmatch(anchor.removeprefix(TRAIT))):
        return anchor
    raise BadValue(f'must be one of {", ".join(ANCHORS)} or traits.NAME (got "{anchor}")', nearest(anchor, ANCHORS))


def _step_of(value: Any) -> str:
    """`STEP`, or `CAMPAIGN.STEP`."""
    return parse_name(value)


def _events(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise BadValue('must be a list of events such as ["Order Completed"]')
    return tuple(dict.fromkeys(event_name(each) for each in value))
