"""Web: the shop's backend registers browsers for pushes, gets the token by which a page does it, and removes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from daemon.clock import iso
from daemon.errors import NotFoundError
from daemon.feedback.push import NoPushError, Pushing
from daemon.model.delivery import SECOND
from daemon.store.push import SubscriptionRow
from daemon.web.fields import Field
from daemon.web.problems import ProblemError
from daemon.web.route import Call, Route

MISSING = {404: "There is no such recipient, or it was erased."}
AWAY = {503: "No provider takes subscriptions now."}


class PushApi:
    """The routes about a recipient's browsers."""

    def __init__(self, *, pushing: Pushing) -> None:
        self._pushing = pushing

    def routes(self) -> Sequence[Route]:
        path = "/v1/recipients/{id}/push"
        subscription = Field(name="subscription", about="What PushSubscription.toJSON() gives.", kind="object", required=True)
        source = Field(name="source", about="Where the recipient agreed.", most=300)
        text = Field(name="text", about="The words that the recipient agreed to.", most=500)
        browser = Field(name="user_agent", about="The browser's User-Agent.", most=500)
        about = "Nobody was asked anew (a page view): makes no consent, and registers nothing where there is none or it was withdrawn."
        again = Field(name="again", about=about, kind="boolean")
        return (
            Route(
                method="PUT", path=path, name="addPushSubscription", tag="recipients", scope="recipients:write", handler=self.add,
                body=(subscription, source, text, browser, again), answer="Push", problems={**MISSING, **AWAY},
                summary="Register a browser and, unless `again`, the consent to pushes; who is not known yet becomes a recipient.",
            ),
            Route(
                method="GET", path=path, name="showPushSubscriptions", tag="recipients", scope="recipients:read", handler=self.show,
                answer="PushDoor", problems=AWAY,
                summary="Public key and join token for the shop's page, and the recipient's browsers.",
            ),
            Route(
                method="DELETE", path=path, name="removePushSubscriptions", tag="recipients", scope="recipients:write",
                handler=self.remove, answer="Removed", problems=MISSING,
                summary="Remove all of the recipient's browsers and withdraw the consent to pushes.",
            ),
        )  # fmt: skip

    async def add(self, call: Call) -> dict[str, Any]:
        body, recipient = call.body, call.path["id"]
        try:
            done = await self._pushing.register(
                recipient, body["subscription"], source=body.get("source") or f"api:{call.caller.name}", text=body.get("text"),
                user_agent=body.get("user_agent", ""), again=body.get("again", False),
            )  # fmt: skip
        except NoPushError:
            raise ProblemError("not-ready", AWAY[503]) from None
        if done is None:
            raise NotFoundError("the recipient was erased")
        return {"recipient": recipient, "fresh": done.fresh, "subscriptions": done.total, "withdrawn": done.withdrawn}

    async def show(self, call: Call) -> dict[str, Any]:
        recipient = call.path["id"]
        try:
            key = self._pushing.public_key()
        except NoPushError:
            raise ProblemError("not-ready", AWAY[503]) from None
        token, until = self._pushing.join_token(recipient)
        found = await self._pushing.subscriptions(recipient)
        return {
            "recipient": recipient, "public_key": key, "token": token, "token_good_until": iso(until * SECOND),
            "subscriptions": [_shown(row) for row in found or ()],
        }  # fmt: skip

    async def remove(self, call: Call) -> dict[str, Any]:
        removed = await self._pushing.leave_all(call.path["id"], source=f"api:{call.caller.name}")
        if removed is None:
            raise NotFoundError("no recipient has this id")
        return {"removed": removed}


def _shown(row: SubscriptionRow) -> dict[str, Any]:
    """Never the whole endpoint: who has it can push, or take it off."""
    return {
        "host": _host(row.address), "family": row.family, "created_at": iso(row.created_at), "last_seen_at": iso(row.last_seen_at),
    }  # fmt: skip


def _host(address: str) -> str:
    try:
        return urlsplit(str(json.loads(address)["endpoint"])).hostname or ""
    except (ValueError, KeyError, TypeError):
        return ""
