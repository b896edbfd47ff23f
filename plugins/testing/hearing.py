"""What comes back: scenes for a channel that takes feedback (`parse_feedback`) or looks doubts up (`reconcile`).

The kit knows no provider's signature, so it shows the channel requests that nobody signed, and garbage; with a genuine one from
the author (`hook`) also the same twice, and one with a byte changed. Doubts are looked up at a provider that answers, fails and
is away: what it did not say, nobody may have settled.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from plugins.contract import Accepted, Context, Deferred, Rejected
from plugins.feedback import BadSignature, Doubt, Feedback, FeedbackKind, Reconciles, TakesFeedback, WebhookRequest
from plugins.http import open_http
from plugins.testing.hooks import hook_request
from plugins.testing.messages import make_message
from plugins.testing.peers import Behaviour
from plugins.testing.report import Rule
from plugins.testing.stage import Subject
from plugins.testing.world import START, KitClock, KitLog, LocalDns, make_context, sign

Hook = Callable[[Context[Any]], WebhookRequest]
"""Makes a request that the provider would have signed, for the settings and `hook_url` of this context."""

HEARING = (Rule.FORGED, Rule.GARBAGE, Rule.GENUINE, Rule.RECONCILE)
KINDS = frozenset(get_args(FeedbackKind))
SIGNATURES = ("x-signature", "x-hub-signature-256", "x-twilio-signature", "webhook-signature", "authorization", "svix-signature")
FORGED_HEADERS = dict.fromkeys(SIGNATURES, "Zm9yZ2VkIGJ5IHRoZSBraXQgMDAwMDAwMDA=")
EVENT = {
    "id": "kit-1", "MessageSid": "SM" + "0" * 32, "MessageStatus": "delivered", "To": "+15550100001", "From": "+15550100002",
    "event": "delivered",
}  # fmt: skip
JSON = {"Content-Type": "application/json", **FORGED_HEADERS}
FAILURES = (Behaviour.FAILS, Behaviour.DROPS, Behaviour.THROTTLES, Behaviour.AWAY)


@dataclass(slots=True)
class Heard:
    """What was found, what could not be looked at, and what does not concern this channel."""

    foreign: frozenset[Rule] = frozenset()
    broken: dict[Rule, list[str]] = field(default_factory=dict)
    skipped: dict[Rule, str] = field(default_factory=dict)

    def breach(self, rule: Rule, reason: str) -> None:
        self.broken.setdefault(rule, []).append(reason[:300])


async def listen(subject: Subject, hook: Hook | None) -> Heard:
    """Play the scenes that concern this channel."""
    takes, reconciles = isinstance(subject.channel_class, TakesFeedback), isinstance(subject.channel_class, Reconciles)
    heard = Heard(foreign=frozenset([*(HEARING[:3] if not takes else ()), *(HEARING[3:] if not reconciles else ())]))
    if takes and hook is None:
        heard.skipped[Rule.GENUINE] = "give the kit a request of your provider (`hook`)"
    for behaviour in _behaviours(subject, reconciles) if takes or reconciles else ():
        await _play(subject, heard, behaviour, hook, takes=takes and behaviour is Behaviour.TAKES, reconciles=reconciles)
    return heard


def _behaviours(subject: Subject, reconciles: bool) -> Iterator[Behaviour]:
    yield Behaviour.TAKES
    if reconciles:
        yield from (each for each in FAILURES if each in getattr(subject.peer, "behaviours", ()))


async def _play(subject: Subject, heard: Heard, behaviour: Behaviour, hook: Hook | None, *, takes: bool, reconciles: bool) -> None:
    peer = subject.peer
    behave = getattr(peer, "behave", None)
    if behave is not None:
        behave(behaviour)
    await peer.start()
    try:
        settings = subject.settings_for(peer.settings())
        async with open_http(dns=LocalDns(), settings=settings, total_seconds=subject.patience / 2) as http:
            channel = subject.channel_class()
            context = make_context(settings, KitClock(), KitLog(), http, provider="kit")
            await channel.start(context)
            try:
                if takes:
                    _judge_forged(channel, heard)
                    _judge_garbage(channel, heard)
                    if hook is not None:
                        _judge_genuine(channel, hook(context), heard)
                if reconciles:
                    await _judge_reconcile(channel, subject, behaviour, heard)
            finally:
                await channel.stop()
    finally:
        await peer.stop()


def _parse(channel: Any, request: WebhookRequest) -> object:
    """What the channel made of a request, or the exception that it raised."""
    try:
        found: object = channel.parse_feedback(request)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # judged by its type
        return error
    if inspect.iscoroutine(found):
        found.close()
    return found


def _forgeries() -> Iterator[tuple[str, WebhookRequest]]:
    yield "a form without a signature", hook_request(form=EVENT)
    yield "a form with a forged signature", hook_request(form=EVENT, headers=FORGED_HEADERS)
    yield "JSON without a signature", hook_request(json=EVENT)
    yield "JSON with a forged signature", hook_request(json=[EVENT], headers=FORGED_HEADERS)
    yield "a GET without a signature", hook_request(method="GET", query=EVENT)
    yield "a token that the daemon did not find genuine", hook_request(form=EVENT, query={"t": sign("K1T0000000001")})


def _judge_forged(channel: Any, heard: Heard) -> None:
    for what, request in _forgeries():
        found = _parse(channel, request)
        if isinstance(found, Sequence) and found:
            heard.breach(Rule.FORGED, f"it believed {what}: {found[0]!r}; raise BadSignature for what the provider did not sign")
        elif not isinstance(found, BadSignature | ValueError | Sequence):
            heard.breach(Rule.FORGED, f"{what}: {_told(found)}")


def _junk() -> Iterator[tuple[str, WebhookRequest]]:
    yield "an empty body", hook_request()
    yield "bytes that are no text", hook_request(body=b"\xff\xfe\x00\x80" * 64, headers=JSON)
    yield "half a JSON object", hook_request(body=b'{"id":', headers=JSON)
    yield "JSON nested without end", hook_request(body=b"[" * 60_000, headers=JSON)
    yield "JSON of another shape", hook_request(json=[1, None, {"a": []}], headers=FORGED_HEADERS)
    yield "a form of empty names", hook_request(body=b"&=&==&%zz=%ff&a" * 50, headers={"Content-Type": "application/x-www-form-urlencoded"})
    yield "a form with forged empty fields", hook_request(form=dict.fromkeys(EVENT, ""), headers=FORGED_HEADERS)
    yield "a GET without anything", hook_request(method="GET")


def _judge_garbage(channel: Any, heard: Heard) -> None:
    for what, request in _junk():
        found = _parse(channel, request)
        if not isinstance(found, BadSignature | ValueError | Sequence) or isinstance(found, str | bytes):
            heard.breach(Rule.GARBAGE, f"{what}: {_told(found)}")


def _judge_genuine(channel: Any, request: WebhookRequest, heard: Heard) -> None:
    first, second = _parse(channel, request), _parse(channel, request)
    if not isinstance(first, Sequence) or isinstance(first, str | bytes) or not first:
        heard.breach(Rule.GENUINE, f"your own request of the provider: {_told(first)}; a list of Feedback was expected")
        return
    if first != second:
        heard.breach(Rule.GENUINE, "the same request twice gave two different answers: the daemon knows a repeated event by what it says")
    for item in first:
        named = isinstance(item, Feedback) and (item.delivery, item.provider_id, item.address) != (None, None, None)
        if not isinstance(item, Feedback) or item.kind not in KINDS or not named:
            heard.breach(Rule.GENUINE, f"{item!r}: no Feedback of a known kind that names a delivery, a provider_id or an address")
    changed = replace(request, body=request.body + b"x")
    if not request.body:
        changed = replace(request, url=f"{request.url}{'&' if '?' in request.url else '?'}x=", query=(*request.query, ("x", "")))
    if not isinstance(found := _parse(channel, changed), BadSignature):
        heard.breach(Rule.FORGED, f"your own request of the provider with one byte more: {_told(found)}; BadSignature was expected")


def _told(found: object) -> str:
    if inspect.iscoroutine(found):
        return "parse_feedback is a coroutine; it must be a plain function that does no I/O"
    if isinstance(found, BaseException):
        return f"it raised {type(found).__name__}: {found}; raise BadSignature or ValueError"
    return f"it gave {found!r}"


async def _judge_reconcile(channel: Any, subject: Subject, behaviour: Behaviour, heard: Heard) -> None:
    message = make_message(1, channel=subject.channel, address=subject.address_of(1), now=START)
    doubts = [
        Doubt(id=message.id, address=message.address, handed_over_at=START, message=message),
        Doubt(id="K1T0000000002", address="", handed_over_at=START),
    ]
    try:
        async with asyncio.timeout(subject.patience):
            found: object = await channel.reconcile(doubts)
    except TimeoutError:
        heard.breach(Rule.RECONCILE, f"reconcile() did not return within {subject.patience:g} s")
        return
    except Exception as error:  # noqa: BLE001  # it may fail with its provider: it is asked again
        if behaviour is Behaviour.TAKES and isinstance(error, AttributeError | TypeError | NameError):
            heard.breach(Rule.RECONCILE, f"reconcile() raised {type(error).__name__}: {error}; a doubt may have no message and no address")
        return
    if not isinstance(found, Mapping):
        heard.breach(Rule.RECONCILE, f"reconcile() gave {type(found).__name__}, not a mapping of ids")
        return
    for id, outcome in found.items():
        if id not in {doubt.id for doubt in doubts} or not isinstance(outcome, Accepted | Rejected | Deferred):
            what = "only what was asked, and only Accepted, Rejected or Deferred"
            heard.breach(Rule.RECONCILE, f"reconcile() said {outcome!r} of {id!r}: {what}")
        elif behaviour is not Behaviour.TAKES:
            what = "say nothing of what you do not know"
            heard.breach(Rule.RECONCILE, f"the provider: {behaviour.value}; {id} was settled as {outcome!r}: {what}")
