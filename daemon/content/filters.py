"""CONTENT: the filters that Homing gives templates: those of its own, and bounded ones in place of the library's.

The replaced ones could be made to build gigabytes (`replace`, `join`), to run quadratically (`uniq`, `map`, `strip_html`) or to read
the wall clock (`date`). Each function takes the value first; `context` is the render's, with the recipient's locale and zone.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from liquid.builtin.filters import array
from liquid.exceptions import FilterArgumentError, ResourceLimitError
from liquid.filter import sequence_filter, string_filter, with_context
from markupsafe import Markup
from markupsafe import escape as escape_html

from daemon.content.formats import write_date, write_money, write_number, write_plural, write_relative

if TYPE_CHECKING:
    from daemon.content.hardened import SafeContext

LARGEST = 256 * 1024
URL_GUARD = "homing_url"
"""Put by the loader behind each value that starts an address in HTML."""
URL_SCHEMES = frozenset({"http", "https", "mailto", "tel", "sms"})

_IGNORED_IN_URLS = re.compile(r"[\x00-\x20\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060\ufeff]")
_REMEMBERED = frozenset({int, float, str})
MAX_REMEMBERED = 100
"""Characters: values come from outside, and what is remembered must not grow with them."""
_SKIPPED_ELEMENTS = ("script", "style")


class UnsafeUrlError(FilterArgumentError):
    """A recipient's value would make a link of a scheme that no mail may carry."""


@with_context
def money(value: object, currency: object = None, *, context: SafeContext) -> str:
    """`{{ vars.price | money }}` in the shop's currency, `| money: "IDR"` in another."""
    code = context.setting.currency if currency is None else str(currency)
    return _worded("money", write_money, value, code, context.setting.locale)


@with_context
def number(value: object, *, context: SafeContext) -> str:
    """`{{ vars.points | number }}`: separators and digits of the language."""
    return _worded("number", write_number, value, context.setting.locale)


@with_context
def plural(value: object, *forms: object, context: SafeContext) -> str:
    """`{{ 45 | plural: "day", "days" }}`: the number and the form that the language's rule picks."""
    words = tuple(str(form) for form in forms)
    if not words:
        raise FilterArgumentError('plural needs the word: plural: "day", "days"', token=None)
    return _worded("plural", write_plural, value, words, context.setting.locale)


@with_context
def date(value: object, style: object = "long", calendar: object = None, *, context: SafeContext) -> str:
    """`{{ vars.at | date: "long" }}` in the recipient's zone and language; also "short", "full", "time" and `%d %B %Y`. Persian gets its
    own calendar, `date: "long", "gregorian"` the other."""
    setting = context.setting
    if value in ("now", "today"):
        if setting.now is None:
            raise FilterArgumentError(f'date does not know "{value}" here', token=None)
        value = setting.now
    of = None if calendar is None else str(calendar)
    return _worded("date", write_date, value, str(style), setting.locale, setting.zone, of)


@with_context
def relative(value: object, *, context: SafeContext) -> str:
    """`{{ recipient.last_order_at | relative }}`: "45 days ago", "in 3 days", in the recipient's language."""
    setting = context.setting
    if setting.now is None:
        raise FilterArgumentError("relative does not know what time it is here", token=None)
    try:
        return write_relative(value, setting.now, setting.locale, setting.zone)
    except ValueError as error:
        raise FilterArgumentError(f"relative {error}", token=None) from None


def guard_url(value: object) -> object:
    """Refuse a value that would start an address with a scheme other than those of `URL_SCHEMES`."""
    text = html.unescape(str(value)) if isinstance(value, Markup) else str(value)
    head = re.split(r"[/?#]", _IGNORED_IN_URLS.sub("", text), maxsplit=1)[0]
    scheme, colon, _ = head.partition(":")
    if colon and scheme.lower() not in URL_SCHEMES:
        raise UnsafeUrlError(f"a link of the scheme {scheme[:20]!r} is refused", token=None)
    return value


@string_filter
def replace(value: str, old: object, new: object = "") -> str:
    """Each `old` replaced by `new`; the size is known before the string is made."""
    old, new = _as_text(old), _as_text(new)
    longest = len(escape_html(new)) if isinstance(value, Markup) else len(new)
    _bound(len(value) + (value.count(old) if old else len(value) + 1) * longest)
    return value.replace(old, new)


@sequence_filter
def join(items: Any, separator: object = " ") -> str:
    """The items as one string; the size is known before the string is made."""
    words = [item if isinstance(item, str) else str(item) for item in items]
    glue = _as_text(separator)
    if glue == " " and any(isinstance(word, Markup) for word in words):
        glue = Markup(" ")
    _bound(sum(map(len, words)) + len(glue) * len(words))
    return glue.join(words)


def map_(items: Any, key: object) -> Any:
    """The library's, with the key made a text once: it did so for each item, and a key may be a list of thousands."""
    return array.map_(items, _as_text(key))


@sequence_filter
def uniq(items: Any, key: object = None) -> list[object]:
    """The first of each equal item (or item of equal `key`), in order; linear for texts and numbers."""
    seen: set[object] = set()
    kept: list[object] = []
    name = None if key is None else _as_text(key)
    for item in items:
        mark = item if name is None else (item.get(name) if isinstance(item, Mapping) else None)
        shown = (type(mark).__name__, mark) if isinstance(mark, (str, int, float, bool, type(None))) else repr(mark)
        if shown not in seen:
            seen.add(shown)
            kept.append(item)
    return kept


@string_filter
def strip_html(value: str) -> str:
    """The text without tags, comments and the contents of script and style; one pass."""
    kept: list[str] = []
    position = 0
    while (opening := value.find("<", position)) >= 0:
        kept.append(value[position:opening])
        position = _end_of_markup(value, opening)
        if position < 0:
            break
    else:
        kept.append(value[position:])
    text = "".join(kept)
    return Markup(text) if isinstance(value, Markup) else text  # noqa: S704  escaped before: only tags were taken out


def _end_of_markup(value: str, opening: int) -> int:
    """Offset after the comment, skipped element or tag that opens here; -1 if it never ends."""
    if value.startswith("<!--", opening):
        end = value.find("-->", opening + 4)
        return end + 3 if end >= 0 else -1
    for name in _SKIPPED_ELEMENTS:
        if value[opening + 1 : opening + 1 + len(name)].lower() == name:
            closing = re.compile(f"</{name}", re.IGNORECASE).search(value, opening)
            opening = closing.start() if closing else len(value)
    end = value.find(">", opening)
    return end + 1 if end >= 0 else -1


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else str(value)


def _bound(size: int) -> None:
    if size > LARGEST:
        raise ResourceLimitError(f"a filter gives more than {LARGEST} characters", token=None)


@functools.lru_cache(maxsize=4096, typed=True)
def _remembered(write: Callable[..., str], value: object, *rest: Any) -> str:
    return write(value, *rest)


def _is_short(value: object, rest: tuple[Any, ...]) -> bool:
    forms = rest[0] if rest and isinstance(rest[0], tuple) else rest[:1]
    return not any(isinstance(each, str) and len(each) > MAX_REMEMBERED for each in (value, *forms))


def _worded(name: str, write: Callable[..., str], value: object, *rest: Any) -> str:
    """What a formatter writes; the same days, prices and dates come back for thousands of recipients (40 us each uncached)."""
    try:
        return _remembered(write, value, *rest) if type(value) in _REMEMBERED and _is_short(value, rest) else write(value, *rest)
    except ValueError as error:
        raise FilterArgumentError(f"{name} {error}", token=None) from None


OURS: Mapping[str, Callable[..., Any]] = {
    "money": money,
    "number": number,
    "plural": plural,
    "date": date,
    "relative": relative,
    "replace": replace,
    "join": join,
    "map": map_,
    "uniq": uniq,
    "strip_html": strip_html,
    URL_GUARD: guard_url,
}
