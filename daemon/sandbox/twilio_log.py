"""What the local Twilio took: an append-only log, one line a message, and the messages as Twilio tells of them.

`FOLDER/sms.ndjson` is the judge of the demo and of tests: a line is written when the request has been taken, before it is answered.
A refused request leaves none.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import IO, Any

from daemon.clock import Clock, iso, to_datetime
from plugins.sms_text import measure_sms

LOG = "sms.ndjson"
VERSION = "2010-04-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsEntry:
    """One message that was taken. `at`: receive time by the sandbox's clock, `offset_seconds` ahead of the machine's. `delivery`: the
    token in its callback address, "" without one. `validity`: seconds. `reply`: the status it was answered with, 0 = never."""

    n: int
    at: str
    offset_seconds: float
    sid: str
    to: str
    sender: str
    body: str
    encoding: str
    segments: int
    delivery: str
    callback: str
    validity: int
    reply: int


@dataclass(slots=True, kw_only=True)
class Sms:
    """A message as it stands: what the list and the callbacks tell."""

    entry: SmsEntry
    account: str
    created: datetime
    status: str = "queued"
    sent: datetime | None = None
    error: int | None = None
    history: list[str] = field(default_factory=list)

    def move(self, status: str, now: datetime, error: int | None = None) -> None:
        """To its next status."""
        self.status, self.error = status, error
        self.sent = self.sent or (now if status in ("sent", "delivered", "undelivered") else None)
        self.history.append(status)

    def as_json(self) -> dict[str, Any]:
        """The resource, as Twilio's description has it."""
        entry, sid = self.entry, self.entry.sid
        service = entry.sender if entry.sender.startswith("MG") else None
        uri = f"/{VERSION}/Accounts/{self.account}/Messages/{sid}"
        return {
            "account_sid": self.account, "api_version": VERSION, "body": entry.body, "date_created": _date(self.created),
            "date_sent": _date(self.sent), "date_updated": _date(self.sent or self.created), "direction": "outbound-api",
            "error_code": self.error, "error_message": None, "from": None if service else entry.sender, "messaging_service_sid": service,
            "num_media": "0", "num_segments": "0" if service and self.sent is None else str(entry.segments), "price": None,
            "price_unit": "USD", "sid": sid, "status": self.status, "subresource_uris": {"media": f"{uri}/Media.json"}, "to": entry.to,
            "uri": f"{uri}.json",
        }  # fmt: skip


def _date(moment: datetime | None) -> str | None:
    return None if moment is None else format_datetime(moment.astimezone(UTC))


class SmsLog:
    """The folder of one sandbox run; it must be the only one that writes there. In memory the last messages only."""

    def __init__(self, folder: Path, clock: Clock, *, offset_seconds: float = 0.0, keep: int = 10_000) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._clock, self._offset = clock, offset_seconds
        self._kept: deque[Sms] = deque(maxlen=keep)
        self.total = max((entry.n for entry in read_log(folder)), default=0)
        self._log: IO[str] = (folder / LOG).open("a", encoding="utf-8")

    def take(self, form: dict[str, str], *, account: str, delivery: str, reply: int) -> Sms:
        """Keep one message; it begins as `accepted` (by a service) or `queued`."""
        now = self._clock.instant()
        size = measure_sms(form["Body"])
        self.total += 1
        entry = SmsEntry(
            n=self.total, at=iso(now, digits=6), offset_seconds=self._offset, sid=f"SM{self.total:032x}", to=form["To"],
            sender=form.get("From") or form["MessagingServiceSid"], body=form["Body"], encoding=size.encoding, segments=size.segments,
            delivery=delivery, callback=form.get("StatusCallback", ""), validity=int(form.get("ValidityPeriod", "36000")), reply=reply,
        )  # fmt: skip
        self._log.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
        self._log.flush()
        sms = Sms(entry=entry, account=account, created=to_datetime(now), status="accepted" if entry.sender.startswith("MG") else "queued")
        self._kept.append(sms)
        return sms

    def newest(self) -> Iterator[Sms]:
        """The messages that are still in memory, newest first."""
        return reversed(self._kept)

    def close(self) -> None:
        self._log.close()


def read_log(folder: Path) -> list[SmsEntry]:
    """All entries of a sandbox folder, in the order of arrival. A half-written last line is left out."""
    try:
        lines = (folder / LOG).read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    return [SmsEntry(**json.loads(line)) for line in lines[:-1]]
