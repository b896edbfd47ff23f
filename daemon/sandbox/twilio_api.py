"""Twilio's own description of its Message resource, and what a request must look like to be taken.

`twilio_api.json` is Twilio's OpenAPI description, reduced to that resource (MIT, licence beside it). It says nothing about who may
be written to: a sender, the form of a number and the presence of words are judged here, with the codes that Twilio answers.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple
from urllib.parse import urlsplit

MESSAGES = "/2010-04-01/Accounts/{AccountSid}/Messages.json"
FORM = "application/x-www-form-urlencoded"
MAX_BODY = 1600

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")


class Fault(NamedTuple):
    """An answer of Twilio's: HTTP status, its code, its words."""

    status: int
    code: int
    message: str


@functools.cache
def description() -> Mapping[str, Any]:
    """The OpenAPI document."""
    found: dict[str, Any] = json.loads((resources.files("daemon.sandbox") / "twilio_api.json").read_text(encoding="utf-8"))
    return found


def form_problems(fields: Sequence[tuple[str, str]]) -> list[str]:
    """What in a form does not fit the description of a new message; empty if nothing."""
    schema = description()["paths"][MESSAGES]["post"]["requestBody"]["content"][FORM]["schema"]
    return [*_problems(fields, schema["properties"], schema.get("required", ()))]


def query_problems(fields: Sequence[tuple[str, str]]) -> list[str]:
    """The same for the query of a list."""
    parameters = [each for each in description()["paths"][MESSAGES]["get"]["parameters"] if each["in"] == "query"]
    return [*_problems(fields, {each["name"]: each["schema"] for each in parameters}, ())]


def _problems(fields: Sequence[tuple[str, str]], known: Mapping[str, Any], required: Sequence[str]) -> Iterator[str]:
    given = [name for name, _ in fields]
    for name in required:
        if name not in given:
            yield f"{name} is missing"
    for name, value in fields:
        if name not in known:
            yield f"{name} is unknown"
            continue
        schema = _resolved(known[name])
        if schema["type"] != "array" and given.count(name) > 1:
            yield f"{name} is given more than once"
        if not _fits(value, schema):
            yield f"{name} does not fit {json.dumps(schema, sort_keys=True)}"


def _resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in schema:
        found: Mapping[str, Any] = description()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return found
    return schema


def _fits(value: str, schema: Mapping[str, Any]) -> bool:
    match schema["type"]:
        case "array":
            return _fits(value, _resolved(schema["items"]))
        case "boolean":
            return value in ("true", "false")
        case "integer":
            return value.lstrip("-").isdigit() and schema.get("minimum", int(value)) <= int(value) <= schema.get("maximum", int(value))
        case "number":
            return re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value) is not None
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return False
    return value in schema.get("enum", (value,)) and re.search(schema.get("pattern", ""), value) is not None


def refusal(form: Mapping[str, str], known: frozenset[str]) -> Fault | None:
    """Why a well-formed request is refused; None if it is taken. `known`: the senders and services of the account, empty = any."""
    to, body = form.get("To", ""), form.get("Body", "")
    sender = form.get("From") or form.get("MessagingServiceSid")
    if not to:
        return Fault(400, 21604, "A 'To' phone number is required.")
    if not _NUMBER.fullmatch(to) or to == form.get("From"):
        return Fault(400, 21211, f"Invalid 'To' Phone Number: {to[:6]}XXXX")
    if not sender:
        return Fault(400, 21603, "A 'From' phone number is required.")
    if known and sender not in known:
        return Fault(400, 21606, f"The 'From' phone number {sender} is not a valid, SMS-capable inbound phone number or short code")
    if not body:
        return Fault(400, 21602, "Message body is required.")
    if len(body.encode("utf-16-le")) > 2 * MAX_BODY:
        return Fault(400, 21617, "The concatenated message body exceeds the 1600 character limit")
    if not 1 <= int(form.get("ValidityPeriod", "36000")) <= 36000:
        return Fault(400, 21215, "ValidityPeriod must be between 1 and 36000")
    if (callback := form.get("StatusCallback")) and not _is_url(callback):
        return Fault(400, 21609, f"The StatusCallback URL {callback} is not a valid URL.")
    return None


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and "_" not in (parts.hostname or "")
    except ValueError:
        return False
