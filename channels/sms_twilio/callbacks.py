"""Twilio SMS: a request to `/hooks/NAME` as feedback: its signature is checked, a status callback or a reply is put into our words.

Pure. Twilio signs the public address as it was given it, with every parameter of a form, or (JSON) with the body's SHA-256 in the
query; its back ends differ in whether they write the port. Callbacks come in any order, and more than once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from channels.sms_twilio.settings import Settings
from channels.sms_twilio.verdicts import kind_of
from channels.sms_twilio.words import meaning_of
from plugins import BadSignature, Feedback, FeedbackKind, WebhookRequest

if TYPE_CHECKING:
    from twilio.request_validator import RequestValidator

FORM = "application/x-www-form-urlencoded"
MAX_FIELDS = 200
MAX_REPLY = 200
"""Characters of a reply that are kept."""

_OPT_OUT: dict[str, FeedbackKind] = {"STOP": "unsubscribed", "START": "resubscribed", "HELP": "replied"}


class Fields(dict[str, list[str]]):
    """The parameters of a form, each name with all its values, as the SDK's validator wants to be asked."""

    def getall(self, name: str) -> list[str]:
        return self[name]

    def first(self, name: str) -> str:
        """The value of a parameter; empty if there is none."""
        return self.get(name, [""])[0]


class Callbacks:
    """Reads the requests of one account."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def read(self, request: WebhookRequest) -> Sequence[Feedback]:
        """What the request says. BadSignature if it is not Twilio's or of another account; ValueError if it is no form."""
        form = request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM
        fields = _fields(request.body) if form else Fields()
        self._check(request, fields if form or not request.body else request.body.decode("utf-8", "surrogateescape"))
        if not form:
            return ()  # signed, but no message's status: Twilio sends JSON for other products only
        if fields.first("AccountSid") != self._settings.account_sid:
            raise BadSignature("of another account")
        sid = fields.first("MessageSid") or fields.first("SmsSid")
        if status := fields.first("MessageStatus"):
            return _status(fields, sid, status.lower(), request.delivery)
        if "Body" in fields and fields.first("From"):
            return self._reply(fields, sid)
        return ()

    def _check(self, request: WebhookRequest, signed: Fields | str) -> None:
        """BadSignature unless the account's token (or shared key) signed this. `signed`: the form, or the body of another kind."""
        from twilio.request_validator import get_signature_algorithm

        signature = request.headers.get("x-twilio-signature", "")
        if not signature.isascii() or not signature:
            raise BadSignature("there is no signature")
        if isinstance(signed, str) and not any(name == "bodySHA256" for name, _ in request.query):
            raise BadSignature("a body that is no form and has no bodySHA256 in its address is not signed")
        settings = request.headers.get("x-twilio-webhooks-signature-settings", "")
        algorithm = get_signature_algorithm(settings)
        validator = self._shared_key if settings and self._settings.webhook_secret is not None else self._token
        body: Any = signed
        try:
            valid = validator.validate(request.url, body, signature, algorithm)
        except ValueError as error:  # an address with a broken port or host
            raise BadSignature(str(error)) from error
        if not valid:
            raise BadSignature("the signature is not of this account's token over the address [http] public_url")

    @cached_property
    def _token(self) -> RequestValidator:
        return _validator(self._settings.auth_token.reveal())

    @cached_property
    def _shared_key(self) -> RequestValidator:
        secret = self._settings.webhook_secret or self._settings.auth_token
        return _validator(secret.reveal())

    def _reply(self, fields: Fields, sid: str) -> Sequence[Feedback]:
        """An inbound message: Twilio's own reading of it goes first (Advanced Opt-Out), then ours."""
        text = fields.first("Body")
        meaning = meaning_of(text, self._settings.stop_words)
        ours: FeedbackKind = {"stop": "unsubscribed", "start": "resubscribed"}.get(meaning, "replied")  # type: ignore[assignment]
        kind = _OPT_OUT.get(fields.first("OptOutType").upper(), ours)
        return [Feedback(kind=kind, address=fields.first("From"), id=sid or None, detail=" ".join(text.split())[:MAX_REPLY] or None)]


def _status(fields: Fields, sid: str, status: str, delivery: str | None) -> Sequence[Feedback]:
    code = fields.first("ErrorCode") or None
    kind = kind_of(status, code)
    if kind is None:
        return ()
    event = f"{sid}:{status}" if sid else None
    address = fields.first("To") or None if kind == "unsubscribed" else None
    return [Feedback(kind=kind, delivery=delivery, provider_id=sid or None, address=address, id=event, code=code, detail=status)]


def _fields(body: bytes) -> Fields:
    """ValueError if it is no UTF-8 form of a usual size."""
    fields = Fields()
    for name, value in parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS):
        fields.setdefault(name, []).append(value)
    return fields


def _validator(secret: str) -> RequestValidator:
    from twilio.request_validator import RequestValidator

    return RequestValidator(secret)
