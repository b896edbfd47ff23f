"""Hostile templates (facts: B29): none reads anything, runs for long or fills the memory, in HTML and in plain text."""

from __future__ import annotations

import contextlib
import time
import tracemalloc

import pytest
from babel import Locale
from liquid.exceptions import LiquidError

from daemon.content.campaigns import inline_version
from daemon.content.hardened import MAX_OUTPUT, Pieces, Setting, parse_template, run_template
from daemon.content.render import Renderer, RenderError
from daemon.errors import ConfigError
from daemon.model.job import InlineMessage

BIG = "{% capture b %}" + "x" * 60_000 + "{% endcapture %}"
SETTING = Setting(locale=Locale.parse("en"))

ENDLESS = 20.0
"""CPU seconds after which a template counts as never ending. Alone on the machine each takes well under one."""
REFUSED = {
    "attribute of a literal": "{{ ''.__class__ }}",
    "attributes of an object": "{{ recipient.__class__.__mro__ }}",
    "environment": "{{ env }}",
    "file by include": "{% include '/etc/passwd' %}",
    "file by render": "{% render 'secrets' %}",
    "python": "{{ 'x'*10**9 }}",
    "wall clock": "{{ now }}",
    "range": "{{ (1..50000000) | join }}",
    "reversed range": "{{ (1..50000000) | reverse }}",
    "long loop": "{% for i in (1..9999999999) %}x{% endfor %}",
    "nested loops": "{% for i in (1..9999) %}{% for j in (1..9999) %}{% for k in (1..9999) %}x{% endfor %}{% endfor %}{% endfor %}",
    "many loops": "{% for i in (1..10000) %}{% endfor %}" * 900,
    "busy loop": "{% for i in (1..10000) %}" + "{% if true %}{% endif %}" * 500 + "{% endfor %}",
    "rows": "{% tablerow i in (1..10000) %}{% for j in (1..1000) %}x{% endfor %}{% endtablerow %}",
    "huge number": "{% assign n = 9 %}" + "{% assign n = n | times: 999999999999 %}" * 200 + "{{ n }}",
    "chained replace": "{{ 'aaaaaaaaaaaaaaaa'" + " | replace: 'a', 'aaaaaaaaaaaaaaaa'" * 8 + " }}",
    "replace by itself": BIG + "{{ b | replace: 'x', b }}",
    "replace between characters": BIG + "{{ b | replace: '', b }}",
    "joined doubles": BIG + "{% assign l = b | split: 'zz' %}" + "{% assign l = l | concat: l %}" * 16 + "{{ l | join }}",
    "list written out": BIG + "{% assign l = b | split: 'zz' %}" + "{% assign l = l | concat: l %}" * 12 + "{{ l }}{{ l }}{{ l }}",
    "split to characters": BIG + "{{ b | split: '' | size }}",
    "doubling append": "{% assign s = 'aaaaaaaaaa' %}" + "{% assign s = s | append: s %}" * 60 + "{{ s | size }}",
    "doubling capture": "{% assign s = 'x' %}" + "{% capture s %}{{ s }}{{ s }}{% endcapture %}" * 60,
    "long chain": BIG + ("{{ b" + " | upcase | downcase" * 60 + " | size }}") * 2,
    "width in a date": "{{ 1 | date: '%1000000000d' }}",
    "deep blocks": "{% if true %}" * 100 + "x" + "{% endif %}" * 100,
    "deep path": "{{ a" + "[a" * 480 + "]" * 480 + " }}",
    "unclosed output": "{{" + " " * 100_000,
    "unclosed raw": "{% raw %}" * 10_000,
    "many outputs": "{{ 1 }}" * 10_000,
    "blanks": ("{{" + " " * 190 + "}}") * 500,
    "division": "{{ 5 | divided_by: 0 }}",
    "infinite": "{{ '1e999' | ceil }}",
    "recursive condition": "{% if " + "true and " * 210 + "true %}x{% endif %}{{ vars.nothing }}",
    "too large a file": "x" * 200_000,
    "script": "<script>alert(1)</script>{{ vars.nothing }}",
}
HARMLESS = {
    "unique": "{{ (1..10000) | uniq | size }}",
    "sorted": "{{ (1..9999) | sort | reverse | size }}",
    "unclosed tags": "x{% capture b %}" + "&lt;!--<i" * 10_000 + ">{% endcapture %}{{ b | strip_html | size }}",
    "slices": BIG + "{{ b | slice: 0, 999999999999 | size }}",
    "spelt braces": "&#123;&#123; vars.x }} &#123;% include 'a' %}",
    "paragraphs": "x" + "<p>" * 20_000,
    "open comments": "x" + "<!--" * 25_000,
}


def attempt(part: str, source: str) -> str:
    """Load and render one body, as a job's own message; what came of it."""
    message = InlineMessage(channel="email", purpose="transactional", subject="s", **{part: source})
    try:
        renderer = Renderer(inline_version("1", message))
        rendered = renderer.render("message", "email", None, {"recipient": {"first_name": "Sari"}, "vars": {}})
    except (ConfigError, RenderError):
        return "refused"
    return rendered.text


@pytest.mark.promise("B29")
@pytest.mark.parametrize("part", ["html", "text"])
@pytest.mark.parametrize("name", REFUSED)
def test_hostile_template_is_refused(part: str, name: str) -> None:
    """It ends as a problem or a held message, never as a traceback, a hang or a leak."""
    start = time.process_time()
    assert attempt(part, REFUSED[name]) == "refused"
    assert time.process_time() - start < ENDLESS


@pytest.mark.parametrize("part", ["html", "text"])
@pytest.mark.parametrize("name", HARMLESS)
def test_heavy_but_lawful_template_renders(part: str, name: str) -> None:
    """What stays inside the limits is rendered, and comes to an end."""
    start = time.process_time()
    assert attempt(part, HARMLESS[name]) != "refused"
    assert time.process_time() - start < ENDLESS


@pytest.mark.promise("B29")
@pytest.mark.parametrize("name", [name for name, source in REFUSED.items() if BIG in source or "replace" in name or "doubl" in name])
def test_hostile_template_stays_below_64_megabytes(name: str) -> None:
    """The size of a filter's result is known before it is made."""
    tracemalloc.start()
    try:
        attempt("html", REFUSED[name])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024 * 1024


@pytest.mark.promise("B29", "B30")
@pytest.mark.parametrize("name", ["map", "uniq"])
def test_a_list_of_thousands_as_a_key_is_no_trap(name: str) -> None:
    """A value of a row may be one; written out for each item of the list it took 20 s."""
    template = parse_template(f"{{{{ vars.v | {name}: vars.v | size }}}}", html=False, name="t")
    start = time.process_time()
    with contextlib.suppress(LiquidError):
        run_template(template, {"vars": {"v": [[{"a": "b"}] * 900] * 20}}, SETTING)
    assert time.process_time() - start < 4


@pytest.mark.promise("B30")
def test_values_of_recipients_are_never_rendered_again() -> None:
    """A trait that looks like a template is text."""
    template = parse_template("{{ recipient.first_name }}", html=True, name="t")
    pieces = run_template(template, {"recipient": {"first_name": "{{ 7 | times: 7 }}{% include 'a' %}"}}, SETTING)
    assert "".join(pieces) == "{{ 7 | times: 7 }}{% include &#39;a&#39; %}"


@pytest.mark.promise("B30")
@pytest.mark.parametrize(
    "source",
    [
        "{{ recipient.x }}",
        "{{ recipient.x | upcase }}",
        "{{ recipient.x | append: '<b>' }}",
        "{{ '<b>' | append: recipient.x }}",
        "{{ recipient.x | prepend: '<b>' | strip }}",
        "{{ 'a' | replace: 'a', recipient.x }}",
        "{{ recipient.x | split: '' | join: '' }}",
        "{{ recipient.x | escape_once }}",
        "{{ recipient.x | url_encode | url_decode }}",
        "{{ recipient.x | newline_to_br }}",
        "{% capture c %}{{ recipient.x }}{% endcapture %}{{ c }}{{ c | strip }}{{ c | escape_once }}",
        "{% for c in recipient.list %}{{ c }}{% endfor %}{{ recipient.list }}{{ recipient.list | join: '<b>' }}",
        "{% echo recipient.x %}{% cycle recipient.x, recipient.x %}",
        "{% assign a = recipient.x %}{{ a }}{% case a %}{% when recipient.x %}{{ a }}{% endcase %}",
        "{{ recipient.x | strip_html }}{{ recipient.x | slice: 0, 9 }}{{ recipient.x | truncate: 5, recipient.x }}",
        "{{ recipient.x | base64_encode }}{{ recipient.x | default: '' }}{{ recipient.nothing | default: recipient.x }}",
    ],
)
def test_markup_in_a_value_is_escaped_in_html(source: str) -> None:
    """Whatever filters do to it, a value of a recipient makes no tag."""
    evil = "<script>alert('x')</script>"
    template = parse_template(source, html=True, name="t")
    html = "".join(run_template(template, {"recipient": {"x": evil, "list": [evil, evil]}}, SETTING))
    assert "<script" not in html
    assert "</script" not in html


def test_static_text_is_the_same_object_each_time() -> None:
    """A channel may keep the encoding of a template's own text by object."""
    template = parse_template("<p>Hello {{ recipient.x }}, you are welcome</p>", html=True, name="t")
    one, two = (run_template(template, {"recipient": {"x": name}}, SETTING) for name in ("Sari", "Aiko"))
    assert one[0] is two[0]
    assert one[2] is two[2]
    assert [type(piece) for piece in one] == [str, str, str]


@pytest.mark.promise("B29")
def test_output_is_bounded() -> None:
    """What is written in sum is bounded, not each piece."""
    pieces = Pieces()
    pieces.write("x" * MAX_OUTPUT)
    with pytest.raises(Exception, match="too large"):
        pieces.write("x")


@pytest.mark.promise("P10")
def test_long_values_are_not_remembered() -> None:
    """What formatters keep for the next recipient stays small, whatever rows bring."""
    from daemon.content import filters

    template = parse_template("{{ 2 | plural: vars.v }}{{ vars.d | date: 'long' }}", html=False, name="t")
    before = filters._remembered.cache_info().currsize
    for number in range(50):
        run_template(template, {"vars": {"v": f"{number}" * 1000, "d": "2026-11-22"}}, SETTING)
    assert filters._remembered.cache_info().currsize <= before + 1
