"""Web: the API's description (OpenAPI 3.1), built from the routes themselves, so that it says what the router does.

Each status that a route may answer is there: its own, those of its scope, its fields and its body, and `default` for what HTTP
itself refuses (400 of a broken request, 405, 408, 431, 500). A test holds the router to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from daemon.web.fields import Field
from daemon.web.problems import CONTENT_TYPE, KINDS
from daemon.web.route import JSON, Route

TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
WHEN = {"type": "string", "format": "date-time"}


def _object(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def _or_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


def _list(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(schema)}


_COUNTS = {"type": "object", "additionalProperties": COUNT}
_FAULT = _object("code", "detail", pointer=_or_null(TEXT), line=_or_null(COUNT), code=TEXT, detail=TEXT)
_ROW_ERROR = _object("code", "detail", line=_or_null(COUNT), recipient=_or_null(TEXT), field=_or_null(TEXT), code=TEXT, detail=TEXT)
_RECEIPT: dict[str, Any] = {
    "job": TEXT, "queue": TEXT, "campaign": TEXT, "version": _or_null(COUNT), "source": TEXT, "received_at": WHEN, "digest": TEXT,
    "state": TEXT, "reason": _or_null(TEXT), "rows": COUNT, "expected": _or_null(COUNT), "accepted": COUNT, "duplicate": COUNT,
    "rejected": COUNT, "errors": _list(_ROW_ERROR), "errors_omitted": COUNT,
}  # fmt: skip
_JOB = {**_RECEIPT, "deliveries": _COUNTS, "reasons": _COUNTS, "next_due": _or_null(WHEN), "finished_at": _or_null(WHEN)}
_DELIVERY = _object(
    "id", "step", "channel", "state", "decision", "text",
    id=TEXT, step=TEXT, channel=TEXT, provider=_or_null(TEXT), state=TEXT, decision=TEXT, reason=_or_null(TEXT),
    next_possible_at=_or_null(WHEN), expires_at=WHEN, decided_at=_or_null(WHEN), rule=_or_null(_object(name=TEXT, version=TEXT)),
    facts={"type": "object"}, checks=_list(_list(TEXT)), history=_list(_object(reason=TEXT, first=WHEN, last=WHEN, count=COUNT)), text=TEXT,
)  # fmt: skip
_WALK = _object(
    campaign=TEXT, version=COUNT, occurrence=COUNT, state=TEXT, arms={"type": "object"}, deliveries=_list(_DELIVERY)
)  # fmt: skip
SCHEMAS: Mapping[str, dict[str, Any]] = {
    "Problem": _object(
        "type", "title", "status", "detail", "request_id",
        type=TEXT, title=TEXT, status=COUNT, detail=TEXT, instance=TEXT, request_id=TEXT, errors=_list(_FAULT),
    ),
    "Object": {"type": "object"},
    "Text": TEXT,
    "Health": _object("ok", ok={"type": "boolean"}, degraded=_or_null(TEXT)),
    "Items": _object("items", items=_list({"type": "object"})),
    "Page": _object("items", "next", items=_list({"type": "object"}), next=_or_null(TEXT)),
    "Receipt": _object(*_RECEIPT, **_RECEIPT),
    "Job": _object(*_JOB, **_JOB),
    "Jobs": _object("items", "next", items=_list({"$ref": "#/components/schemas/Job"}), next=_or_null(TEXT)),
    "Explain": _object(
        "recipient", "at", "zone", "enrolments", "not_enrolled",
        recipient=TEXT, at=WHEN, zone=_object("names", "source", names=_list(TEXT), source=TEXT), enrolments=_list(_WALK),
        not_enrolled=_list(_object(campaign=TEXT, reason=TEXT, at=WHEN)),
    ),
    "Status": _object(
        "at", "ready", "gate", "deliveries", "held", "doubts", "in_flight", "providers", "notices", "queues", "audit",
        at=WHEN, ready={"type": "boolean"}, degraded=_or_null(TEXT), gate={"type": "object"}, deliveries=_COUNTS, held=_COUNTS,
        doubts=COUNT, in_flight=COUNT, jobs=_COUNTS, oldest_due=_or_null(WHEN), oldest_due_seconds=COUNT, next_due=_or_null(WHEN),
        paused_queues=_list(TEXT), paused_campaigns=_list(TEXT), heartbeat_at=_or_null(WHEN), providers=_list({"type": "object"}),
        notices=_list({"type": "object"}), queues=_list({"type": "object"}), audit={"type": "object"},
    ),
    "Push": _object(
        "recipient", "fresh", "subscriptions", "withdrawn", recipient=TEXT, fresh={"type": "boolean"}, subscriptions=COUNT,
        withdrawn={"type": "boolean"},
    ),
    "PushDoor": _object(
        "recipient", "public_key", "token", "token_good_until", "subscriptions",
        recipient=TEXT, public_key=TEXT, token=TEXT, token_good_until=WHEN,
        subscriptions=_list(_object("host", host=TEXT, family=_or_null(TEXT), created_at=WHEN, last_seen_at=WHEN)),
    ),
    "Removed": _object("removed", removed=COUNT),
    "Tracked": _object(
        "success", success={"type": "boolean"}, rows=COUNT, kept=COUNT, known=COUNT, rejected=COUNT, errors=_list({"type": "object"})
    ),
    "Imported": _object("rows", "kept", "rejected", "errors", rows=COUNT, kept=COUNT, rejected=COUNT, errors=_list(_ROW_ERROR)),
    "Recipient": _object(
        "recipient", "traits", "erased", "consents", "suppressions", "profile",
        recipient=TEXT, **{name: _or_null(TEXT) for name in ("email", "phone", "zone", "locale", "country")}, traits={"type": "object"},
        erased={"type": "boolean"}, consents=_list({"type": "object"}), suppressions=_list({"type": "object"}),
        profile={"type": ["object", "null"]},
    ),
    "Erased": _object(
        "recipient", "fresh", recipient=TEXT, fresh={"type": "boolean"}, suppressed=COUNT, browsers=COUNT, audiences=COUNT, dropped=COUNT,
        woken=COUNT,
    ),
    "NewToken": _object("name", "token", "scopes", name=TEXT, token=TEXT, scopes=_list(TEXT), created_at=WHEN),
}  # fmt: skip


def describe(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Homing", "version": version, "summary": "Jobs in, and why each message was or was not sent."},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(SCHEMAS),
            "responses": {"Problem": _response("A problem (RFC 9457).", CONTENT_TYPE, "Problem")},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "`homing token create NAME --scope SCOPE`"},
                "writeKey": {"type": "http", "scheme": "basic", "description": "A token as the user's name, or as `writeKey` in the body."},
            },
        },
    }


def statuses(route: Route) -> dict[int, str]:
    """Every status of a problem that the route may answer, with a word on when."""
    found: dict[int, str] = {}
    if route.scope is not None:
        found |= {401: KINDS["unauthorized"].title, 403: f"The token lacks {route.scope}.", 429: "Too many wrong tokens."}
        found[503] = KINDS["not-ready"].title
    found[422] = "A parameter or field is not valid."
    if route.body is not None or route.media:
        found |= {400: KINDS["invalid-json"].title, 408: "The body came too slowly.", 413: KINDS["too-large"].title}
        if not route.key_in_body:
            found[415] = KINDS["unsupported-media-type"].title
    return {**found, **route.problems}


def _operation(route: Route) -> dict[str, Any]:
    responses: dict[str, Any] = {str(route.status): _response("Done.", route.kind, route.answer)}
    for status, words in sorted(statuses(route).items()):
        responses[str(status)] = _problem(status, words)
    responses["default"] = {"$ref": "#/components/responses/Problem"}
    operation: dict[str, Any] = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
        "security": [] if route.scope is None else [{"bearer": []}, {"writeKey": []}] if route.key_in_body else [{"bearer": []}],
        "parameters": [*_in_path(route.path), *map(_in_query, route.query)],
        "responses": responses,
    }
    if route.scope is not None:
        operation["description"] = f"Scope: {route.scope}."
    if route.media:
        schema = {"type": "string", "description": "A job as the contract has it, or its rows; or other lines as the summary says."}
        if route.key_in_body:
            schema = {"type": "object", "description": "Messages as Segment's HTTP API has them; docs/events.md says what each does."}
        operation["requestBody"] = {"required": True, "content": {kind: {"schema": schema} for kind in route.media}}
    if route.body is not None:
        needed = any(item.required for item in route.body)
        operation["requestBody"] = {"required": needed, "content": {JSON: {"schema": _fields(route.body)}}}
    return operation


def _problem(status: int, words: str) -> dict[str, Any]:
    found = _response(words, CONTENT_TYPE, "Problem")
    if status in (429, 503):
        found["headers"] = {"Retry-After": {"schema": COUNT, "description": "Seconds."}}
    return found


def _response(words: str, kind: str, schema: str) -> dict[str, Any]:
    return {"description": words, "content": {kind: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _fields(fields: Sequence[Field]) -> dict[str, Any]:
    needed = [item.name for item in fields if item.required]
    properties = {item.name: {**item.schema(), "description": item.about} for item in fields}
    return {"type": "object", "properties": properties, "additionalProperties": False, **({"required": needed} if needed else {})}


def _in_query(item: Field) -> dict[str, Any]:
    return {"name": item.name, "in": "query", "required": item.required, "description": item.about, "schema": item.schema()}


def _in_path(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names]
