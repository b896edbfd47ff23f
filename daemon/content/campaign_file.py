"""CONTENT: `campaign.toml` read and wholly checked: a `Campaign`, or all that is wrong with it at once, each with its line.

Pure: the text and the folder's name in. An unknown key gets the nearest known one. Windows and expressions are checked by the parsers
of others, which the caller hands in as `Surroundings`. Parts: `campaign_enrol`, `campaign_offers`, `campaign_steps`, and
`campaign_checks` for what lies between them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from daemon.config.locate import TomlError, read_toml
from daemon.config.values import BadValue, one_of, parse_name
from daemon.content.campaign_checks import check_parts
from daemon.content.campaign_enrol import read_after, read_enrol, read_exit, read_goal, read_survey
from daemon.content.campaign_offers import read_offers
from daemon.content.campaign_steps import check_audiences, read_audiences, read_steps, share_by_tier
from daemon.content.campaign_table import (
    Report,
    Surroundings,
    Table,
    WhereChecker,
    WindowChecker,
    amount,
    flag,
    hours,
    mailbox,
    moment,
    plain,
    share,
    short_text,
    whole,
)
from daemon.errors import Problem, nearest
from daemon.model.campaign import OWN_HOUR, Campaign, CampaignStatus, Purpose
from daemon.model.journey import Worth

__all__ = ["NAME", "Surroundings", "WhereChecker", "WindowChecker", "read_campaign"]

NAME = "campaign.toml"
UTM_KEYS = ("source", "medium", "campaign", "term", "content", "id")


def read_campaign(name: str, content: str, around: Surroundings) -> tuple[Campaign | None, list[Problem]]:
    """The campaign of a file's text. Problems are at `campaign.toml:LINE`; with any of them the campaign may be None."""
    report = Report(NAME, around)
    try:
        document, report.lines = read_toml(content)
    except TomlError as error:
        return None, [Problem(where=f"{NAME}:{error.line}", key="", what=error.what)]
    campaign = _campaign(name, document, report)
    return campaign, report.problems


def _campaign(name: str, document: Mapping[str, Any], report: Report) -> Campaign:
    top = Table(document, (), report)
    around = report.around
    purpose = Purpose(top.take("purpose", lambda value: one_of(value, Purpose), "marketing"))
    transactional = purpose is Purpose.TRANSACTIONAL
    window, prefer = _window(top.inner("window"), around.check_window)
    enrol, again = read_enrol(top)
    campaign = Campaign(
        name=name,
        purpose=purpose,
        status=CampaignStatus(top.take("status", lambda value: one_of(value, CampaignStatus), "draft")),
        topic=top.take("topic", lambda value: _topic(value, around.topics), None),
        starts=top.take("starts", moment, None),
        ends=top.take("ends", moment, None),
        priority=top.take("priority", lambda value: whole(value, 0, 100), 50),
        sender=top.take("from", mailbox, None),
        reply_to=top.take("reply_to", mailbox, None),
        utm=_utm(top.inner("utm")),
        window=window,
        ignore_window=top.take("ignore_window", lambda value: _transactional_only(flag(value), transactional), False),
        on_doubt=top.take("on_doubt", lambda value: _on_doubt(value, transactional), "hold"),
        again=again,
        enrol=enrol,
        goal=read_goal(top),
        exit=read_exit(top),
        prefer=prefer,
        holdout=_holdout(top.inner("holdout")),
        offers=read_offers(top),
        steps=read_steps(top),
        audiences=read_audiences(top),
        after=read_after(top),
        survey=read_survey(top, name),
        value=_value(top.inner("value")),
    )
    top.close()
    check_audiences(campaign, report)
    steps = document.get("step")
    if not isinstance(steps, list) or len(campaign.steps) == len(steps):  # else places in the file would be mistaken
        check_parts(campaign, report)
    return campaign


def _holdout(table: Table | None) -> float:
    if table is None:
        return 0.0
    table.need("share")
    held = table.take("share", share, 0.0)
    table.close()
    return held


def _value(table: Table | None) -> Worth | None:
    if table is None:
        return None
    if "budget" not in table.table:
        table.need("expect")
    nothing: Mapping[str, float] = {}
    expect = table.take("expect", share_by_tier, nothing)
    budget = table.take("budget", amount, None)
    table.close()
    return Worth(expect=expect, budget=budget) if expect or budget is not None else None


def _utm(table: Table | None) -> Mapping[str, str]:
    if table is None:
        return {}
    values = {key: table.take(key, short_text, "") for key in UTM_KEYS}
    table.close()
    return {key: value for key, value in values.items() if value}


def _preferred(value: Any, check: WindowChecker | None) -> tuple[str, ...]:
    """Hours, and perhaps the recipient's own best one."""
    named = [item for item in value if item != OWN_HOUR] if isinstance(value, list) else value
    own = (OWN_HOUR,) if isinstance(value, list) and OWN_HOUR in value else ()
    return (*(hours(named, check) if named or not own else ()), *own)


def _window(table: Table | None, check: WindowChecker | None) -> tuple[Mapping[str, Any] | None, tuple[str, ...]]:
    """The window without `prefer`, None if nothing else is in it; and those hours."""
    if table is None:
        return None, ()
    nothing: tuple[str, ...] = ()
    prefer = table.take("prefer", lambda value: _preferred(value, check), nothing)
    window = {key: plain(value) for key, value in table.table.items() if key != "prefer"}
    if not window and "prefer" in table.table:
        return None, prefer
    try:
        if check is not None:
            check(window)
    except ValueError as error:
        for each in (error, *getattr(error, "others", ())):
            key = getattr(each, "key", None)
            known = isinstance(key, str) and key in window
            table.fault(key if known else None, getattr(each, "what", str(each)), getattr(each, "suggestion", None))
    return window, prefer


def _topic(value: Any, topics: Collection[str]) -> str | None:
    name = parse_name(value)
    if topics and name not in topics:
        raise BadValue(f"no [topics.{name}] in the config (it has {', '.join(sorted(topics))})", nearest(name, topics))
    return name


def _transactional_only(value: bool, transactional: bool) -> bool:
    if value and not transactional:
        raise BadValue('only for purpose = "transactional"')
    return value


def _on_doubt(value: Any, transactional: bool) -> str:
    word = one_of(value, ("hold", "resend_once"))
    _transactional_only(word != "hold", transactional)
    return word
