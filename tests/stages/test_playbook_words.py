"""What the words of the playbook come to for the people who get them: how many segments an SMS takes and what it costs, whose picture is shown."""

from __future__ import annotations

from typing import Any

import pytest

from channels.sms_twilio.channel import TwilioChannel
from channels.sms_twilio.settings import Settings
from daemon.model.delivery import DAY
from plugins import Secret
from plugins.sms_text import measure_sms
from tests.stages.playbook_world import ORDER, Letter, Opening, whole

READERS = {"c-1": "en", "c-2": "id", "c-3": "ms", "c-4": "fa"}
ACCOUNT: dict[str, Any] = {"account_sid": "AC" + "0" * 32, "auth_token": Secret("x"), "from_": "+15005550006"}


def priced(**prices: float) -> TwilioChannel:
    """The channel as the daemon asks it for prices: by country, "*" for all others."""
    channel = TwilioChannel()
    channel.settings = Settings(**ACCOUNT, prices=prices)
    return channel


async def test_an_sms_is_counted_and_priced_for_the_reader_who_gets_it(opening: Opening) -> None:
    """The best of four languages, silent since the mail of day 195: three days later an SMS of one or two segments, in Persian of UCS-2, with
    a way out; what it costs is its segments times the price of the country of its number."""
    world = await opening(whole("deep_lapse"), whole("post_reactivation"))
    began = world.inner.clock.wall
    await world.bought(180, *READERS, orders=3, revenue=400)
    for recipient, locale in READERS.items():
        await world.know(recipient, locale=locale)
    await world.live(40)
    texts = [each for each in world.letters if each.message.channel == "sms"]
    assert {each.recipient for each in texts} == set(READERS)
    days = {each.step: (each.at - began) // DAY + 180 for each in texts}
    assert days == {"comeback": pytest.approx(198, abs=2), "last_call": pytest.approx(215, abs=2)}
    channel = priced(ID=0.04, **{"*": 0.5})
    for each in texts:
        size, price = measure_sms(channel.body_of(each.message)), channel.price(each.message)
        assert size.encoding == ("UCS-2" if READERS[each.recipient] == "fa" else "GSM-7"), each
        assert 1 <= size.segments <= (3 if READERS[each.recipient] == "fa" else 2)
        assert (price.parts, price.amount) == (size.segments, pytest.approx(0.04 * size.segments))
        assert says_stop(each)
    assert priced(US=0.04).price(texts[0].message).amount == 0, "a country without a price"


def says_stop(letter: Letter) -> bool:
    return any(word in letter.message.text for word in ("STOP", "BERHENTI"))


async def test_the_picture_in_a_mail_is_of_what_its_reader_bought_last(opening: Opening) -> None:
    """Shortly before the cycle ends: whose last order told of a picture sees that one, not an earlier or another's; who bought without gets
    the mail without."""
    world = await opening(whole("replenish"))
    for recipient, products in (("c-1", ["tea", "cup"]), ("c-2", ["cup", "tea"]), ("c-3", ["tea", None])):
        for number, product in enumerate(products * 2):
            said = {"name": "Aruna"} | ({"image_url": f"https://shop.example.com/i/{product}.png"} if product else {})
            await world.happen(ORDER, recipient, ago=(157 - 40 * number) * DAY, id=f"{recipient} {number}", revenue=20, products=[said])
        await world.know(recipient)
    await world.live(4)
    mails = {each.recipient: each for each in world.letters}
    assert set(mails) == {"c-1", "c-2", "c-3"}
    assert all(38 <= (each.at - world.inner.clock.wall) // DAY + 41 <= 40 for each in mails.values())
    html = {key: each.message.html or "" for key, each in mails.items()}
    assert '<img src="https://shop.example.com/i/cup.png" alt="Aruna"' in html["c-1"]
    assert '<img src="https://shop.example.com/i/tea.png" alt="Aruna"' in html["c-2"]
    assert "tea.png" not in html["c-1"]
    assert "<img" not in html["c-3"]
