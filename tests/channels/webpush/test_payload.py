"""What the service worker is told, and the messages that cannot be a push."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channels.webpush.encrypt import MAX_PLAIN
from channels.webpush.payload import BadPayload, compose, urgency
from tests.channels.webpush.line import message


def _shown(**head: str) -> dict[str, Any]:
    return json.loads(compose(message(head=head), "tag"))


def test_head_lines_and_body_become_the_notification() -> None:
    """Each under the name that the worker knows; absent ones are left out."""
    shown = _shown(title="Kami rindu", icon="/icon.png", url="https://shop.example.com/?a=1", actions="[Shop now](https://shop.example.com) [Later]")
    assert shown == {
        "title": "Kami rindu",
        "body": "Hello m1, come back.",
        "tag": "tag",
        "id": "m1",
        "token": "v1.token-of-m1",
        "icon": "/icon.png",
        "url": "https://shop.example.com/?a=1",
        "actions": [{"action": "0", "title": "Shop now", "url": "https://shop.example.com"}, {"action": "1", "title": "Later"}],
    }


def test_without_a_title_the_subject_stands_in_and_then_the_body() -> None:
    """A job's own message has a subject."""
    assert json.loads(compose(message(head={}, subject="Hi"), "t"))["title"] == "Hi"
    assert json.loads(compose(message(head={}), "t"))["title"] == "Hello m1, come back."


@given(st.text(max_size=40), st.text(st.characters(), min_size=1, max_size=40))
@example("", "\ud800")
def test_any_words_come_out_as_they_went_in(title: str, body: str) -> None:
    """Quotes, backslashes, control characters, letters beyond the first plane; half a letter (a lone surrogate) as a question mark."""
    shown = json.loads(compose(replace(message(head={"title": title} if title else {}), text_pieces=(body,)), body))
    told = [text.encode("utf-8", "replace").decode() for text in (title or body.strip()[:60], body.strip(), body)]
    assert [shown["title"], shown["body"], shown["tag"]] == told


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,x", "//evil.example", "file:///etc/passwd", "shop.example.com", "https://", "https:// x"])
def test_a_link_goes_to_the_web_or_to_the_shops_own_site(link: str) -> None:
    """The worker opens it with the shop's own rights."""
    for head in ({"url": link}, {"icon": link}, {"image": link}):
        with pytest.raises(BadPayload):
            _shown(title="x", **head)


@pytest.mark.parametrize("text", ["Shop now", "[A] [B] [C] [D]", "[A](javascript:x)", "[]", "[A](https://x.example) and", "[" * 400])
def test_actions_that_cannot_be_read_are_refused(text: str) -> None:
    """Not half of them shown."""
    with pytest.raises(BadPayload):
        _shown(title="x", actions=text)


def test_the_limit_is_counted_in_octets() -> None:
    """Persian letters take two."""
    room = MAX_PLAIN - len(compose(message(text_pieces=("",), head={"title": "x"}), "t"))
    assert len(compose(message(text_pieces=("س" * (room // 2),), head={"title": "x"}), "t")) > MAX_PLAIN - 2
    with pytest.raises(BadPayload, match="octets") as caught:
        compose(message(text_pieces=("س" * (room // 2 + 1),), head={"title": "x"}), "t")
    assert caught.value.code == "too_large"


def test_half_a_pair_of_surrogates_does_not_raise() -> None:
    """Whatever a campaign's words are."""
    assert b"?" in compose(message(text_pieces=("\ud800",)), "t")


@pytest.mark.parametrize(("said", "meant"), [("", "normal"), ("HIGH ", "high"), ("very-low", "very-low"), ("urgent", "normal")])
def test_urgency_is_one_of_four_words(said: str, meant: str) -> None:
    """RFC 8030 §5.3."""
    assert urgency(message(head={"urgency": said} if said else {})) == meant
