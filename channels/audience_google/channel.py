"""Google: the plugin. Asks over `Context.http` alone; the token travels in the header.

A request is answered at once with an id; what became of its rows is asked for later (`poll`). Rows that a 400 names are reported and
left out, and the rest goes again.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from channels.audience_google.replies import fault_of, polled, rows_refused
from channels.audience_google.rows import consent_json, handle_of, members_to_add, members_to_remove
from channels.audience_google.settings import Settings
from channels.audience_google.tokens import Tokens
from plugins import (
    Audience,
    AudienceCapabilities,
    Context,
    Deferred,
    Member,
    NotSent,
    Polled,
    ProbeFailed,
    Rejected,
    Report,
    RowRefused,
    Size,
    Synced,
    Unknown,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

SLICE = 500
"""Members that are hashed before the loop has its turn: about a millisecond."""
AGAIN = 3
"""How often a request goes again without the rows that were refused."""
PAGES = 40
TERMS = '{"customerMatchTermsOfServiceStatus":"ACCEPTED"}'

Failed = Deferred | Rejected | Unknown


class GoogleAudiences:
    """See the module."""

    name = "audience_google"
    settings_type = Settings
    capabilities = AudienceCapabilities(batch=10_000, asynchronous=True, poll_seconds=60.0)

    context: Context[Settings] | None = None
    _tokens: Tokens | None = None

    async def start(self, context: Context[Settings]) -> None:
        self._tokens = Tokens(context)
        self.context = context

    async def stop(self) -> None:
        self.context = self._tokens = None

    async def probe(self) -> str:
        """See `plugins.feedback.Probes`. ProbeFailed with what Google says."""
        page = await self._ask("GET", f"{self._lists()}?pageSize=1")
        if not isinstance(page, dict):
            raise ProbeFailed(f"{page[0].code}: {page[0].detail}")
        return f"Google takes the credentials for the account {self._settings().account}"

    def handles(self, members: Sequence[Member]) -> Sequence[bytes]:
        return list(map(handle_of, members))

    def _lists(self) -> str:
        return f"/v1/accountTypes/GOOGLE_ADS/accounts/{self._settings().account}/userLists"

    async def ensure(self, audience: Audience) -> str | Failed:
        """One of this name, or a new one."""
        wanted = audience.name.replace("\\", "\\\\").replace('"', '\\"')
        named = quote(f'display_name = "{wanted}"')
        token = ""
        for _ in range(PAGES):
            page = await self._ask("GET", f"{self._lists()}?filter={named}&pageToken={quote(token)}")
            if not isinstance(page, dict):
                return page[0]
            for each in page.get("userLists") or ():
                if each.get("displayName") == audience.name:
                    return str(each["id"])
            if not (token := str(page.get("nextPageToken") or "")):
                break
        info = {"uploadKeyTypes": ["CONTACT_ID"], "contactIdInfo": {"dataSourceType": "DATA_SOURCE_TYPE_FIRST_PARTY"}}
        made = await self._ask(
            "POST", self._lists(),
            json.dumps({"displayName": audience.name, "description": audience.description, "ingestedUserListInfo": info}),
        )  # fmt: skip
        if not isinstance(made, dict):
            return made[0]
        return str(made["id"]) if made.get("id") else Unknown(code="no_id", detail="Google made a list and did not tell its id")

    async def sync(self, audience: Audience, add: Sequence[Member], remove: Sequence[Member], report: Report) -> None:
        """Adding, then removing: two requests, each with an answer of its own; the daemon asks for one kind at a time."""
        for member in add:
            if member.ad_user_data == "denied":
                report(RowRefused(key=member.key, reason="no_consent"))
        kept = [member for member in add if member.ad_user_data != "denied"]
        requests: list[str] = []
        for members, method in ((kept, "ingest"), (remove, "remove")):
            if members:
                done = await self._send(audience, members, method, report)
                if not isinstance(done, str):
                    report(done)
                    return
                requests += [done] if done else []
        report(Synced(request=",".join(requests) or None))

    async def _send(self, audience: Audience, members: Sequence[Member], method: str, report: Report) -> str | Failed:
        """One request, without the rows that it names as wrong. The request's id; "" when no row was left."""
        for _ in range(AGAIN):
            answer = await self._ask("POST", f"/v1/audienceMembers:{method}", await self._body(audience, members, method))
            if isinstance(answer, dict):
                request = answer.get("requestId")
                return str(request) if request else Unknown(code="no_request_id")
            failed, body = answer
            refused = {row: why for row, why in rows_refused(body).items() if row < len(members)}
            if not (isinstance(failed, Rejected) and refused):
                return failed
            for row, why in refused.items():
                report(RowRefused(key=members[row].key, reason=why))
            members = [member for row, member in enumerate(members) if row not in refused]
            if not members:
                return ""
        return failed

    async def _body(self, audience: Audience, members: Sequence[Member], method: str) -> str:
        settings, adding = self._settings(), method == "ingest"
        said = {consent_json(member.ad_user_data, member.ad_personalization) for member in members} if adding else {""}
        slices = []
        for start in range(0, len(members), SLICE):
            some = members[start : start + SLICE]
            slices.append(members_to_add(some, consent=len(said) > 1) if adding else members_to_remove(some))
            await self._context().clock.sleep(0)
        destination: dict[str, Any] = {
            "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": settings.account}, "productDestinationId": audience.remote_id
        }  # fmt: skip
        if settings.login_account:
            destination["loginAccount"] = {"accountType": "GOOGLE_ADS", "accountId": settings.login_account}
        head = f'"destinations":[{json.dumps(destination)}],"encoding":"HEX","validateOnly":false'
        if adding:
            head += f',"termsOfService":{TERMS}'
        if len(said) == 1 and (consent := next(iter(said))):
            head += f',"consent":{consent}'
        return f'{{{head},"audienceMembers":[{",".join(slices)}]}}'

    async def poll(self, requests: Sequence[str]) -> Sequence[Polled]:
        """What became of them; those that could not be asked now are still processing."""
        found = []
        for request in requests:
            told = [await self._poll_one(each) for each in request.split(",")]
            found.append(told[0] if len(told) == 1 else _worst(request, told))
        return found

    async def _poll_one(self, request: str) -> Polled:
        answer = await self._ask("GET", f"/v1/requestStatus:retrieve?requestId={quote(request, safe='')}")
        if isinstance(answer, dict):
            return polled(request, answer)
        gone = answer[0].code in ("NOT_FOUND", "404")
        return Polled(request=request, state="unknown" if gone else "processing", detail=answer[0].code)

    async def size(self, audience: Audience) -> Size | None:
        """Members that Google can serve ads to on its display network."""
        answer = await self._ask("GET", f"{self._lists()}/{quote(audience.remote_id or '', safe='')}")
        count = (answer.get("sizeInfo") or {}).get("displayNetworkMembersCount") if isinstance(answer, dict) else None
        return Size(least=int(count), most=int(count)) if count is not None and str(count).isdigit() else None

    async def _ask(self, method: str, path: str, body: str | None = None) -> dict[str, Any] | tuple[Failed, Any]:
        """The answer's JSON, or what its failure means with the body that says so. A refused token is asked for anew, once."""
        refused: str | None = None
        while True:
            token = await self._tokens_of().get(instead_of=refused)
            if not isinstance(token, str):
                return token, None
            status, answer, fault = await self._request(method, path, body, token)
            if status == 401 and refused is None:
                refused = token
                continue
            return answer if fault is None else (fault, answer)

    async def _request(self, method: str, path: str, body: str | None, token: str) -> tuple[int, Any, Failed | None]:
        import aiohttp

        context = self._context()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        url = context.settings.base_url.rstrip("/") + path
        data = None if body is None else io.BytesIO(body.encode())
        try:
            async with context.http.request(method, url, data=data, headers=headers) as reply:
                answer = _json(await reply.text())
                good = reply.status == 200 and isinstance(answer, dict)
                return reply.status, answer, None if good else fault_of(reply.status, reply.headers, answer)
        except NotSent as error:
            return 0, None, Deferred(scope="provider", code="not_sent", detail=type(error).__name__, nothing_sent=True)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return 0, None, Unknown(code=type(error).__name__)

    def _context(self) -> Context[Settings]:
        if self.context is None:
            raise RuntimeError("used before start() or after stop()")
        return self.context

    def _tokens_of(self) -> Tokens:
        if self._tokens is None:
            raise RuntimeError("used before start() or after stop()")
        return self._tokens

    def _settings(self) -> Settings:
        return self._context().settings


def _worst(request: str, told: Sequence[Polled]) -> Polled:
    order = ("success", "partial", "failed", "unknown", "processing")
    failed: dict[str, int] = {}
    for each in told:
        for reason, count in each.failed.items():
            failed[reason] = failed.get(reason, 0) + count
    state = max((each.state for each in told), key=order.index)
    return Polled(request=request, state=state, received=sum(each.received or 0 for each in told), failed=failed)


def _json(text: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
