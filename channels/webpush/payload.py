"""Web push: what the service worker is told: a `Message` as compact JSON `{"title", "body", "icon", "url", "actions", "id", "token"}`.

Head lines of the template: title, icon, image, url, actions, urgency (`plugins.push_text` says what links and buttons may be). Pure.
"""

from __future__ import annotations

import json
from typing import Any

from channels.webpush.encrypt import MAX_PLAIN
from plugins import Message
from plugins.push_text import LINKS, BadPayload, actions_of, link_of

URGENCIES = frozenset({"very-low", "low", "normal", "high"})
_spell = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


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
    for key in LINKS:
        if value := head.get(key):
            shown[key] = link_of(key, value)
    if actions := head.get("actions"):
        shown["actions"] = actions_of(actions)
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
