"""CONTENT: what is worth a word about SMS templates before they cost money: how many segments their own text takes, and why.

No error: a long message may be meant. Looks at the text that every recipient gets; values come on top. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from daemon.content.render import compile_version
from daemon.content.segments import Kind, Segment, Source, split_source
from daemon.content.template_file import SMS
from daemon.content.version import CampaignVersion
from plugins.sms_text import measure_sms, plain_sms

FEW = 3
"""So many different characters outside of GSM-7 are a slip; more are a language."""

_BLOCKS = frozenset({"if", "unless", "for", "case", "tablerow", "ifchanged", "capture"})


def sms_warnings(version: CampaignVersion) -> list[str]:
    """`FILE:LINE: what`, with the file's bare name (`message` for a job's own)."""
    found: list[str] = []
    for (_, _, channel), files in compile_version(version).templates.items():
        if channel == SMS:
            for compiled in files.values():
                found += [f"{compiled.file}:{line}: {what}" for line, what in _look(compiled.text.source)]
    return sorted(set(found))


def _look(source: Source) -> Iterator[tuple[int, str]]:
    segments = split_source(source.text)
    texts = [segment for segment in segments if segment.kind is Kind.TEXT]
    whole = "".join(segment.text for segment in texts)
    size = measure_sms(whole)
    if 0 < len(size.culprits) <= FEW:
        named = ", ".join(f"{each} (U+{ord(each):04X})" for each in size.culprits)
        cure = "; a plain one would do (or smart_encoding)" if measure_sms(plain_sms(whole)).encoding != size.encoding else ""
        offset = next(segment.start + segment.text.index(size.culprits[0]) for segment in texts if size.culprits[0] in segment.text)
        yield source.line(offset), f"{named} makes the SMS UCS-2: 70 characters a segment in place of 160{cure}"
    always = measure_sms("".join(_always(segments)).strip())
    if always.segments > 1:
        yield source.lines[0], f"the SMS takes {always.segments} segments ({always.encoding}) before any value is put in"


def _always(segments: Sequence[Segment]) -> Iterator[str]:
    """The text that no block of Liquid can leave out."""
    depth = 0
    for segment in segments:
        if segment.kind is Kind.TAG:
            depth += segment.name in _BLOCKS
            depth -= segment.name.startswith("end")
        elif segment.kind is Kind.TEXT and not depth:
            yield segment.text
