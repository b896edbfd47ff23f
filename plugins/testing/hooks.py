"""Requests of a provider, as the daemon hands them to `parse_feedback`: for the tests of a channel that takes feedback.

    request = hook_request(form={"MessageSid": "SM1", "MessageStatus": "delivered"}, delivery=message.id)
    assert channel.parse_feedback(with_header(request, "X-Signature", my_signature(request))) == [..]

Pure. The addresses and tokens are those of the kit's world (`Context.hook_url`, `Context.sign`).
"""

from __future__ import annotations

import json as _json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from plugins.feedback import WebhookRequest
from plugins.testing.world import HOOKS, START, sign

FORM, JSON = "application/x-www-form-urlencoded", "application/json"


def hook_request(
    *,
    method: str = "POST",
    url: str | None = None,
    provider: str = "kit",
    form: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
    json: Any = None,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    delivery: str | None = None,
    received_at: datetime = START,
) -> WebhookRequest:
    """A request to `/hooks/PROVIDER` with one of `form`, `json` or `body`, and the type that belongs to it.

    `url`: the address without its query, by default the kit's · `delivery`: the address carries the token of this delivery, which
    is the first of the query, and the daemon has read it.
    """
    pairs = [*([("t", sign(delivery))] if delivery is not None else []), *(query.items() if isinstance(query, Mapping) else query)]
    text = urlencode(pairs)
    kind: dict[str, str] = {}
    if form is not None:
        body, kind = urlencode(form).encode("ascii"), {"content-type": FORM}
    elif json is not None:
        body, kind = _json.dumps(json).encode(), {"content-type": JSON}
    return WebhookRequest(
        method=method,
        url=(url or f"{HOOKS}/{provider}") + (f"?{text}" if text else ""),
        headers={**kind, **{name.lower(): value for name, value in (headers or {}).items()}},
        query=tuple(parse_qsl(text, keep_blank_values=True)),
        body=body,
        delivery=delivery,
        received_at=received_at,
    )


def with_header(request: WebhookRequest, name: str, value: str) -> WebhookRequest:
    """The same with one more header: a signature is known only when the rest is there."""
    return replace(request, headers={**request.headers, name.lower(): value})
