"""GROUND, config: where secrets come from. A config never holds one; it names a systemd credential, a variable or a file.

`{ credential = "name" }` is `$CREDENTIALS_DIRECTORY/name`, `{ env = "NAME" }` a variable, `{ file = "path" }` a file beside the
config. Files that everyone may read are refused. What comes out is a `plugins.Secret`, which never shows itself; no message here
holds a value.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.config.values import BadValue, kind
from plugins.contract import Secret

SOURCES = frozenset({"credential", "env", "file"})
_LARGEST = 64 * 1024


def is_reference(value: Any) -> bool:
    """Is this the inline table that names a secret?"""
    return isinstance(value, dict) and len(value) == 1 and not SOURCES.isdisjoint(value)


def resolve_secret(reference: Mapping[str, Any], *, environ: Mapping[str, str], base: Path) -> Secret:
    """Read the named secret; one trailing newline is cut off. BadValue says what is missing or too open, never the value."""
    source, name = next(iter(reference.items()))
    if not isinstance(name, str) or not name:
        raise BadValue(f"{source} must name a secret: a string, not {kind(name)}")
    if source == "env":
        if not environ.get(name):
            raise BadValue(f"the environment variable {name} is not set")
        return Secret(environ[name])
    if source == "file":
        return Secret(_read(base / Path(name).expanduser()))
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise BadValue(f'the credential "{name}" needs CREDENTIALS_DIRECTORY: start with systemd and LoadCredential={name}:PATH')
    if "/" in name or name in (".", ".."):
        raise BadValue(f'a credential is a plain name, not a path (got "{name}")')
    return Secret(_read(Path(folder) / name))


def _read(path: Path) -> str:
    """One small regular file that not everyone may read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise BadValue(f"the secret file {path} cannot be read: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BadValue(f"the secret file {path} is no regular file")
        if status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
            raise BadValue(f"the secret file {path} is open to everyone (mode {stat.S_IMODE(status.st_mode):04o}): chmod o= {path}")
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise BadValue(f"the secret file {path} is larger than {_LARGEST} bytes")
    try:
        value = content.decode()
    except UnicodeDecodeError:
        raise BadValue(f"the secret file {path} is not UTF-8 text") from None
    value = value[: -2 if value.endswith("\r\n") else -1] if value.endswith("\n") else value
    if not value:
        raise BadValue(f"the secret file {path} is empty")
    return value
