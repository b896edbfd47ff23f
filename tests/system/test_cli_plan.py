"""`homing plan`, and the guard of `campaigns start`: what would go and what it costs; what could not go is refused with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.app.setup import read_setup
from daemon.simulate.rehearsal.run import asked_for
from tests.system.cli_world import CONFIG, CliWorld, row, write_world

PRICED = CONFIG.replace('from = "Kedai', 'rate = "100/s"\ncost = 0.01\nfrom = "Kedai') + '[consent]\nemail = "implied"\n'
SEQUENCE = """\
status = "draft"
purpose = "marketing"
topic = "winback"
[enrol]
jobs = true
[[step]]
name = "first"
day = 45
channels = ["email"]
[[step]]
name = "second"
day = 60
channels = ["email"]
"""
TEMPLATE = '---\nsubject: Hello\n---\n<p>Hello <a href="{{ unsubscribe_url }}">no more</a></p>\n'


@pytest.fixture
def homing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CliWorld:
    write_world(tmp_path, config=PRICED)
    folder = tmp_path / "campaigns" / "sequence"
    folder.mkdir()
    (folder / "campaign.toml").write_text(SEQUENCE, encoding="utf-8")
    for step in ("first", "second"):
        (folder / f"{step}.email.liquid").write_text(TEMPLATE, encoding="utf-8")
    return CliWorld(tmp_path, capsys)


def with_config(homing: CliWorld, more: str, old: str = "", new: str = "") -> None:
    (homing.folder / "config.toml").write_text(PRICED.format(port=9).replace(old, new) + more, encoding="utf-8")


def test_plan_says_who_when_and_what_it_costs(homing: CliWorld) -> None:
    """A job of forty, one of whom is on the suppression list: the rest go at once, a cent each."""
    homing.ok("enqueue", "lapsed-45", str(homing.job("a", [row(f"c-{n}") for n in range(40)])))
    homing.ok("suppressions", "add", "c-3@example.com")
    plan = homing.ok("plan", "winback")
    assert (plan["audience"], plan["infeasible"]) == (40, [])
    assert plan["calendar"]["totals"]["ended"] == {"accepted": 39, "dropped:suppressed": 1}
    assert (plan["cost"], plan["currency"]) == (0.39, "USD")
    assert plan["first"] <= plan["finish"]
    [need] = plan["needs"]
    assert (need["messages"], need["provider_rate"]) == (40, 100)
    shown = homing("plan", "winback").out
    assert "Cost of all messages: 0.39 USD" in shown
    assert "100/s" in shown


def test_plan_measures_a_campaign_by_what_a_new_customer_costs(homing: CliWorld) -> None:
    """39 messages at a cent: three have to come back where a new customer costs 13 cents, four where it is 12. Without `cac` nothing is said."""
    homing.ok("enqueue", "lapsed-45", str(homing.job("a", [row(f"c-{n}") for n in range(39)])))
    plan = homing.ok("plan", "winback")
    assert (plan["cost"], plan["cac"], plan["cheaper_from"]) == (0.39, 0, None)
    assert "new customer" not in homing("plan", "winback").out
    with_config(homing, "", 'currency = "USD"', 'currency = "USD"\ncac = 0.13')
    assert homing.ok("plan", "winback")["cheaper_from"] == 3
    assert "from 3 that come back on, each costs no more than a new customer (0.13 USD)" in homing("plan", "winback").out
    with_config(homing, "", 'currency = "USD"', 'currency = "USD"\ncac = 0.12')
    assert homing.ok("plan", "winback")["cheaper_from"] == 4


def test_plan_tells_from_what_share_on_a_tier_pays(homing: CliWorld) -> None:
    """By the worth of the tier's orders and the margin of the config. People are those of the campaign: the other customers are in no tier."""
    with_config(homing, "", 'currency = "USD"', 'currency = "USD"\nmargin = 0.5')
    events = homing.folder / "events.csv"
    lines = [f"c-{n},Order Completed,2026-03-0{k + 1}T10:00:00Z,{n}-{k},{n}-{k},{200 if n < 2 else 20}" for n in range(9) for k in range(3)]
    events.write_text("\n".join(["recipient,event,at,id,properties.order_id,properties.revenue", *lines]) + "\n")
    homing.ok("events", "import", str(events))
    homing.ok("enqueue", "lapsed-45", str(homing.job("a", [row(f"c-{n}") for n in range(1, 4)] + [row("c-70")])))
    margins = {each["tier"]: each for each in homing.ok("plan", "winback")["margins"]}
    told = {tier: (each["people"], each["order"], each["plain"], each["pays_from"] is None) for tier, each in margins.items()}
    assert told == {"high": (1, 200, 100, False), "medium": (2, 20, 10, False), "low": (1, 0, 0, True)}
    assert margins["medium"]["pays_from"] == pytest.approx(0.001)


def test_people_of_a_plan_are_the_members_of_its_segment(homing: CliWorld) -> None:
    """As last evaluated; somebody who is in no segment is in no tier of it. Of a sequence by jobs: those who walk."""
    (homing.folder / "segments.toml").write_text('[ten]\nwhere = "orders >= 1"\nexclude = ["big"]\n[big]\nwhere = "tier = \'high\'"\n', encoding="utf-8")
    events = homing.folder / "events.csv"
    lines = [f"c-{n},Order Completed,2026-03-0{k + 1}T10:00:00Z,{n}-{k},{n}-{k},{200 if n < 2 else 20}" for n in range(9) for k in range(3)]
    events.write_text("\n".join(["recipient,event,at,id,properties.order_id,properties.revenue", *lines]) + "\n")
    homing.ok("events", "import", str(events))
    file = homing.folder / "campaigns" / "sequence" / "campaign.toml"
    file.write_text(SEQUENCE.replace("jobs = true", 'segment = "ten"'), encoding="utf-8")
    evaluated = homing.ok("segments", "evaluate")
    assert evaluated["ten"] == 7
    plan = homing.ok("plan", "sequence", "--days", "1")
    assert (plan["audience"], [(each["tier"], each["people"]) for each in plan["margins"]]) == (7, [("medium", 7)])


def test_sms_cost_what_their_segments_cost_in_their_country(homing: CliWorld) -> None:
    """By the plugin's own prices: thirty people in Indonesia, two segments each at half a dollar; no socket is needed for it."""
    (homing.folder / "token").write_text("x")
    (homing.folder / "token").chmod(0o600)
    texts = (
        '[providers.texts]\nplugin = "sms_twilio"\nbase_url = "http://127.0.0.1:9"\naccount_sid = "AC5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"\n'
        f'auth_token = {{ file = "{homing.folder}/token" }}\nfrom = "+15005550006"\ncountries = ["ID"]\nprices = {{ ID = 0.5, "*" = 9 }}\n'
    )
    with_config(homing, texts)
    folder = homing.folder / "campaigns" / "texts"
    folder.mkdir()
    (folder / "campaign.toml").write_text(SEQUENCE.partition("[[step]]")[0] + '[[step]]\nname = "text"\nchannels = ["sms"]\n')
    (folder / "text.sms.liquid").write_text("x" * 170 + " STOP\n")
    consent = {"sms": {"at": "2020-01-15T08:00:00Z", "source": "checkout", "text": "Yes"}}
    rows = [row(f"c-{n}", phone=f"+62811100{n:04}", consent=consent) for n in range(30)]
    homing.ok("enqueue", "lapsed-45", str(homing.job("t", rows, campaign="texts")))
    plan = homing.ok("plan", "texts")
    assert plan["calendar"]["parts"] == {"sms": 60}
    assert (plan["cost"], plan["calendar"]["cost"]) == (30, [{"channel": "sms", "currency": "USD", "amount": 30}])


def test_plan_says_which_channel_is_over_its_share_of_the_cost(homing: CliWorld) -> None:
    """`[shop] budget`: a campaign over two channels, a cent an e-mail and nine a call; nothing is refused for it."""
    with_config(homing, '[providers.pages]\nplugin = "export"\nfolder = "calls"\ncost = 0.09\n', 'currency = "USD"', 'currency = "USD"\nbudget = { export = 0.3, email = 0.7 }')
    file = homing.folder / "campaigns" / "sequence" / "campaign.toml"
    file.write_text(SEQUENCE.replace('name = "second"\nday = 60\nchannels = ["email"]', 'name = "second"\nday = 46\ntask = { text = "Call" }'), encoding="utf-8")
    file.with_name("second.email.liquid").unlink()
    homing.ok("enqueue", "lapsed-45", str(homing.job("a", [row(f"c-{n}") for n in range(4)], campaign="sequence")))
    plan = homing.ok("plan", "sequence")
    told = {each["channel"]: (each["cost"], each["share"], each["budget"], each["over"]) for each in plan["spending"]}
    assert told == {"email": (0.04, 0.1, 0.7, False), "export": (0.36, 0.9, 0.3, True)}
    assert "30%, over" in homing("plan", "sequence").out


def test_plan_keeps_to_the_budget_of_the_campaign(homing: CliWorld) -> None:
    """`[value] budget`: four people and two mails each for a cent; three cents are three mails, and the rest would be held."""
    file = homing.folder / "campaigns" / "sequence" / "campaign.toml"
    file.write_text(SEQUENCE.replace("[[step]]", "[value]\nbudget = 0.03\n[[step]]", 1), encoding="utf-8")
    homing.ok("enqueue", "lapsed-45", str(homing.job("a", [row(f"c-{n}") for n in range(4)], campaign="sequence")))
    plan = homing.ok("plan", "sequence")
    assert plan["cost"] == 0.03


def test_cap_that_the_sequence_uses_up_refuses_plan_and_start(homing: CliWorld) -> None:
    """Exit 77 with the step and the reason; nothing is started. With a cap that it keeps to, both go."""
    with_config(homing, '[[cap]]\nname = "monthly"\nlimit = 1\nrolling = "30d"\n')
    for words in (("plan", "sequence"), ("campaigns", "start", "sequence")):
        said = homing(*words)
        assert said.code == 77
        assert "step second (email): the steps before it use up a frequency cap" in said.err
    assert homing.ok("campaigns", "show", "sequence")["status"] == "draft"
    with_config(homing, '[[cap]]\nname = "weekly"\nlimit = 1\nrolling = "7d"\n')
    assert homing.ok("plan", "sequence")["infeasible"] == []
    assert homing.ok("campaigns", "start", "sequence")["status"] == "active"


def test_rate_too_low_for_the_people_who_wait_refuses(homing: CliWorld) -> None:
    """The numbers are in the message, and the machine's form has them too."""
    homing.ok("enqueue", "lapsed-45", str(homing.job("a", [row(f"c-{n}") for n in range(50)])))
    with_config(homing, "", '"100/s"', '"1/h"')
    (homing.folder / "campaigns" / "winback" / "campaign.toml").write_text(
        (homing.folder / "campaigns" / "winback" / "campaign.toml").read_text("utf-8") + 'valid = "24h"\n', encoding="utf-8"
    )
    said = homing("--json", "plan", "winback")
    assert said.code == 77
    assert [(each["step"], each["code"]) for each in said.json["infeasible"]] == [("reminder", "rate")]
    assert "50 messages in 24.0 open hours need 2.08/h, the provider relay has 1/h" in said.err


def test_campaign_that_is_not_there_is_named_with_its_nearest(homing: CliWorld) -> None:
    """Exit 1."""
    said = homing("plan", "sequense")
    assert (said.code, 'did you mean "sequence"?' in said.err) == (1, True)


@pytest.mark.parametrize("command", [["plan", "sequence"], ["rehearse", "--days", "1"]])
@pytest.mark.parametrize("start", ["0001-01-01", "9999-12-31"])
def test_a_start_at_an_end_of_the_calendar_is_a_wrong_word(homing: CliWorld, command: list[str], start: str) -> None:
    said = homing(*command, "--start", start)
    assert (said.code, "must lie between the years 1970 and 2200" in said.err) == (2, True)


def test_a_rehearsal_keeps_what_a_campaign_hears_of_without_its_name(homing: CliWorld) -> None:
    """A trigger on entering any segment: leaving some out would change who is sent what."""
    (homing.folder / "segments.toml").write_text('[a]\nwhere = "orders > 1"\n[b]\nwhere = "orders > 2"\n', encoding="utf-8")
    file = homing.folder / "campaigns" / "sequence" / "campaign.toml"
    triggered = SEQUENCE.replace("day = 45", 'delay = "0s"')
    for trigger, kept in (("", {"a", "b"}), (", where = \"segment = 'b'\"", {"b"})):
        new = f'trigger = {{ event = "Segment Entered"{trigger} }}'
        file.write_text(triggered.replace("jobs = true", new), encoding="utf-8")
        assert asked_for(read_setup(homing.folder / "config.toml", {})).by_name.keys() == kept
