"""What a recipient chooses on its page: the page itself, over HTTP; and on people and days, what is sent afterwards and what is not."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon.journey.profile import Shop
from daemon.links import UNSUBSCRIBE
from daemon.model.campaign import Step
from daemon.model.delivery import DAY
from daemon.policy.tz import utc_text
from daemon.store.flight import Step as FlightStep
from daemon.store.merge import merge
from daemon.store.preferences import Preferences, Wish, read_preferences, set_preferences
from daemon.store.recipients import person_id
from daemon.store.writer import Lane
from daemon.web.pages import LANGUAGES
from daemon.web.preference_words import LANGUAGE_NAMES, WORDS
from tests.stages.intake_world import job, people
from tests.stages.playbook_world import PlaybookWorld
from tests.stages.walk_world import WalkWorld, campaign, person
from tests.stages.web_world import WebWorld

TOPICS = '\n[topics.winback]\ntitle = "Offers for you"\n"title.id" = "Penawaran untuk Anda"\n[topics.news]\ntitle = "What is new"\n'

COUPLE = (person("c-1"), person("c-2"))


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[WebWorld]:
    world = await WebWorld.open(tmp_path, http=TOPICS)
    rows = people(2, locale="id-ID")
    for number, row in enumerate(rows):
        row["phone"] = f"+628111111111{number}"
    await world.inner.drop(job(2, recipients=rows))
    await world.inner.settle()
    yield world
    await world.close()


async def ids_of(web: WebWorld) -> list[int]:
    return [row[0] for row in await web.inner.sql("SELECT id FROM delivery ORDER BY id")]


async def opened(web: WebWorld, number: int = 0, lang: str = "") -> tuple[str, str, str]:
    """(the link, its page, the page's hidden field)."""
    link = "/p/" + web.links.preferences_url((await ids_of(web))[number]).rpartition("/p/")[2]
    async with (await web.outside()).get(link + (f"?lang={lang}" if lang else "")) as answer:
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        page = await answer.text()
    found = re.search(r'name="confirm" value="([^"]+)"', page)
    assert found is not None
    return link, page, found[1]


async def post(web: WebWorld, link: str, **form: str) -> tuple[int, str]:
    async with (await web.outside()).post(link, data={name.replace("__", "."): value for name, value in form.items()}) as answer:
        return answer.status, await answer.text()


async def known(web: WebWorld, number: int = 0) -> Preferences:
    found = await web.inner.store.read(read_preferences, (await ids_of(web))[number])
    assert found is not None
    return found


async def state(web: WebWorld) -> list[Any]:
    return await web.inner.sql("SELECT * FROM recipient ORDER BY id") + await web.inner.sql("SELECT * FROM consent")


async def test_opening_the_page_changes_nothing_and_a_foreign_form_is_refused(web: WebWorld) -> None:
    """Scanners follow links; only the page's own field, made for this link, acts. A link to unsubscribe is none to this page."""
    before = await state(web)
    link, page, confirm = await opened(web)
    assert not re.search(r"<script|onload|http-equiv|src=|href=", page)
    other, _, foreign = await opened(web, 1)
    for field in ("", foreign, confirm[1:] + confirm[0] + "x"):
        assert (await post(web, link, confirm=field, do="stop"))[0] == 400
    assert (await post(web, link, confirm=confirm, do="delete"))[0] == 400
    async with (await web.outside()).head(other) as answer:
        assert answer.status == 200
    token = web.links.mint(UNSUBSCRIBE, (await ids_of(web))[0])
    async with (await web.outside()).get(f"/p/{token}") as answer:
        assert answer.status == 404
    assert await state(web) == before


async def test_what_is_chosen_is_kept_and_shown_again(web: WebWorld) -> None:
    """Topic, frequency, channel, language; what the form does not say of others stays."""
    link, page, confirm = await opened(web)
    assert "Penawaran untuk Anda" in page
    assert re.findall(r'value="([^"]*)" checked', page) == ["on", "on", "all", "", "id"]
    said = {"confirm": confirm, "do": "save", "topic__news": "on", "pace": "weekly", "channel": "sms", "language": "fa"}
    status, page = await post(web, link, **said)
    assert status == 200
    assert WORDS["fa"]["saved"] in page
    assert '<html lang="fa" dir="rtl">' in page
    assert re.findall(r'name="([^"]*)" value="([^"]*)" checked', page) == [
        ("topic.news", "on"), ("pace", "weekly"), ("channel", "sms"), ("language", "fa"),
    ]  # fmt: skip
    now = await known(web)
    assert (now.off, now.weekly, now.preferred, now.locale) == (frozenset({"winback"}), True, "sms", "fa")
    assert (await known(web, 1)).off == frozenset(), "of nobody else"
    consents = await web.inner.sql("SELECT channel, topic, state, source FROM consent ORDER BY channel")
    assert {(channel, topic, state, source) for channel, topic, state, source in consents} == {
        (channel, "winback", "withdrawn", "preferences") for channel in ("email", "sms", "push", "call", "whatsapp")
    }  # fmt: skip
    await post(web, link, confirm=confirm, do="save", topic__news="on", topic__winback="on", pace="all", channel="", language="fa")
    now = await known(web)
    assert (now.off, now.weekly, now.preferred, now.locale) == (frozenset(), False, None, "fa")
    consents = await web.inner.sql("SELECT channel, topic, state FROM consent")
    assert consents == [("email", "winback", "granted")], "a consent for the channel that the reader showed to be his, and for no other"


async def test_a_pause_ends_by_itself_and_can_be_kept_or_ended(web: WebWorld) -> None:
    """The page says until when, in the language's own calendar."""
    link, _, confirm = await opened(web)
    topics = {"topic__news": "on", "topic__winback": "on"}
    await post(web, link, confirm=confirm, do="save", pace="30", language="id", **topics)
    until = web.inner.clock.wall + 30 * DAY
    assert (await known(web)).paused_until == until
    _, page, _ = await opened(web)
    assert "Jeda sampai 22 Desember 2026" in page
    assert 'value="keep" checked' in page
    web.inner.clock.wall += DAY
    await post(web, link, confirm=confirm, do="save", pace="keep", **topics)
    assert (await known(web)).paused_until == until
    await post(web, link, confirm=confirm, do="save", pace="31", **topics)
    assert (await known(web)).paused_until == until, "no choice of the page"
    await post(web, link, confirm=confirm, do="save", pace="all", **topics)
    assert (await known(web)).paused_until is None


async def test_stop_all_stops_every_channel(web: WebWorld) -> None:
    """As an unsubscribe of each does; the page says so ever after."""
    link, _, confirm = await opened(web)
    status, page = await post(web, link, confirm=confirm, do="stop")
    assert (status, WORDS["id"]["stopped_title"] in page) == (200, True)
    rows = await web.inner.sql("SELECT channel, source FROM consent WHERE topic = '*' AND state = 'withdrawn'")
    assert {channel for channel, _ in rows} >= {"email", "sms", "push"}
    assert {source for _, source in rows} == {"unsubscribe:preferences"}
    suppressed = {channel for (channel,) in await web.inner.sql("SELECT channel FROM suppression")}
    assert suppressed >= {"email", "sms"}
    _, page, confirm = await opened(web)
    assert "Anda sudah berhenti berlangganan" in page
    await post(web, link, confirm=confirm, do="save", topic__winback="on", pace="all")
    assert {"email", "sms"} <= (await known(web)).stopped, "a box is no new consent"


async def test_every_language_has_every_word_and_every_choice_a_label(web: WebWorld) -> None:
    """Right-to-left where it is read so; each button of a group has its text around it."""
    assert set(WORDS) == set(LANGUAGES) == set(LANGUAGE_NAMES)
    for language, words in WORDS.items():
        assert words.keys() == WORDS["en"].keys()
        for key, text in WORDS["en"].items():
            assert re.findall(r"{\w+}", words[key]) == re.findall(r"{\w+}", text)
        _, page, _ = await opened(web, lang=language)
        assert f'<html lang="{language}" dir="{"rtl" if language == "fa" else "ltr"}">' in page
        assert page.count("<label>") == page.count("</label>") == len(re.findall(r'<input type="(?:radio|checkbox)"', page)) == 14
        assert page.count("<legend>") == page.count("<fieldset>") == 4
        assert words["save"] in page


async def test_who_was_erased_or_never_was_gets_the_page_of_a_bad_link(web: WebWorld) -> None:
    """The same for both."""
    link, _, confirm = await opened(web)
    await web.inner.do("UPDATE recipient SET erased = 1")
    for path in (link, "/p/" + web.links.preferences_url(987654).rpartition("/p/")[2]):
        async with (await web.outside()).get(path) as answer:
            assert answer.status == 404
    assert (await post(web, link, confirm=confirm, do="save", pace="all"))[0] == 404


async def wishes(world: WalkWorld, recipient: str, **more: Any) -> None:
    """It opens the page of some message of its own, and saves this."""
    [(delivery,)] = await world.inner.sql(
        "SELECT max(delivery.id) FROM delivery WHERE person = :person", person=person_id(recipient)
    )  # fmt: skip
    assert await world.inner.store.write(Lane.EXIT, set_preferences, delivery, Wish(**{"topics": {}, **more}), world.inner.clock.wall) is not None


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[PlaybookWorld]:
    world = await PlaybookWorld.of(tmp_path, "standard", "post_reactivation")
    yield world
    await world.close()


async def test_a_pause_a_topic_and_a_language_hold_for_what_comes_next(world: PlaybookWorld) -> None:
    """Mails of days 45, 60 and 90. After the first: one pauses for 30 days, one drops the topic, one wants Persian, one stops all."""
    crowd = [f"c-{number}" for number in range(1, 25)]
    await world.bought(45, *crowd)
    await world.put_in("lapsed_30_90", *crowd)
    await world.go(2 * DAY)
    there = [who for who in crowd if world.got(who) == ["reminder"]]
    paused, off, persian, stopped, other = there[:5]
    topic = world.campaigns["standard"].topic
    assert topic is not None
    await wishes(world, paused, paused_until=world.inner.clock.wall + 30 * DAY)
    await wishes(world, off, topics={topic: False})
    await wishes(world, persian, locale="fa")
    await wishes(world, stopped, stop=True)
    await world.go(16 * DAY)
    got = {who: world.got(who) for who in there[:5]}
    assert got == {paused: ["reminder"], off: ["reminder"], persian: ["reminder", "offer"], stopped: ["reminder"], other: ["reminder", "offer"]}
    locales = [message.locale for who, _, message in world.messages if who == persian]
    assert locales == [None, "fa"]
    await world.go(52 * DAY)
    assert [world.got(who) for who in (off, stopped)] == [["reminder"], ["reminder"]]
    assert world.got(other) == ["reminder", "offer", "last"]
    assert world.got(paused)[-1] != "reminder", "it ends by itself"
    assert (off, "topic_off") in {(who, reason) for who in (off,) for _, _, reason in await world.steps(who)}


async def test_one_a_week_holds_over_campaigns_and_a_pause_is_explained(tmp_path: Path) -> None:
    """Two campaigns on one day, no cap in the config: one message goes, the other seven days later to the instant; others get both."""
    step = Step(name="offer", channels=("email",), valid=20 * DAY)
    world = await WalkWorld.begin(tmp_path, campaign("winback", (step,)), campaign("news", (step,)))
    await world.drop(*COUPLE, person("c-3"))
    await wishes(world, "c-1", weekly=True)
    await wishes(world, "c-3", paused_until=world.inner.clock.wall + 9 * DAY)
    await world.drop({"id": "c-1"}, {"id": "c-2"}, id="k", campaign="news")
    await world.go()
    assert sorted(world.sent) == [("c-1", "email"), ("c-2", "email"), ("c-2", "email")]
    touched = world.inner.clock.wall
    [waits, went] = await world.explain("c-1")
    waits, went = (waits, went) if waits["state"] == "due" else (went, waits)
    assert (waits["reason"], waits["rule"]["name"], waits["next_possible_at"]) == ("cap_reached", "cap.recipient", utc_text(touched + 7 * DAY))
    [pause] = await world.explain("c-3")
    assert (pause["decision"], pause["reason"]) == ("defer", "paused_by_recipient")
    assert "asked for a pause until" in pause["text"]
    await world.go(7 * DAY - 1)
    assert len(world.sent) == 3
    await world.go(1)
    assert world.sent[3:] == [("c-1", "email")]
    await world.go(3 * DAY)
    assert world.sent[4:] == [("c-3", "email")]
    await world.close()


async def test_what_is_claimed_when_a_pause_begins_is_not_handed_over(tmp_path: Path) -> None:
    """The wish is in force at its commit."""
    world = await WalkWorld.begin(tmp_path, campaign("winback", (Step(name="offer", channels=("email",)),)))
    await world.drop(*COUPLE)
    claimed = await world.settle()
    assert len(claimed) == 2
    until = world.inner.clock.wall + 30 * DAY
    await wishes(world, "c-1", paused_until=until)
    step = FlightStep(grants=[(one.row.delivery, one.epoch) for one in claimed])
    done = await world.inner.store.join(Lane.HANDOVER, world.flights.step, step)
    assert [one.row.recipient for one in claimed if one.row.delivery in done.granted] == ["c-2"]
    await world.settle()
    [(state, reason)] = await world.inner.sql("SELECT state, reason FROM delivery WHERE person = :person", person=person_id("c-1"))
    assert state == "expired", "its three days end within the pause"
    assert reason == "late"
    await world.close()


async def test_of_two_that_become_one_the_stricter_wish_holds(web: WebWorld) -> None:
    """The longer pause, fewer messages; and the link of either is of the one."""
    first, second = await web.inner.sql("SELECT recipient.key, delivery.id FROM delivery JOIN recipient ON recipient.id = person ORDER BY delivery.id")
    now = web.inner.clock.wall
    await web.inner.store.write(Lane.EXIT, set_preferences, first[1], Wish(topics={}, paused_until=now + DAY, weekly=True), now)
    await web.inner.store.write(Lane.EXIT, set_preferences, second[1], Wish(topics={}, paused_until=now + 9 * DAY), now)
    assert await web.inner.store.write(Lane.EVENTS, merge, second[0], person_id(first[0]), Shop(), now) is not None
    for number in (0, 1):
        found = await known(web, number)
        assert (found.paused_until, found.weekly) == (now + 9 * DAY, True)
