"""Messages made of a version: variants, missing values, unsafe values, pieces, and what Homing adds to a mail."""

from __future__ import annotations

import dataclasses
import html as html_escapes
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from daemon.clock import to_instant
from daemon.content.campaign_file import Surroundings, read_campaign
from daemon.content.campaigns import CampaignVersion, inline_version
from daemon.content.formats import to_moment, zone_of
from daemon.content.render import Rendered, Renderer, RenderError
from daemon.content.variables import build_variables, days_since
from daemon.errors import ConfigError
from daemon.model.delivery import DAY, Reason
from daemon.model.job import InlineMessage
from daemon.model.recipient import Recipient

TOML = 'status = "active"\n{}\n[enrol]\njobs = true\n[[step]]\nname = "reminder"\nchannels = ["{}"]\n'
URL = "https://go.example.com/u/v1.0123abcd.token"
NOW = 1_795_000_000_000_000


def renderer(files: Mapping[str, str], top: str = "", channel: str = "email", **shop: object) -> Renderer:
    """Of a campaign with these templates (`reminder.email.liquid` may be given as "")."""
    names = {f"reminder.{channel}{'.' if locale else ''}{locale}.liquid": text for locale, text in files.items()}
    campaign, problems = read_campaign("winback", TOML.format(top, channel), Surroundings())
    assert campaign is not None, problems
    return Renderer(CampaignVersion.of(campaign, names), shop=shop)


def mail(body: str, *, subject: str = "Hello", head: str = "") -> str:
    """A template file."""
    return f"---\nsubject: {subject}\n{head}---\n{body}\n"


def render(body: str, values: Mapping[str, Any] | None = None, *, locale: str | None = None, top: str = "", **parts: str) -> Rendered:
    """One mail of one body; `values` are the job's vars."""
    variables = {"recipient": {"first_name": "Sari"}, "vars": values or {}, "unsubscribe_url": URL}
    return renderer({"": mail(body, **parts)}, top).render("reminder", "email", locale, variables, now=NOW)


def held(body: str, values: Mapping[str, Any] | None = None, **parts: str) -> RenderError:
    """The error that holds such a mail."""
    with pytest.raises(RenderError) as caught:
        render(body, values, **parts)
    return caught.value


@pytest.mark.parametrize(
    ("locale", "taken"),
    [("fa-IR", "fa-IR"), ("fa_ir", "fa-IR"), ("fa", "fa"), ("fa-AF", "fa"), ("pt-BR", None), (None, None), ("", None), ("x" * 300, None), ("id", "id"), ("ID", "id")],
)  # fmt: skip
def test_best_variant_is_taken(locale: str | None, taken: str | None) -> None:
    """fa-IR, else fa, else the file without a locale."""
    made = renderer({name: mail(name or "none") for name in ("", "fa", "fa-IR", "id")})
    rendered = made.render("reminder", "email", locale, {"recipient": {}, "vars": {}, "unsubscribe_url": URL})
    assert rendered.locale == taken
    assert rendered.text.startswith(taken or "none")


def test_unknown_step_or_channel_is_a_programming_error() -> None:
    """A delivery is planned for what its version has."""
    with pytest.raises(KeyError):
        renderer({"": mail("x")}).render("other", "email", None, {})


@pytest.mark.promise("B29")
@pytest.mark.parametrize(
    ("body", "variable"),
    [
        ("<p>x</p>\n{{ vars.product }}", "vars.product"),
        ("<p>x</p>\n{{ vars.product.name }}", "vars.product.name"),
        ("<p>x</p>\n{{ vars.product | upcase }}", "vars.product"),
        ("<p>x</p>\n{{ vars.price | times: 2 }}", "vars.price"),
        ("<p>x</p>\n{{ 2 | times: vars.price }}", "vars.price"),
        ("<p>x</p>\n{% if vars.vip %}a{% endif %}", "vars.vip"),
        ("<p>x</p>\n{% if vars.vip == 'yes' %}a{% endif %}", "vars.vip"),
        ("<p>x</p>\n{% unless vars.vip %}a{% endunless %}", "vars.vip"),
        ("<p>x</p>\n{% for i in vars.list %}a{% endfor %}", "vars.list"),
        ("<p>x</p>\n{% case vars.tier %}{% when 'high' %}a{% endcase %}", "vars.tier"),
        ("<p>x</p>\n{% assign a = vars.product %}", "vars.product"),
        ("<p>x</p>\n{{ vars.nothing }}", "vars.nothing"),
        ("<p>x</p>\n{{ vars.gap }}", "vars.gap"),
        ("<p>x</p>\n{{ vars.gap | capitalize }}", "vars.gap"),
        ("<p>x</p>\n{% assign a = vars.gap %}{{ a }}", "vars.gap"),
        ("<p>x</p>\n{% for i in vars.gaps %}{{ i }}{% endfor %}", "i"),
        ("<p>x</p>\n{{ vars.product | default: vars.other }}", "vars.other"),
        ("<p>x</p>\n{{ vars['a b'] }}", "vars['a b']"),
    ],
)
def test_missing_variable_holds_and_is_named(body: str, variable: str) -> None:
    """Absent, null and blank are missing; a condition does not make a variable optional."""
    error = held(body, {"nothing": None, "gap": "  ", "gaps": ["a", ""]})
    assert (error.reason, error.variable, error.template, error.line) == (Reason.RENDER_ERROR, variable, "reminder.email.liquid", 5)
    assert "| default:" in str(error)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("{{ vars.product | default: 'shoes' }}", "shoes"),
        ("{{ vars.product.name | default: 'shoes' }}", "shoes"),
        ("{{ vars.product | default: vars.other | default: 'hat' }}", "hat"),
        ("{{ vars.product | upcase | default: 'hat' }}", "hat"),
        ("{{ vars.given | default: vars.other }}", "given"),
        ("{{ vars.gap | default: 'hat' }}", "hat"),
        ("{{ vars.nothing | default: 'hat' }}", "hat"),
        ("{{ vars.zero | default: 'hat' }}", "0"),
        ("{{ vars.no | default: 'hat', allow_false: true }}", "false"),
        ("x{{ vars.product | default: '' }}x", "xx"),
        ("{% assign vip = vars.vip | default: false %}{% if vip %}a{% else %}b{% endif %}", "b"),
        ("{% assign list = vars.list | default: '' %}{% for i in list %}a{% else %}none{% endfor %}", "none"),
        ("{% assign own = '' %}x{{ own }}x", "xx"),
    ],
)
def test_default_makes_a_variable_optional(body: str, text: str) -> None:
    """Wherever in the chain it stands; what a template blanks itself is not missing."""
    rendered = render(body + "<p>.</p>", {"given": "given", "nothing": None, "gap": "", "zero": 0, "no": False})
    assert rendered.text.split("\n")[0] == text


def test_missing_variable_of_head_and_text_is_named_with_its_line() -> None:
    """Each part knows where it stands in the file."""
    assert held("<p>x</p>", subject="{{ vars.x }}").line == 2
    assert held("<p>x</p>", head="preheader: {{ vars.x }}\n").line == 3
    assert held("<p>x</p>\n--- text\na\n{{ vars.x }}").line == 7


@pytest.mark.promise("B26")
@pytest.mark.parametrize("value", ["a\nBcc: x@y.example", "a\r\nX: y", "a\rb", "a\x00b", "a\u2028b", "=?utf-8?q?a=0d=0aBcc:x?=", "a\x7f"])
def test_line_end_in_a_head_line_holds(value: str) -> None:
    """A recipient's value cannot add a header, not even encoded (B26)."""
    error = held("<p>x</p>", {"x": value}, subject="Hello {{ vars.x }}")
    assert error.reason is Reason.CONTENT_BLOCKED
    assert error.line == 2


@pytest.mark.promise("B26")
def test_too_long_a_head_line_holds() -> None:
    """A subject of 10 KB is a mistake."""
    assert held("<p>x</p>", {"x": "a" * 10_000}, subject="{{ vars.x }}").reason is Reason.TOO_LARGE


def test_a_head_line_that_is_the_same_for_all_is_made_once() -> None:
    """Without a tag it is one text in every message, stripped as others are; with one it is each message's own."""
    head = "title: Hello {{ recipient.first_name }}\nurl:  /sale {% comment %}until May{% endcomment %}\nicon: /i.png\n"
    push = renderer({"": f"---\n{head}---\nBack.\n"}, channel="push")
    one, other = (push.render("reminder", "push", None, {"recipient": {"first_name": name}, "vars": {}}) for name in ("Sari", "Budi"))
    assert one.head == {"title": "Hello Sari", "url": "/sale", "icon": "/i.png"}
    assert other.head == {"title": "Hello Budi", "url": "/sale", "icon": "/i.png"}
    assert one.head["icon"] is other.head["icon"]


def test_too_large_a_message_holds() -> None:
    """The size of a part is bounded."""
    assert held("{% for i in vars.list %}{{ i }}{% endfor %}", {"list": ["x" * 60_000] * 10}).reason is Reason.TOO_LARGE


@pytest.mark.promise("B32")
@pytest.mark.parametrize("body", ["<p>{{ vars.x | default: '' }}</p>", "<!-- x -->", "<p hidden>x</p>", "{% if vars.no %}x{% endif %}<br>"])
def test_empty_message_holds(body: str) -> None:
    """Nothing to read is nothing to send (B32). Transactional, for the footer would be text."""
    with pytest.raises(RenderError, match="empty") as caught:
        render(body, {"no": False}, top='purpose = "transactional"')
    assert caught.value.reason is Reason.RENDER_ERROR


@pytest.mark.promise("B30", "B44")
@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "JAVASCRIPT:x", " javascript:x", "java\tscript:x", "\x01javascript:x", "data:text/html,x", "vbscript:x", ":x", "file:///etc/passwd"],
)  # fmt: skip
@pytest.mark.parametrize(
    "body",
    ['<a href="{{ vars.u }}">x</a>', '{% capture c %}{{ vars.u }}{% endcapture %}<a href="{{ c }}">x</a>', '<img src="{{ vars.u }}">x'],
)
def test_address_of_another_scheme_holds(body: str, url: str) -> None:
    """A recipient's value cannot make a link run or read anything (B30)."""
    assert held(body, {"u": url}).reason is Reason.CONTENT_BLOCKED


@pytest.mark.parametrize(
    "url", ["https://x.example/a:b?c=d&e=<f>", "http://x.example", "mailto:a@x.example", "tel:+6281", "/relative", "x.example/a:b"]
)
def test_address_of_a_good_scheme_is_written_escaped(url: str) -> None:
    """The value arrives whole behind the attribute's quotes."""
    assert f'href="{html_escapes.escape(url)}"' in render('<a href="{{ vars.u }}">x</a>', {"u": url}).html


def test_values_are_escaped_in_html_only() -> None:
    """Subject and text have the value as it is."""
    rendered = render("<p>Hello {{ vars.x }}</p>", {"x": "<b>&"}, subject="{{ vars.x }}", head="preheader: a < b {{ vars.x }}\n")
    assert "Hello &lt;b&gt;&amp;</p>" in rendered.html
    assert ">a &lt; b &lt;b&gt;&amp;</div>" in rendered.html
    assert (rendered.subject, rendered.head["preheader"]) == ("<b>&", "a < b <b>&")
    assert rendered.text.startswith("Hello <b>&\n")


def test_pieces_are_joined_text_with_static_ones_shared() -> None:
    """Dynamic pieces differ, static ones are the same objects from message to message."""
    made = renderer(
        {"": mail("<p>Hello {{ vars.x }}, you are welcome {% for i in vars.l %}- {{ i }} {% endfor %}{{ unsubscribe_url }}</p>")}
    )
    variables = [{"recipient": {}, "vars": {"x": x, "l": [x, x]}, "unsubscribe_url": URL} for x in ("Sari", "Aiko")]
    one, two = (made.render("reminder", "email", None, each) for each in variables)
    for pieces, others in ((one.html_pieces, two.html_pieces), (one.text_pieces, two.text_pieces)):
        assert "".join(pieces).replace("Sari", "Aiko") == "".join(others)
        assert all(a is b for a, b in zip(pieces, others, strict=True) if "Sari" not in a and a != URL)
        assert {type(piece) for piece in pieces} == {str}


def test_marketing_mail_without_the_link_gets_the_footer() -> None:
    """In both parts, in the language of the variant or else of the recipient."""
    made = renderer({"": mail("<p>Hello</p>"), "fa": mail("<p>سلام</p>")})
    variables: dict[str, object] = {"recipient": {}, "vars": {}, "unsubscribe_url": URL}
    for locale, words in (
        ("id", "Berhenti berlangganan"),
        ("ms-MY", "Berhenti melanggan"),
        ("fa", "لغو اشتراک"),
        ("de", "Unsubscribe"),
        (None, "Unsubscribe"),
    ):
        rendered = made.render("reminder", "email", locale, variables)
        assert f'<a href="{URL}">{words}</a>' in rendered.html
        assert rendered.text.endswith(f"{words}: {URL}\n")


@pytest.mark.parametrize(
    ("body", "html_footer", "text_footer"),
    [
        ('<p>x</p><a href="{{ unsubscribe_url }}">bye</a>', False, False),
        ('<p>x</p><a href="{{ unsubscribe_url }}">bye</a>\n--- text\nx', False, True),
        ("<p>x</p>\n--- text\nx {{ unsubscribe_url }}", True, False),
        ('<p>x</p>{% if vars.no %}<a href="{{ unsubscribe_url }}">bye</a>{% endif %}', True, True),
    ],
)
def test_footer_is_added_where_the_link_is_not_sure(body: str, html_footer: bool, text_footer: bool) -> None:
    """Part by part; a link inside a condition may not be there."""
    rendered = render(body, {"no": False})
    assert ("Unsubscribe</a>" in rendered.html, "Unsubscribe: " in rendered.text) == (html_footer, text_footer)
    assert URL in rendered.html
    assert URL in rendered.text


def test_transactional_mail_has_no_footer() -> None:
    """A receipt is no advertisement."""
    rendered = render("<p>x</p>", top='purpose = "transactional"')
    assert "nsubscribe" not in rendered.html + rendered.text


def test_preheader_is_hidden_at_the_start_of_the_body() -> None:
    """In a fragment and in a whole document."""
    for body in ("<p>x</p>", "<html><head><title>t</title></head><body class='a'><p>x</p></body></html>"):
        rendered = render(body, head="preheader: Soon\n")
        start = rendered.html.split("<body", 1)[1].split(">", 1)[1]
        assert start.startswith('<div style="display:none')
        assert rendered.html.count("<body") == rendered.html.count("</body>") == rendered.html.count("</html>") == 1
        assert "Soon" not in rendered.text


@pytest.mark.parametrize(
    ("locale", "body", "direction"),
    [
        ("fa", "<p>سلام</p>", '<html lang="fa" dir="rtl">'),
        ("fa", '<p dir="ltr">x</p>', '<html lang="fa">'),
        ("fa", "<html><body><p>سلام</p></body></html>", '<html dir="rtl"><body>'),
        ("fa", '<html dir="auto"><body><p>سلام</p></body></html>', '<html dir="auto"><body>'),
        ("id", "<p>halo</p>", '<html lang="id">'),
        ("", "<p>سلام دوست من، خوش آمدید</p>", '<html dir="rtl">'),
        ("", "<p>hello سلام</p>", "<html>"),
    ],
)
def test_right_to_left_text_is_marked(locale: str, body: str, direction: str) -> None:
    """By the variant's locale, or by its letters where it has none; never against the template's own word."""
    made = renderer({"": mail("x"), locale: mail(body)})
    assert direction in made.render("reminder", "email", locale, {"recipient": {}, "vars": {}, "unsubscribe_url": URL}).html


def test_formats_are_those_of_the_texts_language() -> None:
    """A date in an Indonesian text is Indonesian; in the file for all it is the recipient's."""
    body = "<p>{{ vars.at | date: 'long' }} {{ vars.at | date: '%H:%M' }} {{ vars.price | money }} {{ 'now' | date: '%Y' }}</p>"
    made = renderer({"": mail(body), "id": mail(body)}, currency="IDR")
    values = {"recipient": {}, "vars": {"at": "2026-11-25T20:00:00Z", "price": 150000}, "unsubscribe_url": URL}
    texts = [
        made.render("reminder", "email", locale, values, zone="Asia/Jakarta", now=NOW).text.split("\n")[0].replace("\u00a0", "")
        for locale in ("id-ID", "ms", None, "fa")
    ]
    assert texts == [
        "26 November 2026 03:00 Rp150.000 2026",
        "26 November 2026 03:00 IDR150,000 2026",
        "November 26, 2026 03:00 IDR150,000 2026",
        "November 26, 2026 03:00 IDR150,000 2026",
    ]


def test_campaign_shop_and_envelope_are_there() -> None:
    """Names of campaign and step, the shop's table, and the addresses that the campaign sets."""
    top = 'from = "Aiko Tan <hello@x.example>"\nreply_to = "help@x.example"\nutm = { source = "h" }'
    made = renderer({"": mail("<p>{{ campaign.name }}/{{ campaign.step }} {{ shop.currency }}</p>")}, top, currency="USD")
    rendered = made.render("reminder", "email", None, {"recipient": {}, "vars": {}, "unsubscribe_url": URL})
    assert rendered.text.startswith("winback/reminder USD\n")
    assert rendered.head == {"from": "hello@x.example", "from_name": "Aiko Tan", "reply_to": "help@x.example"}


def test_other_channels_get_text_only() -> None:
    """The body is the text, head lines are handed on, nothing is added."""
    made = renderer({"": "---\ntitle: Hi {{ vars.x }}\n---\nCome back, {{ vars.x }}\n"}, channel="call")
    rendered = made.render("reminder", "call", None, {"recipient": {}, "vars": {"x": "<Sari>"}})
    assert (rendered.text, rendered.html, rendered.head, rendered.subject) == ("Come back, <Sari>\n", "", {"title": "Hi <Sari>"}, "")


def test_message_of_a_job_is_rendered_like_any_other() -> None:
    """Variables, escaping, footer."""
    made = Renderer(
        inline_version("j", InlineMessage(channel="email", purpose="marketing", subject="Hi {{ vars.x }}", html="<p>{{ vars.x }}</p>"))
    )
    rendered = made.render("message", "email", "id", {"recipient": {}, "vars": {"x": "<b>"}, "unsubscribe_url": URL})
    assert rendered.subject == "Hi <b>"
    assert "<p>&lt;b&gt;</p>" in rendered.html
    assert "Berhenti berlangganan" in rendered.text
    with pytest.raises(RenderError) as caught:
        made.render("message", "email", None, {"recipient": {}, "vars": {}, "unsubscribe_url": URL})
    assert (caught.value.template, caught.value.variable) == ("message", "vars.x")


def test_wrong_version_is_refused_whole() -> None:
    """A renderer exists only for templates that are right."""
    with pytest.raises(ConfigError, match="unknown filter"):
        renderer({"": mail("{{ vars.x | nope }}")})


@pytest.mark.promise("B30")
@pytest.mark.parametrize(
    "value", [[1, "a"], {"a": 1}, True, 10**50, -1.5, "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")]
)
@pytest.mark.parametrize("body", ["{{ vars.x }}", "{{ vars.x | upcase }}", "{{ vars.x | plus: 1 }}", "{{ vars.x | sort }}", "{{ vars.x | sum }}", "{{ vars.x.y }}",
                                  "{{ vars.x | money }}", "{{ vars.x | date }}", "{{ vars.x | plural: 'a' }}", "{% if vars.x > 1 %}a{% endif %}", "{{ vars.x | map: 'a' }}"])  # fmt: skip
def test_odd_values_end_in_a_message_or_a_render_error(body: str, value: object) -> None:
    """No recipient's data brings down more than its own message."""
    try:
        reason = Reason.RENDER_ERROR if render(f"<p>.{body}</p>", {"x": value}).text else None
    except RenderError as error:
        reason = error.reason
    assert reason is Reason.RENDER_ERROR


def test_variables_of_a_recipient() -> None:
    """Fields over traits, null left out, days counted from the last order."""
    recipient = Recipient(
        id=7, key="c-1", email="a@x.example", locale="id", traits={"first_name": "Sari", "email": "old", "last_order_at": "2026-10-01"}
    )
    variables = build_variables(
        recipient, {"last_product": "shoes"}, unsubscribe_url=None, now=to_instant(to_moment("2026-11-22T10:00:00Z", zone_of(None)))
    )
    assert variables == {
        "recipient": {
            "id": "c-1",
            "email": "a@x.example",
            "locale": "id",
            "first_name": "Sari",
            "last_order_at": "2026-10-01",
            "days_since_order": 52,
        },
        "vars": {"last_product": "shoes"},
    }
    given = build_variables(
        dataclasses.replace(recipient, traits={"days_since_order": 3, "last_order_at": "2026-10-01"}), {}, unsubscribe_url=URL, now=0
    )
    assert given["unsubscribe_url"] == URL
    assert isinstance(given["recipient"], dict)
    assert given["recipient"]["days_since_order"] == 3


@pytest.mark.parametrize(
    ("moment", "days"),
    [("1970-01-01", 10), ("1970-01-10T00:00:00Z", 1), ("1970-01-10T00:00:01Z", 0), ("1970-01-11T07:00:00+07:00", 0), ("1970-01-11T00:00:01", None),
     ("x", None), ("1970-13-01", None), (None, None), (5, None), ("9999-12-31", None)],
)  # fmt: skip
def test_days_are_whole_days_of_24_hours(moment: object, days: int | None) -> None:
    """floor((now - anchor) / 86,400 s); what lies ahead has no age."""
    assert days_since(moment, 10 * DAY) == days


def test_needed_variables_are_listed() -> None:
    """For `campaigns show`: where first used, and whether they are optional everywhere."""
    made = renderer(
        {"": mail("<p>{{ vars.a }} {{ vars.b | default: 'x' }}</p>\n{% for i in vars.c %}{{ i.d }}{% endfor %}{{ vars.b | default: '' }}")}
    )
    needs = [(need.variable, need.line, need.optional) for need in made.needs("reminder", "email")]
    assert needs == [("vars.a", 4, False), ("vars.b", 4, True), ("vars.c", 5, False)]


def test_version_cannot_be_changed() -> None:
    """What the store keeps is what was loaded."""
    version = inline_version("j", InlineMessage(channel="email", purpose="marketing", subject="a", text="b"))
    assert isinstance(version.files, MappingProxyType)
