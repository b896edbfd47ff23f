"""SMTP: a rendered `Message` becomes a `Letter`: the finished bytes of one mail and its envelope. No network, no clock.

The bytes are what goes on the wire between 354 and the dot: CRLF only, dot-stuffed, 7 bit (but the To line of an address that
needs SMTPUTF8), lines of at most 76 columns but for long header tokens. Same message, same bytes: nothing here is drawn at random.
`EmailMessage` stays out of this room (1.5-2 ms a mail); the tests read every shape back with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from channels.smtp import headers
from channels.smtp.address import BadAddress, Mailbox, parse_mailbox, parse_sender
from channels.smtp.headers import BadHeader
from channels.smtp.quoted import Encoder
from plugins import Message, Rejected

_KEPT = 256


class Unsendable(Exception):
    """This message can never become a mail; `outcome` says why."""

    def __init__(self, outcome: Rejected) -> None:
        super().__init__(outcome.detail)
        self.outcome = outcome


@dataclass(slots=True, kw_only=True)
class Letter:
    """One mail, ready for the wire. `content` ends with a line break and lacks the final dot."""

    id: str
    sender: str
    recipient: str
    content: bytes
    utf8: bool = False
    own_sender: bool = False
    """The campaign, not the provider, chose the sender: a refusal of it concerns that campaign only."""
    tries: int = field(default=0, compare=False)
    """Envelopes that vanished with their connection before the relay said a word about them."""


@dataclass(frozen=True, slots=True)
class _Sender:
    mailbox: Mailbox
    field: str


class Composer:
    """Builds letters for one provider. Keeps the encoded pieces of templates and the From lines."""

    def __init__(self, *, sender: str, provider: str) -> None:
        self._encoder = Encoder()
        self._senders: dict[tuple[str, str], _Sender] = {}
        self._feedback_ids: dict[tuple[str, str], str] = {}
        self._last_date: tuple[datetime | None, str] = (None, "")
        self._default = sender
        self._feedback = f"{headers.token(provider)}:homing"
        self._sender(sender, "")

    def compose(self, message: Message) -> Letter:
        """The letter for this message. Raises Unsendable; nothing of the message is on the wire then."""
        try:
            to = parse_mailbox(message.address)
        except BadAddress as error:
            raise Unsendable(Rejected(scope="address", code="invalid_address", detail=str(error))) from None
        try:
            sender = self._sender(message.head.get("from") or self._default, message.head.get("from_name") or "")
            parts = [self._head(message, sender, to)]
            self._body(message, parts)
        except BadHeader as error:
            raise Unsendable(Rejected(code="bad_header", detail=str(error))) from None
        except BadAddress as error:
            raise Unsendable(Rejected(code="bad_sender", detail=str(error))) from None
        except UnicodeEncodeError as error:
            raise Unsendable(Rejected(code="bad_text", detail=error.reason)) from None
        return Letter(
            id=message.id,
            sender=sender.mailbox.spec,
            recipient=to.spec,
            content=b"".join(parts),
            utf8=to.utf8,
            own_sender=bool(message.head.get("from")),
        )

    def _head(self, message: Message, sender: _Sender, to: Mailbox) -> bytes:
        lines = [
            sender.field,
            f"To: {to.spec}",
            headers.text_field("Subject", message.subject),
            self._date(message.created_at),
            f"Message-ID: {headers.message_id(message.id, sender.mailbox.domain)}",
        ]
        if reply_to := message.head.get("reply_to"):
            name, mailbox = parse_sender(reply_to)
            lines.append(headers.address_field("Reply-To", name, _ascii(mailbox).spec))
        if message.unsubscribe_url:
            lines.append(headers.url_field("List-Unsubscribe", message.unsubscribe_url))
            lines.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click")
        lines.append(self._feedback_id(message.campaign, message.step))
        lines.append(f"X-Homing-Delivery: {message.id}")
        if message.copy:
            lines.append("X-Homing-Copy: 2")  # the first may have arrived: a transactional campaign asked for one more
        lines.append("MIME-Version: 1.0\r\n")
        return "\r\n".join(lines).encode()

    def _body(self, message: Message, parts: list[bytes]) -> None:
        encoder = self._encoder
        encoder.next_mail()
        text, html = any(message.text_pieces), any(message.html_pieces)
        if not (text and html):
            if not text and not html:
                raise Unsendable(Rejected(code="empty_body", detail="neither text nor HTML"))
            parts.append(_TEXT if text else _HTML)
            encoder.body(message.text_pieces if text else message.html_pieces, parts)
            return
        # `=_` cannot occur in quoted-printable, so no body can hold the boundary.
        boundary = b"=_homing-" + message.id.encode()
        rule = b"\r\n--" + boundary
        parts += (b'Content-Type: multipart/alternative;\r\n boundary="', boundary, b'"\r\n', rule, b"\r\n", _TEXT)
        encoder.body(message.text_pieces, parts)
        parts += (rule, b"\r\n", _HTML)
        encoder.body(message.html_pieces, parts)
        parts += (rule, b"--\r\n")

    def _date(self, at: datetime) -> str:
        """Mails of one second have one date."""
        second = at.replace(microsecond=0)
        if second != self._last_date[0]:
            self._last_date = (second, f"Date: {headers.date(at)}")
        return self._last_date[1]

    def _feedback_id(self, campaign: str, step: str) -> str:
        known = self._feedback_ids.get((campaign, step))
        if known is None:
            known = f"Feedback-ID: {headers.token(campaign)}:{headers.token(step)}:{self._feedback}"
            if len(self._feedback_ids) >= _KEPT:
                self._feedback_ids.clear()
            self._feedback_ids[campaign, step] = known
        return known

    def _sender(self, sender: str, name: str) -> _Sender:
        known = self._senders.get((sender, name))
        if known is None:
            own_name, mailbox = parse_sender(sender)
            known = _Sender(_ascii(mailbox), headers.address_field("From", name or own_name, mailbox.spec))
            if len(self._senders) >= _KEPT:
                self._senders.clear()
            self._senders[sender, name] = known
        return known


def _ascii(mailbox: Mailbox) -> Mailbox:
    if mailbox.utf8:
        raise BadAddress("a sender's local part must be ASCII")
    return mailbox


_TEXT = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
_HTML = b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
