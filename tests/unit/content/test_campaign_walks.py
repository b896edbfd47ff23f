"""campaign.toml of a campaign that people walk through: every key of the contract, how each mistake is told, and that it survives the store."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from daemon.app.setup import read_setup
from daemon.content.campaign_file import Surroundings, read_campaign
from daemon.content.campaigns import CampaignVersion, load_campaigns, read_campaigns
from daemon.content.render import Renderer
from daemon.errors import ConfigError
from daemon.model.campaign import Campaign, Escalation, Step
from daemon.model.delivery import DAY, HOUR, MINUTE
from daemon.model.journey import (
    Act,
    After,
    Enrol,
    Exit,
    Experiment,
    Goal,
    Late,
    Metric,
    Offer,
    OfferKind,
    Part,
    Season,
    Survey,
    SurveyKind,
    Trigger,
    Variant,
    Worth,
)
from daemon.policy.window import parse_window

SHIPPED = Path(__file__).parents[3] / "campaigns"
STEP = '[[step]]\nname = "a"\nday = 45\nchannels = ["email"]\n'
SECOND = '[[step]]\nname = "b"\nday = 60\nchannels = ["email"]\n'
ENROL = '[enrol]\nsegment = "lapsed"\n'
OFFERS = '[offers.back15]\nkind = "percent"\nvalue = 15\nvalid = "7d"\n'
VARIANTS = "[[step.experiment.variant]]\nname = 'x'\nshare = 0.5\n[[step.experiment.variant]]\nname = 'y'\nshare = 0.5\nsubject = 'Hi'\n"

CONTRACT = """
[goal]
event    = "Order Completed"
horizon  = "30d"
where    = "revenue > 0"
[enrol]
segment  = "lapsed_30_90"
anchor   = "last_order_at"
late     = "current"
again    = "180d"
min_gap  = "10d"
[exit]
events   = ["Order Completed", "Subscription Started", "Support Ticket Opened"]
segments = ["active_subscribers"]
[window]
hours    = ["mon-fri 09:00-21:00", "sat 10:00-18:00"]
prefer   = ["tue-thu 09:00-12:00", "own"]
[holdout]
share    = 0.10
[offers.back15]
kind = "percent"
value = 15
valid = "7d"
min_left = "12h"
codes = { pool = "winter" }
text = { default = "15% off", id = "diskon 15%" }
[offers.back30]
kind = "bundle"
parts = [{ kind = "percent", value = 30 }, { kind = "shipping" }]
valid = "48h"
codes = { generate = "WB-########" }
[offers.gift]
kind = "gift"
what = "a mug"
ends = 2027-01-01
[offers.tiers]
kind = "tiered"
tiers = [{ value = 15, over = 50 }, { value = 20, over = 100 }]
[[step]]
name = "reminder"
day = 45
channels = ["email"]
[[step]]
name = "offer"
day = 60
channels = ["email"]
offer = "back15"
valid = "10d"
hours = ["mon-fri 10:00-12:00"]
[step.experiment]
hypothesis = "naming the product beats naming the discount"
metric = "margin"
min_per_variant = 500
[[step.experiment.variant]]
name = "product"
share = 0.5
[[step.experiment.variant]]
name = "discount"
share = 0.5
subject = "{{ offer.text }}"
offer = { default = "tiers" }
day = 62
hours = ["mon-fri 18:00-20:00"]
channels = ["push"]
[[step]]
name = "tag"
delay = "1d"
where = "tier = 'high'"
set = { tags = ["late"], traits = { club = "silver", since = 3 } }
[[step]]
name = "ring"
delay = "0s"
task = { text = "Call about the last order" }
[[step]]
name = "tell"
delay = "0s"
call = { provider = "crm", text = "late" }
[[step]]
name = "last"
day = 90
channels = ["email"]
subject = "The last one"
offer = { default = "back15", high = "back30" }
escalate = { to = ["sms"], after = "3d", unless = ["opened", "clicked"], where = "tier = 'high'" }
season = { name = "ramadan", within = "30d" }
[[audience]]
providers = ["meta", "google"]
from = "offer"
name = "winback-{{ tier }}-{{ band }}-{{ offer.name }}"
[after]
goal = "post_reactivation"
finish = "sunset"
[value]
expect = { default = 0.02, high = 0.05 }
budget = 500
[survey]
kind = "csat"
scale = "1-5"
name = "how-was-it"
"""


def read(content: str, around: Surroundings | None = None) -> tuple[Campaign | None, list[str]]:
    """The campaign and its problems in words."""
    campaign, problems = read_campaign("winback", content, around or Surroundings(check_window=parse_window))
    return campaign, [str(problem) for problem in problems]


def contract() -> Campaign:
    """The contract's example, with everything that it leaves open."""
    campaign, problems = read(CONTRACT)
    assert campaign is not None
    assert problems == []
    return campaign


def test_every_key_of_the_contract_is_read() -> None:
    """In the units of the model; what it says of the whole campaign."""
    campaign = contract()
    assert campaign.goal == Goal(event="Order Completed", where="revenue > 0", horizon=30 * DAY)
    assert campaign.enrol == Enrol(segment="lapsed_30_90", late=Late.CURRENT, min_gap=10 * DAY)
    assert campaign.again == 180 * DAY
    assert campaign.exit == Exit(
        events=("Order Completed", "Subscription Started", "Support Ticket Opened"), segments=("active_subscribers",)
    )
    assert campaign.window == {"hours": ["mon-fri 09:00-21:00", "sat 10:00-18:00"]}
    assert campaign.prefer == ("tue-thu 09:00-12:00", "own")
    assert campaign.holdout == 0.1
    assert campaign.after == After(goal="post_reactivation", finish="sunset")
    assert campaign.value == Worth(expect={"default": 0.02, "high": 0.05}, budget=500.0)
    assert campaign.survey == Survey(name="how-was-it", kind=SurveyKind.CSAT, low=1, high=5)
    assert campaign.has_walks


def test_offers_are_a_ladder_in_the_order_of_the_file() -> None:
    """Each with its parts, its end and where its codes come from."""
    percent = Part(kind=OfferKind.PERCENT, value=15.0)
    assert list(contract().offers.values()) == [
        Offer(name="back15", rank=0, parts=(percent,), valid=7 * DAY, min_left=12 * HOUR, pool="winter", text={"": "15% off", "id": "diskon 15%"}),
        Offer(
            name="back30", rank=1, parts=(Part(kind=OfferKind.PERCENT, value=30.0), Part(kind=OfferKind.SHIPPING)), valid=48 * HOUR,
            generate="WB-########",
        ),
        Offer(name="gift", rank=2, parts=(Part(kind=OfferKind.GIFT, what="a mug"),), ends=date(2027, 1, 1)),
        Offer(name="tiers", rank=3, parts=(Part(kind=OfferKind.TIERED, tiers=((15.0, 50.0), (20.0, 100.0))),)),
    ]  # fmt: skip


def test_steps_are_messages_or_acts() -> None:
    """Days, delays, offers by tier, experiments, and what is no message."""
    steps = contract().steps
    discount = Variant(
        name="discount", share=0.5, subject="{{ offer.text }}", offer={"default": "tiers"}, day=62, hours=("mon-fri 18:00-20:00",),
        channels=("push",),
    )  # fmt: skip
    assert steps == (
        Step(name="reminder", channels=("email",), day=45),
        Step(
            name="offer", channels=("email",), day=60, offer={"default": "back15"}, valid=10 * DAY, hours=("mon-fri 10:00-12:00",),
            experiment=Experiment(
                hypothesis="naming the product beats naming the discount", metric=Metric.MARGIN, min_per_variant=500,
                variants=(Variant(name="product", share=0.5), discount),
            ),
        ),
        Step(name="tag", channels=(), delay=DAY, where="tier = 'high'", act=Act(kind="set", tags=("late",), traits={"club": "silver", "since": 3})),
        Step(name="ring", channels=(), delay=0, act=Act(kind="task", text="Call about the last order")),
        Step(name="tell", channels=(), delay=0, act=Act(kind="call", provider="crm", text="late")),
        Step(
            name="last", channels=("email",), day=90, subject="The last one", offer={"default": "back15", "high": "back30"},
            escalate=Escalation(to=("sms",), where="tier = 'high'"), season=Season(name="ramadan", within=30 * DAY),
        ),
    )  # fmt: skip
    assert steps[1].every_channel == ("email", "push")


def test_triggers() -> None:
    """An event with a filter, counted from itself; or what did not happen after a step."""
    campaign, problems = read(
        '[enrol]\ntrigger = { event = "Checkout Started", where = "value > 100" }\n[[step]]\nname = "a"\ndelay = "30m"\nchannels = ["email"]\n'
    )
    assert (campaign is not None, problems) == (True, [])
    assert campaign is not None
    assert campaign.enrol == Enrol(trigger=Trigger(event="Checkout Started", where="value > 100"), anchor="event")
    assert campaign.steps[0].delay == 30 * MINUTE
    campaign, problems = read('[enrol]\ntrigger = { not = "opened", of = "winback.offer", after = "3d" }\n' + STEP)
    assert problems == []
    assert campaign is not None
    assert campaign.enrol.trigger == Trigger(absent="opened", of="winback.offer", after=3 * DAY)


def test_version_of_it_is_the_same_after_the_store() -> None:
    """JSON and back changes nothing, the ladder's order neither."""
    version = CampaignVersion.of(contract(), {"campaign.toml": CONTRACT})
    back = CampaignVersion.from_json(version.to_json())
    assert back == version
    assert list(back.campaign.offers) == ["back15", "back30", "gift", "tiers"]
    assert back.to_json() == version.to_json()


def test_digest_of_a_campaign_that_uses_nothing_of_it_is_what_it_was() -> None:
    """A new release is no new version of what did not change."""
    files = {"campaign.toml": "x"}
    plain = Campaign(name="winback", steps=(Step(name="reminder", channels=("email",)),))
    assert CampaignVersion.of(plain, files).digest == "sha256:be708727d0912a016313d1f11200120fdaae8f4ba57969f56c00e9364709a56b"


@pytest.mark.promise("B27")
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (ENROL + STEP + 'delay = "3d"\n', "campaign.toml:7: step[1].delay: day (from the anchor) and delay"),
        (ENROL + STEP + SECOND.replace("60", "45"), "campaign.toml:9: step[2].day: days must rise: 45 comes after 45 of the step a"),
        (ENROL + STEP + SECOND.replace("day = 60\n", ""), "campaign.toml:7: step[2]: needs day or delay"),
        (ENROL + STEP + STEP.replace("45", "60"), 'campaign.toml:8: step[2].name: there is another step of the name "a"'),
        (ENROL + STEP + "offer = 'back51'\n" + OFFERS, 'campaign.toml:7: step[1].offer: no [offers.back51]; did you mean "back15"?'),
        (ENROL + STEP + "offer = { high = 'x' }\n" + OFFERS, "campaign.toml:7: step[1].offer: no [offers.x] for the tier high"),
        (ENROL + STEP + "offer = { hihg = 'back15' }\n" + OFFERS, 'campaign.toml:7: step[1].offer: no tier "hihg" (there are default, high, '),
        (ENROL + STEP + "ofer = 'back15'\n" + OFFERS, 'campaign.toml:7: step[1].ofer: unknown key; did you mean "offer"?'),
        (ENROL + STEP + VARIANTS.replace("0.5", "0.4"), "campaign.toml:7: step[1].experiment: the shares of its variants must sum to 1 (they"),
        (ENROL + STEP + "[step.experiment]\nrest = 'wait'\n" + VARIANTS, "campaign.toml:8: step[1].experiment.rest: nobody is left"),
        (ENROL + STEP + VARIANTS.split("[[", 2)[0] + "[[" + VARIANTS.split("[[")[1], "campaign.toml:7: step[1].experiment: needs two or more"),
        (ENROL + STEP + VARIANTS.replace("'y'", "'x'"), "campaign.toml:11: step[1].experiment.variant[2].name: there is another variant of"),
        (ENROL + STEP + VARIANTS.replace("'y'", "'email'"), "campaign.toml:11: step[1].experiment.variant[2].name: must not be"),
        (ENROL + STEP + VARIANTS + "delay = '1d'\n", "campaign.toml:14: step[1].experiment.variant[2].delay: "),
        (ENROL + STEP + "[step.experiment]\nmetric = 'sales'\n" + VARIANTS, "campaign.toml:8: step[1].experiment.metric: must be"),
        (ENROL + STEP + "set = { tags = ['x'] }\n", "campaign.toml:6: step[1].channels: is of a message; this step is a set"),
        (ENROL + "[[step]]\nname = 'a'\nset = {}\n", "campaign.toml:5: step[1].set: says nothing"),
        (ENROL + "[[step]]\nname = 'a'\nset = { tags = ['x', 'vip, gold'] }\n", 'campaign.toml:5: step[1].set.tags: has a comma in "vip, gold"'),
        (ENROL + "[[step]]\nname = 'a'\ncall = { text = 'x' }\n", "campaign.toml:5: step[1].call.provider: missing"),
        (ENROL + "[[step]]\nname = 'a'\ntask = {}\n", "campaign.toml:5: step[1].task.text: missing"),
        (ENROL + "[[step]]\nname = 'a'\nset = { tags = ['x'] }\ntask = { text = 'x' }\n", "campaign.toml:6: step[1].task: a step does one"),
        (ENROL + STEP + "season = { name = 'x' }\n", "campaign.toml:7: step[1].season.within: missing"),
        (ENROL + STEP + "hours = ['mon 9-10']\n", "campaign.toml:7: step[1].hours: "),
        ("[enrol]\njobs = true\ntrigger = { event = 'x' }\n" + STEP, "campaign.toml:1: enrol: needs exactly one of segment, trigger and jobs"),
        ("[enrol]\ntrigger = { event = 'x', not = 'opened' }\n" + STEP, "campaign.toml:2: enrol.trigger: needs exactly one of event"),
        ("[enrol]\ntrigger = { not = 'opened', of = 'x' }\n" + STEP, "campaign.toml:2: enrol.trigger.after: missing"),
        ("[enrol]\ntrigger = { not = 'bought', of = 'x', after = '1d' }\n" + STEP, "campaign.toml:2: enrol.trigger.not: must be"),
        ("[enrol]\ntrigger = { event = 'x', after = '1d' }\n" + STEP, "campaign.toml:2: enrol.trigger.after: goes with not"),
        (ENROL + "anchor = 'last_order'\n" + STEP, "campaign.toml:3: enrol.anchor: must be one of last_order_at"),
        (ENROL + "anchor = 'event'\n" + STEP, "campaign.toml:3: enrol.anchor: is for a trigger"),
        (ENROL + "late = 'frist'\n" + STEP, 'campaign.toml:3: enrol.late: must be "first" or "current" or "skip" (got "frist"); did you mean'),
        (ENROL + STEP + "[goal]\nhorizon = '30d'\n", "campaign.toml:7: goal.event: missing"),
        (ENROL + STEP + "[exit]\nevents = []\n", "campaign.toml:8: exit.events: must be a list of events"),
        (ENROL + STEP + "[holdout]\nshare = 1.5\n", "campaign.toml:8: holdout.share: must be a share between 0 and 1"),
        ('purpose = "transactional"\n' + ENROL + STEP + "[holdout]\nshare = 0.1\n", "campaign.toml:8: holdout: is for marketing"),
        (ENROL + STEP + "[after]\nfinish = 'moon'\n", "campaign.toml:8: after.finish: must be"),
        (ENROL + STEP + "[value]\n", "campaign.toml:7: value.expect: missing"),
        (ENROL + STEP + "[value]\nbudget = 0\n", "campaign.toml:8: value.budget: must be a number greater than 0"),
        (ENROL + STEP + "[value]\nexpect = 2\n", "campaign.toml:8: value.expect: must be a share between 0 and 1"),
        (ENROL + STEP + "[value]\nexpect = { high = 0.5 }\n", "campaign.toml:8: value.expect: needs default"),
        (ENROL + STEP + "[value]\nexpect = { default = 0.1, hihg = 0.5 }\n", 'campaign.toml:8: value.expect: no tier "hihg"'),
        (ENROL + STEP + "[survey]\nscale = '0-7'\n", "campaign.toml:8: survey.scale: must be"),
        (ENROL + STEP + "[survey]\nkind = 'reason'\nscale = '0-10'\n", "campaign.toml:9: survey.scale: a survey of the kind"),
        (ENROL + STEP + "[window]\nprefer = ['tue 9']\n", "campaign.toml:8: window.prefer: "),
        ("starts = 2026-12-01\nends = 2026-12-10\n" + ENROL + STEP + SECOND, "campaign.toml:9: step[2]: is never reached: 15 days after"),
        (ENROL + STEP + OFFERS.replace("value = 15\n", ""), "campaign.toml:7: offers.back15.value: missing"),
        (ENROL + STEP + OFFERS.replace("15\nvalid", "115\nvalid"), "campaign.toml:9: offers.back15.value: must be at most 100"),
        (ENROL + STEP + OFFERS + "ends = 2027-01-01\n", "campaign.toml:11: offers.back15.ends: valid (from the message's acceptance) and ends"),
        (ENROL + STEP + OFFERS + "min_left = '8d'\n", "campaign.toml:11: offers.back15.min_left: is longer than valid"),
        (ENROL + STEP + OFFERS.replace("7d", "2h"), "campaign.toml:10: offers.back15.valid: is shorter than min_left"),
        (ENROL + STEP + OFFERS + "codes = { pool = 'x', generate = 'WB-######' }\n", "campaign.toml:11: offers.back15.codes: needs exactly one"),
        (ENROL + STEP + OFFERS + "codes = { generate = 'WB-##' }\n", "campaign.toml:11: offers.back15.codes.generate: must have 6 to 40"),
        (ENROL + STEP + OFFERS + "text = { id = 'x' }\n", "campaign.toml:11: offers.back15.text: needs default"),
        (ENROL + STEP + OFFERS.replace("percent", "bundle").replace("value = 15\n", ""), "campaign.toml:7: offers.back15.parts: a bundle has two"),
        (ENROL + STEP + OFFERS.replace("percent", "shipping"), "campaign.toml:9: offers.back15.value: unknown key"),
        (ENROL + STEP + OFFERS.replace("percent", "gift").replace("value = 15\n", ""), "campaign.toml:7: offers.back15.what: missing"),
        (
            ENROL + STEP + "[offers.x]\nkind = 'tiered'\ntiers = [{ value = 20, over = 50 }, { value = 15, over = 100 }]\n",
            "campaign.toml:9: offers.x.tiers: must rise: 15 over 100 comes after 20 over 50",
        ),
        (ENROL + STEP + OFFERS.replace("percent", "percnt"), "campaign.toml:8: offers.back15.kind: must be"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_file_line_and_key(content: str, problem: str) -> None:
    """So that it can be mended without reading any documentation."""
    found = read(content)[1]
    assert any(line.startswith(problem) for line in found), found


def test_the_provider_of_an_act_serves_its_channel() -> None:
    """A call goes over the channel webhook, a task over export; what the config does not have, or for another channel, is an error."""
    around = Surroundings(providers={"crm": "webhook", "relay": "email", "ours": None})
    acts = {
        "call = { provider = 'crm' }": [], "call = { provider = 'ours' }": [], "task = { text = 'x' }": [],
        "call = { provider = 'relay' }": ['campaign.toml:5: step[1].call.provider: the provider "relay" serves the channel email, this goes over webhook'],
        "call = { provider = 'crn' }": ['campaign.toml:5: step[1].call.provider: no provider "crn" (no [providers.crn]); did you mean "crm"?'],
        "task = { text = 'x', provider = 'crm' }": ['campaign.toml:5: step[1].task.provider: the provider "crm" serves the channel webhook, this goes over export'],
    }  # fmt: skip
    for act, wrong in acts.items():
        assert read(ENROL + f"[[step]]\nname = 'a'\n{act}\n", around)[1] == wrong, act


def test_at_load_the_config_says_what_its_providers_serve(tmp_path: Path) -> None:
    """As the daemon reads it all: an error like any other of the campaign's file."""
    folder = tmp_path / "campaigns" / "club"
    folder.mkdir(parents=True)
    (folder / "campaign.toml").write_text(ENROL + "[[step]]\nname = 'a'\ncall = { provider = 'relay' }\n", encoding="utf-8")
    homing = f"[homing]\nstate_dir = '{tmp_path}/var'\ncampaigns = '{tmp_path}/campaigns'\ndefault_zone = 'UTC'\n"
    (tmp_path / "config.toml").write_text(homing + "[providers.relay]\nplugin = 'smtp'\nhost = '127.0.0.1'\nfrom = 'a@example.com'\n", encoding="utf-8")
    with pytest.raises(ConfigError, match='the provider "relay" serves the channel email, this goes over webhook'):
        read_setup(tmp_path / "config.toml", {})


class BadWhere(ValueError):
    """As the parser of expressions raises it."""

    what, suggestion = 'no column "tire"', "tier"


def refuse(text: str) -> None:
    """A stand-in for the parser of expressions."""
    if "tire" in text:
        raise BadWhere(text)


def test_expressions_and_segments_are_checked_by_what_is_handed_in() -> None:
    """Each where; trigger filters and goals by the checker of events; segments and seasons by their names."""
    around = Surroundings(check_where=refuse, check_event=refuse, segments=["lapsed"], seasons=["ramadan"])
    assert read(CONTRACT.replace("lapsed_30_90", "lapsed").replace("active_subscribers", "lapsed"), around)[1] == []
    text = CONTRACT.replace("tier = 'high'", "tire = 'high'").replace("revenue > 0", "tire > 0").replace('"ramadan"', '"ramadna"')
    found = read(text, around)[1]
    assert [line.split(": ", 2)[1:] for line in found] == [
        ["enrol.segment", 'no segment "lapsed_30_90" in the segments file; did you mean "lapsed"?'],
        ["goal.where", 'no column "tire"; did you mean "tier"?'],
        ["exit.segments", 'no segment "active_subscribers" in the segments file'],
        ["step[3].where", 'no column "tire"; did you mean "tier"?'],
        ["step[6].escalate.where", 'no column "tire"; did you mean "tier"?'],
        ["step[6].season.name", 'no season "ramadna" (there are ramadan); did you mean "ramadan"?'],
    ]


MAIL = "---\nsubject: Hello\n---\n<p>Hello {{ recipient.first_name }}</p>\n"
OTHER = "---\nsubject: Other\n---\n<p>Other {{ recipient.first_name }}</p>\n"


def write(folder: Path, name: str, files: dict[str, str]) -> None:
    """One campaign's folder."""
    (folder / name).mkdir()
    for file, content in files.items():
        (folder / name / file).write_text(content)


def problems_of(folder: Path) -> list[str]:
    """What is wrong, with paths below the folder."""
    return [str(problem).replace(f"{folder}/", "") for problem in read_campaigns(folder)[1]]


def test_variants_have_templates_of_their_own(tmp_path: Path) -> None:
    """STEP.VARIANT.CHANNEL; who has none gets the step's, with the variant's subject."""
    third = VARIANTS.replace("0.5", "0.25") + "[[step.experiment.variant]]\nname = 'z'\nshare = 0.5\n"
    write(
        tmp_path,
        "w",
        {"campaign.toml": ENROL + STEP + third, "a.email.liquid": MAIL, "a.z.email.liquid": OTHER, "a.z.email.fa.liquid": OTHER},
    )
    renderer = Renderer(load_campaigns(tmp_path).versions["w"])
    variables = {"recipient": {"first_name": "Sari"}, "vars": {}, "unsubscribe_url": "https://x.example/u/t"}
    mails = {variant: renderer.render("a", "email", "fa", variables, variant=variant) for variant in (None, "x", "y", "z")}
    assert {variant: mail.subject for variant, mail in mails.items()} == {None: "Hello", "x": "Hello", "y": "Hi", "z": "Other"}
    assert [mail.locale for mail in mails.values()] == [None, None, None, "fa"]
    assert "Hello Sari" in mails["y"].text


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "w/a.email.liquid:1: missing: the template of step a for email"),
        ({"a.x.email.liquid": MAIL}, "w/a.y.email.liquid:1: missing: the template of variant y of step a for email"),
        ({"a.email.liquid": MAIL, "a.xx.email.liquid": MAIL}, 'w/a.xx.email.liquid:1: the step a has no variant "xx"; did you mean "a.x.email.'),
        ({"a.email.liquid": MAIL, "a.x.emall.liquid": MAIL}, 'w/a.x.emall.liquid:1: the step a has no channel "emall"; did you mean "a.x.email'),
        ({"a.email.liquid": MAIL + "{{ event.value }}"}, "w/a.email.liquid:5: event.value: event has name, at and properties; did you mean"),
        ({"a.email.liquid": MAIL + "{{ offer.cod }}"}, "w/a.email.liquid:5: offer.cod: offer has name, text, code, ends_at and value; did you"),
    ],
)  # fmt: skip
def test_a_wrong_template_of_a_variant_is_named(tmp_path: Path, files: dict[str, str], problem: str) -> None:
    """Missing ones, and names that mean nothing."""
    write(tmp_path, "w", {"campaign.toml": ENROL + STEP + VARIANTS, **files})
    assert any(line.startswith(problem) for line in problems_of(tmp_path)), problems_of(tmp_path)


def test_variants_that_differ_in_nothing_are_no_experiment(tmp_path: Path) -> None:
    """Two arms of the same words would only cost time."""
    same = VARIANTS.replace("subject = 'Hi'\n", "")
    write(tmp_path, "w", {"campaign.toml": ENROL + STEP + same, "a.email.liquid": MAIL})
    assert problems_of(tmp_path) == [
        "w/campaign.toml:1: step.experiment: the variants x and y of step a differ in nothing: give one its own template, subject or offer"
    ]


def test_campaigns_that_name_each_other_are_checked_together(tmp_path: Path) -> None:
    """`after.goal` and the step of an absence; a broken campaign is not complained of twice."""
    write(tmp_path, "w", {"campaign.toml": ENROL + STEP + "[after]\ngoal = 'pst'\n", "a.email.liquid": MAIL})
    write(
        tmp_path,
        "post",
        {"campaign.toml": "[enrol]\ntrigger = { not = 'opened', of = 'w.b', after = '3d' }\n" + STEP, "a.email.liquid": MAIL},
    )
    assert problems_of(tmp_path) == [
        'post/campaign.toml:2: enrol.trigger.of: no step "w.b" in any campaign; did you mean "w.a"?',
        f'w/campaign.toml:8: after.goal: no campaign "pst" in {tmp_path}; did you mean "post"?',
    ]
    assert read_campaigns(tmp_path)[0].versions == {}
    (tmp_path / "post" / "campaign.toml").write_text("[enrol]\ntrigger = { not = 'opened', of = 'w.a', after = '3d' }\n" + STEP)
    (tmp_path / "w" / "campaign.toml").write_text(ENROL + STEP + "[after]\ngoal = 'post'\n")
    assert problems_of(tmp_path) == []
