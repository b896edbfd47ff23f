"""Bad inputs as data: files for the spool, rows of a job, requests with a token, raw bytes for the listeners, links.

What each must be answered with stands beside it; `test_bad_inputs_live.py` gives all of them to one daemon.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

HEAD = {"id": "x", "queue": "lapsed"}
PERSON = '{"id": "bad-1", "email": "bad-1@example.com", "vars": {"last_product": "shoes"}}'


def document(rows: str = PERSON, **head: object) -> bytes:
    """A job whose rows are text, so that they need not be JSON."""
    return ('{"recipients": [' + rows + "]" + "".join(f", {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()) + "}").encode()


# files: name -> (content, code of the reason). B4-B8, B10, B11, B14-B17, B19, F41

FILES: Mapping[str, tuple[bytes, str]] = {
    "utf16.json": (document().decode().encode("utf-16"), "invalid-json"),
    "latin.csv": ("id,vars.café\n".encode("latin-1"), "invalid-json"),
    "half.json": (document()[:-20], "invalid-json"),
    "half.csv": (b'id,email\na,"x', "cut_off"),
    "half.ndjson": (b'{"id": "half"}\n{"id": "a", "ema', "cut_off"),
    "array.json": (b"[" * 100_000, "invalid-json"),
    "deep.json": (b'{"a":' * 50_000, "invalid-json"),
    "deep-head.json": (document(window={"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": 1}}}}}}}}}), "invalid-job"),
    "twice.json": (b'{"queue": "lapsed", "queue": "lapsed", "recipients": []}', "invalid-json"),
    "nan.json": (b'{"priority": NaN, "recipients": []}', "invalid-json"),
    "digits.json": (b'{"priority": ' + b"9" * 5000 + b', "recipients": []}', "invalid-json"),
    "pair.json": (b'{"message": {"subject": "\\ud800"}, "recipients": []}', "invalid-job"),
    "keys.json": (document(zzz=1), "invalid-job"),
    "columns.csv": (b"id,email,email\na,a@b.co,a@b.co\n", "invalid-job"),
    "wide.csv": (b",".join(b"vars.c%d" % n for n in range(10_000)) + b"\n", "invalid-job"),
    "bomb.json.gz": (gzip.compress(b" " * 40_000_000), "too-large"),
    "cut.json.gz": (gzip.compress(document())[:-9], "invalid-json"),
    "more.json.gz": (gzip.compress(document()) + b"more", "invalid-json"),
    "no.json.gz": (b"\x1f\x8b no gzip at all", "invalid-json"),
    "nobody.json": (document(campaign="nobody"), "unknown-campaign"),
    "late.json": (document(not_before="2001-01-01T00:00:00Z"), "invalid-job"),
    "far.json": (document(not_before="9999-12-31T00:00:00Z"), "invalid-job"),
    "local.json": (document(not_before="2099-01-01T00:00:00"), "invalid-job"),
    "hours.json": (document(window={"hours": ["a" + " " * 90_000]}), "invalid-job"),
    "binary.dat": (bytes(range(256)) * 100, "unsupported-media-type"),
}


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):
        made.bind(path.name)


def _hard_link(path: Path) -> None:
    path.write_bytes(document())
    os.link(path, path.parent.parent / "tmp" / path.name)


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 9 * 1024**3)  # a hole: nothing of it is on the disk


ODD: Mapping[str, tuple[Callable[[Path], None], str]] = {
    "link.json": (lambda path: path.symlink_to("/etc/hostname"), "not_regular"),
    "loop.json": (lambda path: path.symlink_to(path.name), "not_regular"),
    "null.json": (lambda path: path.symlink_to("/dev/zero"), "not_regular"),
    "pipe.json": (_pipe, "not_regular"),
    "sock.json": (_socket, "not_regular"),
    "hard.json": (_hard_link, "not_regular"),
    "folder.json": (lambda path: path.mkdir(), "not_regular"),
    "huge.json": (_huge, "too_large"),
}
"""What is no plain file (B1), or too large to be read (B5)."""

NAMES = (b"-rf.json", b"a b.json", b"new\nline.json", b"\xff\xfe.json", b"x" * 250 + b".json", "é.json".encode(), b"a;rm.json", b"\x1b[2J.json")
"""Names that are no names (B2)."""


# rows: JSON of fields beside a good id -> (field, code). B9, B11, B18-B23

ROWS: tuple[tuple[str, str | None, str], ...] = (
    (r'"email": "d@e.fr\r\nRCPT TO:<x@y.fr>"', "email", "address_invalid"),
    ('"email": "a@b.co,d@e.fr"', "email", "address_invalid"),
    ('"email": "Bob <b@x.yz>"', "email", "address_invalid"),
    ('"email": "a@b@c"', "email", "address_invalid"),
    ('"email": "alice@example.org)bob@evil.com"', "email", "address_invalid"),
    (r'"email": "\"a b\"@x.yz"', "email", "address_invalid"),
    ('"email": "a@[127.0.0.1]"', "email", "address_invalid"),
    ('"email": "a@localhost"', "email", "address_invalid"),
    (f'"email": "{"l" * 65}@example.com"', "email", "address_invalid"),
    (f'"email": "a@{"d" * 63}.{"d" * 63}.{"d" * 63}.{"d" * 63}.com"', "email", "address_invalid"),
    (r'"email": "\ud800@example.com"', "email", "address_invalid"),
    ('"email": "a@exаmple.com"', "email", "address_mixed_script"),
    ('"phone": "+19005551234"', "phone", "address_blocked"),
    ('"phone": "+870773111632"', "phone", "address_blocked"),
    (f'"phone": "+{"1" * 30}"', "phone", "address_invalid"),
    ('"phone": "+62abc"', "phone", "address_invalid"),
    ('"zone": "Mars/Base"', "zone", "zone"),
    ('"zone": "+25:00"', "zone", "zone"),
    ('"zone": "EST5EDT,M3.2.0,M11.1.0"', "zone", "zone"),
    ('"zone": "../../etc/passwd"', "zone", "zone"),
    (r'"vars": {"a": "x\u0000"}', "vars", "control_char"),
    (r'"vars": {"a": ["\u202e"]}', "vars", "control_char"),
    (r'"vars": {"a\u2028": 1}', "vars", "control_char"),
    (r'"traits": {"a": "\ud800"}', "traits", "control_char"),
    (r'"traits": {"quiet_hours": ["\ud800"]}', "traits", "control_char"),
    (f'"traits": {{"quiet_hours": ["a{" " * 60_000}"]}}', "traits.quiet_hours", "quiet_hours"),
    (f'"vars": {{"a": "{"x" * 65_537}"}}', "vars.a", "too_long"),
    (f'"vars": {"[" * 500}{"]" * 500}', "vars", "type"),
    (f'"vars": {{"a": {"[" * 500}{"]" * 500}}}', "vars.a", "json_depth"),
    (f'"vars": {{"a": {"[" * 20_000}{"]" * 20_000}}}', None, "json_depth"),
    ('"vars": {"a": 1e400}', None, "number"),
    ('"vars": {"a": NaN}', None, "number"),
    (f'"vars": {{"a": {"9" * 5000}}}', None, "number"),
    ('"vars": {"a": 1, "a": 2}', None, "duplicate_key"),
    ('"vars": {"a" 1}', None, "json"),
    ('"emial": "x@example.com"', "emial", "unknown_field"),
    (f'"vars": {{"a": "{"x" * 300_000}"}}', None, "too_long"),
)


# requests with a good token: (method, path, body, media type) -> allowed statuses. B33-B35, B38-B41

JSON = "application/json"
ODD_IDS = ("%00", "%ff", "..%2f..%2fetc", "1%20OR%201%3D1", "-1", "%ed%a0%80", "%0d%0aX:%20y", "'", "9" * 400, "a" * 5000, "ZZZZZZZZZZZZZ", "%22%3E%3Cscript%3E")
ODD_QUERIES = (
    "limit=1000000000", "limit=-1", "limit=0", "limit=1e3", "limit=%D9%A3", "limit=1&limit=2", "cursor=AAAA", "cursor=%00", "cursor=" + "A" * 900,
    "state=nope", "sort=name", "queue=%ff%00", "x",
)  # fmt: skip
ODD_BODIES = (
    b"", b"{", b"[]", b"null", b'"x"', b'{"a":' * 5000, b"[" * 100_000, b'{"detail": "\\ud800"}', b'{"reason": "\\ud800"}', b'{"expect": NaN}',
    b'{"expect": 1e999}', b'{"expect": ' + b"9" * 5000 + b"}", b'{"expect": -1}', b"\xff\xfe{", b'{"a": 1, "a": 2}', b'{"name": "\\ud800", "scopes": ["x"]}',
    b'{"to": ["\\ud800@x"]}', b'{"address": "\\ud800@x.com"}', b'{"address": "a@b.co\\r\\nRCPT TO:<x@y.z>"}', b'{"unknown": 1}',
)  # fmt: skip
ODD_MEDIA = ("text/plain", "text/csv", "application/json; charset=utf-16", 'application/json; charset="x', "multipart/form-data; boundary=x", "")


# raw bytes: the answer's statuses. B35-B37, B57

_POST = b"POST /v1/held/release HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
_NEXT = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
RAW: Mapping[str, bytes] = {
    "length and chunked": _POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + _NEXT,
    "chunked and length": _POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + _NEXT,
    "chunked with a space": _POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + _NEXT,
    "chunked twice": _POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + _NEXT,
    "gzip, chunked": _POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + _NEXT,
    "identity": _POST + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}" + _NEXT,
    "two lengths": _POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}" + _NEXT,
    "length +2": _POST + b"Content-Length: +2\r\n\r\n{}" + _NEXT,
    "length -2": _POST + b"Content-Length: -2\r\n\r\n{}" + _NEXT,
    "length 0x2": _POST + b"Content-Length: 0x2\r\n\r\n{}" + _NEXT,
    "length of 5,000 digits": _POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}" + _NEXT,
    "chunk 0x2": _CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n" + _NEXT,
    "chunk -2": _CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n" + _NEXT,
    "chunk longer than it says": _CHUNKED + b"1\r\n{}\r\n0\r\n\r\n" + _NEXT,
    "chunks with bare line feeds": _CHUNKED + b"2\n{}\n0\n\n" + _NEXT,
    "folded field": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n" + _NEXT,
    "bare line feeds": b"GET /healthz HTTP/1.1\nHost: a\n\n" + _NEXT,
    "NUL in a field": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n" + _NEXT,
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + _NEXT,
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n" + _NEXT,
    "20 KB of head": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20_000 + b"\r\n\r\n" + _NEXT,
    "200 fields": b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(200)) + b"\r\n" + _NEXT,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 400,
    "all bytes": bytes(range(256)) * 20,
}


# links of the public listener: (method, path, body, media type). B45, B47, B48, B50

FORM = "application/x-www-form-urlencoded"
LINKS: tuple[tuple[str, str, bytes | None, str], ...] = tuple(
    (method, path, body, media)
    for path in ("/u/x", "/u/", "/u/%00", "/u/%ff", "/u/" + "A" * 3000, "/p/x", "/c/x?url=https://evil.example", "/v1/jobs", "/%2e%2e/etc", "//u/x")
    for method, body, media in (
        ("GET", None, ""), ("HEAD", None, ""), ("PUT", b"x", FORM), ("POST", b"List-Unsubscribe=One-Click", FORM), ("POST", b"\xff\0", FORM),
        ("POST", b"--x\r\n", "multipart/form-data; boundary=x"), ("POST", b"{}", JSON), ("POST", b"a=b&" * 10_000, FORM), ("TRACE", None, ""),
    )
)  # fmt: skip
