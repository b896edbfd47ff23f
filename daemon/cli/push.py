"""`homing push`: the key pair by which push services know the shop (RFC 8292). The private key is shown once, or goes to a file."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import click

from daemon.cli import screen
from daemon.cli.context import Cli, command, group
from daemon.errors import GuardRefusedError, HomingError


@command("keys", short_help="Make a VAPID key pair.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write the private key there, for its owner only."
)
@click.option("--pem", is_flag=True, help="The private key as PEM (PKCS #8) instead of one line of base64url.")
def keys(cli: Cli, out: Path | None, pem: bool) -> None:
    """Make a key pair for `[providers.NAME] plugin = "webpush"`.

    Browsers that subscribe under one key take pushes under no other: make it once, and keep a copy in a safe place.
    """
    private, public = make_keys(pem=pem)
    if out is not None:
        write_private(out, private)
    made: dict[str, Any] = {"public_key": public, "file": None if out is None else str(out), "private_key": None if out else private}
    cli.answer(made, lambda: screen.say(words(private, public, out)))


def make_keys(*, pem: bool = False) -> tuple[str, str]:
    """(private key as text, public key as browsers want it: base64url of 65 octets)."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    if pem:
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
    else:
        private = _encode(key.private_numbers().private_value.to_bytes(32, "big"))
    return private, _encode(public)


def write_private(path: Path, private: str) -> None:
    """A new file of mode 0600. GuardRefusedError if there is one already: who loses a key loses its subscriptions."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise GuardRefusedError(f"{path} is there already, and a key in use must not be replaced; name another file") from None
    except OSError as error:
        raise HomingError(f"{path} cannot be written: {error.strerror}") from error
    with os.fdopen(number, "w", encoding="ascii") as file:
        file.write(private.rstrip("\n") + "\n")


def words(private: str, public: str, out: Path | None) -> str:
    """What an operator reads, with the lines for config.toml."""
    kept = f'{{ file = "{out}" }}' if out else '{ credential = "vapid" }'
    shown = [] if out else [f"private key (shown this once): {private.rstrip()}", ""]
    return "\n".join([
        *shown,
        f"public key: {public}",
        "",
        "[providers.browsers]",
        'plugin = "webpush"',
        f"vapid_private_key = {kept}",
        'subject = "mailto:ops@shop.example.com"      # where the push services reach you',
        'origins = ["https://shop.example.com"]       # sites whose pages register browsers',
    ])  # fmt: skip


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


push = group("push", "Web push: keys.", keys)
