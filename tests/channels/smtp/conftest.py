"""Certificates for relays on loopback, made once a run."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme


@dataclass(frozen=True)
class Certificates:
    """`good` is for localhost and 127.0.0.1, `other_name` for example.com, both by the authority in `ca_file`."""

    ca_file: str
    good: ssl.SSLContext
    other_name: ssl.SSLContext
    stranger: ssl.SSLContext
    expired: ssl.SSLContext


def _server(authority: trustme.CA, *names: str, **options: object) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, key_type=trustme.KeyType.ECDSA, **options).configure_cert(context)  # type: ignore[arg-type]
    return context


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    from datetime import UTC, datetime

    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    Path(file).write_bytes(authority.cert_pem.bytes())
    return Certificates(
        ca_file=str(file),
        good=_server(authority, "localhost", "127.0.0.1"),
        other_name=_server(authority, "example.com"),
        stranger=_server(trustme.CA(key_type=trustme.KeyType.ECDSA), "localhost", "127.0.0.1"),
        expired=_server(authority, "localhost", "127.0.0.1", not_after=datetime(2025, 1, 1, tzinfo=UTC)),
    )
