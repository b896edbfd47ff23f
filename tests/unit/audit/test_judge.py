"""What the audit says of one send: each kind of broken promise, and silence where nobody can know."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from daemon.audit.counting import ACT, Contact, Limit
from daemon.audit.judge import Send, Terms, judge
from daemon.audit.rulebook import Page, pages_at

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
JAKARTA = "Asia/Jakarta"
DAYTIME = json.dumps({"start": "09:00", "end": "21:00"})
TERMS = Terms(transactional=False, ignore_window=False, twice=False, window=None, starts=None, ends=None)


def at(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


NOON = at("2026-11-22T12:00:00+07:00")
NIGHT = at("2026-11-22T22:30:00+07:00")


def contact(when: int, delivery: int = 1, **more: Any) -> Contact:
    given: dict[str, Any] = {"channel": "email", "campaign": "winback", "topic": "offers", "zones": (JAKARTA,), "transactional": False}
    return Contact(delivery=delivery, at=when, **{**given, **more})


def send(when: int = NOON, *others: Contact, mine: Contact | None = None, **more: Any) -> Send:
    mine = mine or contact(when)
    given: dict[str, Any] = {
        "terms": TERMS, "channel": "email", "expires_at": when + DAY, "counted": True, "job_window": None, "own_zone": JAKARTA, "phone": None,
        "country": "ID", "quiet_hours": None, "settled": True, "told": False,
    }  # fmt: skip
    return Send(delivery=1, at=when, contact=mine, contacts=[mine, *others], **{**given, **more})


def page(since: int = 0, window: str = DAYTIME, **more: Any) -> Page:
    return Page(since=since, window=window, channels=more.get("channels", {}), countries=more.get("countries", {}), limits=more.get("limits", ()))


def limit(most: int = 1, **more: Any) -> Limit:
    table = {"name": "weekly", "limit": most, "rolling": 7 * DAY, "calendar": None, "channels": (), "topics": (), "campaign": "", "count": "touches"}
    return Limit.of({**table, **more}, {})


def kinds(one: Send, *pages: Page) -> list[str]:
    return [finding.kind for finding in judge(one, pages or (page(),)).findings]


def test_a_send_by_the_rules_is_no_finding():
    """Daytime, in its own zone, the first of the week."""
    verdict = judge(send(), (page(limits=(limit(),)),))
    assert (verdict.findings, verdict.unjudged) == ([], [])


def test_who_is_held_out_is_sent_nothing():
    """Not even what surely came to nothing: whoever handed it over did not know."""
    assert kinds(send(held_out=True)) == ["held_out"]
    assert kinds(send(held_out=True, counted=False)._replace(contact=None)) == ["held_out"]


def test_who_asked_for_a_pause_is_sent_no_marketing():
    """To its end exactly. One that was asked for since, or came with somebody who became this person since, accuses nobody."""
    assert kinds(send(paused_until=NOON + 1)) == ["paused"]
    assert kinds(send(paused_until=NOON)) == []
    assert kinds(send(paused_until=NOON + DAY, settled=False)) == []
    assert kinds(send(paused_until=NOON + DAY, joined=True)) == []
    assert kinds(send(paused_until=NOON + DAY, mine=contact(NOON, topic=ACT))) == []
    assert kinds(send(paused_until=NOON + DAY, terms=dataclasses.replace(TERMS, transactional=True))) == []


def test_a_send_at_night_is_found_with_its_wall_clock():
    """The rule, the zone and what the clock on the wall showed."""
    [finding] = judge(send(NIGHT), (page(),)).findings
    assert (finding.kind, finding.rule, finding.delivery, finding.at) == ("window", "window", 1, NIGHT)
    assert finding.facts == {"zone": JAKARTA, "wall_clock": "2026-11-22T22:30:00.000", "weekday": "Sun"}


def test_every_possible_zone_is_looked_at():
    """Noon in Jakarta is ten at night in Los Angeles: with both possible it was too late."""
    mine = contact(NOON, zones=(JAKARTA, "America/Los_Angeles"))
    assert kinds(send(mine=mine, own_zone=None)) == ["window"]


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"job_window": json.dumps({"hours": ["mon-fri 09:00-17:00"]})}, "job.window"),  # a Sunday
        ({"terms": replace(TERMS, window=json.dumps({"closed": ["2026-11-22"]}))}, "campaign.window"),
        ({"quiet_hours": ["11:00-14:00"]}, "recipient.quiet_hours"),
    ],
)
def test_each_narrower_window_counts(more: dict[str, Any], rule: str):
    """Job, campaign and recipient may narrow, and what they narrow is kept."""
    [finding] = judge(send(**more), (page(),)).findings
    assert (finding.kind, finding.rule) == ("window", rule)


def test_windows_of_channel_and_country_count():
    """A rule for e-mail, a rule for the recipient's country."""
    morning = json.dumps({"hours": ["06:00-11:00"]})
    assert [f.rule for f in judge(send(), (page(channels={"email": morning}),)).findings] == ["window.channels.email"]
    assert [f.rule for f in judge(send(), (page(countries={"ID": morning}),)).findings] == ["window.countries.ID"]
    assert kinds(send(), page(channels={"sms": morning}, countries={"US": morning})) == []


def test_ignore_window_goes_at_any_hour():
    """A transactional campaign may say so."""
    assert kinds(send(NIGHT, terms=replace(TERMS, transactional=True, ignore_window=True))) == []


def test_both_passes_of_the_hour_that_comes_twice_are_inside():
    """02:30 of the fall night comes twice in Berlin; the rule is the wall clock."""
    hours = json.dumps({"hours": ["02:00-03:00"]})
    for offset, expected in (("+02:00", []), ("+01:00", []), ("+00:00", ["window"])):
        when = at(f"2026-10-25T02:30:00{offset}")
        assert kinds(send(when, mine=contact(when, zones=("Europe/Berlin",)), own_zone="Europe/Berlin"), page(window=hours)) == expected


def test_a_send_without_a_slot_is_found_with_its_numbers():
    """The second of the week under a cap of one."""
    [finding] = judge(send(NOON, contact(NOON - 6 * DAY, 2)), (page(limits=(limit(),)),)).findings
    assert (finding.kind, finding.rule) == ("cap", "cap.weekly")
    assert finding.facts == {"limit": 1.0, "used": 1.0, "weight": 1.0, "rolling_seconds": 7 * 86_400}


def test_a_slot_is_free_at_the_period_exactly():
    """A touch of seven days ago to the microsecond counts no more; one microsecond later it does."""
    assert kinds(send(NOON, contact(NOON - 7 * DAY, 2)), page(limits=(limit(),))) == []
    assert kinds(send(NOON, contact(NOON - 7 * DAY + 1, 2)), page(limits=(limit(),))) == ["cap"]


def test_a_calendar_day_ends_at_the_recipients_midnight():
    """Half past eleven in the evening and half past midnight are two days in Jakarta."""
    late, early = at("2026-11-21T23:30:00+07:00"), at("2026-11-22T00:30:00+07:00")
    rules = page(window=json.dumps({"start": "00:00", "end": "24:00"}), limits=(limit(rolling=None, calendar="day"),))
    assert kinds(send(early, contact(late, 2)), rules) == []
    assert kinds(send(late, contact(late - HOUR, 2)), rules) == ["cap"]


def test_transactional_sends_need_no_slot_but_take_one():
    """They are never over a cap; a marketing message after them is. One of the same commit accuses nobody."""
    rules = page(limits=(limit(),))
    mail = replace(TERMS, transactional=True)
    assert kinds(send(NOON, contact(NOON - DAY, 2), mine=contact(NOON, transactional=True), terms=mail), rules) == []
    assert kinds(send(NOON, contact(NOON - DAY, 2, transactional=True)), rules) == ["cap"]
    assert kinds(send(NOON, contact(NOON, 2, transactional=True)), rules) == []


def test_two_of_one_instant_are_found_once():
    """Both in one commit, one slot: one finding, not two."""
    pair = [contact(NOON, 1), contact(NOON, 2)]
    found = [judge(send(NOON)._replace(delivery=one.delivery, contact=one, contacts=pair), (page(limits=(limit(),)),)).findings for one in pair]
    assert [len(each) for each in found] == [0, 1]


def test_a_second_contact_of_one_delivery_is_found():
    """Told at the second; a campaign that asks for one marked copy may have it, but no third."""
    first, second, third = contact(NOON - HOUR), contact(NOON), contact(NOON + HOUR)
    assert kinds(send(NOON, first)) == ["duplicate"]
    copied = replace(TERMS, transactional=True, twice=True)
    assert kinds(send(NOON, first, terms=copied)) == []
    assert kinds(send(NOON + HOUR, first, second, mine=third, terms=copied)) == ["duplicate"]


def test_sent_and_not_counted_is_found():
    """Accepted with no touch: the caps would not know of it. What surely failed has none, rightly."""
    assert kinds(send()._replace(contact=None, contacts=[])) == ["no_touch"]
    assert kinds(send()._replace(contact=None, contacts=[], counted=False)) == []


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"expires_at": NOON}, "late"),
        ({"terms": replace(TERMS, ends=date(2026, 11, 22))}, "late"),
        ({"terms": replace(TERMS, ends=datetime(2026, 11, 22, 5, tzinfo=UTC))}, "late"),
        ({"terms": replace(TERMS, starts=date(2026, 11, 23))}, "early"),
    ],
)
def test_a_send_outside_its_life_is_found(more: dict[str, Any], kind: str):
    """After its expiry, on the day the campaign is over, before it begins."""
    assert kinds(send(**more)) == [kind]
    assert kinds(send(terms=replace(TERMS, starts=date(2026, 11, 22), ends=date(2026, 11, 23)))) == []


def test_another_zone_than_the_recipients_own_is_found():
    """Unless the recipient was changed since: then nobody knows which it had."""
    assert kinds(send(own_zone="Asia/Makassar")) == ["zone"]
    assert kinds(send(own_zone="Asia/Makassar", settled=False)) == []
    assert kinds(send(own_zone="asia/jakarta ")) == []
    assert kinds(send(own_zone="Mars/Base")) == []


def test_what_may_have_changed_is_not_judged():
    """Quiet hours of a recipient that was changed since; a country that only the phone number tells; a send of a restored store."""
    verdict = judge(send(quiet_hours=["11:00-14:00"], settled=False), (page(),))
    assert (verdict.findings, verdict.unjudged) == ([], ["recipient.quiet_hours"])
    night_only = page(countries={"ID": json.dumps({"hours": ["22:00-23:00"]})})
    verdict = judge(send(country=None, phone="+62811"), (night_only,))
    assert (verdict.findings, verdict.unjudged) == ([], ["window.countries"])
    assert judge(send(NIGHT, told=True), (page(),)).unjudged == ["all"]


def test_a_window_that_nobody_can_read_accuses_nobody():
    """It is counted as not judged."""
    verdict = judge(send(NIGHT), (page(window='{"hours": ["whenever"]}'),))
    assert verdict.findings == []
    assert len(verdict.unjudged) == 1


def test_without_a_zone_only_an_open_window_may_be_passed():
    """Whose zone nobody knows gets nothing while some hours are shut."""
    nowhere = contact(NOON, zones=())
    assert kinds(send(mine=nowhere, own_zone=None)) == ["window"]
    assert kinds(send(mine=nowhere, own_zone=None), page(window=json.dumps({"start": "00:00", "end": "24:00"}))) == []


def test_rules_of_the_instant_are_used_and_near_a_change_both():
    """Old rules for old sends, new for new; two hours after a change a finding must hold under both."""
    night = json.dumps({"hours": ["22:00-23:00"]})
    book = [page(0), page(NIGHT - HOUR, night), page(NIGHT + 10 * HOUR)]
    assert [p.since for p in pages_at(book, NIGHT - 2 * HOUR)] == [0]
    near = pages_at(book, NIGHT)
    assert [p.since for p in near] == [0, NIGHT - HOUR]
    verdict = judge(send(NIGHT), near)
    assert (verdict.findings, verdict.unjudged) == ([], ["the rules changed just before"])
    assert kinds(send(NIGHT - HOUR // 2 + 2 * HOUR), *pages_at(book, NIGHT - HOUR // 2 + 2 * HOUR)) == ["window"]
    assert [p.since for p in pages_at(book, NIGHT + DAY)] == [NIGHT + 10 * HOUR]
    assert pages_at([page(NOON)], NOON - 1) == ()
