"""Meta: the plugin. Asks over `Context.http` alone; token and proof travel in the header and the body, never in a URL.

Members to be removed go by POST with `method=DELETE`: a DELETE with a query would put data and token into the address.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from channels.audience_meta.replies import Fault, fault_of, rest_of
from channels.audience_meta.rows import columns_of, handle_of, payload_of, quoted, rows_to_add, rows_to_remove
from channels.audience_meta.settings import Settings
from plugins import (
    Audience,
    AudienceCapabilities,
    Context,
    Deferred,
    Member,
    NotSent,
    ProbeFailed,
    Rejected,
    Report,
    RowRefused,
    SessionLost,
    Size,
    Synced,
    Unknown,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

SLICE = 500
"""Members that are hashed before the loop has its turn: about a millisecond."""
PAGE = 500
MOST_PAGES = 40
DESCRIPTION = "Kept by Homing: members come and go with their campaign."


class MetaAudiences:
    """See the module."""

    name = "audience_meta"
    settings_type = Settings
    capabilities = AudienceCapabilities(batch=10_000)

    context: Context[Settings] | None = None
    _rests_until = 0.0

    async def start(self, context: Context[Settings]) -> None:
        self.context = context

    async def stop(self) -> None:
        self.context = None

    async def probe(self) -> str:
        """See `plugins.feedback.Probes`. ProbeFailed with what Meta says."""
        settings = self._settings()
        found = await self._ask(settings.url(settings.account, "customaudiences"), {"method": "GET", "fields": "id", "limit": "1"})
        if not isinstance(found, dict):
            fault = _plain(found)
            raise ProbeFailed(f"{fault.code}: {fault.detail}")
        return f"Meta takes the token for the account {settings.account}"

    def handles(self, members: Sequence[Member]) -> Sequence[bytes]:
        return list(map(handle_of, members))

    async def ensure(self, audience: Audience) -> str | Deferred | Rejected | Unknown:
        """One of this name, or a new one."""
        settings = self._settings()
        found = await self._find(audience.name)
        if found is not None:
            return found
        fields = {
            "name": audience.name, "subtype": "CUSTOM", "customer_file_source": "USER_PROVIDED_ONLY",
            "description": audience.description or DESCRIPTION,
        }  # fmt: skip
        made = await self._ask(settings.url(settings.account, "customaudiences"), fields)
        return _plain(made) if not isinstance(made, dict) else _id_of(made)

    async def _find(self, name: str) -> str | Deferred | Rejected | Unknown | None:
        settings = self._settings()
        after: str | None = None
        for _ in range(MOST_PAGES):
            fields = {"method": "GET", "fields": "id,name", "limit": str(PAGE)} | ({"after": after} if after else {})
            page = await self._ask(settings.url(settings.account, "customaudiences"), fields)
            if not isinstance(page, dict):
                return _plain(page)
            for each in page.get("data") or ():
                if isinstance(each, dict) and each.get("name") == name and isinstance(each.get("id"), str):
                    return str(each["id"])
            after = ((page.get("paging") or {}).get("cursors") or {}).get("after")
            if not after or "next" not in (page.get("paging") or {}):
                return None
        return None

    async def sync(self, audience: Audience, add: Sequence[Member], remove: Sequence[Member], report: Report) -> None:
        """Adding, then removing; the first that fails is the outcome of both."""
        context = self._context()
        if (rest := self._rests_until - context.clock.monotonic()) > 0:
            detail = "Meta's own count of our use is nearly full"
            report(Deferred(scope="provider", after=rest, code="usage", detail=detail, throttled=True))
            return
        for member in add:
            if member.ad_user_data == "denied":
                report(RowRefused(key=member.key, reason="no_consent"))
        add = [member for member in add if member.ad_user_data != "denied"]
        received, invalid = 0, 0
        for members, method in ((add, "POST"), (remove, "DELETE")):
            if members:
                done = await self._ask(self._settings().url(audience.remote_id or "", "users"), await self._form(audience, members, method))
                if not isinstance(done, dict):
                    report(done)
                    return
                received += int(done.get("num_received") or 0)
                invalid += int(done.get("num_invalid_entries") or 0)
        report(Synced(received=received, invalid=invalid))

    async def _form(self, audience: Audience, members: Sequence[Member], method: str) -> bytes:
        """The body of one batch: hashed a slice at a time, so that the loop is not held."""
        columns = columns_of(members) if method == "POST" else ("EMAIL", "PHONE")
        slices = []
        for start in range(0, len(members), SLICE):
            some = members[start : start + SLICE]
            slices.append(rows_to_add(some, columns) if method == "POST" else rows_to_remove(some))
            await self._context().clock.sleep(0)
        session = json.dumps({
            "session_id": audience.session, "batch_seq": audience.sequence, "last_batch_flag": audience.last,
            "estimated_num_total": max(audience.total, len(members)),
        }, separators=(",", ":"))  # fmt: skip
        form = f"payload={payload_of(columns, slices)}&session={quoted(session)}"
        if method == "DELETE":
            form += "&method=DELETE"
        return form.encode()

    async def size(self, audience: Audience) -> Size | None:
        """What Meta says of an audience's size: a range, up to a day behind."""
        fields = "approximate_count_lower_bound,approximate_count_upper_bound"
        answer = await self._ask(self._settings().url(audience.remote_id or ""), {"method": "GET", "fields": fields})
        if not isinstance(answer, dict):
            return None
        least, most = (answer.get(name) for name in fields.split(","))
        return Size(least=least, most=most) if isinstance(least, int) and isinstance(most, int) and 0 <= least <= most else None

    async def _ask(self, url: str, form: Mapping[str, str] | bytes) -> dict[str, Any] | Fault:
        """POST a form; the answer's JSON, or what its failure means."""
        import aiohttp

        context = self._context()
        body = form if isinstance(form, bytes) else urlencode(form).encode()
        token = context.settings.access_token.reveal()
        if context.settings.app_secret is not None:
            proof = hmac.new(context.settings.app_secret.reveal().encode(), token.encode(), hashlib.sha256).hexdigest()
            body += f"&appsecret_proof={proof}".encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-www-form-urlencoded"}
        try:
            async with context.http.post(url, data=io.BytesIO(body), headers=headers) as reply:
                answer = _json(await reply.text())
                if (rest := rest_of(reply.headers)) is not None:
                    self._rests_until = context.clock.monotonic() + rest
                if reply.status == 200 and isinstance(answer, dict) and "error" not in answer:
                    return answer
                return fault_of(reply.status, reply.headers, answer)
        except NotSent as error:
            return Deferred(scope="provider", code="not_sent", detail=type(error).__name__, nothing_sent=True)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return Unknown(code=type(error).__name__)

    def _context(self) -> Context[Settings]:
        if self.context is None:
            raise RuntimeError("used before start() or after stop()")
        return self.context

    def _settings(self) -> Settings:
        return self._context().settings


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _plain(fault: Fault) -> Deferred | Rejected | Unknown:
    return Unknown(code=fault.code, detail=fault.detail) if isinstance(fault, SessionLost) else fault


def _id_of(made: Mapping[str, Any]) -> str | Unknown:
    found = made.get("id")
    return str(found) if found else Unknown(code="no_id", detail="Meta made an audience and did not tell its id")
