"""The image that counts down: asked for over HTTP, by whom a message with an offer reached; in his language, never more than is left."""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.clock import to_instant
from daemon.links import UNSUBSCRIBE
from daemon.model.delivery import DAY, HOUR, MINUTE, SECOND
from daemon.store.countdown import read_countdown
from daemon.web.countdown import HEIGHT, KEPT, LANGUAGES, WIDTH, draw, left_of
from tests.stages.intake_world import NOW, job, people
from tests.stages.playbook_world import PlaybookWorld, whole
from tests.stages.web_world import PATIENT, WebWorld


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[WebWorld]:
    world = await WebWorld.open(tmp_path, limits=PATIENT)
    await world.inner.drop(job(2, recipients=people(2, locale="fa-IR")))
    await world.inner.settle()
    yield world
    await world.close()


def pixels(image: bytes) -> list[bytes]:
    """The rows of a PNG as a client reads it; each chunk's sum is looked at."""
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    at, found = 8, {}
    while at < len(image):
        length, kind = struct.unpack(">I4s", image[at : at + 8])
        body = image[at + 8 : at + 8 + length]
        assert struct.unpack(">I", image[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + body)
        found[kind] = body
        at += length + 12
    assert struct.unpack(">IIBBBBB", found[b"IHDR"]) == (WIDTH, HEIGHT, 8, 3, 0, 0, 0)
    assert len(found[b"PLTE"]) == 768
    raw = zlib.decompress(found[b"IDAT"])
    return [raw[start + 1 : start + 1 + WIDTH] for start in range(0, len(raw), WIDTH + 1)]


@pytest.mark.parametrize(
    ("ends", "left"),
    [(2 * DAY + 5 * HOUR + 12 * MINUTE + 59 * SECOND, (2, 5, 12)), (59 * SECOND, (0, 0, 0)), (-DAY, (0, 0, 0)), (MINUTE, (0, 0, 1)), (500 * DAY, (99, 23, 59))],
)  # fmt: skip
def test_time_is_rounded_down(ends: int, left: tuple[int, int, int]) -> None:
    """It never promises more than there is; what is over is over."""
    assert left_of(NOW + ends, NOW) == left


def test_each_sign_is_where_it_belongs() -> None:
    """All digits differ, in both scripts; in Persian days stand on the right; each language has words of its own below."""
    english = {n: [row[:200] for row in pixels(draw(n, 0, 0, "en"))[:72]] for n in range(10)}
    persian = {n: [row[400:] for row in pixels(draw(n, 0, 0, "fa"))[:72]] for n in range(10)}
    assert len({b"".join(rows) for rows in (*english.values(), *persian.values())}) == 20
    words = {language: b"".join(pixels(draw(0, 0, 0, language))[72:]) for language in LANGUAGES}
    assert len(set(words.values())) == 4
    assert all(any(word) for word in words.values())
    assert [row[:200] for row in pixels(draw(0, 3, 4, "fa"))[:72]] == [row[400:] for row in pixels(draw(4, 0, 0, "fa"))[:72]]


def test_images_in_memory_are_bounded() -> None:
    """Whoever asks at whatever time: the same minute is drawn once, and few are kept."""
    draw.cache_clear()
    for _ in range(50):
        draw(1, 2, 3, "en")
    assert draw.cache_info().misses == 1
    for minutes in range(KEPT + 20):
        draw(0, minutes // 60, minutes % 60, "id")
    assert draw.cache_info().currsize == KEPT
    assert len(draw(99, 23, 59, "en")) < 10_000


async def test_the_image_shows_what_is_left_of_the_recipients_own_offer(web: WebWorld) -> None:
    """By the books, at the moment of the look; 404 for a link that is not ours, for another purpose, and where nothing ends."""
    [(first, person), (second, _)] = await web.inner.sql("SELECT id, person FROM delivery ORDER BY id")
    now = to_instant(web.inner.clock.now())
    await web.inner.do("UPDATE delivery SET walk = 7 WHERE id = :id", id=first)
    await web.inner.do(
        "INSERT INTO issue (walk, step, person, campaign, offer, rank, state, reserved_at, ends_at) SELECT 7, step, :person, campaign, 'x', 0, 'open', 1, :ends FROM wave LIMIT 1",
        person=person, ends=now + 3 * DAY + 4 * HOUR + MINUTE,
    )  # fmt: skip
    session = await web.outside()

    async def ask(token: str) -> tuple[int, bytes]:
        async with session.get(f"/d/{token}.png") as answer:
            if answer.status == 200:
                assert (answer.content_type, answer.headers["Cache-Control"]) == ("image/png", "no-store")
            return answer.status, await answer.read()

    link = web.links.countdown_url(first)
    status, image = await ask(link.rpartition("/d/")[2].removesuffix(".png"))
    assert status == 200
    assert image in (draw(3, 4, 1, "fa"), draw(3, 4, 0, "fa"))
    assert (await ask(web.links.countdown_url(second).rpartition("/")[2].removesuffix(".png")))[0] == 404
    assert (await ask(web.links.mint(UNSUBSCRIBE, first)))[0] == 404
    assert (await ask("x"))[0] == 404
    before = await web.inner.sql("SELECT count(*) FROM feedback")
    assert before == [(0,)], "looking at it is no sign of anything"


async def test_a_mail_with_an_offer_has_the_image_of_its_end(tmp_path: Path) -> None:
    """The last mail to the best customers; each has a link of its own, and the day in words where images are off."""
    world = await PlaybookWorld.of(tmp_path, whole("high_value"), whole("post_reactivation"))
    await world.bought(30, "c-1", "c-2", orders=3, revenue=400)
    await world.live(75)
    farewells = [each.message for each in world.letters if each.step == "farewell" and each.message.channel == "email"]
    links = [word for each in farewells for word in each.html.split('"') if "/d/v1." in word]
    assert len(set(links)) == 2
    assert all(link.endswith(".png") for link in links)
    assert all('alt="' in each.html for each in farewells)
    await world.close()


async def test_a_reminder_of_an_open_offer_counts_down_to_the_same_end(tmp_path: Path) -> None:
    """It has none of its own: the present of the birthday."""
    world = await PlaybookWorld.of(tmp_path, whole("birthday"))
    await world.bought(60, "c-1")
    await world.know("c-1", birthday="1990-11-23")
    await world.live(13)
    assert world.got("c-1") == ["wish", "reminder"]
    deliveries = await world.inner.sql("SELECT id FROM delivery ORDER BY id")
    ends = [await world.inner.store.read(read_countdown, delivery) for (delivery,) in deliveries]
    [(kept,)] = await world.inner.sql("SELECT ends_at FROM issue")
    assert ends == [(kept, None), (kept, None)]
    await world.close()
