"""Meta's Custom Audiences, as far as Homing uses them: validates what it gets and answers as the Graph API does."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from daemon.sandbox.ads_set import HASH, AudienceSet, Ledger, Row, is_bad

MOST_ROWS = 10_000
SESSION_SECONDS = 90 * 60.0
COLUMNS = frozenset({"EMAIL", "PHONE", "FN", "LN", "CT", "ST", "ZIP", "COUNTRY", "GEN", "DOBY", "DOBM", "DOBD"})
FAULTS: dict[str, tuple[int, int, int | None]] = {
    "rate": (400, 80003, None), "transient": (500, 2, None), "operator": (401, 190, None), "blocked": (400, 100, 1713230),
    "policy": (400, 368, None), "wait": (400, 2650, 1870145), "redo": (400, 2650, 1870148), "expired": (400, 2650, 1870158),
}  # fmt: skip
"""Fault -> status, code, subcode."""
RATE_MINUTES = 5
EMPTY = hashlib.sha256(b"").hexdigest()


class _RefusedError(Exception):
    """(status, code, subcode, message)"""


class MetaServer:
    """The routes; `fault()` gives the name of what goes wrong with the next batch, or None."""

    def __init__(self, ledger: Ledger, *, token: str, app_secret: str | None, account: str, fault: Callable[[], str | None]) -> None:
        self.ledger, self._token, self._secret, self._account, self._fault = ledger, token, app_secret, account, fault
        self._sessions: dict[int, dict[str, Any]] = {}

    def routes(self) -> list[web.RouteDef]:
        version = r"/{version:v\d+\.\d+}"
        return [
            web.post(version + r"/act_{account:\d+}/customaudiences", self.audiences),
            web.post(version + r"/{audience:\d+}/users", self.users),
            web.post(version + r"/{audience:\d+}", self.audience),
        ]

    async def _form(self, request: web.Request) -> dict[str, str]:
        if request.query_string:
            self.ledger.breach(f"meta: data in a URL: {request.path}?{request.query_string[:40]}")
        form = {key: str(value) for key, value in (await request.post()).items()}
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            raise _RefusedError(401, 190, None, "Invalid OAuth access token.")
        if self._secret is not None:
            proof = hmac.new(self._secret.encode(), self._token.encode(), hashlib.sha256).hexdigest()
            if form.get("appsecret_proof") != proof:
                raise _RefusedError(400, 100, None, "Invalid appsecret_proof provided in the API argument")
        return form

    async def audiences(self, request: web.Request) -> web.Response:
        try:
            form = await self._form(request)
            if request.match_info["account"] != self._account:
                raise _RefusedError(400, 100, None, "Unsupported post request.")
            if form.get("method") == "GET":
                every = [{"id": each.id, "name": each.name} for each in self.ledger.audiences.values()]
                return web.json_response({"data": every, "paging": {"cursors": {"after": "end"}}})
            if form.get("subtype") != "CUSTOM" or not form.get("name") or not form.get("customer_file_source"):
                raise _RefusedError(400, 100, None, "(#100) name, subtype and customer_file_source are needed")
            made = self.ledger.make(form["name"])
            self.ledger.note("make", audience=made.id, name=made.name)
            return web.json_response({"id": made.id})
        except _RefusedError as error:
            return _error(*error.args)

    async def audience(self, request: web.Request) -> web.Response:
        try:
            await self._form(request)
        except _RefusedError as error:
            return _error(*error.args)
        found = self.ledger.audiences.get(request.match_info["audience"])
        if found is None:
            return _error(400, 100, 33, "Unsupported get request.")
        found.settle(self.ledger.now())
        count = len(found.members())
        return web.json_response({
            "id": found.id, "approximate_count_lower_bound": count // 100 * 100, "approximate_count_upper_bound": (count // 100 + 1) * 100
        })  # fmt: skip

    async def users(self, request: web.Request) -> web.StreamResponse:
        try:
            form = await self._form(request)
            audience = self.ledger.audiences.get(request.match_info["audience"])
            if audience is None:
                raise _RefusedError(400, 100, 33, "Unsupported post request.")
            remove = form.get("method") == "DELETE"
            rows, invalid = self._rows(form.get("payload", ""))
            fault = self._fault()
            facts: dict[str, Any] = {"audience": audience.id, "rows": len(rows), "fault": fault}
            session = json.loads(form.get("session", "{}"))
            self.ledger.note("remove" if remove else "add", session=session.get("session_id"), seq=session.get("batch_seq"), **facts)
            if fault in FAULTS:
                raise _RefusedError(*FAULTS[fault], f"sandbox: told to fail ({fault})")
            if fault == "500":
                return web.Response(status=500, text="internal")
            received = self._session(session, audience, len(rows))
            self.ledger.change(audience, (row for row in rows if not is_bad(row)), add=not remove)
            if fault == "drop" and request.transport is not None:
                request.transport.abort()
            return web.json_response(
                {"audience_id": audience.id, "session_id": session["session_id"], "num_received": received, "num_invalid_entries": invalid}
            )
        except _RefusedError as error:
            return _error(*error.args)

    def _rows(self, payload: str) -> tuple[list[Row], int]:
        try:
            content = json.loads(payload)
            schema, data = content["schema"], content["data"]
            places = {name: schema.index(name) for name in ("EMAIL", "PHONE") if name in schema}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _RefusedError(400, 100, None, "(#100) payload must be a JSON object with schema and data") from None
        if set(schema) - COLUMNS or len(set(schema)) != len(schema):
            raise _RefusedError(400, 100, None, f"(#100) unknown schema {schema}")
        if not 0 < len(data) <= MOST_ROWS:
            self.ledger.breach(f"meta: {len(data)} rows")
            raise _RefusedError(400, 2650, 1870146, "too many rows")
        rows: list[Row] = []
        for row in data:
            if len(row) != len(schema) or any(value and not HASH.fullmatch(value) for value in row) or not any(row):
                self.ledger.breach(f"meta: a row that is no row of hashes: {row!r:.90}")
                raise _RefusedError(400, 100, None, "(#100) a row does not fit the schema")
            if EMPTY in row:
                self.ledger.breach("meta: the hash of nothing")
            rows.append((row[places["EMAIL"]] if "EMAIL" in places else "", row[places["PHONE"]] if "PHONE" in places else ""))
        return rows, sum(map(is_bad, rows))

    def _session(self, given: dict[str, Any], audience: AudienceSet, count: int) -> int:
        """Hold the session to its rules; the rows of it so far."""
        number, seq, last = given.get("session_id"), given.get("batch_seq"), given.get("last_batch_flag")
        if not isinstance(number, int) or not 0 < number < 1 << 64 or not isinstance(seq, int) or seq < 1 or not isinstance(last, bool):
            raise _RefusedError(400, 100, None, "(#100) session is not whole")
        now = self.ledger.now()
        session = self._sessions.get(number)
        if session is None:
            if seq != 1:
                raise _RefusedError(400, 2650, 1870147, "the first batch is missing")
            session = self._sessions[number] = {"began": now, "audience": audience.id, "rows": {}, "finished": False}
        if session["audience"] != audience.id:
            self.ledger.breach("meta: one session for two audiences")
        if now - session["began"] > SESSION_SECONDS:
            raise _RefusedError(400, 2650, 1870158, "the session has expired")
        again = seq in session["rows"]
        if session["finished"] and not again:
            raise _RefusedError(400, 2650, 1870159, "the session is finished")
        if not again and seq != len(session["rows"]) + 1:
            self.ledger.breach(f"meta: batch {seq} after {len(session['rows'])}")
            raise _RefusedError(400, 2650, 1870147, "a batch is missing")
        session["rows"][seq] = count
        session["finished"] = session["finished"] or last
        return int(sum(session["rows"].values()))





def _error(status: int, code: int, sub: int | None, message: str) -> web.Response:
    error: dict[str, Any] = {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "sandbox"}
    headers = {}
    if sub is not None:
        error["error_subcode"] = sub
    if code == FAULTS["rate"][1]:
        usage = {"call_count": 100, "total_cputime": 25, "total_time": 25, "type": "custom_audience",
                 "estimated_time_to_regain_access": RATE_MINUTES}  # fmt: skip
        headers["X-Business-Use-Case-Usage"] = json.dumps({"1": [usage]})
    return web.json_response({"error": error}, status=status, headers=headers)
