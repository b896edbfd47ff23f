"""Google's Data Manager API, as far as Homing uses it: validates what it gets, gives tokens that expire, answers requests later."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from daemon.sandbox.ads_set import HASH, AudienceSet, Ledger, Row, is_bad

MOST_ROWS, MOST_IDENTIFIERS = 10_000, 10
SCOPE = "https://www.googleapis.com/auth/datamanager"
CLIENT = "homing@sandbox.iam.gserviceaccount.com"
CONSENTS = frozenset({"CONSENT_GRANTED", "CONSENT_DENIED", "CONSENT_STATUS_UNSPECIFIED"})
_NAMED = re.compile(r'display_name = "(.*)"')


class _RefusedError(Exception):
    """(status, name of the status, message, details)"""


def make_credentials(key: RSAPrivateKey, token_uri: str) -> str:
    """The key file of a service account, as Google gives it out."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return json.dumps({
        "type": "service_account", "project_id": "sandbox", "private_key_id": "k1", "private_key": pem, "client_email": CLIENT,
        "token_uri": token_uri,
    })  # fmt: skip


class GoogleServer:
    """The routes; `fault()` gives the name of what goes wrong with the next batch, or None. `answer_seconds`: until a request is done."""

    def __init__(
        self, ledger: Ledger, *, account: str, wall: Callable[[], float], fault: Callable[[], str | None],
        answer_seconds: Callable[[], float], token_seconds: float = 3600.0,
    ) -> None:  # fmt: skip
        self.ledger, self._account, self._wall, self._fault = ledger, account, wall, fault
        self._answer_seconds, self._token_seconds = answer_seconds, token_seconds
        self.key = generate_private_key(65537, 2048)
        self._tokens: dict[str, float] = {}
        self._requests: dict[str, dict[str, Any]] = {}
        self.base = ""
        """`http://127.0.0.1:PORT`, once the server listens."""

    def routes(self) -> list[web.RouteDef]:
        lists = r"/v1/accountTypes/GOOGLE_ADS/accounts/{account:\d+}/userLists"
        return [
            web.post("/token", self.token),
            web.get(lists, self.user_lists),
            web.post(lists, self.make_list),
            web.get(lists + r"/{id:\d+}", self.user_list),
            web.post("/v1/audienceMembers:{method:ingest|remove}", self.members),
            web.get("/v1/requestStatus:retrieve", self.status),
        ]

    async def token(self, request: web.Request) -> web.Response:
        """RFC 7523: the claim must be ours, signed, in time and for this scope."""
        form = await request.post()
        try:
            head, body, signature = str(form.get("assertion", "")).split(".")
            self.key.public_key().verify(_bytes(signature), f"{head}.{body}".encode(), PKCS1v15(), SHA256())
            claims = json.loads(_bytes(body))
        except (ValueError, InvalidSignature):
            return web.json_response({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, status=400)
        now = self._wall()
        good = (
            form.get("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer" and claims.get("iss") == CLIENT
            and claims.get("scope") == SCOPE and claims.get("aud") == f"{self.base}/token"
            and claims.get("iat", 0) - 300 <= now < claims.get("exp", 0) <= claims.get("iat", 0) + 3600
        )  # fmt: skip
        if not good:
            return web.json_response({"error": "invalid_grant", "error_description": "Invalid JWT."}, status=400)
        token = f"ya29.{len(self._tokens)}.{hashlib.sha256(str(form['assertion']).encode()).hexdigest()[:16]}"
        self._tokens[token] = self.ledger.now() + self._token_seconds
        self.ledger.note("token")
        return web.json_response({"access_token": token, "expires_in": int(self._token_seconds), "token_type": "Bearer"})

    def _let_in(self, request: web.Request) -> None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if "ya29" in request.path_qs:
            self.ledger.breach("google: a token in a URL")
        if self._tokens.get(token, -1.0) <= self.ledger.now():
            raise _RefusedError(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if request.match_info.get("account", self._account) != self._account:
            raise _RefusedError(403, "PERMISSION_DENIED", "The caller does not have permission")

    async def user_lists(self, request: web.Request) -> web.Response:
        try:
            self._let_in(request)
        except _RefusedError as error:
            return _error(*error.args)
        named = _NAMED.fullmatch(request.query.get("filter", ""))
        found = [each for each in self.ledger.audiences.values() if named is None or each.name == re.sub(r"\\(.)", r"\1", named[1])]
        return web.json_response({"userLists": [{"id": each.id, "displayName": each.name} for each in found]})

    async def make_list(self, request: web.Request) -> web.Response:
        try:
            self._let_in(request)
            body = await request.json()
            if not body.get("displayName") or body.get("ingestedUserListInfo", {}).get("uploadKeyTypes") != ["CONTACT_ID"]:
                raise _RefusedError(400, "INVALID_ARGUMENT", "displayName and ingestedUserListInfo are needed")
        except _RefusedError as error:
            return _error(*error.args)
        made = self.ledger.make(body["displayName"])
        self.ledger.note("make", audience=made.id, name=made.name)
        return web.json_response({"id": made.id, "displayName": made.name})

    async def user_list(self, request: web.Request) -> web.Response:
        try:
            self._let_in(request)
        except _RefusedError as error:
            return _error(*error.args)
        found = self.ledger.audiences.get(request.match_info["id"])
        if found is None:
            return _error(404, "NOT_FOUND", "no such list")
        found.settle(self.ledger.now())
        return web.json_response({"id": found.id, "sizeInfo": {"displayNetworkMembersCount": str(len(found.members()))}})

    async def members(self, request: web.Request) -> web.StreamResponse:
        try:
            self._let_in(request)
            adding = request.match_info["method"] == "ingest"
            body = json.loads(await request.read())
            audience = self._check(body, adding=adding)
            rows, wrong = self._rows(body["audienceMembers"])
            fault = self._fault()
            self.ledger.note("add" if adding else "remove", audience=audience.id, rows=len(rows), fault=fault)
            self._fail(fault)
            if fault == "violations" and wrong == []:
                wrong = [index for index, row in enumerate(rows) if is_bad(row)]
            if wrong:
                bad = [{"field": f"audience_members[{row}].user_data", "reason": "INVALID_FORMAT"} for row in wrong]
                raise _RefusedError(400, "INVALID_ARGUMENT", "There was a problem with the request.", [{"fieldViolations": bad}])
            number = f"request-{len(self._requests) + 1}"
            if fault != "failed":
                self.ledger.change(audience, (row for row in rows if not is_bad(row)), add=adding)
            self._requests[number] = {
                "done": self.ledger.now() + self._answer_seconds(), "rows": len(rows), "bad": sum(map(is_bad, rows)), "adding": adding,
                "failed": fault == "failed",
            }  # fmt: skip
            if fault == "drop" and request.transport is not None:
                request.transport.abort()
            return web.json_response({"requestId": number})
        except _RefusedError as error:
            return _error(*error.args)

    @staticmethod
    def _fail(fault: str | None) -> None:
        if fault in ("rate", "day"):
            quota = "RequestsPerDayPerProject" if fault == "day" else "RequestsPerMinutePerProject"
            details = [{"reason": "RATE_LIMIT_EXCEEDED", "metadata": {"quota_limit": quota}}]
            raise _RefusedError(429, "RESOURCE_EXHAUSTED", "Quota exceeded", details)
        if fault in ("500", "transient"):
            raise _RefusedError(500, "INTERNAL", "Internal error encountered.")
        if fault == "operator":
            raise _RefusedError(403, "PERMISSION_DENIED", "The caller does not have permission")

    def _check(self, body: Any, *, adding: bool) -> AudienceSet:
        destinations = body.get("destinations")
        if not isinstance(destinations, list) or len(destinations) != 1:
            raise _RefusedError(400, "INVALID_ARGUMENT", "one destination is needed")
        account = destinations[0].get("operatingAccount", {})
        audience = self.ledger.audiences.get(str(destinations[0].get("productDestinationId")))
        if account != {"accountType": "GOOGLE_ADS", "accountId": self._account} or audience is None:
            raise _RefusedError(400, "INVALID_ARGUMENT", "unknown destination")
        if body.get("encoding") != "HEX" or not 0 < len(body.get("audienceMembers", ())) <= MOST_ROWS:
            self.ledger.breach(f"google: encoding {body.get('encoding')}, {len(body.get('audienceMembers', ()))} members")
            raise _RefusedError(400, "INVALID_ARGUMENT", "encoding or number of members")
        if adding and body.get("termsOfService", {}).get("customerMatchTermsOfServiceStatus") != "ACCEPTED":
            raise _RefusedError(400, "INVALID_ARGUMENT", "terms of service")
        for consent in (body.get("consent", {}), *(each.get("consent", {}) for each in body["audienceMembers"])):
            if set(consent) - {"adUserData", "adPersonalization"} or set(consent.values()) - CONSENTS:
                self.ledger.breach(f"google: consent {consent}")
                raise _RefusedError(400, "INVALID_ARGUMENT", "consent")
        return audience

    def _rows(self, members: list[Any]) -> tuple[list[Row], list[int]]:
        rows: list[Row] = []
        wrong: list[int] = []
        for place, member in enumerate(members):
            found = {"emailAddress": "", "phoneNumber": ""}
            identifiers = member.get("userData", {}).get("userIdentifiers", [])
            for identifier in identifiers:
                for name, value in identifier.items():
                    names = [value.get("givenName"), value.get("familyName")] if name == "address" else [None]
                    hashes = [value] if name in found else names
                    if not all(isinstance(each, str) and HASH.fullmatch(each) for each in hashes):
                        self.ledger.breach(f"google: {name} is no hash: {value!r:.80}")
                        wrong.append(place)
                    elif name in found:
                        found[name] = value
            if not 0 < len(identifiers) <= MOST_IDENTIFIERS:
                self.ledger.breach(f"google: {len(identifiers)} identifiers")
                wrong.append(place)
            rows.append((found["emailAddress"], found["phoneNumber"]))
        return rows, wrong

    async def status(self, request: web.Request) -> web.Response:
        try:
            self._let_in(request)
        except _RefusedError as error:
            return _error(*error.args)
        asked = self._requests.get(request.query.get("requestId", ""))
        if asked is None:
            return _error(404, "NOT_FOUND", "no such request")
        if self.ledger.now() < asked["done"]:
            return web.json_response({"requestStatusPerDestination": [{"requestStatus": "PROCESSING"}]})
        state = "FAILED" if asked["failed"] else "PARTIAL_SUCCESS" if asked["bad"] else "SUCCESS"
        part: dict[str, Any] = {"requestStatus": state}
        kind, inner = (
            ("audienceMembersIngestionStatus", "userDataIngestionStatus") if asked["adding"]
            else ("audienceMembersRemovalStatus", "userDataRemovalStatus")
        )  # fmt: skip
        part[kind] = {inner: {"recordCount": str(asked["rows"])}}
        count = asked["rows"] if asked["failed"] else asked["bad"]
        if count:
            reason = "PROCESSING_ERROR_REASON_INTERNAL_ERROR" if asked["failed"] else "PROCESSING_ERROR_REASON_INVALID_IDENTIFIER"
            part["errorInfo"] = {"errorCounts": [{"recordCount": str(count), "reason": reason}]}
        return web.json_response({"requestStatusPerDestination": [part]})


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _error(status: int, name: str, message: str, details: Any = ()) -> web.Response:
    return web.json_response({"error": {"code": status, "message": message, "status": name, "details": list(details)}}, status=status)
