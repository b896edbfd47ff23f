"""The words of a push: byte for byte as in RFC 8291, and read by two other hands (Python's http-ece; `test_npm` has JavaScript's)."""

from __future__ import annotations

import json
from pathlib import Path

import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from channels.webpush.encrypt import MAX_PLAIN, Encryptor
from channels.webpush.subscription import decode

VECTOR = json.loads((Path(__file__).parent / "rfc8291_appendix_a.json").read_text())
BROWSER = ec.generate_private_key(ec.SECP256R1())
PUBLIC = BROWSER.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
AUTH = b"sixteen octets.."


def _field(name: str) -> bytes:
    return decode(VECTOR[name])


def test_the_vector_of_the_rfc_comes_out_byte_for_byte() -> None:
    """RFC 8291 appendix A, with its keys and salt."""
    sender = ec.derive_private_key(int.from_bytes(_field("as_private"), "big"), ec.SECP256R1())
    body = Encryptor().encrypt(
        VECTOR["plaintext"].encode(), _field("ua_public"), _field("auth_secret"), private=sender, salt=_field("salt")
    )
    assert body == _field("message")


@given(st.binary(max_size=MAX_PLAIN))
def test_another_implementation_reads_what_we_write(plain: bytes) -> None:
    """Any octets of any length that fits."""
    body = Encryptor().encrypt(plain, PUBLIC, AUTH)
    assert http_ece.decrypt(body, private_key=BROWSER, auth_secret=AUTH, version="aes128gcm") == plain


def test_the_largest_message_fills_a_body_of_4096_octets_and_one_more_is_refused() -> None:
    """RFC 8030 §7.2: a push service must take that much."""
    assert len(Encryptor().encrypt(b"x" * MAX_PLAIN, PUBLIC, AUTH)) == 4096
    with pytest.raises(ValueError, match="3993"):
        Encryptor().encrypt(b"x" * (MAX_PLAIN + 1), PUBLIC, AUTH)


def test_no_two_messages_share_a_key_or_a_salt() -> None:
    """RFC 8291 §3.4: a new key pair for each message."""
    encryptor = Encryptor()
    heads = [encryptor.encrypt(b"same", PUBLIC, AUTH)[:86] for _ in range(20)]
    assert len({head[:16] for head in heads}) == len({head[21:86] for head in heads}) == 20


def test_a_key_that_is_no_point_of_the_curve_is_refused() -> None:
    """A browser never gives one; an attacker may."""
    with pytest.raises(ValueError, match=r"."):
        Encryptor().encrypt(b"x", b"\x04" + b"\x01" * 64, AUTH)
