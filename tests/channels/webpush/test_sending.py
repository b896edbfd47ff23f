"""A message on its way to browsers: what the push service gets, and what each of its answers means. The push service checks and decrypts."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from plugins import Accepted, Deferred, Rejected, Unknown
from tests.channels.webpush.line import Clock, Line, Names, channel, message, send, service


async def test_a_push_arrives_readable_and_proven() -> None:
    """The service checked proof, headers and size, and a browser's keys opened it."""
    async with service() as push, channel(push) as sender:
        line = await send(sender, message("m1", push.new_subscription(key=sender.public_key), head={"title": "Hi", "urgency": "high"}))
        assert line.outcomes == {"m1": Accepted(provider_id=f"{push.origin}/message/1")}
        [got] = push.pushes
        assert (got.payload["title"], got.payload["body"], got.payload["id"], got.payload["token"]) == ("Hi", "Hello m1, come back.", "m1", "v1.token-of-m1")
        assert got.urgency == "high" and 10_000 < got.ttl <= 10_800
        assert got.topic == got.payload["tag"] and len(got.topic or "") == 32


async def test_a_push_never_outlives_the_window_nor_four_weeks() -> None:
    """TTL is what is left until the close at the moment of the request, in whole seconds; a message that is over is not sent."""
    now = datetime.now(UTC)
    async with service() as push, channel(push) as sender:
        browser = push.new_subscription()
        line = await send(
            sender,
            message("month", browser, expires_at=now + timedelta(days=60)),
            message("soon", browser, expires_at=now + timedelta(seconds=90)),
            message("over", browser, expires_at=now - timedelta(seconds=1)),
        )
        ttls = {got.payload["id"]: got.ttl for got in push.pushes}
        assert ttls["month"] == 28 * 86_400 and 80 <= ttls["soon"] <= 90
        assert line.outcomes["over"] == Deferred(nothing_sent=True, code="grant_expired")


async def test_what_is_not_granted_is_not_sent() -> None:
    """And needs no report."""
    async with service() as push, channel(push) as sender:
        browser = push.new_subscription()
        line = await send(sender, message("m1", browser), message("m2", browser), line=Line(refuse=["m1"]))
        assert [got.payload["id"] for got in push.pushes] == ["m2"] and line.outcomes.keys() == {"m2"}


@pytest.mark.promise("F19")
@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("404", Rejected),
        ("410", Rejected),
        ("413", Rejected(scope="message", code="too_large", detail="the push service takes less (413)")),
        ("400", Deferred),
        ("401", Deferred),
        ("403", Deferred),
        ("429", Deferred),
        ("503", Deferred),
        ("422", Rejected(scope="message", code="422", detail="422")),
        ("redirect", Rejected(scope="message", code="307", detail=None)),
        ("500", Unknown(code="500", detail="the push service may have taken it")),
        ("drop", Unknown),
        ("garbage", Unknown),
        ("slow", Accepted),
    ],
)
async def test_each_answer_has_its_outcome(fault: str, outcome: object) -> None:
    """As docs/push.md says. A redirect is not followed; an answer whose body does not end is an answer."""
    async with service() as push, channel(push) as sender:
        line = await send(sender, message("m1", push.new_subscription(fault)))
        got = line.outcomes["m1"]
        if isinstance(outcome, type):
            assert isinstance(got, outcome)
        else:
            assert got == outcome
        if fault in ("404", "410"):
            assert isinstance(got, Rejected) and got.scope == "address" and len(got.gone) == 1
        else:
            assert got.gone == ()
        if fault in ("400", "401", "403"):
            assert isinstance(got, Deferred) and got.scope == "operator" and "VAPID" in (got.detail or "")
        if fault in ("429", "503"):
            assert isinstance(got, Deferred) and got.throttled and got.scope == "domain" and 7.0 <= float(got.after or 0) < 13
        assert len(push.pushes) == (fault in ("500", "drop", "garbage", "slow"))


async def test_a_service_that_does_not_answer_leaves_the_push_in_doubt() -> None:
    """The session gives up; the push may have been taken, and was."""
    async with service() as push, channel(push, total_seconds=0.2) as sender:
        line = await send(sender, message("m1", push.new_subscription("hang")))
        assert isinstance(line.outcomes["m1"], Unknown) and len(push.pushes) == 1


async def test_nobody_there_means_nothing_was_sent() -> None:
    """It comes back without an attempt burnt."""
    async with service() as push:
        browser = push.new_subscription()
    async with channel(push) as sender:
        outcome = (await send(sender, message("m1", browser))).outcomes["m1"]
        assert isinstance(outcome, Deferred) and outcome.nothing_sent and outcome.scope == "domain" and outcome.code == "not_sent"


async def test_a_name_that_leads_into_our_own_network_is_not_dialled() -> None:
    """The allow-list names it, DNS says 10.0.0.5: the guard of the session refuses."""
    async with service() as push:
        browser = {**push.new_subscription(), "endpoint": "https://push.example.com/x"}
        async with channel(push, names=Names({"push.example.com": "10.0.0.5"}), allow_hosts=("push.example.com",)) as sender:
            outcome = (await send(sender, message("m1", browser))).outcomes["m1"]
            assert isinstance(outcome, Deferred) and outcome.nothing_sent and "not a public address" in (outcome.detail or "")


async def test_an_address_that_is_no_subscription_of_ours_is_rejected_before_handover() -> None:
    """No grant is asked for; what a change of allow_hosts shut out is not removed."""
    async with service() as push, channel(push) as sender:
        elsewhere = {**push.new_subscription(), "endpoint": "https://evil.example/x"}
        line = await send(sender, message("m1", elsewhere), message("m2", address="x", addresses=("x",)))
        assert line.asked == []
        assert all(isinstance(got, Rejected) and (got.scope, got.code, got.gone) == ("address", "bad_subscription", ()) for got in line.outcomes.values())


async def test_a_message_that_cannot_be_a_push_is_rejected_before_handover() -> None:
    """Too large, or a link to nowhere; the code says which."""
    async with service() as push, channel(push) as sender:
        browser = push.new_subscription()
        line = await send(sender, message("m1", browser, text_pieces=("x" * 4000,)), message("m2", browser, head={"url": "javascript:x"}))
        assert {id: got.code for id, got in line.outcomes.items() if isinstance(got, Rejected)} == {"m1": "too_large", "m2": "bad_link"}
        assert line.asked == [] and push.pushes == []


@pytest.mark.parametrize(
    ("faults", "kind", "gone"),
    [
        ((None, None), Accepted, 0),
        (("410", None), Accepted, 1),
        (("500", None), Accepted, 0),
        (("410", "410"), Rejected, 2),
        (("410", "413"), Rejected, 1),
        (("410", "drop"), Unknown, 1),
        (("429", "410"), Deferred, 1),
        (("429", "drop"), Unknown, 0),
        (("403", "429"), Deferred, 0),
    ],
)
async def test_the_subscriptions_of_a_recipient_are_one_delivery(faults: tuple[str | None, ...], kind: type, gone: int) -> None:
    """One handover; accepted if one is, in doubt if none is and one may be; the dead ones are named whatever became of it."""
    async with service() as push, channel(push) as sender:
        browsers = [push.new_subscription(fault) for fault in faults]
        line = await send(sender, message("m1", *browsers))
        outcome = line.outcomes["m1"]
        assert isinstance(outcome, kind) and line.asked == ["m1"]
        dead = {json.dumps(browser) for browser, fault in zip(browsers, faults, strict=True) if fault == "410"}
        assert set(outcome.gone) == dead and len(outcome.gone) == gone
        if kind is Rejected:
            assert outcome.scope == ("address" if gone == len(faults) else "message")


async def test_a_key_that_a_service_has_taken_is_not_doubted_for_one_subscription() -> None:
    """Made under another key it can never be used: it goes; the provider is not stopped by what anybody may register."""
    async with service() as push, channel(push) as sender:
        await send(sender, message("m1", push.new_subscription()))
        outcome = (await send(sender, message("m2", push.new_subscription(key="another")))).outcomes["m2"]
        assert isinstance(outcome, Rejected) and outcome.scope == "address" and len(outcome.gone) == 1


async def test_a_service_that_refuses_everybody_costs_no_more_subscriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that went wrong, an account that was closed: after some in a row the proof is doubted, and the rest is kept. One push that is
    accepted, and subscriptions are believed to be dead again."""
    monkeypatch.setattr("channels.webpush.house.STRANGERS", 3)
    async with service() as push, channel(push) as sender:
        await send(sender, message("m0", push.new_subscription()))
        outcomes = []
        for number in range(5):
            line = await send(sender, message(f"s{number}", push.new_subscription(key="another")))
            outcomes += list(line.outcomes.values())
        assert [len(outcome.gone) for outcome in outcomes] == [1, 1, 1, 0, 0]  # type: ignore[union-attr]
        assert all(isinstance(outcome, Deferred) and outcome.scope == "operator" for outcome in outcomes[3:])
        await send(sender, message("m1", push.new_subscription()))
        outcome = (await send(sender, message("m2", push.new_subscription(key="another")))).outcomes["m2"]
        assert isinstance(outcome, Rejected) and len(outcome.gone) == 1


@pytest.mark.parametrize("fault", ["429", "503"])
async def test_a_service_that_wants_to_be_left_alone_holds_up_no_other(fault: str) -> None:
    """Its messages go back with the time, without a handover, until the time is over; the others flow."""
    clock = Clock()
    async with service() as busy, service() as free, channel(busy, free, clock=clock, pool=1) as sender:
        busy.fault, busy.retry_after = fault, 60
        theirs, ours = busy.new_subscription(), free.new_subscription()
        await send(sender, message("f0", ours))  # both are known before one of them throttles
        line = await send(sender, message("b1", theirs), message("b2", theirs), message("f1", ours), message("both", theirs, ours))
        assert line.asked == ["b1", "f1", "both"]
        waits = line.outcomes["b2"]
        assert isinstance(waits, Deferred) and waits.nothing_sent and waits.throttled and 55 < float(waits.after or 0) < 70
        assert isinstance(line.outcomes["f1"], Accepted) and isinstance(line.outcomes["both"], Accepted)
        assert len(busy.refused) == 1 and len(free.pushes) == 3
        busy.fault = None
        clock.pushed = 50.0
        assert (await send(sender, message("b3", theirs))).asked == []
        clock.pushed = 61.0
        assert isinstance((await send(sender, message("b4", theirs))).outcomes["b4"], Accepted)


async def test_an_http_date_in_retry_after_is_understood() -> None:
    """RFC 9110 §10.2.3."""
    async with service() as push, channel(push) as sender:
        push.fault, push.retry_after = "429", (datetime.now(UTC) + timedelta(seconds=100)).strftime("%a, %d %b %Y %H:%M:%S GMT")
        outcome = (await send(sender, message("m1", push.new_subscription()))).outcomes["m1"]
        assert isinstance(outcome, Deferred) and 95 < float(outcome.after or 0) < 110


async def test_a_service_that_breaks_down_is_left_alone_after_three_failures() -> None:
    """Each of its pushes would be a doubt; a success begins anew."""
    clock = Clock()
    async with service() as push, channel(push, clock=clock, pool=1) as sender:
        browser = push.new_subscription()
        push.fault = "500"
        line = await send(sender, *(message(f"m{n}", browser) for n in range(1, 7)))
        assert [type(outcome) for outcome in line.outcomes.values()] == [Unknown] * 3 + [Deferred] * 3
        push.fault = None
        clock.pushed = 6.0
        assert isinstance((await send(sender, message("m7", browser))).outcomes["m7"], Accepted)
        push.fault = "500"
        assert isinstance((await send(sender, message("m8", browser))).outcomes["m8"], Unknown)
        assert isinstance((await send(sender, message("m9", browser))).outcomes["m9"], Unknown)


async def test_a_service_that_hangs_holds_no_more_than_a_share_of_the_places() -> None:
    """A quarter of the pool waits for it; what comes later goes back at once, and the rest flows."""
    clock = Clock()
    async with service() as stuck, service() as free, channel(stuck, free, clock=clock, pool=8, total_seconds=1.0) as sender:
        hanging = stuck.new_subscription("hang")
        waiting = [asyncio.create_task(send(sender, message(f"h{n}", hanging))) for n in range(2)]
        while len(stuck.pushes) < 2:
            await asyncio.sleep(0.01)
        clock.pushed = 4.0
        line = await send(sender, message("h3", hanging), message("f1", free.new_subscription()))
        assert line.asked == ["f1"] and isinstance(line.outcomes["h3"], Deferred)
        lines = await asyncio.gather(*waiting)
        assert all(isinstance(outcome, Unknown) for each in lines for outcome in each.outcomes.values())


async def test_a_draining_daemon_starts_nothing_new() -> None:
    """What is not handed over goes back."""
    async with service() as push, channel(push) as sender:
        line = Line()
        line.closing = True
        await send(sender, message("m1", push.new_subscription()), line=line)
        assert line.asked == [] and line.outcomes == {} and push.pushes == []


async def test_connections_are_used_again() -> None:
    """Forty pushes over no more connections than the pool."""
    async with service() as push, channel(push, pool=4) as sender:
        browser = push.new_subscription()
        await send(sender, *(message(f"m{n}", browser) for n in range(40)))
        assert len(push.pushes) == 40 and push.connections <= 4


@pytest.mark.parametrize("size", [1, 2])
async def test_a_wrong_key_is_told_at_the_start(size: int) -> None:
    """The provider does not start; the daemon runs without it."""
    from plugins import Secret

    async with service() as push:
        with pytest.raises(ValueError, match="vapid_private_key"):
            async with channel(push, vapid_private_key=Secret("x" * size)):
                raise AssertionError
