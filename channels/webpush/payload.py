"""Web push: what the service worker is told: a `Message` as compact JSON `{"title", "body", "icon", "url", "actions", "id", "token"}`.

Head lines of the template: title, icon, image, url, actions, urgency (`plugins.push_text` says what links and buttons may be). Pure.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring

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
    text = encode_basestring  # a fourth of what the encoder takes for an object
    shown = f'{{"title":{text(title)},"body":{text(body)},"tag":{text(tag)},"id":{text(message.id)}'
    if message.token is not None:
        shown += f',"token":{text(message.token)}'
    for key in LINKS:
        if value := head.get(key):
            shown += f',"{key}":{text(link_of(key, value))}'
    if actions := head.get("actions"):
        shown += f',"actions":{_spell(actions_of(actions))}'
    if message.locale:
        shown += f',"lang":{text(message.locale)}'
    plain = f"{shown}}}".encode("utf-8", "replace")
    if len(plain) > MAX_PLAIN:
        raise BadPayload("too_large", f"{len(plain)} octets with its links; a push takes {MAX_PLAIN}")
    return plain


def urgency(message: Message) -> str:
    """RFC 8030 §5.3; normal if the head says nothing, or nothing known."""
    wanted = message.head.get("urgency", "").strip().lower()
    return wanted if wanted in URGENCIES else "normal"
