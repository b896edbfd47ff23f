"""Which endpoints may be posted to: an anchored allow-list; and which subscriptions are taken from a browser."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.webpush.hosts import WELL_KNOWN, AllowList, BadEndpoint
from channels.webpush.settings import Settings
from channels.webpush.subscription import BadSubscription, encode, read, read_object, read_strictly, spell
from plugins import Secret
from plugins.testing.push_peer import VAPID_KEY, PushPeer

DEFAULT = AllowList(WELL_KNOWN)
KEYS = json.loads(PushPeer().address_of(1))["keys"]


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://fcm.googleapis.com/fcm/send/abc:def", "https://fcm.googleapis.com"),
        ("https://fcm.googleapis.com:443/fcm/send/abc", "https://fcm.googleapis.com"),
        ("https://updates.push.services.mozilla.com/wpush/v2/gAAA", "https://updates.push.services.mozilla.com"),
        ("https://wns2-par02p.notify.windows.com/w/?token=BQYAAA%2b", "https://wns2-par02p.notify.windows.com"),
        ("https://web.push.apple.com/QGuQyavXutnMH", "https://web.push.apple.com"),
    ],
)
def test_the_well_known_push_services_are_allowed(url: str, origin: str) -> None:
    """Their origin is the audience of our proof, without a port where it is the usual one."""
    assert DEFAULT.check(url).origin == origin


@pytest.mark.promise("B24")
@pytest.mark.parametrize(
    "url",
    [
        "http://fcm.googleapis.com/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://2130706433/x",
        "https://fcm.googleapis.com.evil.example/x",
        "https://evil.example/?fcm.googleapis.com",
        "https://evil.example/#fcm.googleapis.com",
        "https://evilfcm.googleapis.com/x",
        "https://evilpush.services.mozilla.com/x",
        "https://push.services.mozilla.com.evil.example/x",
        "https://push.services.mozilla.com/x",
        "https://user@fcm.googleapis.com/x",
        "https://fcm.googleapis.com@evil.example/x",
        "https://fcm.googleapis.com:22/x",
        "https://fcm.googleapis.com./x",
        "https://xn--fcm-.googleapis.com/x",
        "https://a_b.push.apple.com/x",
        "https://.push.apple.com/x",
        "https://fcm.googleapis.com\\@evil.example/x",
        "https://fcm.googleapis.com/x y",
        "https://fcm.googleapis.com/x#y",
        "https://fcm.googleapis.com:0443/x",
        "https://fcm.googleapis.com:/x",
        "https://fcm.googleapis.com:99999/x",
        "https://fcm.googleapis.com/\r\nX: y",
        "//fcm.googleapis.com/x",
        "javascript:alert(1)",
        "",
        "https://fcm.googleapis.com/" + "x" * 3000,
    ],
)
def test_no_other_endpoint_is(url: str) -> None:
    """Look-alikes, other schemes and ports, addresses, users' names, and what parsers read differently."""
    with pytest.raises(BadEndpoint):
        DEFAULT.check(url)


def test_an_origin_in_the_list_allows_itself_alone() -> None:
    """That is how a test leads the channel to a push service on this machine."""
    allowed = AllowList(["http://127.0.0.1:9000", "https://push.example.com:8443"])
    assert allowed.check("http://127.0.0.1:9000/a").origin == "http://127.0.0.1:9000"
    assert allowed.check("https://push.example.com:8443/a").origin == "https://push.example.com:8443"
    for other in ("http://127.0.0.1:9001/a", "http://127.0.0.1/a", "https://push.example.com/a", "http://127.0.0.1:9000@evil.example/a"):
        with pytest.raises(BadEndpoint):
            allowed.check(other)


@pytest.mark.parametrize("entry", ["*", "*.com*", "http://push.example.com", "fcm.googleapis.com/x", "https://a/b", "ftp://a.example", "10.0.0.1", "a"])
def test_an_entry_that_would_open_more_than_a_host_is_refused(entry: str) -> None:
    """All problems of the table are told at once."""
    with pytest.raises(ExceptionGroup) as caught:
        Settings(vapid_private_key=Secret(VAPID_KEY), subject="nobody", allow_hosts=(entry,), origins=("https://shop.example.com/",), pool=0)
    assert {error.key for error in caught.value.exceptions} == {"subject", "allow_hosts", "origins", "pool"}


@pytest.mark.promise("B25")
@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"p256dh": KEYS["p256dh"][:-4]}, "65 octets"),
        ({"p256dh": encode(b"\x04" + b"\x01" * 64)}, "no point"),
        ({"p256dh": encode(b"\x02" + b"\x01" * 64)}, "uncompressed"),
        ({"p256dh": "*" * 87}, "base64url"),
        ({"p256dh": 5}, "no keys.p256dh"),
        ({"p256dh": "A" * 5000}, "no keys.p256dh"),
        ({"auth": "AAAA"}, "16 octets"),
        ({"auth": None}, "no keys.auth"),
    ],
)
def test_keys_that_no_browser_made_are_refused(change: dict[str, object], what: str) -> None:
    """They never reach the store, so never the cryptography of a send."""
    with pytest.raises(BadSubscription, match=what):
        read_strictly({"endpoint": "https://fcm.googleapis.com/x", "keys": {**KEYS, **change}}, DEFAULT)


def test_one_subscription_has_one_spelling() -> None:
    """Padding, the old alphabet and further members make no second one."""
    plain = {"endpoint": "https://fcm.googleapis.com/x", "keys": KEYS}
    dressed = {"endpoint": "https://fcm.googleapis.com/x", "expirationTime": None, "keys": {**KEYS, "auth": KEYS["auth"] + "=="}}
    kept = read_strictly(plain, DEFAULT)
    assert kept == read_strictly(dressed, DEFAULT)
    assert kept[0] == read(kept[1], DEFAULT).endpoint.url == "https://fcm.googleapis.com/x"


@given(
    st.from_regex(r"https://fcm\.googleapis\.com/[!-~]{0,30}", fullmatch=True), st.binary(min_size=64, max_size=64),
    st.binary(min_size=16, max_size=16), st.booleans(),
)  # fmt: skip
def test_the_usual_spelling_is_read_as_json_would_be(endpoint: str, point: bytes, auth: bytes, spaced: bool) -> None:
    """The short way, for texts as we write them, gives what the long one gives, and refuses the same."""
    text = spell(endpoint, b"\x04" + point, auth)
    text = text.replace(":{", ": {") if spaced else text
    try:
        expected: object = read_object(json.loads(text), DEFAULT, text)
    except BadSubscription as error:
        expected = str(error)
    try:
        found: object = read(text, DEFAULT)
    except BadSubscription as error:
        found = str(error)
    assert found == expected


@pytest.mark.parametrize("text", ["", "x", "[]", "5", '{"endpoint": 5}', '{"endpoint": "https://fcm.googleapis.com/x", "keys": []}', "[" * 5000])
def test_a_text_that_is_no_subscription_is_told_as_one(text: str) -> None:
    """Nothing else is raised, whatever came out of an import."""
    with pytest.raises(BadSubscription):
        read(text, DEFAULT)
