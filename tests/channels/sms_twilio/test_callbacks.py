"""Callbacks of Twilio: signed or refused, and in our words whatever their order."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from channels.sms_twilio.callbacks import Callbacks
from daemon.sandbox.twilio import ACCOUNT, TOKEN, sign
from plugins import BadSignature, Feedback, Secret, WebhookRequest
from plugins.testing.world import START
from tests.channels.sms_twilio.stage import FROM, HOOK, settings, staged

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "signature_vectors.json").read_text(encoding="utf-8"))
SID = "SM" + "1" * 32


def request(fields: Sequence[tuple[str, str]], *, url: str = HOOK, signature: str | None = None, **changes: Any) -> WebhookRequest:
    """A form, signed as the account's."""
    signature = sign(TOKEN, url, dict(fields)) if signature is None else signature
    given: dict[str, Any] = {
        "method": "POST",
        "url": url,
        "headers": {"x-twilio-signature": signature, "content-type": "application/x-www-form-urlencoded; charset=UTF-8"},
        "query": tuple(parse_qsl(url.partition("?")[2])),
        "body": urlencode(fields).encode(),
        "received_at": START,
        **changes,
    }
    return WebhookRequest(**given)


def read(fields: dict[str, str], **changes: Any) -> Sequence[Feedback]:
    return Callbacks(settings()).read(request(list({"AccountSid": ACCOUNT, **fields}.items()), **changes))


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
@pytest.mark.promise("B51")
def test_every_known_signature_is_judged_as_twilio_does(vector: dict[str, Any]) -> None:
    """With and without port, several values of a name, JSON by its hash; the account is looked at only afterwards."""
    callbacks = Callbacks(settings(auth_token=Secret(vector["token"])))
    form = [tuple(pair) for pair in vector.get("params", [])]
    body = vector["body"].encode() if vector["kind"] == "body" else None
    made = request(
        form,
        url=vector["url"],
        signature=vector["signature"],
        **({"body": body, "headers": {"x-twilio-signature": vector["signature"], "content-type": "application/json"}} if body else {}),
    )
    if not vector.get("valid", True):
        with pytest.raises(BadSignature, match="signature"):
            callbacks.read(made)
    elif body:
        assert callbacks.read(made) == ()
    else:
        with pytest.raises(BadSignature, match="another account"):
            callbacks.read(made)


def test_several_values_of_a_name_are_signed_sorted_and_once() -> None:
    """A repeated parameter is no way to slip one in."""
    fields = [("AccountSid", ACCOUNT), ("MessageSid", SID), ("MessageStatus", "delivered"), ("Media", "b"), ("Media", "a"), ("Media", "b")]
    text = HOOK + f"AccountSid{ACCOUNT}MediaaMediabMessageSid{SID}MessageStatusdelivered"
    signature = base64.b64encode(hmac.new(TOKEN.encode(), text.encode(), hashlib.sha1).digest()).decode()
    callbacks = Callbacks(settings())
    assert [each.kind for each in callbacks.read(request(fields, signature=signature))] == ["delivered"]
    with pytest.raises(BadSignature):
        callbacks.read(request([*fields, ("Media", "c")], signature=signature))


@pytest.mark.parametrize("secret", [TOKEN, "shared-key-secret"])
def test_a_signature_of_sha256_is_asked_for_by_a_header(secret: str) -> None:
    """By the shared key if the config has one, else by the token; an unknown algorithm is refused."""
    fields = {"AccountSid": ACCOUNT, "MessageSid": SID, "MessageStatus": "delivered"}
    text = HOOK + "".join(name + fields[name] for name in sorted(fields))
    signature = base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()
    callbacks = Callbacks(settings(webhook_secret=None if secret == TOKEN else Secret(secret)))
    head = {"x-twilio-signature": signature, "content-type": "application/x-www-form-urlencoded"}
    good = {**head, "x-twilio-webhooks-signature-settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"}
    assert [each.kind for each in callbacks.read(request(list(fields.items()), headers=good))] == ["delivered"]
    for bad in (head, {**head, "x-twilio-webhooks-signature-settings": "algorithm=HMAC_MD5"}):
        with pytest.raises(BadSignature):
            callbacks.read(request(list(fields.items()), headers=bad))


BROKEN: list[dict[str, Any]] = [
    {"signature": ""},
    {"signature": "é"},
    {"headers": {"content-type": "application/x-www-form-urlencoded"}},
    {"headers": {"x-twilio-signature": sign(TOKEN, HOOK, {}), "content-type": "application/json"}, "body": b"{}"},
    {"url": f"{HOOK}?t=other", "signature": sign(TOKEN, HOOK, {"AccountSid": ACCOUNT, "MessageSid": SID, "MessageStatus": "sent"})},
    {"url": "https://[::1:bad/", "signature": "AAAA", "query": ()},
]


@pytest.mark.parametrize("change", BROKEN)
@pytest.mark.promise("B51")
def test_what_is_not_signed_is_refused(change: dict[str, Any]) -> None:
    """No signature, one of another address, JSON without its hash."""
    with pytest.raises(BadSignature):
        Callbacks(settings()).read(request([("AccountSid", ACCOUNT), ("MessageSid", SID), ("MessageStatus", "sent")], **change))


@pytest.mark.promise("B52")
def test_another_account_is_refused() -> None:
    """Even with our token."""
    with pytest.raises(BadSignature, match="another account"):
        read({"AccountSid": "AC" + "0" * 32, "MessageSid": SID, "MessageStatus": "sent"})


def test_a_form_that_cannot_be_read_is_a_bad_request() -> None:
    """Bytes that are no ASCII, and thousands of fields."""
    for body in (b"Body=\xff", b"&".join(b"a%d=1" % n for n in range(1000))):
        with pytest.raises(ValueError, match=r"."):
            Callbacks(settings()).read(request([("a", "b")], body=body))


STATUSES = [
    ("queued", "", "accepted"),
    ("accepted", "", "accepted"),
    ("sending", "", "accepted"),
    ("sent", "", "accepted"),
    ("delivered", "", "delivered"),
    ("read", "", "opened"),
    ("undelivered", "30003", "failed"),
    ("undelivered", "30005", "bounced"),
    ("undelivered", "30006", "bounced"),
    ("undelivered", "30007", "failed"),
    ("failed", "30001", "failed"),
    ("failed", "21635", "bounced"),
    ("failed", "", "failed"),
    ("canceled", "", "failed"),
    ("DELIVERED", "", "delivered"),
]


@pytest.mark.parametrize(("status", "code", "kind"), STATUSES)
def test_a_status_is_feedback_on_its_delivery(status: str, code: str, kind: str) -> None:
    """By our token and by the sid; the same status again has the same id."""
    fields = {"MessageSid": SID, "MessageStatus": status, "To": "+628111111111", "From": FROM, **({"ErrorCode": code} if code else {})}
    (feedback,) = read(fields, delivery="D1")
    assert (feedback.kind, feedback.delivery, feedback.provider_id, feedback.code) == (kind, "D1", SID, code or None)
    assert feedback.id == f"{SID}:{status.lower()}"
    assert feedback.address is None


def test_a_refusal_because_of_stop_that_comes_later_names_the_address() -> None:
    """With a Messaging Service 21610 comes by callback: the person is unsubscribed."""
    (feedback,) = read({"MessageSid": SID, "MessageStatus": "failed", "ErrorCode": "21610", "To": "+628111111111"})
    assert (feedback.kind, feedback.address) == ("unsubscribed", "+628111111111")


@pytest.mark.parametrize("status", ["receiving", "received", "nonsense"])
def test_a_status_that_says_nothing_is_no_feedback(status: str) -> None:
    """Nor is a call's."""
    assert list(read({"MessageSid": SID, "MessageStatus": status})) == []
    assert list(read({"CallSid": "CA1", "CallStatus": "completed"})) == []


REPLIES = [
    ("STOP", "", "unsubscribed"),
    ("Berhenti", "", "unsubscribed"),
    ("START", "", "resubscribed"),
    ("HELP", "", "replied"),
    ("HELP", "HELP", "replied"),
    ("no", "", "replied"),
    ("arrêt", "STOP", "unsubscribed"),
    ("yes", "START", "resubscribed"),
    ("yes", "", "replied"),
    ("", "", "replied"),
]


@pytest.mark.parametrize(("text", "opt_out_type", "kind"), REPLIES)
@pytest.mark.promise("B53")
def test_a_reply_concerns_the_address_it_came_from(text: str, opt_out_type: str, kind: str) -> None:
    """Twilio's reading (Advanced Opt-Out) goes before ours."""
    extra = {"OptOutType": opt_out_type} if opt_out_type else {}
    (feedback,) = read({"MessageSid": SID, "SmsStatus": "received", "Body": text, "From": "+628111111111", "To": FROM, **extra})
    assert (feedback.kind, feedback.address, feedback.id, feedback.delivery) == (kind, "+628111111111", SID, None)
    assert feedback.detail == (text or None)


async def test_the_local_twilio_calls_back_with_signatures_that_hold(tmp_path: Path) -> None:
    """The whole way: send, two statuses, a STOP, and then Twilio refuses the number until START."""
    from aiohttp import web

    seen: list[Feedback] = []
    app, port = web.Application(), 0
    async with staged(tmp_path, peer={"step_seconds": 0.01}) as stage:

        async def take(got: web.Request) -> web.Response:
            url = f"http://127.0.0.1:{port}{got.rel_url}"
            headers = {name.lower(): value for name, value in got.headers.items()}
            asked = WebhookRequest(
                method=got.method, url=url, headers=headers, query=tuple(got.query.items()), body=await got.read(),
                delivery=got.query.get("t"), received_at=START,
            )  # fmt: skip
            seen.extend(stage.channel.parse_feedback(asked))
            return web.Response(status=204)

        app.router.add_post("/hooks/sms", take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        hook = f"http://127.0.0.1:{port}/hooks/sms"
        stage.channel.context = _with_hook(stage.channel.context, hook)
        await stage.outcome("+628111111111")
        await stage.outcome("+62811180005")
        await stage.peer.settled()
        assert await stage.peer.reply("+628111111111", "Stop", hook, sender=FROM) == 204
        blocked = await stage.outcome("+628111111111")
        assert await stage.peer.reply("+628111111111", "START", hook, sender=FROM) == 204
        again = await stage.outcome("+628111111111")
        await stage.peer.settled()
        await runner.cleanup()
    assert {status for status, _ in stage.peer.callbacks} == {204}
    kinds = [each.kind for each in seen]
    assert sorted(kinds[:4]) == ["accepted", "accepted", "bounced", "delivered"]
    assert kinds[4:6] == ["unsubscribed", "resubscribed"]
    assert getattr(blocked, "code", None) == "unsubscribed"
    assert type(again).__name__ == "Accepted"


def _with_hook(context: Any, hook: str) -> Any:
    from dataclasses import replace

    return replace(context, hook_url=hook)
