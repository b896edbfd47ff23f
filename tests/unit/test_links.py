"""Tokens of the links in messages: only ours, only whole, only for their purpose."""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.disk import SystemDisk
from daemon.errors import ConfigError
from daemon.ids import MAX_ID, SystemIds, encode_id
from daemon.links import UNSUBSCRIBE, KeyRing, Links, open_ring

IDS = SystemIds()
DISK = SystemDisk()
RING = KeyRing.fresh(IDS)
LINKS = Links(RING, "https://go.example.com/")
TOKEN = LINKS.mint(UNSUBSCRIBE, 4711)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.integers(0, MAX_ID))
def test_token_gives_its_payload_back(payload: int) -> None:
    """Every 63-bit id survives the way through a token."""
    assert LINKS.read(UNSUBSCRIBE, LINKS.mint(UNSUBSCRIBE, payload)) == payload


def test_token_is_bound_to_its_purpose() -> None:
    """A token of one purpose says nothing for another."""
    assert LINKS.read("click", TOKEN) is None
    assert LINKS.read(UNSUBSCRIBE, LINKS.mint("click", 4711)) is None


def test_payload_beyond_63_bits_is_refused() -> None:
    """Ids are 63 bit: nothing else is minted."""
    for payload in (-1, MAX_ID + 1):
        with pytest.raises(ValueError, match="63-bit"):
            LINKS.mint(UNSUBSCRIBE, payload)


@pytest.mark.promise("B48")
def test_no_other_token_has_an_effect() -> None:
    """Truncated, flipped, swapped, guessed and foreign tokens all read as nothing."""
    rng = random.Random(5)
    head, key, tail = TOKEN.split(".")
    forged = [TOKEN[:length] for length in range(len(TOKEN))] + [TOKEN + "A", TOKEN + "=", " " + TOKEN, TOKEN + "\n", TOKEN.upper()]
    forged += [Links(KeyRing.fresh(IDS), "x").mint(UNSUBSCRIBE, 4711), f"v2.{key}.{tail}", f"{head}.00000000.{tail}"]
    for position in range(len(tail)):
        for character in ALPHABET:
            if character != tail[position]:
                forged.append(f"{head}.{key}.{tail[:position]}{character}{tail[position + 1 :]}")
    forged += [f"{head}.{key}.{''.join(rng.choices(ALPHABET, k=32))}" for _ in range(20_000)]
    assert {LINKS.read(UNSUBSCRIBE, token) for token in forged} == {None}


def test_tokens_of_neighbours_share_no_code() -> None:
    """Knowing one token does not give the code of the next id."""
    codes = {LINKS.mint(UNSUBSCRIBE, payload)[-20:] for payload in range(1000)}
    assert len(codes) == 1000


def test_unsubscribe_url_is_below_the_public_address() -> None:
    """The address is the public one, /u/ and the token."""
    assert LINKS.unsubscribe_url(4711) == f"https://go.example.com/u/{TOKEN}"


def test_a_new_key_keeps_old_links_alive(tmp_path: Path) -> None:
    """A line more in the ring: new tokens have the new key, and old ones still count."""
    path = tmp_path / "links.key"
    old = Links(open_ring(path, DISK, IDS), "x")
    with path.open("a", encoding="ascii") as file:
        file.write(f"0123abcd {'ab' * 32}\n")
    new = Links(open_ring(path, DISK, IDS), "x")
    token = old.mint(UNSUBSCRIBE, 7)
    assert new.read(UNSUBSCRIBE, token) == 7
    assert new.mint(UNSUBSCRIBE, 7).split(".")[1] != token.split(".")[1]
    assert old.read(UNSUBSCRIBE, new.mint(UNSUBSCRIBE, 7)) is None


def test_ring_is_made_once_and_read_again(tmp_path: Path) -> None:
    """The file has mode 0600 whatever the umask, and the second start reads the same keys."""
    path = tmp_path / "links.key"
    before = os.umask(0)
    try:
        ring = open_ring(path, DISK, IDS)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert open_ring(path, DISK, IDS) == ring
    assert "secret" not in repr(ring)


@pytest.mark.parametrize(
    ("content", "mode", "what"),
    [
        ("", 0o600, "holds no key"),
        ("# only a comment\n", 0o600, "holds no key"),
        ("nonsense\n", 0o600, "is not `KEYID HEXSECRET`"),
        (f"0123abcd {'0' * 64}\n", 0o644, "others may read it"),
        (f"0123abcd {'0' * 64}\n", 0o660, "others may read it"),
    ],
)
def test_broken_ring_is_never_replaced(tmp_path: Path, content: str, mode: int, what: str) -> None:
    """A ring file that cannot be trusted stops the start: a new one would kill the links of all sent mail."""
    path = tmp_path / "links.key"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=what):
        open_ring(path, DISK, IDS)
    assert path.read_text() == content


def test_symlinked_ring_is_refused(tmp_path: Path) -> None:
    """The ring file is a file, not a pointer to one."""
    (tmp_path / "elsewhere").write_text(f"0123abcd {'0' * 64}\n")
    (tmp_path / "links.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="cannot be read"):
        open_ring(tmp_path / "links.key", DISK, IDS)


def test_a_token_of_a_hook_names_its_delivery_and_nothing_else() -> None:
    """What `Context.sign` gives comes back as the same id; an unsubscribe link's token is none."""
    token = LINKS.sign_hook(encode_id(4711))
    assert LINKS.read_hook(token) == encode_id(4711)
    assert LINKS.read_hook(TOKEN) is None
    assert LINKS.read(UNSUBSCRIBE, token) is None
    assert LINKS.hook_url("twilio") == "https://go.example.com/hooks/twilio"
    with pytest.raises(ValueError, match="not a delivery's id"):
        LINKS.sign_hook("4711")
