"""SMTP: header fields as bytes-to-be: checked, encoded (RFC 2047) and folded by ourselves. Pure; strings in, strings out.

Python's `email` costs 1.5 ms a mail, turns long List-Unsubscribe tokens into encoded words and lets headers be injected on common
versions (facts/libraries.md trap 1, facts/reliability.md §6, CVE-2024-6923, CVE-2026-1299). Here a value with a line break, another
control character or an encoded word of its own is refused, lines end at 76 columns, and a long token stays whole.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime

MAX_VALUE = 998
"""Characters in one value, and so in one line (RFC 5322 §2.1.1)."""

LINE = 76
MAX_PHRASE = 60
"""A longer display name is sent as encoded words, which can be folded anywhere."""

MAX_ID = 60
"""So that `=_homing-ID` is a boundary of at most 70 characters (RFC 2046 §5.1.1)."""

_plain = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_control = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_encoded_word = re.compile(r"=\?[^?\s]+\?[bqBQ]\?[^?]*\?=")
_phrase = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_url = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-;=?-~]+")
_id = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_not_token = re.compile(r"[^A-Za-z0-9._-]+")

_Q = [chr(b) if chr(b).isascii() and (chr(b).isalnum() or chr(b) in "!*+-/") else f"={b:02X}" for b in range(256)]
_Q[0x20] = "_"
"""The alphabet that is safe in subjects and in display names (RFC 2047 §5)."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class BadHeader(ValueError):
    """A value that must not become a header; the message names the field and the reason, never the value."""


def checked(name: str, value: str) -> str:
    """The value without outer blanks and with tabs as spaces. Raises BadHeader for what could end or open a header.

    An encoded word that arrives ready-made is refused too: some reader decodes it, and with it whatever it hides (B26).
    """
    value = value.replace("\t", " ").strip(" ")
    if _plain.fullmatch(value) is None and (match := _control.search(value)) is not None:
        raise BadHeader(f"{name} has the control character U+{ord(match[0]):04X}")
    if "=?" in value and _encoded_word.search(value) is not None:
        raise BadHeader(f"{name} has an encoded word of its own")
    if len(value) > MAX_VALUE:
        raise BadHeader(f"{name} is longer than {MAX_VALUE} characters")
    return value


def text_field(name: str, value: str) -> str:
    """An unstructured field, such as Subject, as `Name: value` without the last line break."""
    value = checked(name, value)
    if _plain.fullmatch(value) is None or "=?" in value:
        return f"{name}: {encoded_words(value, len(name) + 2)}" if value else f"{name}:"
    return fold(f"{name}: {value}")


def fold(line: str) -> str:
    """Break a field at blanks so that its lines have at most 76 columns; a longer token stays whole."""
    lines = []
    start = line.find(": ") + 3
    while len(line) > LINE:
        cut = line.rfind(" ", start, LINE + 1)
        if cut < 0:
            cut = line.find(" ", LINE + 1)
        while cut > start and line[cut - 1] == " ":
            cut -= 1
        if cut < start:
            break
        lines.append(line[:cut])
        line = line[cut:]
        start = len(line) - len(line.lstrip(" ")) + 1
    lines.append(line)
    return "\r\n".join(lines)


def encoded_words(value: str, column: int) -> str:
    """The value as encoded words of at most 75 columns, one a line, the first after `column` columns; characters stay whole.

    Q or B, whichever is shorter: filters take base64 in a mostly Latin subject as a sign of spam.
    """
    octets = value.encode()
    quoted = sum(1 if len(_Q[b]) == 1 else 3 for b in octets)
    return _words_q(value, column) if quoted <= 4 * ((len(octets) + 2) // 3) else _words_b(octets, column)


def _words_q(value: str, column: int) -> str:
    words = []
    word: list[str] = []
    room = LINE - column - 12
    for char in value:
        unit = "".join([_Q[b] for b in char.encode()])
        if len(unit) > room and word:
            words.append("".join(word))
            word = []
            room = LINE - 1 - 12
        word.append(unit)
        room -= len(unit)
    words.append("".join(word))
    return "\r\n ".join(f"=?utf-8?q?{word}?=" for word in words)


def _words_b(octets: bytes, column: int) -> str:
    words = []
    at = 0
    room = (LINE - column - 12) // 4 * 3
    while at < len(octets):
        end = min(at + room, len(octets))
        while end < len(octets) and octets[end] & 0xC0 == 0x80:  # inside a character
            end -= 1
        words.append(base64.b64encode(octets[at:end]).decode("ascii"))
        at = end
        room = (LINE - 1 - 12) // 4 * 3
    return "\r\n ".join(f"=?utf-8?b?{word}?=" for word in words)


def address_field(name: str, display: str, spec: str) -> str:
    """`Name: display <spec>`; the display name as atoms, as a quoted string or as encoded words."""
    display = checked(name, display)
    if not display:
        return f"{name}: {spec}"
    if not display.isascii() or "=?" in display or len(display) > MAX_PHRASE:
        phrase = encoded_words(display, len(name) + 2)
    elif _phrase.fullmatch(display) is not None:
        phrase = display
    else:
        phrase = '"' + display.replace("\\", "\\\\").replace('"', '\\"') + '"'
    line = f"{name}: {phrase} <{spec}>"
    if len(line.rsplit("\r\n", 1)[-1]) <= LINE:
        return line
    return f"{name}: {phrase}\r\n <{spec}>"


def url_field(name: str, url: str) -> str:
    """`Name: <url>` on one line whatever its length up to 998: a folded or encoded link is a dead one."""
    if _url.fullmatch(url) is None or len(name) + 4 + len(url) > MAX_VALUE:
        raise BadHeader(f"{name} is no printable URL of at most {MAX_VALUE} characters")
    return f"{name}: <{url}>"


def message_id(id: str, domain: str) -> str:
    """`<id@domain>`; the same for each attempt, so that logs, bounces and doubts meet."""
    if len(id) > MAX_ID or _id.fullmatch(id) is None:
        raise BadHeader("the id of the message cannot stand in a Message-ID")
    return f"<{id}@{domain}>"


def token(text: str) -> str:
    """The text as a word without separators, for Feedback-ID, whose fields are divided by colons."""
    return _not_token.sub("-", text)[:64].strip("-") or "-"


def date(at: datetime) -> str:
    """An aware instant as RFC 5322 writes it, in UTC, whatever the locale of the process."""
    at = at.astimezone(UTC)
    return f"{_DAYS[at.weekday()]}, {at.day:02d} {_MONTHS[at.month - 1]} {at.year:04d} {at.hour:02d}:{at.minute:02d}:{at.second:02d} +0000"
