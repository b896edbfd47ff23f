"""The quick form of a template is right or absent: whatever it gives, the library gives too."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from babel import Locale
from hypothesis import given, settings
from hypothesis import strategies as st
from liquid.exceptions import LiquidError

from daemon.content.campaigns import load_campaigns
from daemon.content.hardened import Setting, parse_template, run_template
from daemon.content.quick import Unusual, compile_quick
from daemon.content.render import Renderer

SETTING = Setting(locale=Locale.parse("en"), now=dt.datetime(2026, 11, 22, tzinfo=dt.UTC), currency="IDR")
UNUSUAL = (Unusual, LiquidError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)

PATHS = ["vars.a", "vars.b", "vars.list", "vars.map.x", "vars.list[0]", "vars.map['y z']", "recipient.n", "a", "item", "item.x", "forloop.index",
         "forloop.last", "forloop.first", "vars.list.size", "vars.nothing.x", "recipient", "vars[recipient.n]"]  # fmt: skip
LITERALS = ["'x'", "'<b>'", "''", "0", "1", "2.5", "-3", "true", "false", "nil", "empty", "blank", "(1..3)"]
FILTERS = ["upcase", "append: '<i>'", "append: vars.a", "default: 'd'", "default: vars.b", "default: 0", "default: false, allow_false: true", "plus: 1",
           "times: 2.5", "divided_by: 0", "round: 1", "escape", "url_encode", "truncate: 3", "replace: 'a', '<'", "strip", "size", "join: ', '", "first",
           "split: ','", "money", "plural: 'day', 'days'", "number", "date: 'short'", "date: 'long', 'jalali'", "relative", "newline_to_br", "strip_html", "escape_once", "homing_url"]  # fmt: skip
OPERATORS = ["==", "!=", "<>", "<", ">", "<=", ">=", "contains"]

primitives = st.sampled_from(PATHS + PATHS + LITERALS)
chains = st.builds(lambda left, parts: " | ".join([left, *parts]), primitives, st.lists(st.sampled_from(FILTERS), max_size=3))
comparisons = st.builds("{} {} {}".format, primitives, st.sampled_from(OPERATORS), primitives)
conditions = st.one_of(
    primitives, comparisons, st.builds("{} and {}".format, comparisons, primitives), st.builds("{} or {}".format, primitives, comparisons)
)


def blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Templates with blocks around smaller ones."""
    return st.one_of(
        st.builds("{{% if {} %}}{}{{% else %}}{}{{% endif %}}".format, conditions, inner, inner),
        st.builds("{{% if {} %}}{}{{% elsif {} %}}{}{{% endif %}}".format, conditions, inner, conditions, inner),
        st.builds("{{% unless {} %}}{}{{% endunless %}}".format, conditions, inner),
        st.builds("{{% for item in {} %}}{}{{% else %}}-{{% endfor %}}".format, st.sampled_from(PATHS), inner),
        st.builds("{{% for item in vars.list limit: 2 %}}{}{{% endfor %}}".format, inner),
        st.builds("{{% capture a %}}{}{{% endcapture %}}".format, inner),
        st.builds("{{% case {} %}}{{% when 1 %}}{}{{% endcase %}}".format, primitives, inner),
        st.lists(inner, min_size=2, max_size=4).map("".join),
    )


leaves = st.one_of(
    st.builds("{{{{ {} }}}}".format, chains),
    st.builds("{{{{- {} -}}}}".format, chains),
    st.builds("{{% assign a = {} %}}".format, chains),
    st.builds("{{% assign item = {} %}}".format, chains),
    st.builds("{{% echo {} %}}".format, chains),
    st.sampled_from(["<p>Hello</p>", " ", "\n ", "text, ", "{% comment %}x{% endcomment %}", "{% increment n %}", "{% cycle 'a', 'b' %}"]),
)
templates = st.recursive(leaves, blocks, max_leaves=12)

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 500),
    st.sampled_from(
        [10**40, 1.5, -0.0, float("inf"), "", " ", "a,b", "<script>", "2026-11-25", "now", "javascript:x", "12", "x" * 1500, "{{ 1 }}"]
    ),
    st.lists(st.one_of(st.integers(0, 3), st.sampled_from(["a", "<b>", "", None, {"x": 1}])), max_size=4),
    st.dictionaries(st.sampled_from(["x", "y z", "n"]), st.sampled_from([1, "v", None, ""]), max_size=2),
)
contexts = st.fixed_dictionaries(
    {"recipient": st.fixed_dictionaries({"n": odd})},
    optional={
        "vars": st.dictionaries(st.sampled_from(["a", "b", "list", "map", "nothing"]), odd, max_size=5),
        "a": odd,
    },
)


def by_quick(source: str, names: dict[str, Any], *, html: bool) -> str | None:
    """What the quick form gives; None if it gives nothing."""
    quick = compile_quick(parse_template(source, html=html, name="t"))
    if quick is None:
        return None
    try:
        return "".join(quick(names, SETTING))
    except UNUSUAL:
        return None


@settings(max_examples=250, deadline=None)
@given(templates, contexts, st.booleans())
def test_quick_form_gives_what_the_library_gives(source: str, names: dict[str, Any], html: bool) -> None:
    """Over templates, odd values, and both ways of escaping: the same text, and never one where the library raises."""
    try:
        template = parse_template(source, html=html, name="t")
    except LiquidError:
        return
    given_by_quick = by_quick(source, names, html=html)
    if given_by_quick is not None:
        assert given_by_quick == "".join(run_template(template, names, SETTING))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Hello {{ vars.name | default: 'you' | capitalize }}!", "Hello Sari!"),
        (
            "{% for i in vars.items %}{{ forloop.index }}/{{ forloop.length }} {{ i.name }}{% unless forloop.last %}, {% endunless %}{% endfor %}",
            "1/2 a, 2/2 b",
        ),
        ("{% if vars.days > 30 and vars.name != '' %}{{ vars.days | plural: 'day', 'days' }}{% endif %}", "45 days"),
        ("{% assign x = vars.none | default: 3 | plus: 1 %}{{ x }}{% capture y %}<{{ x }}>{% endcapture %}{{ y }}", "4<4>"),
        (
            "{% for i in vars.items %}{% for j in vars.items %}{{ i.name }}{{ j.name }} {% endfor %}{{ i.name }};{% endfor %}",
            "aa ab a;ba bb b;",
        ),
        ("{% if vars.days == 45 %}{% assign q = 1 %} {% endif %}{{ q }}", "1"),
    ],
)
def test_usual_templates_are_compiled(source: str, text: str) -> None:
    """What marketers write mostly goes the quick way, and is what it should be."""
    names = {"vars": {"name": "sari", "days": 45, "items": [{"name": "a"}, {"name": "b"}]}}
    assert by_quick(source, names, html=False) == text


@pytest.mark.parametrize(
    "source",
    [
        "{% cycle 'a', 'b' %}",
        "{% for i in vars.l limit: 1 %}{% endfor %}",
        "{{ vars.l.first }}",
        "{% tablerow i in vars.l %}{% endtablerow %}",
    ],
)
def test_what_is_not_known_is_left_to_the_library(source: str) -> None:
    """No guess at rarer nodes."""
    assert compile_quick(parse_template(source, html=True, name="t")) is None


def test_much_work_is_left_to_the_library() -> None:
    """Its budget is the only one."""
    names: dict[str, Any] = {"vars": {"l": list(range(300)), "s": "x" * 5000}}
    assert by_quick("{% for i in vars.l %}{{ i }}{% endfor %}", names, html=True) is None
    assert by_quick("{{ vars.s }}", names, html=True) is None


def test_shipped_campaign_goes_the_quick_way() -> None:
    """All parts of all variants: a change of the library that made them slow would show here."""
    version = load_campaigns(Path(__file__).parents[3] / "campaigns").versions["winback"]
    renderer = Renderer(version)
    variables = {
        "recipient": {"first_name": "Sari", "days_since_order": 45},
        "vars": {"last_product": "x"},
        "unsubscribe_url": "https://x.example/u/t",
    }
    files = [compiled for each in renderer._templates.values() for compiled in each.values()]
    parts = [part for file in files for part in (*file.head.values(), file.html, file.text) if part]
    assert len(parts) >= 12
    assert all(part.quick is not None for part in parts)
    for locale in ("id", "fa", "ms", None):
        renderer.render("reminder", "email", locale, variables)
    assert renderer.fallbacks == 0
