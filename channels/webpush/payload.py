"""Web push: what the service worker is told: a `Message` as compact JSON `{"title", "body", "icon", "url", "actions", "id", "token"}`.

Head lines of the template: title, icon, image, url, actions, urgency. `actions: [Shop now](https://shop.example.com/sale) [Later]`:
buttons, a link behind some. Links go to https, http or a path of the shop's own site, nowhere else. Pure.
"""

from __future__ import annotations

import json
import re
from typing import Any

from channels.webpush.encrypt import MAX_PLAIN
from plugins import Message

MAX_ACTIONS = 3
URGENCIES = frozenset({"very-low", "low", "normal", "high"})
_action = re.compile(r"\s*\[([^\[\]]{1,60})\](?:\(([^\s()]{1,1000})\))?")
_link = re.compile(r"(?:https?://[^\s/?#]|/(?!/))\S*", re.IGNORECASE)
_spell = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class BadPayload(ValueError):
    """The message cannot be a push. `code` for the outcome."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code = code


def compose(message: Message, tag: str) -> bytes:
    """The octets to be encrypted, at most `MAX_PLAIN`. `tag`: a later push of the same tag takes this one's place on the screen."""
    head = message.head
    body = message.text.strip()
    title = head.get("title") or message.subject or body[:60]
    if message.test and head.get("title"):
        title = f"[TEST] {title}"
    shown: dict[str, Any] = {"title": title, "body": body, "tag": tag, "id": message.id}
    if message.token is not None:
        shown["token"] = message.token
    for key in ("icon", "image", "url"):
        if value := head.get(key):
            shown[key] = _checked(key, value)
    if actions := head.get("actions"):
        shown["actions"] = _actions(actions)
    if message.locale:
        shown["lang"] = message.locale
    plain = _spell(shown).encode("utf-8", "replace")
    if len(plain) > MAX_PLAIN:
        raise BadPayload("too_large", f"{len(plain)} octets with its links; a push takes {MAX_PLAIN}")
    return plain


def urgency(message: Message) -> str:
    """RFC 8030 §5.3; normal if the head says nothing, or nothing known."""
    wanted = message.head.get("urgency", "").strip().lower()
    return wanted if wanted in URGENCIES else "normal"


def _checked(key: str, value: str) -> str:
    if _link.fullmatch(value) is None:
        raise BadPayload("bad_link", f"{key}: a link must begin with https:// or /")
    return value


def _actions(text: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    end = 0
    while end < len(text) and (match := _action.match(text, end)) is not None and len(found) < MAX_ACTIONS:
        button = {"action": str(len(found)), "title": match[1].strip()}
        if match[2]:
            button["url"] = _checked("actions", match[2])
        found.append(button)
        end = match.end()
    if text[end:].strip():
        raise BadPayload("bad_actions", f"actions: at most {MAX_ACTIONS}, each [Title](https://..) or [Title]")
    return found
