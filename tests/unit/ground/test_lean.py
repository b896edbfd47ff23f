"""An import may be made lighter, never weaker: what a library does not do at once, it does when it is needed."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from daemon.lean import authorities_later

SHOW = """
import ssl
import daemon.web
from aiohttp.connector import _SSL_CONTEXT_VERIFIED as context

print(context.cert_store_stats()["x509_ca"], context.verify_mode.name, context.check_hostname)
context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="shop.example")
print(context.cert_store_stats()["x509_ca"], context.verify_mode.name, context.check_hostname, type(context) is ssl.SSLContext)
"""


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """Both ends in memory; raises what the client says of the server's certificate."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(to_client, to_server, server_hostname="shop.example"), server.wrap_bio(to_server, to_client, server_side=True)
    done = set[ssl.SSLObject]()
    while len(done) < len(ends):
        for end in ends:
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                continue


def test_a_context_made_meanwhile_trusts_whom_the_machine_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And refuses everybody else, as one that was made outside."""
    ours, strange = trustme.CA(), trustme.CA()
    file = tmp_path / "authorities.pem"
    file.write_bytes(ours.cert_pem.bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    for authority, is_trusted in ((ours, True), (strange, False)):
        with authorities_later():
            client = ssl.create_default_context()
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("shop.example").configure_cert(server)
        try:
            shake_hands(client, server)
        except ssl.SSLCertVerificationError:
            assert not is_trusted
        else:
            assert is_trusted


def test_the_web_s_library_reads_the_authorities_at_its_first_connection(tmp_path: Path) -> None:
    """It makes its contexts when it is imported, 20 ms each; until one is used nothing is trusted, then all that should be."""
    file = tmp_path / "authorities.pem"
    file.write_bytes(trustme.CA().cert_pem.bytes())
    shown = subprocess.run(
        [sys.executable, "-c", SHOW], check=True, capture_output=True, text=True, env={**os.environ, "SSL_CERT_FILE": str(file)}
    )  # fmt: skip
    assert shown.stdout.splitlines() == ["0 CERT_REQUIRED True", "1 CERT_REQUIRED True True"]
