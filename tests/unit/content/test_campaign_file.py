"""campaign.toml: what it may say, and how each mistake is told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest

from daemon.content.campaign_file import Surroundings, read_campaign
from daemon.model.campaign import Campaign, CampaignStatus, Escalation, Mode, Purpose, Step
from daemon.model.delivery import DAY, HOUR
from daemon.policy.hours import parse_window

STEP = '[[step]]\nname = "reminder"\nchannels = ["email"]\n'
TWO = '[[step]]\nname = "reminder"\nchannels = ["email", "sms"]\n'
ENROL = "[enrol]\njobs = true\n"
FULL = """
status = "active"
purpose = "transactional"
topic = "orders"
starts = 2026-11-22
ends = 2027-03-31T23:00:00+07:00
priority = 70
from = "Aiko <hello@mail.example.com>"
reply_to = "help@mail.example.com"
utm = { source = "homing", campaign = "w" }
ignore_window = true
on_doubt = "resend_once"
[enrol]
jobs = true
again = "180d"
[window]
hours = ["mon-fri 09:00-21:00"]
closed = [2027-03-20]
[[step]]
name = "receipt"
channels = ["email"]
valid = "10d"
"""


class BadWindow(ValueError):
    """As policy's WindowError is shaped."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(f"{key}: {what}")
        self.key, self.what, self.suggestion = key, what, "09:00"


def check_window(table: Mapping[str, Any]) -> None:
    """A stand-in for the policy's parser."""
    if table.get("start") == "9":
        raise BadWindow("start", 'must be "HH:MM"')


def read(content: str, topics: tuple[str, ...] = ()) -> tuple[Campaign | None, list[str]]:
    """The campaign and its problems in words."""
    campaign, problems = read_campaign("winback", content, Surroundings(check_window=check_window, topics=topics))
    return campaign, [str(problem) for problem in problems]


def test_all_that_is_wrong_with_a_window_is_said_at_once() -> None:
    """Each key at its own line."""
    text = '[window]\nstart = "9"\nend = "30:00"\n' + ENROL + STEP
    problems = read_campaign("winback", text, Surroundings(check_window=parse_window))[1]
    assert [(problem.where, problem.key) for problem in problems] == [("campaign.toml:2", "window.start"), ("campaign.toml:3", "window.end")]


def test_every_key_is_read() -> None:
    """All that this release knows, in the units of the model."""
    campaign, problems = read(FULL)
    assert problems == []
    assert campaign == Campaign(
        name="winback",
        status=CampaignStatus.ACTIVE,
        purpose=Purpose.TRANSACTIONAL,
        topic="orders",
        starts=date(2026, 11, 22),
        ends=datetime(2027, 3, 31, 16, tzinfo=UTC),
        priority=70,
        sender="Aiko <hello@mail.example.com>",
        reply_to="help@mail.example.com",
        utm={"source": "homing", "campaign": "w"},
        window={"hours": ["mon-fri 09:00-21:00"], "closed": ["2027-03-20"]},
        ignore_window=True,
        on_doubt="resend_once",
        again=180 * DAY,
        steps=(Step(name="receipt", channels=("email",), valid=10 * DAY),),
    )


def test_smallest_campaign_is_a_marketing_draft() -> None:
    """Nothing is sent by a campaign that does not say active."""
    campaign, problems = read(ENROL + STEP)
    assert problems == []
    assert campaign is not None
    assert (campaign.status, campaign.purpose, campaign.again) == (CampaignStatus.DRAFT, Purpose.MARKETING, None)
    assert campaign.steps[0].valid == 72 * HOUR


def test_a_step_may_name_several_channels() -> None:
    """The first one that reaches the recipient, unless it says all; and another one later, where nothing came of it."""
    campaign, problems = read(ENROL + TWO + 'escalate = { to = ["push", "sms"], after = "5d", unless = ["clicked"] }\n')
    assert (campaign is not None, problems) == (True, [])
    assert campaign is not None
    [step] = campaign.steps
    assert step == Step(
        name="reminder", channels=("email", "sms"), mode=Mode.FIRST,
        escalate=Escalation(to=("push", "sms"), after=5 * DAY, unless=("clicked",)),
    )  # fmt: skip
    assert (step.planned, step.every_channel) == (("email",), ("email", "sms", "push"))
    campaign, problems = read(ENROL + TWO + 'mode = "all"\n')
    assert (campaign is not None and campaign.steps[0].planned, problems) == (("email", "sms"), [])
    campaign, problems = read(ENROL + STEP + 'escalate = { to = ["sms"] }\n')
    assert (campaign is not None and campaign.steps[0].escalate, problems) == (Escalation(to=("sms",), after=3 * DAY), [])


AUDIENCE = '[[audience]]\nproviders = ["meta"]\nname = "winback-{{ tier }}"\n'


@pytest.mark.promise("B27")
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('status = "draft\n' + ENROL + STEP, "campaign.toml:1: this is no TOML: illegal character"),
        ('statos = "draft"\n' + ENROL + STEP, 'campaign.toml:1: statos: unknown key; did you mean "status"?'),
        ('status = "activ"\n' + ENROL + STEP, 'campaign.toml:1: status: must be "draft" or "active"'),
        ('purpose = "spam"\n' + ENROL + STEP, "campaign.toml:1: purpose: must be"),
        ("priority = 101\n" + ENROL + STEP, "campaign.toml:1: priority: must be an integer from 0 to 100 (got 101)"),
        ("priority = true\n" + ENROL + STEP, "campaign.toml:1: priority: must be an integer from 0 to 100"),
        ('starts = "2026-11-22"\n' + ENROL + STEP, "campaign.toml:1: starts: must be a date such as 2026-11-22 without quotes"),
        ("starts = 2026-11-22T09:00:00\n" + ENROL + STEP, "campaign.toml:1: starts: a date and time needs an offset"),
        ("starts = 2026-11-22\nends = 2026-11-21\n" + ENROL + STEP, "campaign.toml:2: ends: lies before starts"),
        ('from = "hello"\n' + ENROL + STEP, "campaign.toml:1: from:"),
        ('from = "A <a@x.example>, b@x.example"\n' + ENROL + STEP, "campaign.toml:1: from: must be one address"),
        ('from = "A <a@x.example>\\nBcc: b@x.example"\n' + ENROL + STEP, "campaign.toml:1: from: has a line end"),
        ('reply_to = "a@localhost"\n' + ENROL + STEP, "campaign.toml:1: reply_to:"),
        ("ignore_window = true\n" + ENROL + STEP, 'campaign.toml:1: ignore_window: only for purpose = "transactional"'),
        ('on_doubt = "resend_once"\n' + ENROL + STEP, 'campaign.toml:1: on_doubt: only for purpose = "transactional"'),
        ('utm = { sauce = "x" }\n' + ENROL + STEP, 'campaign.toml:1: utm.sauce: unknown key; did you mean "source"?'),
        ("utm = 5\n" + ENROL + STEP, "campaign.toml:1: utm: must be a table"),
        (STEP, "campaign.toml:1: enrol: missing"),
        ("[enrol]\njobs = false\n" + STEP, "campaign.toml:1: enrol: needs exactly one of segment, trigger and jobs = true (there is none)"),
        (
            '[enrol]\njobs = true\nsegment = "x"\n' + STEP,
            "campaign.toml:1: enrol: needs exactly one of segment, trigger and jobs = true (there",
        ),
        ('[enrol]\njobs = true\nagain = "soon"\n' + STEP, "campaign.toml:3: enrol.again: must be a duration"),
        (ENROL, "campaign.toml:1: step: missing: a campaign has at least one [[step]]"),
        (ENROL + "[step]\nname = 'x'\n", "campaign.toml:3: step: must be a table: [[step]]"),
        (ENROL + '[[step]]\nname = "a.b"\nchannels = ["email"]\n', "campaign.toml:4: step[1].name: a step's name"),
        (ENROL + '[[step]]\nname = "a"\n', "campaign.toml:3: step[1].channels: missing"),
        (ENROL + STEP + "valld = '3d'\n", 'campaign.toml:6: step[1].valld: unknown key; did you mean "valid"?'),
        (ENROL + STEP + "valid = '0s'\n", "campaign.toml:6: step[1].valid: must be more than 0"),
        (ENROL + '[[step]]\nname = "a"\nchannels = ["email", "email"]\n', "campaign.toml:5: step[1].channels: names a channel twice"),
        (ENROL + TWO + 'mode = "firts"\n', 'campaign.toml:6: step[1].mode: must be "first" or "all" (got "firts"); did you mean "first"?'),
        (ENROL + STEP + 'mode = "all"\n', "campaign.toml:6: step[1].mode: is for a step of several channels; this one has one"),
        (ENROL + STEP + 'escalate = { after = "3d" }\n', "campaign.toml:6: step[1].escalate.to: missing; it has no default"),
        (ENROL + STEP + 'escalate = { to = "sms" }\n', "campaign.toml:6: step[1].escalate.to: must be a list of channels"),
        (ENROL + STEP + 'escalate = { to = ["email"] }\n', 'campaign.toml:6: step[1].escalate.to: has "email", over which the step goes'),
        (ENROL + TWO + 'mode = "all"\nescalate = { to = ["sms"] }\n', 'campaign.toml:7: step[1].escalate.to: has "sms", over which'),
        (ENROL + STEP + 'escalate = { to = ["sms"], after = "soon" }\n', "campaign.toml:6: step[1].escalate.after: must be a duration"),
        (ENROL + STEP + 'escalate = { to = ["sms"], unless = ["open"] }\n', 'campaign.toml:6: step[1].escalate.unless: must be "opened"'),
        (
            ENROL + STEP + "escalate = { to = ['sms'], unles = [] }\n",
            'campaign.toml:6: step[1].escalate.unles: unknown key; did you mean "unless"?',
        ),
        (ENROL + STEP + "escalate = 3\n", "campaign.toml:6: step[1].escalate: must be a table"),
        (ENROL + STEP + '[[audience]]\nfrom = "x"\n', "campaign.toml:6: audience[1].providers: missing"),
        (ENROL + STEP + AUDIENCE + 'from = "x"\n', 'campaign.toml:9: audience[1].from: no step "x"'),
        (ENROL + STEP + AUDIENCE.replace("tier", "tire"), 'campaign.toml:8: audience[1].name: knows no variable "tire"'),
        (ENROL + STEP + AUDIENCE.replace('["meta"]', '["meta", "meta"]'), "campaign.toml:7: audience[1].providers: names a provider twice"),
        (ENROL + STEP.replace("email", "audience"), "campaign.toml:1: audience: a step over the channel audience needs exactly one"),
        (ENROL + '[window]\nstart = "9"\n' + STEP, 'campaign.toml:4: window.start: must be "HH:MM"; did you mean "09:00"?'),
        ("status = \n", "campaign.toml:1: this is no TOML: invalid value"),
        (
            'topic = "winbak"\n' + ENROL + STEP,
            'campaign.toml:1: topic: no [topics.winbak] in the config (it has winback); did you mean "winback"?',
        ),
    ],
)
def test_each_mistake_is_named_with_file_line_and_key(content: str, problem: str) -> None:
    """So that it can be mended without reading any documentation."""
    found = read(content, topics=("winback",))[1]
    assert any(line.startswith(problem) for line in found), found


def test_all_mistakes_come_at_once() -> None:
    """One look at the output is enough to mend a file."""
    found = read('statos = "x"\npriority = 500\n[goal]\nevnt = "x"\n')[1]
    assert len(found) == 6, found
