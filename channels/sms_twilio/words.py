"""Twilio SMS: what a reply means: STOP, START, or words for a person to read. Pure.

STOP by "any reasonable means" (FCC 47 CFR 64.1200(a)(10)): the usual words and those of the shipped languages, alone, or first in
a short message for words that mean nothing else. A doubtful one is a reply for a person, not a STOP.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Literal

Meaning = Literal["stop", "start", "other"]

PLAIN = frozenset({"stop", "stopall", "unsubscribe", "optout", "revoke", "berhenti", "hentikan", "لغو", "لغو11"})
"""Mean STOP wherever they stand first in a short message: "stop pls", "unsubscribe me"."""
ALONE = frozenset({"cancel", "end", "quit", "remove", "opt out", "batal", "henti", "keluar", "توقف", "انصراف", "قطع", "11"})
"""Mean STOP only alone: "cancel my order" does not."""
START = frozenset({"start", "unstop", "mulai", "mula", "شروع"})
"""YES is none: it may answer some question of ours."""
POLITE = frozenset({"please", "pls", "plz", "now", "tolong", "sila", "لطفا", "لطفاً"})
SHORT = 4
_SEPARATORS = re.compile(r"[\W_]+")


def meaning_of(text: str, extra: Collection[str] = ()) -> Meaning:
    """What a reply asks for. `extra`: more words (or phrases) that mean STOP when alone."""
    words = _words(text)
    said = " ".join(word for word in words if word not in POLITE)
    if said in PLAIN or said in ALONE or said in {" ".join(_words(each)) for each in extra}:
        return "stop"
    if words and words[0] in PLAIN and len(words) <= SHORT:
        return "stop"
    return "start" if said in START else "other"


def _words(text: str) -> list[str]:
    """Lower-case words, digits of every script as 0-9, without marks, signs and the invisible joiners of Persian."""
    plain = unicodedata.normalize("NFKC", text[:1600]).casefold().replace("\u200c", "").replace("ي", "ی").replace("ك", "ک")
    digits = "".join(str(unicodedata.digit(each)) if each.isdigit() and unicodedata.digit(each, -1) >= 0 else each for each in plain)
    return _SEPARATORS.sub(" ", digits).split()
