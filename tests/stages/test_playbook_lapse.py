"""Win-back as it is shipped, walked whole: who of the lapsed gets what on which day, over which channel, and in which audience they are."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from daemon.audience.desired import Desired, Intent
from daemon.clock import to_instant
from daemon.model.delivery import DAY, HOUR
from daemon.model.journey import Season
from daemon.store.feedback import Report, hear
from daemon.store.writer import Lane
from tests.stages.playbook_world import ORDER, VERSIONS, Opening, PlaybookWorld, local, whole


class Ads:
    """The desired sets of all audiences, kept true as the daemon keeps them."""

    def __init__(self, world: PlaybookWorld) -> None:
        self._world = world
        intent = Intent(campaigns=world.campaigns, providers=("meta",), consent="implied")
        self._desired = Desired(store=world.inner.store, clock=world.inner.clock, log=world.inner.log, intent=intent, changed=lambda: None)  # type: ignore[arg-type]

    async def now(self) -> dict[str, set[str]]:
        """Audience -> who should be in it."""
        await self._desired.watch()
        await self._desired.compare()
        rows = await self._world.inner.sql(
            "SELECT audience.name, recipient.key FROM audience_member JOIN audience ON audience.id = audience_member.audience"
            " JOIN recipient ON recipient.id = audience_member.person WHERE audience_member.want = 1 ORDER BY 1, 2"
        )
        found: dict[str, set[str]] = {}
        for name, key in rows:
            found.setdefault(name, set()).add(key)
        return found

    async def told(self) -> dict[str, str]:
        """Audience -> what the platform shows."""
        return dict(await self._world.inner.sql("SELECT name, description FROM audience"))


async def test_the_deeply_lapsed_get_a_question_an_offer_that_ads_repeat_and_the_best_an_sms(opening: Opening) -> None:
    """Day 180 a question, 195 the offer by tier; an SMS three days later to the best who did not look; 215 a last SMS to them; silence."""
    world = await opening(whole("deep_lapse"), whole("post_reactivation"))
    began = world.inner.clock.wall
    await world.bought(180, "c-1", "c-2", orders=3, revenue=400)  # high
    await world.bought(180, "c-3", "c-4")  # low
    ads = Ads(world)
    await world.live(13)
    assert {key: world.got(key) for key in ("c-1", "c-2", "c-3", "c-4")} == {f"c-{n}": ["question"] for n in range(1, 5)}
    assert await ads.now() == {}, "no mail has promised anything yet"
    await world.live(3)
    steps = {key: [(each.step, each.message.channel) for each in world.letters if each.recipient == key][1:] for key in ("c-1", "c-3")}
    assert steps == {"c-1": [("comeback", "email")], "c-3": [("comeback", "email")]}
    assert await ads.now() == {"winback-deep-high-back30": {"c-1", "c-2"}, "winback-deep-low-back25": {"c-3", "c-4"}}
    assert await ads.told() == {
        "winback-deep-high-back30": "180 days and more since the last order: 30% off",
        "winback-deep-low-back25": "180 days and more since the last order: 25% off",
    }
    await react(world, "c-2", "comeback", "opened")
    await world.happen(ORDER, "c-4", id="back", revenue=20)
    assert await ads.now() == {"winback-deep-high-back30": {"c-1", "c-2"}, "winback-deep-low-back25": {"c-3"}}, "who bought is out at once"
    await world.live(4)
    texts = [each for each in world.letters if each.message.channel == "sms"]
    assert [(each.recipient, each.step) for each in texts] == [("c-1", "comeback")]
    mail = next(each for each in world.letters if (each.recipient, each.step, each.message.channel) == ("c-1", "comeback", "email"))
    assert 3 * DAY <= texts[0].at - mail.at <= 3 * DAY + 24 * HOUR
    assert code_in(texts[0].message.text) == code_in(mail.message.text), "the same offer, the same code"
    await world.live(5)
    assert await ads.now() == {}, "the offers are over after a week, and so are the ads"
    await world.live(12)
    assert world.got("c-3") == ["question", "comeback"]
    assert world.got("c-4")[:2] == ["question", "comeback"]
    assert "last_call" not in world.got("c-4")
    assert world.got("c-1") == ["question", "comeback", "comeback", "last_call"]
    assert world.got("c-2") == ["question", "comeback", "last_call"]
    assert [day for day, step in world.diary("c-1", began - 180 * DAY)] == pytest.approx([180, 195, 198, 215], abs=2)
    assert await ads.now() == {"winback-deep-high-back30_ship": {"c-1", "c-2"}}
    await world.live(10)
    assert [state for state, _, _ in await world.walks("c-1", "deep_lapse")] == ["finished"]
    silent = await world.inner.sql("SELECT recipient.key FROM suppression JOIN recipient ON recipient.email_hash = suppression.hash WHERE reason = 'sunset'")
    assert {key for (key,) in silent} == {"c-1", "c-3"}, "who reacted to nothing is let go; c-2 had opened a mail"
    assert await ads.now() == {}


def code_in(text: str) -> str:
    return next(word.strip(".,:") for word in text.split() if word.startswith("WB-"))


async def react(world: PlaybookWorld, recipient: str, step: str, kind: str) -> None:
    """It opened or clicked the mail of this step: its provider reports it."""
    [(delivery,)] = await world.inner.sql(
        "SELECT delivery.id FROM delivery JOIN wave ON wave.id = delivery.wave JOIN recipient ON recipient.id = delivery.person"
        " WHERE recipient.key = :key AND wave.step = :step AND wave.channel = 'email'",
        key=recipient, step=step,
    )  # fmt: skip
    report = Report(provider="relay", channel="email", kind=kind, at=world.inner.clock.wall, delivery=delivery, human=True)
    await world.inner.store.write(Lane.EXIT, hear, [report], channels=("email", "sms"), now=world.inner.clock.wall)


SEASONS = [
    pytest.param("year_end", "ID", date(2027, 11, 9), date(2027, 12, 1), id="year-end-waits-for-december"),
    pytest.param("year_end", "IR", date(2027, 11, 9), date(2027, 11, 9), id="no-year-end-near-in-Iran"),
    pytest.param("year_end", "IR", date(2028, 1, 10), date(2028, 2, 21), id="year-end-of-Iran-is-1-Esfand-a-Sunday"),
    pytest.param("nowruz", "IR", date(2028, 2, 8), date(2028, 2, 28), id="nowruz-8-Esfand-a-Sunday"),
    pytest.param("lebaran", "ID", date(2028, 1, 20), date(2028, 2, 14), id="a-fortnight-before-the-end-of-Ramadan-a-Sunday"),
    pytest.param("ramadan", "MY", date(2028, 1, 4), date(2028, 1, 28), id="ramadan"),
    pytest.param("singles_day", "ID", date(2027, 10, 13), date(2027, 11, 4), id="a-week-before-11-11"),
    pytest.param("black_friday", "ID", date(2027, 11, 10), date(2027, 11, 26), id="black-friday"),
    pytest.param("singles_day", "ID", date(2027, 11, 9), date(2027, 11, 9), id="the-season-has-begun"),
]


@pytest.mark.parametrize(("season", "country", "due", "goes"), SEASONS)
async def test_the_offer_to_who_is_lapsed_around_a_season_waits_for_it(opening: Opening, season: str, country: str, due: date, goes: date) -> None:
    """At most 45 days, by the calendar of the recipient's country; not near: on its own day. No mail on Sundays."""
    campaign = VERSIONS["season"].campaign
    hello, festive = campaign.steps
    steps = (hello, replace(festive, season=Season(name=season, within=45 * DAY)))
    world = await opening(whole("season", steps=steps), whole("post_reactivation"))
    zone = {"ID": "Asia/Jakarta", "MY": "Asia/Kuala_Lumpur", "IR": "Asia/Tehran"}[country]
    noon = to_instant(datetime(due.year, due.month, due.day, 5, tzinfo=ZoneInfo("Asia/Jakarta")))
    world.inner.clock.wall = noon - 17 * DAY
    await world.bought(98, "c-1", "c-2")
    await world.know("c-1", locale="fa-IR" if country == "IR" else "id", country=country)
    await world.know("c-2", country=country)
    await world.inner.do("UPDATE recipient SET zone = :zone", zone=zone)
    await world.live(16)
    await world.happen(ORDER, "c-2", id="back", revenue=40)
    await world.live((goes - due).days + 4)
    letters = {each.step: each for each in world.letters if each.recipient == "c-1"}
    there = {step: to_local(each.at, zone) for step, each in letters.items()}
    assert sorted(letters) == ["festive", "hello"]
    assert abs((there["hello"].date() - due).days + 15) <= 1
    assert there["festive"].date() == goes
    assert all(9 <= each.hour < 20 and each.weekday() < 6 for each in there.values())
    assert "festive" not in world.got("c-2"), "who has bought is thanked, and gets no offer"


async def test_a_persian_seasonal_mail_has_persian_dates(opening: Opening) -> None:
    """The offer of Esfand 1406 ends in Esfand 1406, and is written from right to left."""
    world = await opening(whole("season"), whole("post_reactivation"))
    world.inner.clock.wall = to_instant(datetime(2028, 1, 25, 5, tzinfo=ZoneInfo("Asia/Jakarta")))
    await world.bought(99.5, "c-1")
    await world.know("c-1", locale="fa-IR", country="IR")
    await world.inner.do("UPDATE recipient SET zone = 'Asia/Tehran'")
    await world.live(30)
    [hello, festive] = world.letters
    assert (hello.step, festive.step, to_local(festive.at, "Asia/Tehran").date()) == ("hello", "festive", date(2028, 2, 21))
    assert "۹ اسفند ۱۴۰۶" in festive.message.text
    assert 'dir="rtl"' in festive.message.html


def to_local(at: int, zone: str) -> datetime:
    return local(at).astimezone(ZoneInfo(zone))
