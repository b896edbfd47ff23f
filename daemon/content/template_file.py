"""CONTENT: one template file (`STEP.CHANNEL[.LOCALE].liquid`) cut into its head lines, its body and its text part.

    ---
    subject: Hello {{ recipient.first_name }}
    preheader: It has been a while
    ---
    <p>..</p>
    --- text
    ..

Pure: a text in, parts with their lines and a list of problems out. An inline message of a job gives the same parts.
"""

from __future__ import annotations

import email.errors
import email.header
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from daemon.content.segments import Kind, MarkupError, Source, split_source
from daemon.errors import Problem, nearest
from plugins.push_text import fault_of_line

EMAIL = "email"
SMS = "sms"
EMAIL_HEAD = ("subject", "preheader")
PUSH_HEAD = ("title", "icon", "image", "url", "actions", "urgency")
HEADS: Mapping[str, tuple[tuple[str, ...], str]] = {EMAIL: (EMAIL_HEAD, "mail"), "push": (PUSH_HEAD, "push"), SMS: ((), "SMS: it has none")}
"""Channel -> its head lines; other channels take any."""
URGENCIES = ("very-low", "low", "normal", "high")
"""RFC 8030 §5.3."""
MAX_FILE = 128 * 1024
"""Characters; mail programs cut a mail off at about 100 KB."""
MAX_HEAD = 500
"""Characters of a head line, as written and as rendered."""

_FENCE = re.compile(r"---[ \t]*")
_PART = re.compile(r"---[ \t]+(\S.*?)[ \t]*")
_HEAD_LINE = re.compile(r"([A-Za-z][\w-]*)[ \t]*:[ \t]*(.*)")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]")
_LINE_ENDS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_ENCODED_WORD = re.compile(r"=\?[^?\s]{1,40}\?[bqBQ]\?[^?]*\?=")


@dataclass(slots=True, kw_only=True)
class TemplateFile:
    """The parts of a file; `html` is None for channels without it and where a mail has only text."""

    name: str
    head: dict[str, Source] = field(default_factory=dict)
    html: Source | None = None
    text: Source | None = None
    problems: list[Problem] = field(default_factory=list)

    def fault(self, line: int, what: str, key: str = "", suggestion: str | None = None) -> None:
        self.problems.append(Problem(where=f"{self.name}:{line}", key=key, what=what, suggestion=suggestion))


def normalise_text(content: str) -> str:
    """Without a byte order mark, with `\\n` as the only line end."""
    return content.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def parse_file(name: str, content: str, *, channel: str) -> TemplateFile:
    """The parts of a template file whose text is already normalised."""
    file = TemplateFile(name=name)
    lines = content.split("\n")
    first = 0
    if not _check_text(file, content):
        return file
    if _FENCE.fullmatch(lines[0]):
        first = _read_head(file, lines, channel)
    body, text = _cut(file, lines, first, channel)
    if channel == EMAIL:
        file.html, file.text = body, text
        if "subject" not in file.head and first:
            file.fault(1, "missing: a mail needs a subject line in its head", "subject", nearest("subject", file.head))
        elif not first:
            file.fault(1, "a mail's template begins with its head: a line `---`, a line `subject: ..`, a line `---`")
    else:
        file.text = body
    if not (file.html or file.text):
        file.fault(len(lines), "the template has no body")
    return file


def parse_inline(channel: str, parts: Mapping[str, str]) -> TemplateFile:
    """The parts of a job's own message; `parts` has `subject`, `text`, `html`, each a Liquid text."""
    file = TemplateFile(name="message")
    for key in ("subject", "html", "text"):
        content = parts.get(key, "")
        if not _check_text(file, content, key) or not content.strip():
            continue
        if key == "subject":
            file.head["subject"] = Source.build([(content.strip("\n"), 1)])
            check_head(file, "subject")
        elif key == "html":
            file.html = Source.build([(content, 1)])
        else:
            file.text = Source.build([(content, 1)])
    if file.problems:
        return file
    if channel == EMAIL and "subject" not in file.head:
        file.fault(1, "missing: a mail needs a subject", "subject")
    if channel != EMAIL and file.html:
        file.fault(1, f"the channel {channel} carries no HTML: give text", "html")
    if not (file.html or file.text):
        file.fault(1, "missing: the message needs text or html" if channel == EMAIL else "missing: the message needs text", "text")
    return file


def check_head(file: TemplateFile, key: str) -> None:
    """No line ends, no encoded word that hides one, not too long (header injection: facts, B26)."""
    source = file.head[key]
    if what := fault_of_head(source.text):
        file.fault(source.lines[0], what, key)


def fault_of_head(value: str) -> str | None:
    """What is wrong with a head line, as written or as rendered; None if nothing."""
    if len(value) > MAX_HEAD:
        return f"longer than {MAX_HEAD} characters"
    if _LINE_ENDS.search(value):
        return "has a line end or control character"
    if "=?" in value:
        for word in _ENCODED_WORD.findall(value):
            if _LINE_ENDS.search(_decoded(word)):
                return "has an encoded word that hides a line end or control character"
    return None


def _decoded(word: str) -> str:
    try:
        parts = email.header.decode_header(word)
        return "".join(part if isinstance(part, str) else part.decode(charset or "ascii", "replace") for part, charset in parts)
    except (email.errors.HeaderParseError, LookupError, ValueError):
        return "\n"  # what cannot be read is refused


def _check_text(file: TemplateFile, content: str, key: str = "") -> bool:
    """Is the text of a size and of characters to go on with?"""
    if len(content) > MAX_FILE:
        file.fault(1, f"larger than {MAX_FILE // 1024} KB", key)
    else:
        for match in list(_FORBIDDEN.finditer(content))[:5]:
            file.fault(content.count("\n", 0, match.start()) + 1, f"control character U+{ord(match[0]):04X}", key)
    return not file.problems


def _read_head(file: TemplateFile, lines: list[str], channel: str) -> int:
    """Fill the head; the index of the first line after it."""
    for index, line in enumerate(lines[1:], start=1):
        if _FENCE.fullmatch(line):
            return index + 1
        match = _HEAD_LINE.fullmatch(line)
        if match is not None:
            _head_line(file, match[1], match[2].rstrip(), index + 1, channel)
        elif line.strip():
            file.fault(index + 1, "a head line is `key: value`")
    file.fault(1, "the head is not closed by a second line `---`")
    return len(lines)


def _head_line(file: TemplateFile, key: str, value: str, line: int, channel: str) -> None:
    known, what = HEADS.get(channel, ((key,), ""))
    if key not in known:
        article = "an" if channel == SMS else "a"
        file.fault(line, f"unknown head line of {article} {what}", key, nearest(key, known))
    elif key in file.head:
        file.fault(line, "given twice", key)
    else:
        file.head[key] = Source.build([(value, line)])
        if not value:
            file.head[key] = Source("", (0,), (line,))
            file.fault(line, "is empty", key)
        elif key == "urgency" and channel == "push" and "{" not in value and value.lower() not in URGENCIES:
            file.fault(line, f"must be one of {', '.join(URGENCIES)}", key, nearest(value, URGENCIES))
        elif channel == "push" and (fault := _fault_of_push(key, value)) is not None:
            file.fault(line, fault, key)
        check_head(file, key)


def _fault_of_push(key: str, value: str) -> str | None:
    """What is wrong with a link or a button of a push whatever the values will be; a line with blocks of Liquid is left to the sending."""
    try:
        segments = split_source(value)
    except MarkupError:
        return None  # told by who compiles it
    if any(segment.kind not in (Kind.TEXT, Kind.OUTPUT) for segment in segments):
        return None
    return fault_of_line(key, "".join(segment.text if segment.kind is Kind.TEXT else "/x" for segment in segments))


def _cut(file: TemplateFile, lines: list[str], first: int, channel: str) -> tuple[Source | None, Source | None]:
    """The body and the text part; None where there is only white space. Only a mail has parts."""
    end = cut = len(lines)
    for index in range(first, len(lines)) if channel == EMAIL else ():
        match = _PART.fullmatch(lines[index])
        if match and match[1] == "text" and cut < len(lines):
            file.fault(index + 1, "a second `--- text`")
        elif match and match[1] == "text":
            end, cut = index, index + 1
        elif match and cut == len(lines) and (near := nearest(match[1].lower(), ["text"])):
            file.fault(index + 1, f"`--- {match[1]}` is no part of a mail", "", f"--- {near}")
    text = _source(lines, cut, len(lines))
    if cut > end and text is None:
        file.fault(end + 1, "the text part is empty: leave `--- text` out, and it is made from the HTML")
    return _source(lines, first, end), text


def _source(lines: list[str], first: int, end: int) -> Source | None:
    text = "\n".join(lines[first:end])
    return Source.build([(text.rstrip("\n") + "\n", first + 1)]) if text.strip() else None
