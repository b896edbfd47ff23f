"""A local Twilio: takes messages as its Messages API does, calls back as it does, and misbehaves for the numbers that say so.

Every request is held against Twilio's own description (`twilio_api`). The last five digits of a recipient's number name the fault:
`9xxxx` answers with error 2xxxx of `REFUSALS` (91610 = 21610 unsubscribed, 90429 too many, 90003 wrong credentials), `8xxxx` takes the
message and calls back `undelivered` with error 3xxxx of `LATER`, those of `FAULTS` are what can go wrong on the wire. `fail` does the
same for all numbers. It sends nothing; what it took goes to the `SmsLog`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import gzip
import hashlib
import hmac
import json
from collections import Counter, deque
from collections.abc import Coroutine
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
from aiohttp import web

from daemon.clock import Clock
from daemon.sandbox.twilio_api import FORM, Fault, form_problems, query_problems, refusal
from daemon.sandbox.twilio_log import VERSION, Sms, SmsLog

ACCOUNT = "AC" + "5a" * 16
TOKEN = "sandbox-token"  # noqa: S105  # of the sandbox, on loopback
SLOW_SECONDS = 2.0
THROTTLE_SECONDS = 3

FAULTS = {
    "70500": "error",
    "70504": "hang",
    "70408": "drop",
    "70520": "slow",
    "70530": "bomb",
    "70531": "huge",
    "70540": "garbage",
    "70541": "nameless",
    "70301": "redirect",
    "70302": "see_other",
}
"""After taking the message: 500 · no answer · connection lost · a slow body · a gzip bomb · 10 MB · no JSON · JSON without a sid.
Without taking it: 301 · 302."""
UNTAKEN = frozenset({"redirect", "see_other"})
REFUSALS = {
    20003: (401, "Authenticate"),
    20404: (404, "The requested resource was not found"),
    20429: (429, "Too Many Requests"),
    21211: (400, "Invalid 'To' Phone Number"),
    21212: (400, "Invalid 'From' Number"),
    21408: (403, "Permission to send an SMS has not been enabled for the region indicated by the 'To' number"),
    21606: (400, "The 'From' phone number is not a valid message-capable Twilio phone number for this destination"),
    21608: (400, "The number is unverified. Trial accounts cannot send messages to unverified numbers"),
    21610: (400, "Attempt to send to unsubscribed recipient"),
    21611: (429, "This 'From' number has exceeded the maximum number of queued messages"),
    21612: (400, "The 'To' phone number is not currently reachable using the 'From' phone number via SMS"),
    21614: (400, "'To' number is not a valid mobile number"),
    21617: (400, "The concatenated message body exceeds the 1600 character limit"),
    21635: (400, "'To' number cannot be a landline"),
    29999: (400, "An error that no list has"),
}
LATER = frozenset({30001, 30003, 30004, 30005, 30006, 30007, 30008, 30034})
OPT_OUT = frozenset({"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"})
OPT_IN = frozenset({"start", "yes", "unstop"})


class TwilioServer:
    """The server as a service on loopback: `start` binds, `stop` closes and ends all callbacks; both may be called twice.

    `account_sid`, `auth_token`: what a client signs in with (an API key of any name with the same token is taken too). `senders`: the
    account's numbers and services, empty = any. `step_seconds`: between two statuses of a message; None = no callbacks.
    """

    def __init__(
        self, log: SmsLog, clock: Clock, *, host: str = "127.0.0.1", port: int = 0, account_sid: str = ACCOUNT, auth_token: str = TOKEN,
        senders: frozenset[str] = frozenset(), step_seconds: float | None = 0.2, slow_seconds: float = SLOW_SECONDS,
    ) -> None:  # fmt: skip
        self._messages, self._clock, self._host, self.port = log, clock, host, port
        self.account_sid, self._token, self._senders = account_sid, auth_token, senders
        self._step, self._slow = step_seconds, slow_seconds
        self._switch: tuple[str, int] | None = None
        self._opted_out: set[tuple[str, str]] = set()
        self._runner: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self.answers: Counter[int] = Counter()
        """How many requests were answered with which status."""
        self.requests: deque[tuple[str, tuple[tuple[str, str], ...]]] = deque(maxlen=1000)
        """The method and the fields of the last requests."""
        self.problems: list[str] = []
        """What in the requests did not fit Twilio's description: empty, or the client is wrong."""
        self.callbacks: list[tuple[int, dict[str, str]]] = []
        """Each callback: the status that it was answered with (0: nobody answered) and its fields."""

    @property
    def base_url(self) -> str:
        return f"http://{self._host}:{self.port}"

    @property
    def messages(self) -> list[Sms]:
        """What was taken and is still in memory, newest first."""
        return list(self._messages.newest())

    async def start(self) -> None:
        """Bind; port 0 takes a free one, which `port` then tells. OSError if it is taken."""
        if self._runner is not None:
            return
        app = web.Application()
        base = f"/{VERSION}/Accounts/{{account}}/Messages"
        app.router.add_post(f"{base}.json", self._create)
        app.router.add_get(f"{base}.json", self._list)
        app.router.add_get(f"{base}/{{sid}}.json", self._one)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self.port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner, self.port = runner, runner.addresses[0][1]
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10.0), trust_env=False)

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        if self._http is not None:
            await self._http.close()
        await runner.cleanup()

    def fail(self, fault: str | None, times: int = 1 << 60) -> None:
        """The next `times` new messages meet this fault (five digits, as in a number); None = none any more."""
        self._switch = None if fault is None else (fault, times)

    async def reply(self, number: str, text: str, url: str, *, sender: str, opt_out_type: str = "") -> int:
        """A message from a recipient's phone to `sender`, as Twilio posts it to `url`; the status it was answered with, 0 = none."""
        word = text.strip().casefold()
        if word in OPT_OUT:
            self._opted_out.add((number, sender))
        elif word in OPT_IN:
            self._opted_out.discard((number, sender))
        sid = f"SM{hashlib.sha256(f'{number} {text} {self._clock.instant()}'.encode()).hexdigest()[:32]}"
        fields = {
            "ToCountry": "US", "SmsMessageSid": sid, "NumMedia": "0", "SmsSid": sid, "SmsStatus": "received", "Body": text, "To": sender,
            "NumSegments": "1", "MessageSid": sid, "AccountSid": self.account_sid, "From": number, "ApiVersion": VERSION,
            **({"OptOutType": opt_out_type} if opt_out_type else {}),
        }  # fmt: skip
        return await self._post(url, fields)

    async def settled(self) -> None:
        """Until no callback is under way."""
        while self._calls:
            await asyncio.gather(*self._calls, return_exceptions=True)

    async def _create(self, request: web.Request) -> web.StreamResponse:
        fields = parse_qsl((await request.read()).decode(), keep_blank_values=True)
        form = dict(fields)
        self.requests.append(("POST", tuple(fields)))
        self.problems += [f"POST: {what}" for what in self._head_problems(request, form_problems(fields))]
        if (denied := self._denied(request)) is not None:
            return self._error(denied)
        name = self._fault_for(form.get("To", ""))
        fault = _named(name) or refusal(form, self._senders)
        if fault is None and (form["To"], form.get("From") or form["MessagingServiceSid"]) in self._opted_out:
            fault = _named("91610")
        if fault is not None:
            return self._error(fault)
        wire = FAULTS.get(name, "")
        if wire in UNTAKEN:
            status = 301 if wire == "redirect" else 302
            self.answers[status] += 1
            return web.Response(status=status, headers={"Location": f"{self.base_url}/elsewhere"})
        status = {"error": 500, "hang": 0, "drop": 0}.get(wire, 201)
        delivery = dict(parse_qsl(urlsplit(form.get("StatusCallback", "")).query)).get("t", "")
        sms = self._messages.take(form, account=self.account_sid, delivery=delivery, reply=status)
        if sms.entry.callback and self._step is not None:
            self._spawn(self._report(sms, _code_of(name) if name else None, self._step))
        self.answers[status] += 1
        return await self._answer(request, wire, sms)

    async def _answer(self, request: web.Request, wire: str, sms: Sms) -> web.StreamResponse:
        body = json.dumps(sms.as_json()).encode()
        match wire:
            case "hang":
                await asyncio.Event().wait()
            case "drop":
                if request.transport is not None:
                    request.transport.abort()
            case "error":
                return web.json_response({"code": 20500, "message": "Internal server error", "status": 500}, status=500)
            case "slow":
                return await self._slowly(request, body)
            case "bomb":
                return web.Response(status=201, body=_bomb(), headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})
            case "huge":
                body = b" " * 10_000_000 + body
            case "garbage":
                body = b"<html>queued" + body
            case "nameless":
                body = b"[1]" if sms.entry.n % 2 else b'{"status": "queued"}'
        return web.Response(status=201, body=body, content_type="application/json")

    async def _slowly(self, request: web.Request, body: bytes) -> web.StreamResponse:
        reply = web.StreamResponse(status=201, headers={"Content-Type": "application/json"})
        await reply.prepare(request)
        for part in (body[:40], body[40:]):
            await reply.write(part)
            await self._clock.sleep(self._slow)
        return reply

    async def _list(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(("GET", tuple(request.query.items())))
        self.problems += [f"GET: {what}" for what in query_problems([*request.query.items()])]
        if (denied := self._denied(request)) is not None:
            return self._error(denied)
        asked = request.query
        size, number = min(int(asked.get("PageSize", "50")), 1000), int(asked.get("Page", "0"))
        wanted = asked.get("To"), asked.get("From"), asked.get("DateSent>")
        found = [each.as_json() for each in self._messages.newest() if _asked_for(each, *wanted)]
        page = found[number * size : (number + 1) * size]
        path = request.path

        def uri(at: int) -> str:
            return f"{path}?{urlencode({**dict(asked), 'PageSize': size, 'Page': at})}"

        answer = {
            "end": number * size + len(page) - 1, "first_page_uri": uri(0), "messages": page, "page": number, "page_size": size,
            "next_page_uri": uri(number + 1) if len(found) > (number + 1) * size else None,
            "previous_page_uri": uri(number - 1) if number else None, "start": number * size, "uri": uri(number),
        }  # fmt: skip
        self.answers[200] += 1
        return web.json_response(answer)

    async def _one(self, request: web.Request) -> web.StreamResponse:
        if (denied := self._denied(request)) is not None:
            return self._error(denied)
        found = next((each for each in self._messages.newest() if each.entry.sid == request.match_info["sid"]), None)
        return self._error(Fault(404, 20404, REFUSALS[20404][1])) if found is None else web.json_response(found.as_json())

    def _head_problems(self, request: web.Request, found: list[str]) -> list[str]:
        return found if request.content_type == FORM else [f"the body is {request.content_type}", *found]

    def _denied(self, request: web.Request) -> Fault | None:
        """Basic authentication by account or API key, and the account of the address."""
        kind, _, packed = request.headers.get("Authorization", "").partition(" ")
        with contextlib.suppress(ValueError):
            name, _, password = base64.b64decode(packed).decode().partition(":")
            known = name == self.account_sid or name.startswith("SK")
            if kind == "Basic" and known and hmac.compare_digest(password.encode(), self._token.encode()):
                return None if request.match_info["account"] == self.account_sid else Fault(404, 20404, REFUSALS[20404][1])
        return Fault(401, 20003, "Authenticate")

    def _fault_for(self, number: str) -> str:
        name = number[-5:]
        if self._switch is not None:
            name, times = self._switch
            self._switch = (name, times - 1) if times > 1 else None
        return name if name in FAULTS or _code_of(name) is not None else ""

    def _error(self, fault: Fault) -> web.Response:
        self.answers[fault.status] += 1
        headers = {"Retry-After": str(THROTTLE_SECONDS)} if fault.code == 20429 else {}
        page = f"https://www.twilio.com/docs/errors/{fault.code}"
        body = {"code": fault.code, "message": fault.message, "more_info": page, "status": fault.status}
        return web.json_response(body, status=fault.status, headers=headers)

    async def _report(self, sms: Sms, error: int | None, step: float) -> None:
        """The statuses of a message, one callback each; Twilio makes none for the first."""
        for status in ("sent", "delivered" if error is None else "undelivered"):
            await self._clock.sleep(step)
            sms.move(status, self._clock.now(), error if status == "undelivered" else None)
            fields = {
                "ApiVersion": VERSION, "MessageSid": sms.entry.sid, "SmsSid": sms.entry.sid, "SmsStatus": status, "MessageStatus": status,
                "To": sms.entry.to, "AccountSid": self.account_sid, "From": sms.entry.sender,
                **({"ErrorCode": str(error)} if status == "undelivered" else {}),
            }  # fmt: skip
            await self._post(sms.entry.callback, fields)

    async def _post(self, url: str, fields: dict[str, str]) -> int:
        if self._http is None:
            return 0
        headers = {"X-Twilio-Signature": sign(self._token, url, fields), "I-Twilio-Idempotency-Token": fields["MessageSid"]}
        status = 0
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with self._http.post(url, data=fields, headers=headers, allow_redirects=False) as answer:
                status = answer.status
        self.callbacks.append((status, fields))
        return status

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        call = asyncio.create_task(work)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)


def sign(token: str, url: str, fields: dict[str, str]) -> str:
    """`X-Twilio-Signature` of a form: HMAC-SHA1 over the address and each name with its value, sorted."""
    text = url + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


def _code_of(name: str) -> int | None:
    """The error code that five digits stand for, None if they are just digits."""
    code = int(name) - (70_000 if name.startswith("9") else 50_000) if name.isdigit() else 0
    return code if code in REFUSALS or code in LATER else None


def _named(name: str) -> Fault | None:
    code = _code_of(name) if name else None
    return Fault(REFUSALS[code][0], code, REFUSALS[code][1]) if code in REFUSALS else None


@functools.cache
def _bomb() -> bytes:
    """32 KB that unpack to 32 MB."""
    return gzip.compress(b" " * (32 * 1024 * 1024), 6)


def _asked_for(sms: Sms, to: str | None, sender: str | None, after: str | None) -> bool:
    if (to and sms.entry.to != to) or (sender and sms.entry.sender != sender):
        return False
    if not after:
        return True
    return sms.sent is not None and sms.sent.replace(microsecond=0) + timedelta(seconds=1) > _moment(after)


def _moment(text: str) -> datetime:
    """An instant as the SDK writes it (`2027-03-01T03:00:00Z`), or an e-mail date."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return parsedate_to_datetime(text)

