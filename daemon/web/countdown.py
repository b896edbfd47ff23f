"""Web: `/d/{token}.png`, the image that counts down to the end of the offer that a message brought: days, hours, minutes at the moment at
which it is looked at.

The token says which message; the end comes from the books, the language from its recipient. Rounded down, so that it never promises more
time than there is. Put together from a sheet of drawn signs (countdown.png: ten digits of 44 by 72 in two scripts, three words of 200 by 48
in four languages, drawn with Vazirmatn, SIL OFL): no fonts and no drawing at run time. An image is made once for a language and minute.
"""

from __future__ import annotations

import functools
import struct
import zlib
from pathlib import Path

from aiohttp import web

from daemon.clock import Clock
from daemon.content.locales import DEFAULT_LANGUAGE, is_rtl, language_of
from daemon.links import COUNTDOWN, Links
from daemon.model.delivery import MINUTE, Instant
from daemon.store.countdown import read_countdown
from daemon.store.writer import Writes
from daemon.web.addresses import Networks, Strikes, client_of
from daemon.web.connection import Limits

LANGUAGES = ("en", "id", "ms", "fa")
"""In the order of the sheet."""
MOST_DAYS = 99
KEPT = 512
"""Images in memory, of some 3 KB."""
INK, PAPER = (0x1F, 0x5F, 0x4A), (0xFF, 0xFF, 0xFF)
_DIGIT, _WORD = (44, 72), (200, 48)
WIDTH, HEIGHT = 3 * _WORD[0], _DIGIT[1] + _WORD[1]
"""Twice as large as it is meant to be shown: 300 by 60."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PALETTE = b"".join(bytes(paper + (ink - paper) * level // 255 for ink, paper in zip(INK, PAPER, strict=True)) for level in range(256))


class CountdownImages:
    """The handler of the public listener."""

    def __init__(self, *, links: Links, store: Writes, clock: Clock, limits: Limits, trusted: Networks) -> None:
        self._links, self._store, self._clock, self._trusted = links, store, clock, trusted
        self._strikes = Strikes(clock, limits.bad_tokens)

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/d/{token}.png", self.show)

    async def show(self, request: web.Request) -> web.Response:
        delivery = self._links.read(COUNTDOWN, request.match_info["token"])
        found = await self._store.read(read_countdown, delivery) if delivery is not None else None
        if found is None:
            wait = self._strikes.strike(client_of(request, self._trusted))
            return web.Response(status=429, headers={"Retry-After": str(round(wait))}) if wait else web.Response(status=404)
        ends_at, locale = found
        return web.Response(body=draw(*left_of(ends_at, self._clock.instant()), sheet_language(locale)), content_type="image/png")


def sheet_language(locale: str | None) -> str:
    """Of those of the sheet."""
    language = language_of(locale)
    return language if language in LANGUAGES else DEFAULT_LANGUAGE


def left_of(ends_at: Instant, now: Instant) -> tuple[int, int, int]:
    """(days, hours, minutes) until then, rounded down; at most MOST_DAYS days, nothing when it is over."""
    minutes = min(max(0, ends_at - now) // MINUTE, (MOST_DAYS + 1) * 1440 - 1)
    return minutes // 1440, minutes // 60 % 24, minutes % 60


@functools.lru_cache(maxsize=KEPT)
def draw(days: int, hours: int, minutes: int, language: str) -> bytes:
    """The image as PNG, WIDTH by HEIGHT; read from the right where the language is."""
    sheet = _sheet()
    rows = [bytearray(WIDTH) for _ in range(HEIGHT)]
    for place, number in enumerate((days, hours, minutes)):
        left = (2 - place if is_rtl(language) else place) * _WORD[0]
        for index, digit in enumerate(divmod(number, 10)):
            start = left + _WORD[0] // 2 + (index - 1) * _DIGIT[0]
            _put(sheet, rows, (digit * _DIGIT[0], _DIGIT[1] * is_rtl(language)), _DIGIT, (start, 0))
        row = 2 * _DIGIT[1] + LANGUAGES.index(language) * _WORD[1]
        _put(sheet, rows, (place * _WORD[0], row), _WORD, (left, _DIGIT[1]))
    return write_png(rows)


def _put(sheet: list[bytes], rows: list[bytearray], at: tuple[int, int], size: tuple[int, int], to: tuple[int, int]) -> None:
    for line in range(size[1]):
        rows[to[1] + line][to[0] : to[0] + size[0]] = sheet[at[1] + line][at[0] : at[0] + size[0]]


@functools.cache
def _sheet() -> list[bytes]:
    """Its rows: 0 = paper, 255 = ink. The file is of one grey, eight bits, no filter."""
    data = (Path(__file__).parent / "countdown.png").read_bytes()
    at, width, packed = len(_SIGNATURE), 0, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        width = struct.unpack(">I", body[:4])[0] if kind == b"IHDR" else width
        packed += body if kind == b"IDAT" else b""
        at += length + 12
    raw = zlib.decompress(packed)
    return [raw[start + 1 : start + 1 + width] for start in range(0, len(raw), width + 1)]


def write_png(rows: list[bytearray]) -> bytes:
    """Rows of levels between paper and ink as a PNG with a palette."""
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 3, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows), 6)
    return _SIGNATURE + b"".join(_chunk(*each) for each in ((b"IHDR", head), (b"PLTE", _PALETTE), (b"IDAT", packed), (b"IEND", b"")))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
