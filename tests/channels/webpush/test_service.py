"""The sandbox's push service judges: a stranger's sender (pywebpush) passes, and each thing that RFC 8030, 8291 or 8292 asks for is missed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
import pywebpush
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid as Pair

from channels.webpush.encrypt import Encryptor
from channels.webpush.subscription import decode
from channels.webpush.vapid import Vapid, load_key
from plugins.testing.push_peer import VAPID_KEY
from tests.channels.webpush.line import service


def headers(origin: str, **changes: str | None) -> dict[str, str]:
    given: dict[str, str | None] = {
        "TTL": "60", "Content-Encoding": "aes128gcm", "Authorization": Vapid(VAPID_KEY, "mailto:a@b.example").authorization(origin, time.time()),
    }  # fmt: skip
    return {name.replace("_", "-"): value for name, value in (given | changes).items() if value is not None}


def proof(claims: dict[str, Any], key: Any = None) -> str:
    """A token signed by a stranger's library, with our key beside it."""
    token = jwt.encode(claims, key or load_key(VAPID_KEY), algorithm="ES256")
    return f"vapid t={token}, k={Vapid(VAPID_KEY, 'mailto:a@b.example').public_key}"


async def post(subscription: dict[str, Any], head: dict[str, str], plain: bytes = b'{"title": "x"}', body: bytes | None = None) -> int:
    keys = subscription["keys"]
    sealed = body if body is not None else Encryptor().encrypt(plain, decode(keys["p256dh"]), decode(keys["auth"]))
    async with aiohttp.ClientSession() as session, session.post(subscription["endpoint"], data=sealed, headers=head) as answer:
        return answer.status


async def test_pywebpush_is_understood(tmp_path: Path) -> None:
    """Another sender altogether; the log has a line for it, as the browser read it."""
    async with service(log=tmp_path / "push.ndjson") as push, aiohttp.ClientSession() as session:
        browser = push.new_subscription()
        answer = await pywebpush.webpush_async(
            browser, json.dumps({"title": "سلام"}), vapid_private_key=Pair.from_string(VAPID_KEY),
            vapid_claims={"sub": "mailto:a@b.example"}, ttl=60, aiohttp_session=session,
        )  # fmt: skip
        assert not isinstance(answer, str) and answer.status == 201
        assert push.pushes[0].payload == {"title": "سلام"} and push.pushes[0].ttl == 60
        [line] = (tmp_path / "push.ndjson").read_text(encoding="utf-8").splitlines()
        assert json.loads(line)["payload"] == {"title": "سلام"}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"TTL": None}, 400),
        ({"TTL": "2419201"}, 400),
        ({"TTL": "-1"}, 400),
        ({"Urgency": "urgent"}, 400),
        ({"Topic": "x" * 33}, 400),
        ({"Topic": "a.b"}, 400),
        ({"Content_Encoding": None}, 415),
        ({"Authorization": None}, 401),
        ({"Authorization": "WebPush abc"}, 401),
        ({"Authorization": "vapid t=abc, k=def"}, 401),
    ],
)
async def test_each_header_is_looked_at(change: dict[str, str | None], status: int) -> None:
    """Nothing of it is kept as a push."""
    given = {name.replace("_", "-"): value for name, value in change.items()}
    async with service() as push:
        head = {name: value for name, value in ({**headers(push.origin)} | given).items() if value is not None}
        assert await post(push.new_subscription(), head) == status
        assert push.pushes == [] and push.refused[0][0] == status


async def test_each_claim_is_looked_at() -> None:
    """Another origin, none, a life of more than a day, one that is over, no contact, another's signature."""
    now = int(time.time())
    async with service() as push:
        good = {"aud": push.origin, "exp": now + 3600, "sub": "mailto:a@b.example"}
        wrong: list[dict[str, Any]] = [
            good | {"aud": "https://fcm.googleapis.com"}, good | {"aud": push.origin + "/"}, good | {"exp": now + 86_500}, good | {"exp": now - 1},
            good | {"sub": "nobody"}, {"aud": push.origin, "exp": now + 3600},
        ]  # fmt: skip
        browser = push.new_subscription()
        assert await post(browser, headers(push.origin, Authorization=proof(good))) == 201
        for claims in wrong:
            assert await post(browser, headers(push.origin, Authorization=proof(claims))) == 401
        stranger = proof(good, ec.generate_private_key(ec.SECP256R1()))
        assert await post(browser, headers(push.origin, Authorization=stranger)) == 401
        assert len(push.pushes) == 1


async def test_bodies_and_subscriptions_are_looked_at() -> None:
    """Too large, sealed for another browser, of another key, of nobody."""
    async with service() as push:
        one, other, bound = push.new_subscription(), push.new_subscription(), push.new_subscription(key="another")
        head = headers(push.origin)
        assert await post(one, head, body=b"x" * 4097) == 413
        assert await post({**other, "endpoint": one["endpoint"]}, head) == 400
        assert await post(bound, head) == 403
        assert await post({**one, "endpoint": f"{push.origin}/push/b99"}, head) == 404
        assert push.pushes == []
