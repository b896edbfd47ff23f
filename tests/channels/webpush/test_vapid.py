"""Who we are, for a push service (RFC 8292): checked by PyJWT."""

from __future__ import annotations

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from channels.webpush.subscription import decode, encode
from channels.webpush.vapid import BadKey, Vapid, load_key
from plugins.contract import Secret
from plugins.loader import ProblemKind, ProviderTable, load_channels
from plugins.testing.push_peer import VAPID_KEY

NOW = 1_800_000_000.0
ORIGIN = "https://fcm.googleapis.com"


def _claims(header: str, origin: str) -> dict[str, object]:
    token, key = (part.split("=", 1)[1] for part in header.removeprefix("vapid ").split(", "))
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decode(key))
    return dict(jwt.decode(token, public, algorithms=["ES256"], audience=origin, options={"verify_exp": False}))


def test_the_proof_is_for_one_origin_and_ends_within_a_day() -> None:
    """aud is the origin exactly, exp an integer, sub the contact."""
    claims = _claims(Vapid(VAPID_KEY, "mailto:ops@shop.example.com").authorization(ORIGIN, NOW), ORIGIN)
    assert claims == {"aud": ORIGIN, "exp": int(NOW) + 12 * 3600, "sub": "mailto:ops@shop.example.com"}


def test_it_is_kept_for_each_origin_and_renewed_long_before_its_end() -> None:
    """Signing costs a third of a push; a clock that goes back makes a new one too."""
    vapid = Vapid(VAPID_KEY, "mailto:ops@shop.example.com")
    first = vapid.authorization(ORIGIN, NOW)
    assert vapid.authorization(ORIGIN, NOW + 6 * 3600 - 1) == first
    assert vapid.authorization("https://web.push.apple.com", NOW) != first
    assert _claims(vapid.authorization(ORIGIN, NOW + 6 * 3600), ORIGIN)["exp"] == int(NOW) + 18 * 3600
    assert _claims(vapid.authorization(ORIGIN, NOW - 100_000), ORIGIN)["exp"] == int(NOW) - 100_000 + 12 * 3600


def test_any_usual_form_of_the_key_is_read() -> None:
    """PEM in both dresses, base64url with and without padding: one public key."""
    key = load_key(VAPID_KEY)
    pems = [key.private_bytes(Encoding.PEM, form, NoEncryption()).decode() for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL)]
    assert len({Vapid(text, "mailto:a@b.example").public_key for text in (VAPID_KEY, VAPID_KEY + "=\n", *pems)}) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 43 + "!",
        encode(b"short"),
        encode(b"\x00" * 32),
        encode(b"\xff" * 32),
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        ec.generate_private_key(ec.SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    ],
)
def test_what_is_no_private_key_of_p256_is_refused(text: str) -> None:
    """With one error, whatever the library raises."""
    with pytest.raises(BadKey):
        load_key(text)


def test_a_topic_says_nothing_and_stays_the_same() -> None:
    """32 characters of base64url; another key, campaign or recipient gives another."""
    vapid, other = Vapid(VAPID_KEY, "mailto:a@b.example"), Vapid(encode(b"\x07" * 32), "mailto:a@b.example")
    topics = {vapid.topic("winback", "c-1"), vapid.topic("winback", "c-2"), vapid.topic("cart", "c-1"), other.topic("winback", "c-1")}
    assert len(topics) == 4 and all(len(topic) == 32 and len(decode(topic)) == 24 for topic in topics)
    assert vapid.topic("winback", "c-1") == Vapid(VAPID_KEY, "mailto:x@y.example").topic("winback", "c-1")


@pytest.mark.parametrize(("second", "refused"), [(encode(b"\x01" * 32), True), (VAPID_KEY + "=", False), ("no key", True)])
def test_two_providers_with_two_keys_are_refused_by_file_and_line(second: str, refused: bool) -> None:
    """A subscription belongs to one key: the spare would get 403 for each. The same key in another dress is the same."""
    tables = [
        ProviderTable(name=name, plugin="webpush", settings={"vapid_private_key": Secret(key), "subject": "mailto:ops@shop.example.com"})
        for name, key in (("first", VAPID_KEY), ("spare", second))
    ]
    problems = load_channels(tables, locate=lambda path: f"config.toml:{'.'.join(map(str, path))}").problems
    assert [(each.where, each.kind) for each in problems] == (
        [("config.toml:providers.spare.vapid_private_key", ProblemKind.CONFIG)] if refused else []
    )
    assert all(second not in str(each) and VAPID_KEY not in str(each) for each in problems)
    assert all("[providers.first]" in str(each) for each in problems if second != "no key")


def test_a_key_that_is_none_is_named_by_file_and_line() -> None:
    """Also of the only provider: `homing check` sees it, not only the start."""
    settings = {"vapid_private_key": Secret("cubbish"), "subject": "mailto:ops@shop.example.com"}
    found = load_channels([ProviderTable(name="browsers", plugin="webpush", settings=settings)], locate=lambda path: f"config.toml:{'.'.join(map(str, path))}")
    assert [(each.where, each.key) for each in found.problems] == [("config.toml:providers.browsers.vapid_private_key", "providers.browsers.vapid_private_key")]
    assert "not 32" in found.problems[0].what and "cubbish" not in str(found.problems[0])
