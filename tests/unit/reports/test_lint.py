"""What `campaigns lint` finds: each mistake in a campaign that has it, and in the one beside it that has not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from daemon.content.campaign_file import Surroundings, read_campaign
from daemon.content.version import CampaignVersion
from daemon.model.delivery import DAY
from daemon.policy.caps import Cap
from daemon.policy.hours import parse_window
from daemon.policy.periods import Calendar
from daemon.reports.lint import ERROR, Finding, LintFacts, SegmentFacts, lint

GOOD = """
[goal]
event = "Order Completed"
[enrol]
segment = "lapsed"
[exit]
events = ["Order Completed"]
[holdout]
share = 0.1
[offers.back15]
kind = "percent"
value = 15
valid = "7d"
[offers.back20]
kind = "percent"
value = 20
valid = "7d"
[offers.back30]
kind = "percent"
value = 30
valid = "48h"
[[step]]
name = "hello"
day = 45
channels = ["email"]
[[step]]
name = "offer"
day = 60
channels = ["email"]
offer = { default = "back15", high = "back20" }
[[step]]
name = "last"
day = 90
channels = ["email", "sms"]
offer = "back30"
"""
MAIL = '---\nsubject: Hi\n---\n<p>Hi {{ recipient.first_name }} <a href="{{ unsubscribe_url }}">x</a></p>\n--- text\nHi {{ recipient.first_name }}: {{ unsubscribe_url }}\n'
SMS = "Hi {{ recipient.first_name }}. STOP"
FILES = {"hello.email.liquid": MAIL, "offer.email.liquid": MAIL, "last.email.liquid": MAIL, "last.sms.liquid": SMS}
FACTS = LintFacts(
    segments={"lapsed": SegmentFacts(excludes=True, people=50_000)}, traits=["first_name"], rates={"email": 100.0}, consent={"sms": "explicit"},
    caps=(Cap(name="weekly", limit=1, rolling=7 * DAY),),
)  # fmt: skip
LAPSED: dict[str, Any] = {"segments": {"lapsed": SegmentFacts(excludes=True, people=1500)}}
AFTER = '[[step]]\nname = "z"\nday = 130\nchannels = ["email"]\noffer = "back20"\n'
VARIANTS = (
    "[step.experiment]\n[[step.experiment.variant]]\nname = 'x'\nshare = 0.5\n[[step.experiment.variant]]\nname = 'y'\nshare = 0.5\nsubject = 'Ho'\n"
)


def found(toml: str, files: Mapping[str, str | None] | None = None, **facts: Any) -> list[Finding]:
    """The findings about a campaign; facts as FACTS but for these. A file that is None is not there."""
    campaign, problems = read_campaign("winback", toml, Surroundings(check_window=parse_window))
    assert campaign is not None
    assert [str(problem) for problem in problems] == []
    words = {name: text for name, text in {**FILES, **(files or {}), "campaign.toml": toml}.items() if text is not None}
    known = {name: getattr(FACTS, name) for name in ("caps", "consent", "rates", "segments", "traits", "audience", "holdout")}
    return lint(CampaignVersion.of(campaign, words), LintFacts(**{**known, **facts}))


def test_a_good_campaign_has_no_finding() -> None:
    """The other tests change one thing in it."""
    assert [str(each) for each in found(GOOD)] == []


@pytest.mark.parametrize(
    ("rule", "change", "files", "facts", "line"),
    [
        ("no-exit", ('[exit]\nevents = ["Order Completed"]\n', ""), {}, {}, 1),
        ("no-holdout", ("[holdout]\nshare = 0.1\n", ""), {}, {}, 2),
        ("no-goal", ('[goal]\nevent = "Order Completed"\n', ""), {}, {}, 6),
        ("best-offer-first", ('offer = "back30"', 'offer = "back15"'), {}, {}, 30),
        ("offer-falls", ('offer = "back30"\n', 'offer = "back30"\n' + AFTER), {"z.email.liquid": MAIL}, {}, 40),
        ("ladder-order", ("value = 20", "value = 35"), {}, {}, 18),
        ("discount-size", ("value = 15", "value = 10"), {}, {}, 12),
        ("discount-size", ("value = 30", "value = 50"), {}, {}, 20),
        ("discount-first", ('day = 45\nchannels = ["email"]', 'day = 45\nchannels = ["email"]\noffer = "back15"'), {}, {}, 26),
        ("offer-without-end", ('valid = "48h"\n', ""), {}, {}, 18),
        ("offer-unused", (', high = "back20"', ', high = "back30"'), {}, {}, 14),
        ("gap-too-short", ("day = 60", "day = 50"), {}, {}, 28),
        ("gaps-fixed", ("day = 90", "day = 75"), {}, {}, 33),
        ("only-one-message", (GOOD[GOOD.index('[[step]]\nname = "offer"') :], ""), {"offer.email.liquid": None}, {}, 22),
        ("sms-first", ('day = 45\nchannels = ["email"]', 'day = 45\nchannels = ["sms"]'), {"hello.sms.liquid": SMS}, {}, 25),
        ("same-offer-for-all", ('{ default = "back15", high = "back20" }', '"back15"'), {}, {}, 30),
        ("sunset-and-again", ('segment = "lapsed"', 'segment = "lapsed"\nagain = "180d"\n[after]\nfinish = "sunset"'), {}, {}, 7),
        ("generic-text", ("", ""), {"hello.email.liquid": MAIL.replace("{{ recipient.first_name }}", "you")}, {}, 1),
        ("no-text-part", ("", ""), {"hello.email.liquid": MAIL[: MAIL.index("--- text")]}, {}, 1),
        ("no-unsubscribe", ("", ""), {"hello.email.liquid": MAIL.replace("{{ unsubscribe_url }}", "https://x.example")}, {}, 1),
        ("language-missing", ("", ""), {"hello.email.fa.liquid": MAIL}, {}, 26),
        ("variable-nobody-has", ("", ""), {}, {"traits": ["frist_name"]}, 4),
        ("no-exclusions", ("", ""), {}, {"segments": {"lapsed": SegmentFacts(excludes=False)}}, 5),
        ("sms-without-consent", ("", ""), {}, {"consent": {"sms": "implied"}}, 31),
        ("arms-too-small", ('offer = "back30"\n', 'offer = "back30"\n' + VARIANTS), {}, LAPSED, 0),
        ("arms-too-small", ('offer = "back30"\n', 'offer = "back30"\n' + VARIANTS.replace("]\n[[", "]\nmin_per_variant = 200\n[[", 1)), {}, {}, 36),
        ("window-too-short", ("", ""), {}, {"rates": {"email": 0.1}}, 22),
        ("cap-never-met", ("", ""), {}, {"caps": (Cap(name="monthly", limit=1, rolling=30 * DAY),)}, 26),
        ("cap-never-met", ("", ""), {}, {"caps": (Cap(name="monthly", limit=1, calendar=Calendar.MONTH, topics=None),)}, 26),
    ],
)  # fmt: skip
def test_each_mistake_is_found(rule: str, change: tuple[str, str], files: dict[str, str | None], facts: dict[str, Any], line: int) -> None:
    """With its place, and words that say what to do; GOOD, which is the same without it, has none of them."""
    assert change[0] in GOOD
    toml = GOOD.replace(*change, 1) if change[0] else GOOD
    there = [each for each in found(toml, files, **facts) if each.rule == rule]
    assert there, [str(each) for each in found(toml, files, **facts)]
    if line:
        assert line - 4 <= there[0].line <= line + 4, str(there[0])
    assert any(mark in there[0].what for mark in (";", ":", " is usual", ", and ")), there[0].what


def test_errors_are_those_that_do_harm() -> None:
    """Mail to those who have bought, SMS to those who never agreed, messages that never go: the rest is advice."""
    harmful = [
        found(GOOD.replace('[exit]\nevents = ["Order Completed"]\n', "")),
        found(GOOD, consent={"sms": "implied"}),
        found(GOOD, traits=["x"]),
        found(GOOD, caps=(Cap(name="monthly", limit=1, rolling=30 * DAY),)),
    ]
    assert all(any(each.level == ERROR for each in findings) for findings in harmful)
    assert all(each.level != ERROR for each in found(GOOD.replace("day = 60", "day = 50")))


def test_what_is_not_known_is_not_judged() -> None:
    """Without a store and a segments file nothing is said of people."""
    bare = found(GOOD.replace('{ default = "back15", high = "back20" }', '"back15"'), segments=None, traits=None, rates={}, caps=(), consent={})
    assert {each.rule for each in bare} == {"same-offer-for-all", "offer-unused"}


def test_triggered_sequences_are_not_judged_as_those_for_people_who_are_away() -> None:
    """A cart's second mail comes a day later, and one mail may be enough."""
    cart = GOOD.replace('segment = "lapsed"', 'trigger = { event = "Checkout Started" }').replace("day = 45", 'delay = "30m"')
    cart = cart.replace("day = 60", 'delay = "1d"').replace("day = 90", 'delay = "1d"')
    assert [each.rule for each in found(cart, caps=())] == []


def test_gaps_of_a_month_are_no_drumbeat() -> None:
    """Days 30, 60 and 90 are the generic sequence of the sources; 45, 60 and 75 are found (above)."""
    monthly = GOOD.replace("day = 45", "day = 30")
    assert [each.rule for each in found(monthly)] == []


def test_a_holdout_of_all_campaigns_is_one() -> None:
    """Those whom the config holds out measure this campaign too."""
    bare = GOOD.replace("[holdout]\nshare = 0.1\n", "")
    assert "no-holdout" in {each.rule for each in found(bare)}
    assert "no-holdout" not in {each.rule for each in found(bare, holdout=0.05)}


def test_a_subject_for_all_languages_is_found() -> None:
    """Of a step and of a variant; a step of one language may have it there."""
    spoken: dict[str, str | None] = {f"{step}.email.fa.liquid": MAIL for step in ("hello", "offer", "last")}
    spoken["last.sms.fa.liquid"] = SMS
    for toml in (GOOD + VARIANTS, GOOD + 'subject = "Last"\n'):
        assert [each.what for each in found(toml, spoken) if each.rule == "subject-in-one-language"]
        assert not [each for each in found(toml) if each.rule == "subject-in-one-language"]


def test_an_audience_named_after_no_offer_is_found() -> None:
    """Its name would say "any"."""
    named = '[[audience]]\nproviders = ["meta"]\nname = "w-{{ offer.name }}"\n'
    bare = "".join(line for line in GOOD.splitlines(keepends=True) if not line.startswith("offer = "))
    assert "audience-without-offer" in {each.rule for each in found(bare + named)}
    assert "audience-without-offer" not in {each.rule for each in found(GOOD + named)}


def test_a_tier_may_be_told_by_the_segment() -> None:
    """A segment of one tier has one offer for all in it."""
    same = GOOD.replace('{ default = "back15", high = "back20" }', '"back15"')
    assert "same-offer-for-all" in {each.rule for each in found(same)}
    tiered = {"lapsed": SegmentFacts(excludes=True, by_tier=True)}
    assert "same-offer-for-all" not in {each.rule for each in found(same, segments=tiered)}


def test_a_step_that_lives_longer_than_the_cap_is_only_late() -> None:
    """It waits for its slot."""
    monthly = (Cap(name="monthly", limit=1, rolling=30 * DAY),)
    patient = GOOD.replace('channels = ["email', 'valid = "20d"\nchannels = ["email')
    assert "cap-never-met" not in {each.rule for each in found(patient, caps=monthly)}
    assert "cap-never-met" not in {each.rule for each in found(GOOD, caps=(Cap(name="other", limit=1, rolling=30 * DAY, campaign="other"),))}
    assert "cap-never-met" not in {each.rule for each in found(GOOD, caps=(Cap(name="sms", limit=1, rolling=30 * DAY, channels=frozenset(["sms"])),))}
