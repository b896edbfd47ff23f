"""Web push: the channel itself. Holds what lives as long as the provider: the proof of who we are, and what is known of each push service.

A message goes to all subscriptions of its recipient under one handover. All that can fail without harm (reading, composing, encrypting)
comes before it. A push service that wants to be left alone gets nothing meanwhile: its messages go back with the time, unasked.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from channels.webpush.encrypt import Encryptor
from channels.webpush.hosts import AllowList, Endpoint
from channels.webpush.house import House
from channels.webpush.payload import compose, urgency
from channels.webpush.settings import Settings
from channels.webpush.subscription import BadSubscription, Subscription, read, read_strictly
from channels.webpush.vapid import BadKey, Vapid
from channels.webpush.verdicts import Answer, conclude, judge
from plugins import Capabilities, Context, Deferred, Grant, Message, NotSent, Outcome, Rejected, Session, SettingError
from plugins.http import CONNECT_SECONDS, TOTAL_SECONDS, Target, configured_origins, retry_after
from plugins.push_text import BadPayload

CALLS, BATCH = 8, 256
"""With many messages to a call its places are seldom idle at its end: 47 pushes share a commit where with 64 it were 33, and each costs
a fifteenth less (measured). They are rendered in one go, some 5 ms."""
LONGEST_TTL = 28 * 86_400
"""Four weeks: more is refused by FCM."""
UNREACHED_WAIT = 15.0
MOST_HOUSES = 1000
EXPLAINED = frozenset({400, 401, 403, 406, 409, 413, 422})
DEAD = frozenset({"404", "410"})
"""The push service itself says that the subscription is gone."""
SAID = 2048
"""Octets of an answer that are looked at, of one whose status alone does not say enough."""


class _Push(NamedTuple):
    """One subscription's request, ready to go."""

    subscription: Subscription
    house: House
    body: bytes


class WebPush:
    """Web push by the browsers' own services. See `Settings` for the keys."""

    name: ClassVar[str] = "webpush"
    channel: ClassVar[str] = "push"
    address: ClassVar[str] = "push"
    settings_type: ClassVar[type] = Settings
    capabilities: Capabilities = Capabilities(concurrency=CALLS, batch=BATCH, unit=1)

    def __init__(self) -> None:
        self._share = 0
        """Messages on their way at once for one `send()`; 0 = not started."""
        self._houses: dict[str, House] = {}
        self._numbers = itertools.count()

    @classmethod
    def bound_to(cls, settings: Settings) -> tuple[str, str]:
        """A subscription takes pushes under the key that it was made with, so all providers of browsers have the same.
        SettingError if the key is none."""
        try:
            return "vapid_private_key", Vapid(settings.vapid_private_key.reveal(), settings.subject).public_key
        except BadKey as error:
            raise SettingError("vapid_private_key", str(error)) from None

    async def start(self, context: Context[Settings]) -> None:
        """Asks nobody yet. ValueError if the key is none."""
        settings = context.settings
        try:
            self._vapid = Vapid(settings.vapid_private_key.reveal(), settings.subject)
        except BadKey as error:
            raise ValueError(f"vapid_private_key: {error}") from None
        from plugins.http_wire import Wire

        self._context, self._clock = context, context.clock
        timeout = context.http.timeout
        self._wire = Wire(
            dns=context.dns, clock=context.clock, origins=frozenset(configured_origins(settings.allow_hosts)),
            total_seconds=timeout.total or TOTAL_SECONDS, connect_seconds=timeout.connect or CONNECT_SECONDS,
        )  # fmt: skip
        self._allowed = AllowList(settings.allow_hosts)
        self._encryptor = Encryptor()
        self._houses = {}
        self._several = asyncio.Semaphore(settings.pool)
        calls = min(settings.pool, CALLS)
        self._share = settings.pool // calls
        self.capabilities = Capabilities(concurrency=calls, batch=BATCH, unit=1)

    async def stop(self) -> None:
        """Harmless without a start, and twice."""
        if self._share:
            self._share = 0
            self._wire.close()

    async def probe(self) -> str:
        """See `plugins.feedback.Probes`. Any answer will do: what a push service thinks of the key it says of a subscription only."""
        hosts = [host for host in self._context.settings.allow_hosts if not host.startswith("*.")]
        for host in hosts:
            async with self._context.http.get(host if "://" in host else f"https://{host}/") as reply:
                await reply.read()
        return f"answered by {', '.join(hosts)}; what they think of the key shows the first push" if hosts else "there is no host to ask"

    # what a shop's page and the public door ask (plugins.TakesSubscriptions)

    @property
    def public_key(self) -> str:
        return self._vapid.public_key

    @property
    def origins(self) -> Sequence[str]:
        settings: Settings = self._context.settings
        return settings.origins

    def check_subscription(self, subscription: Mapping[str, Any]) -> tuple[str, str]:
        """The subscription's endpoint, and all of it as it is kept; ValueError with what is wrong."""
        return read_strictly(subscription, self._allowed)

    # sending

    async def send(self, batch: Sequence[Message], session: Session) -> None:
        """Each message by itself: one that fails, in whatever manner, leaves the others alone."""
        if not self._share:
            raise RuntimeError("send() was called before start() or after stop()")
        left, failures = deque(batch), list[BaseException]()
        workers = min(len(batch), self._share)
        await asyncio.gather(*(self._work(left, session, failures) for _ in range(workers)))
        if failures:
            raise failures[0]  # of the session: what is not reported goes back to due

    async def _work(self, left: deque[Message], session: Session, failures: list[BaseException]) -> None:
        """One message after the other: a task for each costs as much again as asking for it. What is answered in one turn of the loop is
        followed by as many that ask leave in it: one commit for all."""
        task = asyncio.current_task()
        while left and not session.closing:
            try:
                await self._send_one(left.popleft(), session)
            except (Exception, asyncio.CancelledError) as error:
                if task is not None and task.cancelling():
                    raise
                failures.append(error)  # of this message alone: the others go on

    async def _send_one(self, message: Message, session: Session) -> None:
        made = self._prepare(message)
        if not isinstance(made, tuple):
            session.report(message.id, made)
            return
        pushes, answers, head = made
        grant = Grant(self._clock)
        if message.id not in await session.handover([message.id]):
            return
        now = self._clock.now()
        left = (message.expires_at - now).total_seconds()  # a push service may keep it so long: never past the close of the window
        if grant.expired or left <= 0:
            session.report(message.id, Deferred(nothing_sent=True, code="grant_expired"))
            return
        head += f"TTL: {min(int(left), LONGEST_TTL)}\r\n"
        if len(pushes) == 1:
            answers.append(await self._post(pushes[0], head, now, grant))
        else:
            answers += await asyncio.gather(*(self._post_one_of(push, head, now, grant) for push in pushes))
        session.report(message.id, conclude(answers, self._jitter()))

    def _prepare(self, message: Message) -> tuple[list[_Push], list[Answer], str] | Outcome:
        """The requests, what is known already of other subscriptions, the field lines; or the outcome, if nothing can go now."""
        topic = self._vapid.topic(message.campaign, message.recipient)
        try:
            plain = compose(message, topic)
        except BadPayload as error:
            return Rejected(scope="message", code=error.code, detail=str(error))
        now = self._clock.monotonic()
        pushes: list[_Push] = []
        answers: list[Answer] = []
        for text in message.addresses or (message.address,):
            try:
                found = read(text, self._allowed)
            except BadSubscription as error:
                answers.append(Answer(text, "refused", "bad_subscription", str(error)))
                continue
            house = self._house(found.endpoint.origin)
            if wait := house.wait(now):
                answers.append(Answer(text, "unsent", "paused", f"{found.endpoint.host} is left alone for now", wait, throttled=True))
                continue
            try:
                pushes.append(_Push(found, house, self._encryptor.encrypt(plain, found.public, found.auth)))
            except ValueError:
                answers.append(Answer(text, "gone", "bad_key", "the subscription's key is no point of P-256"))
        if not pushes:
            return conclude(answers, self._jitter())
        head = f"Content-Encoding: aes128gcm\r\nContent-Type: application/octet-stream\r\nUrgency: {urgency(message)}\r\nTopic: {topic}\r\n"
        return pushes, answers, head

    def _house(self, origin: str) -> House:
        house = self._houses.get(origin)
        if house is None:
            if len(self._houses) >= MOST_HOUSES:
                self._houses = {name: known for name, known in self._houses.items() if known.waiting or known.paused_until}
            house = self._houses[origin] = House(origin, self._context.settings.pool)
        return house

    def _jitter(self) -> float:
        return 1.0 + 4.0 * self._context.rng.random()

    async def _post_one_of(self, push: _Push, head: str, now: datetime, grant: Grant) -> Answer:
        """Of a recipient with several browsers: all of these together take no more connections than the pool has."""
        async with self._several:
            return await self._post(push, head, now, grant)

    async def _post(self, push: _Push, head: str, now: datetime, grant: Grant) -> Answer:
        """One request, and what its answer means. What has left and is not answered is unknown."""
        subscription, house, clock = push.subscription, push.house, self._clock
        lines = f"{head}Authorization: {self._vapid.authorization(house.origin, now.timestamp())}\r\n".encode("ascii")
        number = next(self._numbers)
        house.waiting[number] = clock.monotonic()
        try:
            reply = await self._wire.post(_target(subscription.endpoint), lines, push.body, EXPLAINED, grant)
        except NotSent as error:
            house.failed(clock.monotonic(), self._context.rng)
            return Answer(subscription.text, "unsent", "not_sent", _line(error), UNREACHED_WAIT)
        except Exception as error:  # noqa: BLE001 - whatever ends it after the first byte leaves it in doubt
            house.failed(clock.monotonic(), self._context.rng)
            return Answer(subscription.text, "unknown", type(error).__name__, _line(error) or f"no answer of {subscription.endpoint.host}")
        finally:
            del house.waiting[number]
        told = reply.headers
        after = retry_after(told.get("retry-after"), clock.now()) if "retry-after" in told else None
        said = reply.body[:SAID].decode("utf-8", "replace") if reply.status in EXPLAINED else ""
        answer = judge(subscription.text, reply.status, said, after, proven=house.proven, id=_id(told.get("location")))
        return self._learn(house, answer)

    def _learn(self, house: House, answer: Answer) -> Answer:
        if answer.kind == "accepted":
            house.accepted()
        elif answer.throttled:
            pause = house.throttled(self._clock.monotonic(), answer.after)
            return Answer(answer.text, "later", answer.code, answer.detail, pause, throttled=True)
        elif answer.kind == "unknown":
            house.failed(self._clock.monotonic(), self._context.rng)
        elif answer.kind == "gone" and answer.code not in DEAD:
            house.stranger()
        else:
            house.answered()
        return answer


def _target(endpoint: Endpoint) -> Target:
    return Target(endpoint.host, endpoint.port, endpoint.origin.startswith("https"), endpoint.origin.partition("//")[2], endpoint.path)


def _id(location: str | None) -> str | None:
    """The message's own address at the push service, as its id."""
    return location if location is not None and len(location) <= 300 else None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
