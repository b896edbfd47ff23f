"""Requests of the channel and answers of the local Twilio before Twilio's own description, by a JSON Schema library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator

from daemon.sandbox.twilio_api import FORM, MESSAGES, description, form_problems, query_problems
from plugins import Doubt
from tests.channels.sms_twilio.stage import HOOK, staged


def _nullable(schema: Any) -> Any:
    """OpenAPI 3.0's `nullable` as JSON Schema has it."""
    if isinstance(schema, list):
        return [_nullable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _nullable(value) for key, value in schema.items()}
    return {"anyOf": [{"type": "null"}, made]} if made.pop("nullable", False) else made


DOCUMENT = _nullable(description())
POST, GET = DOCUMENT["paths"][MESSAGES]["post"], DOCUMENT["paths"][MESSAGES]["get"]
REQUEST = POST["requestBody"]["content"][FORM]["schema"]
CREATED = POST["responses"]["201"]["content"]["application/json"]["schema"]
MESSAGE = DOCUMENT["components"]["schemas"]["api.v2010.account.message"]
LISTED = GET["responses"]["200"]["content"]["application/json"]["schema"]
QUERY = {"type": "object", "properties": {each["name"]: each["schema"] for each in GET["parameters"] if each["in"] == "query"}}


def problems(schema: dict[str, Any], value: object) -> list[str]:
    """What does not fit; unknown fields too."""
    closed = {**schema, "additionalProperties": False, "components": DOCUMENT["components"]}
    return [error.message for error in Draft4Validator(closed).iter_errors(value)]


def typed(fields: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """A form with its whole numbers as such."""
    assert len(dict(fields)) == len(fields)
    return {name: int(value) if value.isdigit() and name in ("ValidityPeriod", "PageSize") else value for name, value in fields}


@pytest.mark.parametrize(
    "change", [{}, {"messaging_service_sid": "MG" + "0" * 32, "countries": ("ID",)}, {"from_": "KEDAI", "countries": ("ID", "MY")}, {"hook": HOOK}]
)
async def test_every_request_and_every_answer_fits_twilios_description(tmp_path: Path, change: dict[str, Any]) -> None:
    """Messages, refusals, look-ups of doubts; with each kind of sender."""
    async with staged(tmp_path, total_seconds=20.0, **change) as stage:
        for number in range(1, 20):
            await stage.outcome(f"+62812{number:07d}", number=number, text="é" * number + "سلام", ttl=number * 4000.0)
        message = stage.message(to="+62811170500")
        await stage.send(message)
        doubt = Doubt(id=message.id, address=message.address, handed_over_at=stage.clock.now(), message=message)
        for state in ("sent", "delivered"):
            assert await stage.channel.reconcile([doubt])
            stage.peer.messages[0].move(state, stage.clock.now())
        requests, answers = [*stage.peer.requests], [sms.as_json() for sms in stage.peer.messages]
    assert {method for method, _ in requests} == {"GET", "POST"}
    for method, fields in requests:
        assert problems(REQUEST if method == "POST" else QUERY, typed(fields)) == []
    assert CREATED == {"$ref": "#/components/schemas/api.v2010.account.message"}
    assert [problems(MESSAGE, answer) for answer in answers] == [[]] * 20


async def test_the_answers_of_the_local_twilio_fit_the_description(tmp_path: Path) -> None:
    """One message, and a page of a list of three."""
    import aiohttp

    async with staged(tmp_path) as stage:
        for _ in range(3):
            await stage.outcome()
        auth = {"Authorization": aiohttp.encode_basic_auth(stage.peer.account_sid, "sandbox-token")}
        base = f"{stage.peer.base_url}/2010-04-01/Accounts/{stage.peer.account_sid}"
        async with aiohttp.ClientSession(headers=auth) as http:
            async with http.get(f"{base}/Messages.json?PageSize=2&Page=0") as answer:
                page = await answer.json()
            async with http.get(f"{base}/Messages/{stage.peer.messages[0].entry.sid}.json") as answer:
                one = await answer.json()
            async with http.get(f"{base}/Messages/SM{'f' * 32}.json") as answer:
                assert answer.status == 404
    assert problems(LISTED, page) == []
    assert [each["sid"][-1] for each in page["messages"]] == ["3", "2"]
    assert page["next_page_uri"]
    assert problems(MESSAGE, one) == []


WRONG = [
    ([("Body", "x")], "To is missing"),
    ([("To", "+1"), ("To", "+2")], "To is given more than once"),
    ([("To", "+1"), ("Bodi", "x")], "Bodi is unknown"),
    ([("To", "+1"), ("ValidityPeriod", "1.5")], "ValidityPeriod does not fit"),
    ([("To", "+1"), ("SmartEncoded", "True")], "SmartEncoded does not fit"),
    ([("To", "+1"), ("MessagingServiceSid", "MG1")], "MessagingServiceSid does not fit"),
    ([("To", "+1"), ("ContentRetention", "never")], "ContentRetention does not fit"),
    ([("To", "+1"), ("MaxPrice", "1e3")], "MaxPrice does not fit"),
]


@pytest.mark.parametrize(("form", "what"), WRONG)
def test_a_request_that_does_not_fit_is_told(form: list[tuple[str, str]], what: str) -> None:
    """The sandbox's own reading of the description notices what a JSON Schema library would."""
    assert any(problem.startswith(what) for problem in form_problems(form))


def test_a_good_request_has_no_problems() -> None:
    """Arrays may be repeated."""
    assert form_problems([("To", "+1"), ("MediaUrl", "a"), ("MediaUrl", "b"), ("ValidityPeriod", "60"), ("SmartEncoded", "false")]) == []
    assert query_problems([("To", "+1"), ("DateSent>", "2027-03-01T00:00:00Z"), ("PageSize", "50")]) == []
    assert query_problems([("PageSize", "5000")])
