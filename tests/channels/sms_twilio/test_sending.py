"""What becomes of a message in every way that Twilio, or the line to it, can go wrong: the peer's own log is the judge."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from daemon.sandbox.twilio_log import read_log
from plugins import Accepted, Deferred, Outcome, Rejected, Unknown
from tests.channels.sms_twilio.stage import FROM, HOOK, Line, staged


async def test_a_message_is_one_request_and_one_line_of_the_log(tmp_path: Path) -> None:
    """Number, words, sender, life and callback are what was given; the sid comes back as the provider's id."""
    async with staged(tmp_path, hook=HOOK) as stage:
        outcome = await stage.outcome("+628111111111", text=" Halo, kami rindu.\n", ttl=600.9)
    (entry,) = read_log(tmp_path)
    assert outcome == Accepted(provider_id=entry.sid, detail="queued")
    assert (entry.to, entry.sender, entry.body, entry.validity) == ("+628111111111", FROM, "Halo, kami rindu.", 600)
    assert entry.callback == f"{HOOK}?t=K1T0000000001.signed"
    assert entry.delivery == "K1T0000000001.signed"


async def test_a_service_sends_in_place_of_a_number_and_a_key_signs_in(tmp_path: Path) -> None:
    """Exactly one of From and MessagingServiceSid is given; an API key signs in for the account."""
    from plugins import Secret

    service = "MG" + "0" * 32
    key = {"api_key_sid": "SK" + "1" * 32, "api_key_secret": Secret("sandbox-token"), "auth_token": Secret("another")}
    async with staged(tmp_path, messaging_service_sid=service, countries=("ID",), **key) as stage:
        assert isinstance(await stage.outcome(), Accepted)
        (_, fields), *_ = stage.peer.requests
    assert dict(fields)["MessagingServiceSid"] == service
    assert "From" not in dict(fields)
    assert "StatusCallback" not in dict(fields)


async def test_a_request_names_the_sdk_and_asks_for_no_packed_answer(tmp_path: Path) -> None:
    """One User-Agent, which is the SDK's own; nobody here would unpack an answer."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, staged(tmp_path, base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as stage:
        await stage.outcome()
    (head,) = asked
    fields = [line.partition(": ")[::2] for line in head.split("\r\n")[1:] if line]
    assert len(fields) == len({name.lower() for name, _ in fields})
    found = dict(fields)
    assert found["User-Agent"].startswith("twilio-python/")
    assert (found["Accept-Encoding"], found["Content-Type"]) == ("identity", "application/x-www-form-urlencoded")


REFUSED: dict[str, Outcome] = {
    "91211": Rejected(scope="address", code="21211"),
    "91614": Rejected(scope="address", code="21614"),
    "91635": Rejected(scope="address", code="21635"),
    "91610": Rejected(scope="address", code="unsubscribed"),
    "91612": Rejected(scope="message", code="21612"),
    "91617": Rejected(scope="message", code="21617"),
    "99999": Rejected(scope="message", code="29999"),
    "90429": Deferred(scope="provider", after="3", code="20429", throttled=True),
    "91611": Deferred(scope="provider", after=900.0, code="21611", throttled=True),
    "90003": Deferred(scope="operator", code="20003"),
    "90404": Deferred(scope="operator", code="20404"),
    "91212": Deferred(scope="operator", code="21212"),
    "91408": Deferred(scope="operator", code="21408"),
    "91606": Deferred(scope="operator", code="21606"),
    "91608": Deferred(scope="operator", code="21608"),
    "70301": Deferred(scope="operator", code="301"),
}
"""Fault -> what is reported: surely not taken."""
DOUBTS = {
    "70500": "20500",
    "70504": "timeout",
    "70408": "ConnectionResetError",
    "70530": "garbage",
    "70531": "garbage",
    "70540": "garbage",
}
"""Fault -> the code of the doubt: taken, and not answered as it should be."""


def _bare(outcome: Outcome) -> Outcome:
    from dataclasses import replace

    return replace(outcome, detail=None)


@pytest.mark.parametrize("fault", REFUSED)
@pytest.mark.promise("F18")
async def test_what_twilio_refuses_is_surely_not_taken(tmp_path: Path, fault: str) -> None:
    """Each code has its scope: the message, the address, the provider for a while, or the operator."""
    async with staged(tmp_path) as stage:
        outcome = await stage.outcome(f"+628111{fault}")
    assert _bare(outcome) == REFUSED[fault]
    assert outcome.detail
    assert read_log(tmp_path) == []


@pytest.mark.parametrize("fault", DOUBTS)
@pytest.mark.promise("F17")
async def test_what_twilio_took_without_a_word_is_in_doubt_and_never_sent_again(tmp_path: Path, fault: str) -> None:
    """One request, one message at Twilio, an Unknown with its evidence."""
    async with staged(tmp_path, total_seconds=0.3 if DOUBTS[fault] == "timeout" else 20.0) as stage:
        outcome = await stage.outcome(f"+628111{fault}")
        assert len(stage.peer.requests) == 1
    assert len(read_log(tmp_path)) == 1
    assert isinstance(outcome, Unknown)
    assert outcome.code == DOUBTS[fault]


@pytest.mark.parametrize("number", [1, 2])
async def test_an_answer_that_names_no_message_is_a_doubt(tmp_path: Path, number: int) -> None:
    """201 with a list, or with an object without a sid."""
    async with staged(tmp_path) as stage:
        for _ in range(number):
            outcome = await stage.outcome("+62811170541")
    assert isinstance(outcome, Unknown)


async def test_a_redirect_that_may_follow_an_act_is_a_doubt_and_is_not_followed(tmp_path: Path) -> None:
    """302 may mean "done, look there"."""
    async with staged(tmp_path) as stage:
        outcome = await stage.outcome("+62811170302")
        assert len(stage.peer.requests) == 1
    assert isinstance(outcome, Unknown)


async def test_a_slow_body_within_the_time_is_an_answer(tmp_path: Path) -> None:
    """Only the whole request has a deadline."""
    async with staged(tmp_path, peer={"slow_seconds": 0.05}) as stage:
        assert isinstance(await stage.outcome("+62811170520"), Accepted)


async def test_a_bomb_of_an_answer_costs_little_memory(tmp_path: Path) -> None:
    """32 MB in 32 KB are not unpacked (the peer, in this process too, packs them once before)."""
    async with staged(tmp_path) as stage:
        await stage.outcome("+62811170530")
        tracemalloc.start()
        try:
            await stage.outcome("+62811170530")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


async def test_nobody_at_the_address_gives_the_leave_back(tmp_path: Path) -> None:
    """Connection refused: surely nothing was sent."""
    async with staged(tmp_path, base_url="http://127.0.0.1:9") as stage:
        outcome = await stage.outcome()
    assert isinstance(outcome, Deferred)
    assert outcome.nothing_sent


async def test_an_address_that_is_not_in_the_settings_is_not_dialled(tmp_path: Path) -> None:
    """The guard of the shared session holds for the SDK too: it has no session of its own."""
    async with staged(tmp_path) as stage:
        client: Any = stage.channel._messages
        client._uri = "http://127.0.0.1:1/2010-04-01/Accounts/AC/Messages.json"
        outcome = await stage.outcome()
    assert isinstance(outcome, Deferred)
    assert "not a public address" in str(outcome.detail)


async def test_the_daily_limit_waits_for_the_end_of_the_utc_day(tmp_path: Path) -> None:
    """63038: nothing more today."""
    from channels.sms_twilio.verdicts import Answer, judge

    async with staged(tmp_path) as stage:
        outcome = judge(Answer(status=429, message={"code": 63038, "message": "daily limit"}), stage.clock.now)
    assert isinstance(outcome, Deferred)
    assert outcome.after == pytest.approx(21 * 3600, abs=5)  # the kit's day begins at 03:00


@pytest.mark.parametrize(
    ("ttl", "validity"), [(1.0, 1), (1.99, 1), (59.9, 59), (36_000.0, 36_000), (300_000.0, 36_000)]
)
@pytest.mark.promise("P5")
async def test_the_life_at_twilio_never_outlasts_the_message(tmp_path: Path, ttl: float, validity: int) -> None:
    """ValidityPeriod: whole seconds, rounded down, 1 to 36,000."""
    async with staged(tmp_path) as stage:
        fixed = stage.clock.now()
        stage.clock.now = lambda: fixed  # type: ignore[method-assign]
        await stage.outcome(ttl=ttl)
    assert read_log(tmp_path)[0].validity == validity


@pytest.mark.parametrize("late", ["ttl", "clock"])
@pytest.mark.promise("P5")
async def test_a_message_with_less_than_a_second_left_is_given_back(tmp_path: Path, late: str) -> None:
    """Time that passed since it was made counts."""
    async with staged(tmp_path) as stage:
        message = stage.message(ttl=0.9) if late == "ttl" else stage.message()
        if late == "clock":
            stage.clock.jump(72 * 3600 - 0.5)
        outcome = (await stage.send(message))[message.id]
    assert isinstance(outcome, Deferred)
    assert outcome.nothing_sent
    assert read_log(tmp_path) == []


async def test_a_crowd_is_neither_lost_nor_doubled(tmp_path: Path) -> None:
    """200 messages through every fault at once: each reported once, and Twilio has those that are accepted or in doubt, once each."""
    faults = [*(set(REFUSED) - {"99999"}), *DOUBTS, "70541"]
    async with staged(tmp_path, total_seconds=1.0, concurrency=20) as stage:
        messages = [stage.message(n, to=f"+62811{n:03d}{faults[n % 40]}" if n % 40 < len(faults) else "") for n in range(200)]
        outcomes = await stage.send(*messages)
    assert outcomes.keys() == {message.id for message in messages}
    sent = [entry.to for entry in read_log(tmp_path)]
    assert len(sent) == len(set(sent))
    assert set(sent) == {message.address for message in messages if isinstance(outcomes[message.id], Accepted | Unknown)}


async def test_what_is_not_granted_is_not_sent(tmp_path: Path) -> None:
    """One of two is refused its leave."""
    async with staged(tmp_path) as stage:
        first, second = stage.message(1), stage.message(2)
        reports = await stage.send(first, second, line=Line(refused=frozenset({first.id})))
    assert reports.keys() == {second.id}
    assert [entry.to for entry in read_log(tmp_path)] == [second.address]


BLOCKED = [
    ("+447700900123", "country_blocked"),
    ("+628091234567", "premium_number"),
    ("+88213300001", "country_blocked"),
    ("garbage", "country_blocked"),
    (FROM, "to_is_from"),
]


@pytest.mark.parametrize(("number", "code"), BLOCKED)
async def test_numbers_that_nobody_should_pay_for_are_refused_before_anything_leaves(tmp_path: Path, number: str, code: str) -> None:
    """Countries that are not allowed, premium rate, satellites: not even leave is asked."""
    async with staged(tmp_path) as stage:
        line = Line()
        message = stage.message(to=number)
        outcome = (await stage.send(message, line=line))[message.id]
        assert not stage.peer.requests
    assert isinstance(outcome, Rejected)
    assert (outcome.scope, outcome.code) == ("message", code)
    assert line.asked == []


LONG = [
    ("x" * 459, None),
    ("x" * 460, "too_many_segments"),
    ("س" * 201, None),
    ("س" * 202, "too_many_segments"),
    ("x" * 300 + "’", "too_many_segments"),
    ("   \n", "empty"),
]


@pytest.mark.parametrize(("text", "code"), LONG)
async def test_a_message_of_too_many_segments_is_refused_with_what_makes_it_long(tmp_path: Path, text: str, code: str | None) -> None:
    """Three segments by default: 459 characters of GSM-7, 201 of UCS-2."""
    async with staged(tmp_path) as stage:
        outcome = await stage.outcome(text=text)
    assert getattr(outcome, "code", None) == code
    if "’" in text:
        assert "’" in str(outcome.detail)


async def test_more_than_1600_characters_are_refused_whatever_max_segments_says(tmp_path: Path) -> None:
    """Twilio's limit; a character outside the basic plane counts as two."""
    async with staged(tmp_path, max_segments=10, countries=("ID",)) as stage:
        ok, long, wide = await stage.outcome(text="x" * 1500), await stage.outcome(text="x" * 1601), await stage.outcome(text="😀" * 801)
    assert isinstance(ok, Accepted)
    assert getattr(long, "code", None) == getattr(wide, "code", None) == "too_large"


@pytest.mark.parametrize("smart", [True, False])
async def test_typographic_signs_are_replaced_only_where_the_config_says_so(tmp_path: Path, smart: bool) -> None:
    """`smart_encoding = true`: one segment in place of two; else the words go out as they are."""
    text = "Kami rindu – “diskon” 15% untukmu… " + "x" * 60
    async with staged(tmp_path, smart_encoding=smart) as stage:
        await stage.outcome(text=text)
        price = stage.channel.price(stage.message(text=text))
    (entry,) = read_log(tmp_path)
    assert (entry.encoding, entry.segments) == (("GSM-7", 1) if smart else ("UCS-2", 2))
    assert price.parts == entry.segments
    assert ("“" in entry.body) is not smart


async def test_a_price_is_that_of_the_country_for_each_segment(tmp_path: Path) -> None:
    """The star is for all others; the limit a day is told to the daemon."""
    async with staged(tmp_path, prices={"ID": 0.4, "*": 0.05}, daily_spend=20.0, countries=("ID", "MY")) as stage:
        here, there = stage.channel.price(stage.message(text="x" * 161)), stage.channel.price(stage.message(to="+60123456789"))
        assert (here.parts, here.amount, here.currency) == (2, 0.8, "USD")
        assert (there.parts, there.amount) == (1, 0.05)
        assert stage.channel.capabilities.daily_spend == 20.0


def test_a_form_is_quoted_as_the_library_does() -> None:
    """Every character of the basic plane, and beyond."""
    from urllib.parse import quote_plus

    from channels.sms_twilio.client import QUOTED

    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x11000), 0x1F600]))
    assert text.translate(QUOTED) == quote_plus(text)


async def test_neither_token_nor_number_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not by the channel, not by the SDK."""
    caplog.set_level(0)
    async with staged(tmp_path) as stage:
        await stage.outcome("+628111111111")
        await stage.outcome("+62811170500")
        text = json.dumps([str(event) for event in stage.log.events]) + caplog.text
    assert "sandbox-token" not in text
    assert "628111111111" not in text


async def test_the_environment_does_not_lead_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK reads TWILIO_REGION, TWILIO_EDGE and credentials of its own accord; the config is what counts."""
    for name, value in {"REGION": "ie1", "EDGE": "dublin", "ACCOUNT_SID": "ACx", "AUTH_TOKEN": "x"}.items():
        monkeypatch.setenv(f"TWILIO_{name}", value)
    async with staged(tmp_path) as stage:
        assert isinstance(await stage.outcome(), Accepted)


async def test_a_failure_told_at_once_is_a_refusal(tmp_path: Path) -> None:
    """201 with the status `failed`: nobody gets it."""
    from channels.sms_twilio.verdicts import Answer, judge

    async with staged(tmp_path) as stage:
        now = stage.clock.now
    dead = judge(Answer(status=201, message={"sid": "SM1", "status": "failed", "error_code": 30005}), now)
    other = judge(Answer(status=201, message={"sid": "SM1", "status": "failed", "error_code": None}), now)
    assert (dead, other) == (Rejected(scope="address", code="30005", detail="SM1"), Rejected(scope="message", detail="SM1"))
