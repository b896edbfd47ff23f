"""Templates in MJML: made into HTML at load, with Liquid as it was; what is wrong is named with file and line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from daemon.content.campaign_file import Surroundings
from daemon.content.campaigns import CampaignVersion, read_folder
from daemon.content.mjml import html_of
from daemon.content.render import Renderer
from daemon.content.variables import build_variables
from daemon.model.recipient import Recipient

CAMPAIGN = 'status = "draft"\npurpose = "marketing"\ntopic = "winback"\n[[step]]\nname = "reminder"\nchannels = ["email"]\n[enrol]\njobs = true\n'
HEAD = "---\nsubject: Hello {{ recipient.first_name }}\npreheader: Soon\n---\n"
WHOLE = HEAD + """<mjml>
  <mj-body>
    <mj-section>
      <mj-column>
        <mj-text>Hello {{ recipient.first_name }} &amp; co,&nbsp;<br />it is {{ recipient.days_since_order | plural: "day", "days" }}.</mj-text>
        {% if vars.last_product %}<mj-text>Your {{ vars.last_product }}</mj-text>{% endif %}
        <mj-button href="https://shop.example.com/?p={{ vars.last_product }}">Go</mj-button>
        <mj-raw>{% for item in vars.list %}<tr><td>{{ item }}</td></tr>{% endfor %}</mj-raw>
        <mj-text><a href="{{ unsubscribe_url }}">Unsubscribe</a></mj-text>
      </mj-column>
    </mj-section>
  </mj-body>
</mjml>
--- text
Hello {{ recipient.first_name }}: {{ unsubscribe_url }}
"""
WORDS = {"last_product": "<shoes>", "list": ["a", "b"]}


def load(folder: Path, **files: str) -> tuple[CampaignVersion | None, list[str]]:
    """The campaign of these templates, and what is wrong with it, without the folder."""
    place = folder / "w"
    place.mkdir(exist_ok=True)
    (place / "campaign.toml").write_text(CAMPAIGN)
    for name, text in files.items():
        (place / name.replace("__", ".")).write_text(text, encoding="utf-8")
    version, problems = read_folder(place, Surroundings())
    return version, [str(problem).removeprefix(f"{place}/") for problem in problems]


def render(version: CampaignVersion, locale: str | None = None, **traits: object) -> tuple[str, str]:
    who = Recipient(id=1, key="c-1", email="a@example.com", locale=locale, traits={"first_name": "Sari", "days_since_order": 45, **traits})
    made = Renderer(version).render("reminder", "email", locale, build_variables(who, WORDS, unsubscribe_url="https://go.example.com/u/x", now=0))
    return made.html, made.text


def test_a_mail_in_mjml_is_one_in_html_with_its_words_filled_in(tmp_path: Path) -> None:
    """Blocks and loops too; values are escaped; the text part and the head are as ever; nothing of MJML is left, and no font is loaded."""
    version, problems = load(tmp_path, reminder__email__mjml=WHOLE)
    assert problems == []
    assert version is not None
    html, text = render(version)
    for piece in ("Hello Sari &amp; co,&nbsp;<br />it is 45 days.", "Your &lt;shoes&gt;", "<tr><td>a</td></tr><tr><td>b</td></tr>", 'href="https://go.example.com/u/x"'):
        assert piece in html
    assert html.startswith("<!doctype html><html")
    assert html.count("<body") == 1
    assert "Soon" in html
    assert text == "Hello Sari: https://go.example.com/u/x\n"
    for wrong in ("<mj-", "HMGLQ", "{%", "fonts.googleapis", 'dir="auto"', 'lang="und"'):
        assert wrong not in html
    assert "Hello {{" not in render(CampaignVersion.from_json(version.to_json()))[0], "what the store keeps needs no MJML any more"


def test_right_to_left_reaches_every_part(tmp_path: Path) -> None:
    """By the file's locale, or by its words; what the author says himself holds."""
    persian = WHOLE.replace("Hello", "سلام").replace("<mj-text>Your", '<mj-text align="left">Your')
    version, problems = load(tmp_path, reminder__email__mjml=WHOLE, reminder__email__fa__mjml=persian)
    assert problems == []
    assert version is not None
    html = render(version, "fa-IR")[0]
    assert '<html dir="rtl" lang="fa"' in html
    assert "direction:rtl" in html
    assert "direction:ltr" not in html
    assert "text-align:right" in html
    assert "text-align:left;" in html
    assert "direction:rtl" not in render(version, "en")[0]


def test_mjml_and_html_may_stand_side_by_side_but_not_for_the_same(tmp_path: Path) -> None:
    """A locale each; two files for one are a mistake."""
    plain = HEAD + '<p>Halo {{ recipient.first_name }}</p>\n<p><a href="{{ unsubscribe_url }}">x</a></p>\n'
    version, problems = load(tmp_path, reminder__email__mjml=WHOLE, reminder__email__id__liquid=plain)
    assert problems == []
    assert version is not None
    assert "Halo Sari" in render(version, "id")[0]
    assert "Hello Sari" in render(version, "ms")[0]
    _, problems = load(tmp_path, reminder__email__liquid=plain)
    assert problems == ["reminder.email.mjml:1: the same variant as reminder.email.liquid"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("<mj-section>", "<mj-secton>", 'reminder.email.mjml:7: MJML has no tag <mj-secton>; did you mean "mj-section"?'),
        ("      <mj-column>\n", "      <mj-column><p>x</p>\n", "reminder.email.mjml:8: <p> is HTML, which stands in <mj-text>, <mj-table> or <mj-raw> only"),
        ("<mj-text>Your", '<mj-text><mj-image src="https://x.example.com" />Your', "reminder.email.mjml:10: <mj-image> stands in <mj-text>, which takes HTML only"),
        ("<br />", "<br>", "reminder.email.mjml:9: not well-formed: mismatched tag; each tag is closed, `<br />` too"),
        ("<mjml>\n", '<!DOCTYPE x [<!ENTITY a "b">]><mjml>\n', "reminder.email.mjml:5: not well-formed: a document type is not taken"),
        ("<mj-body>", '<mj-include path="/etc/passwd" /><mj-body>', "reminder.email.mjml:6: MJML has no tag <mj-include>"),
        ("vars.last_product }}</mj-text>", "vras.last_product }}</mj-text>", 'reminder.email.mjml:10: vras.last_product: unknown variable; did you mean "vars"?'),
        ("{% endif %}", "", "reminder.email.mjml:10: `{% if %}` is never closed by `{% endif %}`"),
        ("| plural:", "| plurl:", 'reminder.email.mjml:9: plurl: unknown filter; did you mean "plural"?'),
        ("<mj-body>\n", "<mj-head>{{ shop.currency }}</mj-head><mj-body>\n", "reminder.email.mjml:6: MJML: unexpected token"),
        ("<mj-section>\n", '<mj-section>\n<mj-divider bogus="{{ shop.currency }}" />', "reminder.email.mjml:8: `{{ shop.currency }}` is lost"),
        ("subject: Hello", "subjct: Hello", "reminder.email.mjml:2: subjct: unknown head line"),
        ("https://shop.example.com/?p=", "javascript:x", "reminder.email.mjml:5: "),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_file_and_line(tmp_path: Path, old: str, new: str, problem: str) -> None:
    """Also those that the engine would drop without a word."""
    assert old in WHOLE
    _, problems = load(tmp_path, reminder__email__mjml=WHOLE.replace(old, new, 1))
    assert problems
    assert problem in problems[0]


def test_lines_of_the_text_part_stay_where_they_are(tmp_path: Path) -> None:
    """Though the HTML has other lines than the MJML."""
    _, problems = load(tmp_path, reminder__email__mjml=WHOLE + "{{ vras.x }}\n")
    assert len(problems) == 1
    assert f"reminder.email.mjml:{WHOLE.count(chr(10)) + 1}: vras.x: unknown variable" in problems[0]


def test_without_the_package_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a campaign without MJML does not ask for it."""
    monkeypatch.setitem(sys.modules, "mjml", None)
    _, problems = load(tmp_path, reminder__email__mjml=WHOLE)
    assert problems == ["reminder.email.mjml:5: MJML needs a package that is not installed: pip install 'homing[mjml]'"]
    assert html_of("reminder.email.mjml", HEAD) == (HEAD, [])


def test_mjml_is_for_mails_alone(tmp_path: Path) -> None:
    """Nothing else has HTML."""
    version, _ = load(tmp_path, reminder__email__mjml=WHOLE)
    assert version is not None
    place = tmp_path / "w"
    (place / "campaign.toml").write_text(CAMPAIGN.replace('["email"]', '["email", "sms"]'))
    (place / "reminder.sms.mjml").write_text("Hi")
    _, problems = read_folder(place, Surroundings())
    assert any("MJML is for mails" in str(problem) for problem in problems)
