"""The text part made of HTML, with its Liquid carried through."""

from __future__ import annotations

import pytest
from babel import Locale
from hypothesis import assume, given
from hypothesis import strategies as st

from daemon.content.hardened import Setting, parse_template, run_template
from daemon.content.html_text import make_text
from daemon.content.segments import Kind, MarkupError, Source, split_source

VARS = {
    "name": "Sari",
    "url": "https://a.example/x",
    "items": [{"name": "Shoes", "price": 10}, {"name": "Hat", "price": 5}],
    "yes": True,
    "no": False,
}


def convert(html: str) -> str:
    """The text part as a template."""
    return make_text(Source.build([(html, 1)]), split_source(html)).text


def rendered(html: str) -> str:
    """The text part, rendered."""
    template = parse_template(convert(html), html=False, name="t")
    return "".join(run_template(template, {"vars": VARS}, Setting(locale=Locale.parse("en"))))


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p><p>Two</p>", "One\n\nTwo\n"),
        ("<h1>Title</h1>\n\n  <p>Some <b>bold</b>\n text</p>", "Title\n\nSome bold text\n"),
        ("<p>a<br>b<br/>c</p>", "a\nb\nc\n"),
        ("<p>a<br><br>b</p>", "a\n\nb\n"),
        ("a &amp; b &lt; c &eacute;", "a & b < c é\n"),
        ("<ul><li>One</li><li>Two</li></ul>", "- One\n- Two\n"),
        ("<ol><li>One</li><li>Two</li></ol>", "1. One\n2. Two\n"),
        ("<ul><li>One<ul><li>In</li></ul></li><li>Two</li></ul>", "- One\n  - In\n- Two\n"),
        ('<a href="https://x.example/a?b=1&amp;c=2">Shop</a> now', "Shop (https://x.example/a?b=1&c=2) now\n"),
        ('<a href="https://x.example/">x.example</a>', "x.example\n"),
        ('<a href="mailto:a@b.example">write</a> <a href="mailto:a@b.example">a@b.example</a>', "write (a@b.example) a@b.example\n"),
        ('<a href="#top">top</a>', "top\n"),
        ('<a href="https://x.example/"><img src="https://x.example/l.png"></a>', "https://x.example/\n"),
        ('<a href="https://x.example/"><img src="https://x.example/l.png" alt="Our logo"></a>', "Our logo (https://x.example/)\n"),
        ("<table><tr><th>Name</th><th>Price</th></tr><tr><td>Hat</td><td>5</td></tr></table>", "Name | Price\nHat | 5\n"),
        ('<table role="presentation"><tr><td>Left</td><td>Right</td></tr></table>', "Left\nRight\n"),
        ("<p>a</p><hr><p>b</p>", "a\n\n--------------------\n\nb\n"),
        ("<html><head><title>T</title><style>p {}</style></head><body><p>x</p></body></html>", "x\n"),
        ('<div style="display: none">hidden</div><p hidden>too</p><p>seen</p>', "seen\n"),
        ("<!-- note --><p>x</p><!--[if mso]>y<![endif]-->", "x\n"),
        ("<p>سلام <b>دنیا</b>، خوش آمدید</p><p dir=rtl>بله</p>", "سلام دنیا، خوش آمدید\n\nبله\n"),
        ("a < b and 1<2", "a < b and 1<2\n"),
        ("<div><div>a</div><div>b</div></div>c", "a\nb\nc\n"),
    ],
)
def test_html_reads_well_as_text(html: str, text: str) -> None:
    """Headings, lists, links, tables, entities; what is not shown is left out."""
    assert convert(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Hello {{ vars.name }}, hi</p>", "Hello Sari, hi\n"),
        ("<ul>\n{% for i in vars.items %}\n <li>{{ i.name }}</li>\n{% endfor %}\n</ul>\n<p>end</p>", "- Shoes\n- Hat\n\nend\n"),
        ("<ul>{%- for i in vars.items -%}<li>{{- i.name -}}</li>{%- endfor -%}</ul>", "- Shoes\n- Hat\n"),
        ("<table>{% for i in vars.items %}<tr><td>{{ i.name }}<td>{{ i.price }}</tr>{% endfor %}</table>", "Shoes | 10\nHat | 5\n"),
        ("<p>A</p>{% if vars.yes %}<p>B</p>{% endif %}<p>C</p>", "A\n\nB\n\nC\n"),
        ("<p>A</p>{% if vars.no %}<p>B</p>{% else %}<p>D</p>{% endif %}<p>C</p>", "A\n\nD\n\nC\n"),
        ("<p>Hi {% if vars.no %}dear {% endif %}friend</p>", "Hi friend\n"),
        ("<p>Hi {% if vars.yes %} dear {% endif %} friend</p>", "Hi dear friend\n"),
        ('<a href="{{ vars.url }}?a=1">{{ vars.name }}</a>', "Sari (https://a.example/x?a=1)\n"),
        ('<a href="{{ vars.url }}">{{ vars.url }}</a>', "https://a.example/x\n"),
        ('<a href="{% if vars.yes %}https://y.example{% else %}https://n.example{% endif %}">go</a>', "go (https://y.example)\n"),
        ("<style>{% assign x = 5 %}p {}</style><p>{{ x }}</p>", "5\n"),
        ("{% comment %}<p>no</p>{% endcomment %}<p>yes</p>", "yes\n"),
        ("<p>&#123;&#123; vars.name }} &#123;% if %}</p>", "{{ vars.name }} {% if %}\n"),
        ("<p>{% raw %}{{ raw }}{% endraw %}</p>", "{{ raw }}\n"),
        ('<p class="{% if vars.yes %}a{% endif %}" {% if vars.yes %}id="b"{% endif %}>x</p>', "x\n"),
        ("<p>{% echo vars.name %}</p>", "Sari\n"),
    ],
)
def test_liquid_survives_and_breaks_lines_where_html_does(html: str, text: str) -> None:
    """Loops give one line each turn; branches keep the blank lines around them."""
    assert rendered(html) == text


def test_markup_keeps_its_line_of_the_file() -> None:
    """An error in the made text part is reported where its markup stands in the file."""
    html = "<p>a</p>\n\n<p>\n{{ vars.name }}</p>\n{{ vars.url }}"
    text = make_text(Source.build([(html, 10)]), split_source(html))
    assert [text.line(segment.start) for segment in split_source(text.text) if segment.kind is Kind.OUTPUT] == [13, 14]


HTML_PARTS = [
    "<p>",
    "</p>",
    "<li>",
    "<ul>",
    "</ul>",
    "<table>",
    "<td>",
    "<tr>",
    "<a href='",
    "'>",
    '<a href="x">',
    "</a>",
    "<br>",
    "<!--",
    "-->",
]
OTHER_PARTS = ["{{ vars.name }}", "{% if vars.yes %}", "{% else %}", "{% endif %}", " ", "\n", "x", "&amp;", "&#123;", "{", "سلام", "<"]
FRAGMENTS = st.sampled_from([*HTML_PARTS, *OTHER_PARTS, "<style>", "</style>", "<pre>", "</pre>"])


@given(st.lists(FRAGMENTS, max_size=25))
def test_conversion_never_fails_and_loses_no_output_that_stands_in_plain_text(parts: list[str]) -> None:
    """Whatever the HTML, converting it ends; tags come out in the order in which they stand."""
    html = "".join(parts)
    try:
        before = [segment.text for segment in split_source(html) if segment.kind is not Kind.TEXT]
    except MarkupError:
        assume(False)
    text = convert(html)
    after = [segment.text for segment in split_source(text) if segment.kind is not Kind.TEXT and segment.text != "{{ '{' }}"]
    iterator = iter(before)
    assert all(markup in iterator for markup in after)
