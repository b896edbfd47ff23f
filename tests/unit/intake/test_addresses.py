"""The keyed hash of addresses, and the key's file."""

from __future__ import annotations

import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.disk import SystemDisk
from daemon.errors import ConfigError
from daemon.ids import SystemIds
from daemon.intake.addresses import AddressError, address_hash, load_pepper, parse_address


@given(st.binary(min_size=32, max_size=32), st.text(max_size=30).filter(lambda text: text.isprintable()))
def test_the_hash_is_hmac_sha256(pepper: bytes, text: str) -> None:
    """Our two copied hashes give what the library's HMAC gives."""
    expected = hmac.digest(pepper, b"email\0" + text.casefold().encode(), "sha256")[:16]
    assert address_hash(pepper, "email", text) == expected


@pytest.mark.promise("B12")
def test_b12_spellings_of_one_address_share_a_hash() -> None:
    """A suppression of User@ covers user@; a phone number is another kind."""
    pepper = b"p" * 32
    assert address_hash(pepper, "email", "User@example.com") == address_hash(pepper, "email", "user@example.com")
    assert address_hash(pepper, "email", "+628111234567") != address_hash(pepper, "phone", "+628111234567")
    assert address_hash(b"q" * 32, "email", "user@example.com") != address_hash(pepper, "email", "user@example.com")


def test_an_address_says_its_kind() -> None:
    """An @ makes it an e-mail address, else it is a number."""
    assert parse_address("A@Example.com") == ("email", "A@example.com")
    assert parse_address("0811 1234567", "ID") == ("phone", "+628111234567")
    with pytest.raises(AddressError):
        parse_address("nobody")


def test_the_pepper_is_made_once_and_private(tmp_path: Path) -> None:
    """Mode 0600, the same at each start."""
    path = tmp_path / "state" / "pepper.key"
    first = load_pepper(path, SystemIds(), SystemDisk())
    assert len(first) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_pepper(path, SystemIds(), SystemDisk()) == first


def test_an_open_or_broken_pepper_is_refused(tmp_path: Path) -> None:
    """Without the right key no suppression would be found: better not to start."""
    path = tmp_path / "pepper.key"
    load_pepper(path, SystemIds(), SystemDisk())
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_pepper(path, SystemIds(), SystemDisk())
    path.chmod(0o600)
    path.write_text("no key\n")
    with pytest.raises(ConfigError, match="backup"):
        load_pepper(path, SystemIds(), SystemDisk())
