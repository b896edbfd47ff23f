"""The builder of webhook requests: what a channel's test hands to `parse_feedback` looks like what the daemon hands to it."""

from __future__ import annotations

from plugins.testing import hook_request, with_header
from plugins.testing.world import sign


def test_a_form_has_its_type_its_body_and_the_token_of_its_delivery() -> None:
    """The address carries the token, as `Context.sign` made it; the daemon has read it."""
    request = hook_request(form={"To": "+15550100", "Status": "sent ok"}, delivery="0K1T000000001", query={"b": "2"})
    assert request.url == f"https://hooks.example.com/hooks/kit?t={sign('0K1T000000001')}&b=2"
    assert request.query == (("t", sign("0K1T000000001")), ("b", "2"))
    assert (request.body, request.headers) == (b"To=%2B15550100&Status=sent+ok", {"content-type": "application/x-www-form-urlencoded"})
    assert request.delivery == "0K1T000000001"


def test_headers_are_in_lower_case_and_can_be_added() -> None:
    """As in the daemon, whatever the provider wrote; the request it was made from stays as it was."""
    request = hook_request(json={"a": 1}, headers={"X-Id": "7"})
    signed = with_header(request, "X-Signature", "s")
    assert signed.headers == {"content-type": "application/json", "x-id": "7", "x-signature": "s"}
    assert "x-signature" not in request.headers
    assert (signed.url, signed.body) == ("https://hooks.example.com/hooks/kit", b'{"a": 1}')
