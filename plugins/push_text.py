"""The links and buttons of a web push as a template's head lines write them. For every push channel, and for the linter.

`url`, `icon`, `image`: https, http or a path of the shop's own site, nowhere else. `actions: [Shop now](https://shop.example.com/sale)
[Later]`: buttons, a link behind some. Pure.
"""

from __future__ import annotations

import re

MAX_ACTIONS = 3
LINKS = ("icon", "image", "url")
_action = re.compile(r"\s*\[([^\[\]]{1,60})\](?:\(([^\s()]{1,1000})\))?")
_link = re.compile(r"(?:https?://[^\s/?#]|/(?!/))\S*", re.IGNORECASE)


class BadPayload(ValueError):
    """The message cannot be a push. `code` for the outcome."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code = code


def link_of(key: str, value: str) -> str:
    """The link, if it may be one. BadPayload."""
    if _link.fullmatch(value) is None:
        raise BadPayload("bad_link", f"{key}: a link must begin with https:// or /")
    return value


def actions_of(text: str) -> list[dict[str, str]]:
    """The buttons: `action` (their number), `title`, `url` where there is one. BadPayload."""
    found: list[dict[str, str]] = []
    end = 0
    while end < len(text) and (match := _action.match(text, end)) is not None and len(found) < MAX_ACTIONS:
        button = {"action": str(len(found)), "title": match[1].strip()}
        if match[2]:
            button["url"] = link_of("actions", match[2])
        found.append(button)
        end = match.end()
    if text[end:].strip():
        raise BadPayload("bad_actions", f"actions: at most {MAX_ACTIONS}, each [Title](https://..) or [Title]")
    return found


def fault_of_line(key: str, value: str) -> str | None:
    """What is wrong with a head line; None: nothing, or it is none of these."""
    try:
        if key == "actions":
            actions_of(value)
        elif key in LINKS:
            link_of(key, value)
    except BadPayload as error:
        return str(error).removeprefix(f"{key}: ")
    return None
