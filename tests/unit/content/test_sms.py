"""SMS templates: words only, a way out in the recipient's language, and a warning where their own text costs more than it needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daemon.app.setup import read_setup
from daemon.content.campaign_file import Surroundings, read_campaign
from daemon.content.campaigns import CampaignVersion, inline_version
from daemon.content.render import Renderer
from daemon.content.sms_check import sms_warnings
from daemon.errors import ConfigError
from daemon.model.job import InlineMessage

TOML = 'status = "active"\n{}\n[enrol]\njobs = true\n[[step]]\nname = "reminder"\nchannels = ["sms"]\n'
VALUES = {"recipient": {"first_name": "Sari"}, "vars": {}, "unsubscribe_url": "https://go.example.com/u/x"}


def version(text: str, locale: str = "", top: str = "") -> CampaignVersion:
    """Of a campaign of one SMS; the file without a locale is there always."""
    campaign, problems = read_campaign("winback", TOML.format(top), Surroundings())
    assert campaign is not None, problems
    files = {"reminder.sms.liquid": text, **({f"reminder.sms.{locale}.liquid": text} if locale else {})}
    return CampaignVersion.of(campaign, files)


def words(text: str, locale: str = "", *, recipient: str | None = None, top: str = "") -> str:
    """What goes out."""
    made = Renderer(version(text, locale, top)).render("reminder", "sms", recipient or locale or None, VALUES)
    assert made.html == made.subject == ""
    return made.text.strip()


LINES = {
    "en": "Reply STOP to opt out.",
    "id": "Balas STOP untuk berhenti.",
    "ms": "Balas STOP untuk berhenti.",
    "fa": "برای لغو، STOP بفرستید.",
    "de": "Reply STOP to opt out.",
}


@pytest.mark.parametrize("own_file", [True, False])
@pytest.mark.parametrize("locale", LINES)
def test_a_marketing_sms_names_the_way_out(locale: str, own_file: bool) -> None:
    """In the language of its file, or of the recipient where the file is for all."""
    text = "Halo {{ recipient.first_name }}, 15% untuk Anda."
    made = words(text, locale) if own_file else words(text, recipient=locale)
    assert made == f"Halo Sari, 15% untuk Anda.\n{LINES[locale]}"


SAID = [
    "Halo. Balas STOP untuk berhenti",
    "Stop? reply stop",
    "Ketik berhenti ke 12345",
    "Unsubscribe: https://x.example",
    "opt-out: 12345",
    "سلام. لغو: ۱۱",
    "Bye: {{ unsubscribe_url }}",
]
UNSAID = ["Non-stop sale!", "Jangan berhenti belanja", "Halo {% if recipient.first_name == 'Ani' %}{{ unsubscribe_url }}{% endif %}"]


@pytest.mark.parametrize("text", SAID)
def test_an_sms_that_names_it_gets_no_second_line(text: str) -> None:
    """A keyword, or the link where nothing can leave it out."""
    assert words(text).count("\n") == 0


@pytest.mark.parametrize("text", UNSAID)
def test_a_word_that_only_looks_like_it_is_no_way_out(text: str) -> None:
    """Nor is a link that a condition may leave out."""
    assert words(text).endswith(LINES["en"])


def test_a_transactional_sms_is_left_alone() -> None:
    """And so is a job's own."""
    assert words("Kode: 1234", top='purpose = "transactional"') == "Kode: 1234"
    message = InlineMessage(channel="sms", purpose="marketing", text="Halo")
    made = Renderer(inline_version("j", message)).render("message", "sms", "id", VALUES)
    assert made.text.strip() == "Halo\nBalas STOP untuk berhenti."


def test_an_sms_has_no_head() -> None:
    """The line that does not belong there is named."""
    with pytest.raises(ConfigError, match=r"reminder\.sms\.liquid:2: subject: unknown head line of an SMS: it has none"):
        Renderer(version("---\nsubject: x\n---\nHalo"))


WARNINGS = [
    ("Halo. Balas STOP", []),
    ("Halo “Sari”. Balas STOP", ["reminder.sms.liquid:1: “ (U+201C), ” (U+201D) makes the SMS UCS-2: 70 characters a segment in place of 160; a plain one would do (or smart_encoding)"]),
    ("Halo\nSari 😀. Balas STOP", ["reminder.sms.liquid:2: 😀 (U+1F600) makes the SMS UCS-2: 70 characters a segment in place of 160"]),
    ("x" * 161 + " Balas STOP", ["reminder.sms.liquid:1: the SMS takes 2 segments (GSM-7) before any value is put in"]),
    ("{% if recipient.vip %}" + "x" * 161 + "{% endif %}Balas STOP", []),
    ("سلام، پانزده درصد تخفیف برای شما. لغو ۱۱", []),
    ("سلام " * 20 + "لغو", ["reminder.sms.liquid:1: the SMS takes 2 segments (UCS-2) before any value is put in"]),
    ("x" * 140 + "{{ recipient.first_name }}", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WARNINGS)
def test_what_a_template_costs_by_itself_is_told(text: str, expected: list[str]) -> None:
    """More than one segment in any case, or one character that halves what fits; a language of its own alphabet is no slip."""
    assert sms_warnings(version(text)) == expected


def test_a_check_of_the_config_shows_them(tmp_path: Path) -> None:
    """With the file's place; they stop nothing."""
    folder = tmp_path / "campaigns" / "winback"
    folder.mkdir(parents=True)
    (folder / "campaign.toml").write_text(TOML.format(""), encoding="utf-8")
    (folder / "reminder.sms.liquid").write_text("Halo – Sari. Balas STOP", encoding="utf-8")
    config = {"state_dir": str(tmp_path / "var"), "campaigns": str(tmp_path / "campaigns"), "default_zone": "Asia/Jakarta"}
    (tmp_path / "config.toml").write_text("[homing]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items()), encoding="utf-8")
    warnings = read_setup(tmp_path / "config.toml", {}).warnings
    assert next(warning for warning in warnings if "UCS-2" in warning).startswith(f"{folder}/reminder.sms.liquid:1: – (U+2013)")
