"""Rules of the playbook that no campaign has for itself, seen on people and days: gaps, deadlines by the reader's clock, words that fall back, the best
customers over a loud channel."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from daemon.clock import to_datetime
from daemon.model.delivery import DAY
from tests.stages.playbook_world import VERSIONS, Opening, whole
from tests.stages.several_world import person


async def test_who_is_met_late_still_gets_his_messages_ten_days_apart(opening: Opening) -> None:
    """Met on day 45, 58 and 88: the first message is the reminder, and between any two there are ten days or more, whatever day they were
    planned for; who is in time has gaps that grow."""
    assert VERSIONS["standard"].campaign.enrol.min_gap == 10 * DAY
    world = await opening(whole("standard"), whole("post_reactivation"))
    for recipient, days in (("c-1", 44), ("c-2", 58), ("c-3", 88)):
        await world.bought(days, recipient)
    await world.live(60)
    for recipient in ("c-1", "c-2", "c-3"):
        assert world.got(recipient) == ["reminder", "offer", "last"], recipient
        at = [each.at for each in world.letters if each.recipient == recipient]
        gaps = [(late - early) / DAY for early, late in itertools.pairwise(at)]
        assert all(gap >= 10 for gap in gaps), (recipient, gaps)
        if recipient == "c-1":
            assert gaps[0] < gaps[1]


async def test_an_offer_ends_by_its_readers_own_clock(opening: Opening) -> None:
    """Seven days from the acceptance and up to the end of the printed minute, in Jakarta, Los Angeles and Tehran; each reads his own time."""
    zones = {"c-1": "Asia/Jakarta", "c-2": "America/Los_Angeles", "c-3": "Asia/Tehran"}
    world = await opening(whole("second_purchase"))
    await world.bought(25, *zones, revenue=300)
    for recipient, zone in zones.items():
        await world.inner.do("UPDATE recipient SET zone = :zone, country = NULL, phone = NULL WHERE key = :key", zone=zone, key=recipient)
    await world.live(25)
    rows = await world.inner.sql(
        "SELECT recipient.key, issue.accepted_at, issue.ends_at FROM issue JOIN recipient ON recipient.id = issue.person WHERE issue.state = 'open' OR issue.state = 'expired'"
    )
    assert {key for key, *_ in rows} == set(zones)
    campaign = VERSIONS["second_purchase"].campaign
    valid = {offer.valid for offer in campaign.offers.values() if offer.valid is not None}
    for key, accepted, ends in rows:
        assert any(span <= ends - accepted <= span + DAY for span in valid), key
        [mail] = [each for each in world.letters if (each.recipient, each.step) == (key, "pair")]
        zone = ZoneInfo(zones[key])
        sent, end = to_datetime(mail.at).astimezone(zone), to_datetime(ends).astimezone(zone)
        assert 9 <= sent.hour < 21, (key, sent)
        assert spoken(end) in mail.message.text, (key, spoken(end), mail.message.text)


def spoken(end: datetime) -> str:
    last = end - timedelta(seconds=1)  # an offer that ends at midnight is good for the day before
    return f"{last:%B} {last.day}"


@pytest.mark.parametrize(
    ("locale", "word", "file"),
    [("fa-IR", "سلام", "fa"), ("fa", "سلام", "fa"), ("ms-MY", "Hai", "ms"), ("id_ID", "Halo", "id"), ("de-DE", "Hello", None), (None, "Hello", None)],
)
async def test_a_reader_gets_the_nearest_language_that_there_is(opening: Opening, locale: str | None, word: str, file: str | None) -> None:
    """Its own, else that of the language, else the one without a locale; on the day that the campaign says, whatever the language."""
    world = await opening(whole("standard"), whole("post_reactivation"))
    await world.bought(44, "c-1")
    await world.know("c-1", locale=locale)
    began = world.inner.clock.wall
    await world.live(5)
    [mail] = world.letters
    assert (mail.at - began) // DAY + 44 in (45, 46, 47)
    assert word in mail.message.text
    assert mail.message.locale == file
    assert ('dir="rtl"' in (mail.message.html or "")) == (file == "fa")


async def test_the_best_are_written_to_over_a_loud_channel_within_its_hours_and_once(opening: Opening) -> None:
    """A job of the best customers: one SMS each on the first day that the channel allows, to whom has a phone; the same job three weeks later
    brings nobody a second one, a hundred days later it does."""
    world = await opening(whole("vip"))
    for recipient in ("c-1", "c-2"):
        await world.bought(60, recipient, orders=10, revenue=300)
    await world.drop(person("c-1"), person("c-2"), person("c-3", phone=False, email=False), id="best", campaign="vip")
    began = world.inner.clock.wall
    await world.live(3)
    assert sorted(each.recipient for each in world.letters) == ["c-1", "c-2"]
    assert {each.message.channel for each in world.letters} == {"sms"}
    assert all(each.at - began < 2 * DAY and 10 <= each.local.hour < 20 and each.local.weekday() < 6 for each in world.letters)
    await world.live(20)
    await world.drop(person("c-1"), id="again", campaign="vip")
    await world.live(3)
    assert len(world.letters) == 2
    await world.live(90)
    await world.drop(person("c-1"), id="later", campaign="vip")
    await world.live(3)
    assert [each.recipient for each in world.letters][2:] == ["c-1"]
