"""What replies mean: clear words stop, unclear ones go to a person."""

from __future__ import annotations

import pytest

from channels.sms_twilio.words import meaning_of

STOP = [
    "STOP", "stop", " Stop! ", "stop pls", "Stop please", "STOPALL", "stop all", "unsubscribe", "UNSUBSCRIBE me", "opt out", "opt-out", "OptOut",
    "cancel", "End", "quit", "revoke", "stop texting me", "berhenti", "Berhenti dong", "tolong berhenti", "henti", "batal", "لغو", "لغو11", "لغو۱۱", "لغو ۱۱",
    "لطفا لغو", "توقف", "۱۱", "ＳＴＯＰ", "🛑 stop 🛑", "stop.", "STOP\n",
]  # fmt: skip
OTHER = [
    "no", "tidak", "cancel my order", "end of month", "when do you stop selling these shoes in Jakarta?", "don't stop", "yes", "ok", "🙏", "",
    "stop by the shop when you are open", "HELP", "I quit smoking", "نه",
]  # fmt: skip


@pytest.mark.parametrize("text", STOP)
@pytest.mark.promise("B53")
def test_clear_words_stop(text: str) -> None:
    """In the shipped languages, whatever case, signs, width and digits."""
    assert meaning_of(text) == "stop"


@pytest.mark.parametrize("text", OTHER)
@pytest.mark.promise("B53")
def test_unclear_words_are_for_a_person(text: str) -> None:
    """A customer who writes of something else is not unsubscribed."""
    assert meaning_of(text) == "other"


@pytest.mark.parametrize("text", ["START", "unstop", "mulai", "شروع"])
def test_start_is_said_in_one_word(text: str) -> None:
    """Only alone."""
    assert meaning_of(text) == "start"
    assert meaning_of(f"{text} my order again") == "other"


def test_the_config_adds_words() -> None:
    """A phrase counts as a whole."""
    assert meaning_of("Geen SMS meer!", ["geen sms meer"]) == "stop"
    assert meaning_of("geen sms", ["geen sms meer"]) == "other"
