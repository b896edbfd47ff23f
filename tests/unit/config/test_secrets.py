"""Where secrets come from, and what is refused."""

import os
from pathlib import Path

import pytest

from daemon.config import Config, parse_config
from daemon.errors import ConfigError


def load(reference: str, folder: Path, environ: dict[str, str] | None = None) -> Config:
    text = f'[providers.relay]\nplugin = "smtp"\npassword = {reference}\n'
    return parse_config(text, path=folder / "config.toml", environ=environ or {})


def secret(reference: str, folder: Path, environ: dict[str, str] | None = None) -> str:
    return load(reference, folder, environ).providers["relay"].settings["password"].reveal()


def said(reference: str, folder: Path, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(reference, folder, environ)
    return str(caught.value)


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_secret_comes_from_a_credential_a_variable_or_a_file(tmp_path: Path):
    """All three forms of the contract; a file is looked for beside the config."""
    write(tmp_path / "pw", b"from-file\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "PW": "from-env"}
    assert secret('{ file = "pw" }', tmp_path) == "from-file"
    assert secret('{ env = "PW" }', tmp_path, environ) == "from-env"
    assert secret('{ credential = "pw" }', tmp_path, environ) == "from-file"


@pytest.mark.parametrize(("content", "value"), [(b"a\n", "a"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), (b" a ", " a "), (b"a\r", "a\r")])
def test_exactly_one_trailing_newline_is_cut_off(tmp_path: Path, content: bytes, value: str):
    """Editors add one; what else is there belongs to the secret."""
    write(tmp_path / "pw", content)
    assert secret('{ file = "pw" }', tmp_path) == value


@pytest.mark.promise("B58")
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
def test_a_file_that_everyone_may_read_or_write_is_refused(tmp_path: Path, mode: int):
    """The message says how to mend it."""
    path = write(tmp_path / "pw", b"canary", mode)
    message = said('{ file = "pw" }', tmp_path)
    assert f"config.toml:3: providers.relay.password: the secret file {path} is open to everyone" in message
    assert f"chmod o= {path}" in message
    assert "canary" not in message


def test_what_is_missing_or_odd_is_said_without_the_value(tmp_path: Path):
    """Each way to fail has its own words."""
    write(tmp_path / "empty", b"\n")
    write(tmp_path / "binary", b"\xff\xfe")
    write(tmp_path / "big", b"x" * 70_000)
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "cannot be read: No such file" in said('{ file = "absent" }', tmp_path)
    assert "is empty" in said('{ file = "empty" }', tmp_path)
    assert "is not UTF-8 text" in said('{ file = "binary" }', tmp_path)
    assert "is larger than" in said('{ file = "big" }', tmp_path)
    assert "is no regular file" in said('{ file = "pipe" }', tmp_path)
    assert "the environment variable PW is not set" in said('{ env = "PW" }', tmp_path)
    assert "needs CREDENTIALS_DIRECTORY" in said('{ credential = "pw" }', tmp_path)
    assert "a plain name" in said('{ credential = "../pw" }', tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert "must name a secret" in said("{ env = 3 }", tmp_path)


def test_a_secret_may_stand_anywhere_in_a_providers_table(tmp_path: Path):
    """In inline tables and arrays too: `relays` has passwords of its own."""
    text = '[providers.r]\nplugin = "smtp"\nrelays = [{ host = "a", password = { env = "PW" } }]\n'
    config = parse_config(text, path=tmp_path / "config.toml", environ={"PW": "x"})
    assert config.providers["r"].settings["relays"][0]["password"].reveal() == "x"
