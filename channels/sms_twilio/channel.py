"""Twilio SMS: the channel itself: what is refused before anything leaves, one request a message, and what became of it.

Messages come from the daemon's dispatch, outcomes go back through the session; Twilio is the only other party. What Twilio learns
later comes in by callbacks (`callbacks`), what nobody knows is looked up (`lookup`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from channels.sms_twilio.callbacks import Callbacks
from channels.sms_twilio.lookup import look_up
from channels.sms_twilio.numbers import place_of
from channels.sms_twilio.settings import Settings
from channels.sms_twilio.verdicts import judge
from plugins import (
    Capabilities,
    Context,
    Deferred,
    Doubt,
    Feedback,
    Message,
    NotSent,
    Outcome,
    Price,
    ProbeFailed,
    Rejected,
    Session,
    Settled,
    SimpleChannel,
    Unknown,
    WebhookRequest,
)
from plugins.sms_text import measure_sms, plain_sms

if TYPE_CHECKING:
    from channels.sms_twilio.client import Messages

MAX_CHARACTERS = 1600
MAX_VALIDITY = 36_000
"""Seconds that Twilio's own queue may keep a message at most."""


class TwilioChannel(SimpleChannel[Settings]):
    """SMS by Twilio's Messages API. See `Settings` for the keys."""

    name, channel, address, settings_type = "sms_twilio", "sms", "phone", Settings
    capabilities = Capabilities(concurrency=20, batch=50, unit=1, max_text=MAX_CHARACTERS)

    send_seconds = None  # all that it awaits is one request, which has `request_seconds`

    _messages: Messages | None = None

    async def start(self, context: Context[Settings]) -> None:
        """Loads the SDK; connects to nobody yet."""
        settings = context.settings
        self.capabilities = Capabilities(
            concurrency=settings.concurrency, batch=50, unit=1, max_text=MAX_CHARACTERS, daily_spend=settings.daily_spend
        )
        self._allowed = settings.allowed
        self._callbacks = Callbacks(settings)
        await super().start(context)

    async def open(self) -> None:
        from channels.sms_twilio.client import Messages

        self._messages = Messages(self.context)

    async def close(self) -> None:
        if self._messages is not None:
            self._messages.close()
            self._messages = None

    async def send(self, batch: Sequence[Message], session: Session) -> None:
        """What Twilio must not get is reported without asking leave; the rest goes one by one (see `SimpleChannel`)."""
        good = []
        for message in batch:
            if (refusal := self.refusal(message)) is None:
                good.append(message)
            else:
                session.report(message.id, refusal)
        await super().send(good, session)

    def refusal(self, message: Message) -> Rejected | None:
        """Why this message is not for Twilio; None if it may go. Pure."""
        country, barred = place_of(message.address)
        if barred is not None:
            return Rejected(code="premium_number", detail=f"a number of the kind {barred}: expensive, and no person's phone")
        if country is None or country not in self._allowed:
            where, allowed = country or "no known country", ", ".join(sorted(self._allowed))
            return Rejected(code="country_blocked", detail=f"{where} is not among the provider's countries ({allowed})")
        if message.address == self.settings.from_:
            return Rejected(code="to_is_from", detail="the recipient's number is the sender's")
        body = self.body_of(message)
        if not body:
            return Rejected(code="empty", detail="the message has no text")
        if len(body.encode("utf-16-le", "surrogatepass")) > 2 * MAX_CHARACTERS:
            return Rejected(code="too_large", detail=f"{len(body)} characters; Twilio takes {MAX_CHARACTERS}")
        size = measure_sms(body)
        if size.segments > self.settings.max_segments:
            why = f", because of {' '.join(size.culprits[:5])}" if size.culprits else ""
            what = f"{size.segments} segments of {size.encoding}{why}; max_segments is {self.settings.max_segments}"
            return Rejected(code="too_many_segments", detail=what)
        return None

    def body_of(self, message: Message) -> str:
        """The text as it goes out."""
        text = message.text.strip()
        return plain_sms(text) if self.settings.smart_encoding else text

    def price(self, message: Message) -> Price:
        """What Twilio will bill, by the operator's table; a country without a price costs nothing here."""
        segments = measure_sms(self.body_of(message)).segments
        each = self.settings.price_of(place_of(message.address).country)
        return Price(parts=segments, amount=segments * each, currency=self.settings.currency)

    async def send_one(self, message: Message) -> Outcome:
        if self._messages is None:
            raise NotSent("the channel is closed")
        left = min(message.ttl, (message.expires_at - self.clock.now()).total_seconds())
        if left < 1:
            return Deferred(nothing_sent=True, code="too_late", detail="less than a second is left of its time")
        hook = self.context.hook_url
        callback = None if hook is None or message.test else f"{hook}?t={quote(self.context.sign(message.id), safe='')}"
        try:
            answer = await self._messages.create(
                to=message.address, body=self.body_of(message), validity=int(min(left, MAX_VALIDITY)), callback=callback
            )
        except NotSent:
            raise
        except Exception as error:  # noqa: BLE001  # after the first byte nothing but an answer says what Twilio did
            return Unknown(code=_kind_of(error), detail=" ".join(str(error).split())[:200] or "no readable answer came")
        return judge(answer, self.clock.now)

    async def probe(self) -> str:
        """See `plugins.feedback.Probes`. ProbeFailed with what Twilio says."""
        from channels.sms_twilio.client import RefusedError

        if self._messages is None:
            raise NotSent("the channel is closed")
        try:
            await self._messages.look()
        except RefusedError as refused:
            outcome = judge(refused.answer, self.clock.now)
            raise ProbeFailed(f"{outcome.code}: {outcome.detail}" if isinstance(outcome, Deferred | Rejected) else str(refused)) from None
        return "Twilio takes the account and its key; whether `from` may send shows the first message"

    def parse_feedback(self, request: WebhookRequest) -> Sequence[Feedback]:
        """See `plugins.feedback.TakesFeedback`."""
        return self._callbacks.read(request)

    async def reconcile(self, doubts: Sequence[Doubt]) -> Mapping[str, Settled]:
        """See `plugins.feedback.Reconciles`. A round that Twilio refuses settles what it has got so far."""
        if self._messages is None:
            return {}
        return await look_up(self._messages, doubts, self.body_of, self.log)


def _kind_of(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    return "garbage" if isinstance(error, ValueError) else type(error).__name__
