"""What the HTML of a mail may not do, and which links carry campaign parameters (facts: B30, B44)."""

from __future__ import annotations

import pytest

from daemon.content.html_check import campaign_parameters, campaign_parameters_in_text, check_html
from daemon.content.html_scan import Piece, scan_html
from daemon.content.segments import Source, mask, split_source


def faults(html: str) -> list[str]:
    """What is wrong with some HTML."""
    segments = split_source(html)
    masked = mask(segments)
    return [what for _, what in check_html(masked, scan_html(masked), segments).faults]


def guarded(html: str) -> int:
    """How many values begin an address."""
    segments = split_source(html)
    masked = mask(segments)
    return len(check_html(masked, scan_html(masked), segments).guarded)


@pytest.mark.promise("B30", "B44")
@pytest.mark.parametrize(
    ("html", "what"),
    [
        ("<a href={{ vars.url }}>x</a>", "must stand in quotes"),
        ("<p class=a{{ vars.c }}>x</p>", "must stand in quotes"),
        ("<p {{ vars.attribute }}>x</p>", "may not stand inside the tag"),
        ("<{{ vars.tag }}>x", "may not be the name of a tag"),
        ("<p on{{ vars.x }}='a'>x</p>", "may not stand inside the tag"),
        ("<p onclick='f({{ vars.x }})'>x</p>", "it would be run"),
        ("<script>x</script>", "mail programs run no scripts"),
        ("<p {% echo vars.x %}>x</p>", "may not stand inside the tag"),
        ('<a href="{% echo vars.x %}">x</a>', "is written as"),
        ('<a href="javascript:alert(1)">x</a>', 'may not begin with "javascript:"'),
        ('<a href="JavaScript:alert({{ vars.x }})">x</a>', 'may not begin with "JavaScript:"'),
        ('<a href="&#106;avascript:alert(1)">x</a>', 'may not begin with "javascript:"'),
        ('<a href="java\nscript:alert(1)">x</a>', "blank or control"),
        ('<a href="data:text/html,x">x</a>', 'may not begin with "data:"'),
        ('<a href="//evil.example/x">x</a>', "leads nowhere from a mail"),
        ('<a href="/shop">x</a>', "leads nowhere from a mail"),
        ('<a href="shop.html">x</a>', "leads nowhere from a mail"),
        ('<a href="https:///x">x</a>', "has no host"),
        ('<a href="https:x">x</a>', "has no host"),
        ('<a href="https://shop.example@evil.example/">x</a>', "hides its host"),
        ('<a href="https://köln.example/">x</a>', "xn--"),
        ('<img src="javascript:x">', "may not begin"),
        ("<p>x</p><a href='https://x.example/", "never closed"),
    ],
)
def test_unsafe_place_or_address_is_refused_when_it_is_loaded(html: str, what: str) -> None:
    """Values stand in text and in quotes; fixed links are whole web, mail and telephone addresses."""
    assert any(what in fault for fault in faults(html))


@pytest.mark.parametrize(
    "html",
    [
        "<p class=\"{{ vars.c }}\" style='color: {{ vars.c }}'>{{ vars.x }}</p>",
        '<a href="https://x.example/{{ vars.x }}?a={{ vars.y }}#b">x</a>',
        '<a href="mailto:a@x.example">x</a><a href="tel:+62811">y</a><a href="#top">z</a><a name="top"></a>',
        '<a href="{{ unsubscribe_url }}">x</a>',
        '<a href="{% if vars.x %}https://a.example{% else %}https://b.example{% endif %}">x</a>',
        '<img src="cid:logo"><img src="data:image/png;base64,AA=="><img src="https://x.example/a.png" alt="{{ vars.x }}">',
        '<a href="https://xn--kln-sna.example/">x</a>',
        "<!--[if mso]><p {{ vars.x }}><![endif]-->",
        "<p>1 < 2 and {{ vars.x }} > 3</p>",
        '<a {% if vars.x %}href="https://x.example/"{% endif %}>x</a>',
    ],
)
def test_usual_mail_has_no_fault(html: str) -> None:
    """What marketers write passes."""
    assert faults(html) == []


@pytest.mark.promise("B30", "B44")
@pytest.mark.parametrize(
    ("html", "count"),
    [
        ('<a href="{{ vars.u }}">x</a>', 1),
        ('<a href="{{ vars.u }}{{ vars.v }}">x</a>', 2),
        ('<a href="{% if vars.a %}x{% endif %}{{ vars.u }}">x</a>', 1),
        ('<a href="https://x.example/{{ vars.u }}">x</a>', 0),
        ('<a href="mailto:{{ vars.u }}">x</a>', 0),
        ('<a href="#{{ vars.u }}">x</a>', 0),
        ('<img src="{{ vars.u }}">', 1),
        ('<p title="{{ vars.u }}">{{ vars.u }}</p>', 0),
    ],
)
def test_value_that_decides_where_a_link_leads_is_guarded(html: str, count: int) -> None:
    """Behind a fixed scheme or path a value can no longer choose the scheme."""
    assert guarded(html) == count


def with_parameters(html: str) -> str:
    """Links of HTML with two parameters."""
    masked = mask(split_source(html))
    return (
        Source.build([(html, 1)])
        .insert(campaign_parameters(masked, scan_html(masked), {"utm_source": "homing", "utm_campaign": "win back"}))
        .text
    )


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://x.example", "https://x.example?utm_source=homing&amp;utm_campaign=win%20back"),
        ("https://x.example/a?b=1", "https://x.example/a?b=1&amp;utm_source=homing&amp;utm_campaign=win%20back"),
        ("https://x.example/a#top", "https://x.example/a?utm_source=homing&amp;utm_campaign=win%20back#top"),
        ("https://x.example/a?b=1#top", "https://x.example/a?b=1&amp;utm_source=homing&amp;utm_campaign=win%20back#top"),
        ("https://x.example/?utm_source=own", "https://x.example/?utm_source=own&amp;utm_campaign=win%20back"),
        (
            "https://x.example/{{ vars.p }}?q={{ vars.q }}",
            "https://x.example/{{ vars.p }}?q={{ vars.q }}&amp;utm_source=homing&amp;utm_campaign=win%20back",
        ),
        ("https://{{ vars.host }}/a", "https://{{ vars.host }}/a"),
        ("https://x.example{{ vars.path }}", "https://x.example{{ vars.path }}"),
        ("{{ unsubscribe_url }}", "{{ unsubscribe_url }}"),
        ("mailto:a@x.example", "mailto:a@x.example"),
    ],
)
def test_links_to_fixed_hosts_get_campaign_parameters(address: str, expected: str) -> None:
    """Before the fragment, after what is there, once each; never on a link whose host a value chooses."""
    assert with_parameters(f'<a class="a" href="{address}">x</a>') == f'<a class="a" href="{expected}">x</a>'


def test_links_in_text_get_them_too() -> None:
    """Without the punctuation behind them, and with a plain ampersand."""
    text = "See https://x.example/a?b={{ vars.b }}, (https://y.example). {{ unsubscribe_url }}"
    masked = mask(split_source(text))
    made = Source.build([(text, 1)]).insert(campaign_parameters_in_text(masked, {"utm_source": "h"})).text
    assert made == "See https://x.example/a?b={{ vars.b }}&utm_source=h, (https://y.example?utm_source=h). {{ unsubscribe_url }}"


def test_scan_has_no_gaps_and_finds_each_value() -> None:
    """The tokens together are the text; attributes are found where they stand."""
    html = "<!doctype html><P Class=a  id = 'b' hidden>x<br/>y < z</p><style>a<b</style><!-- <p> --></x y"
    tokens = scan_html(html)
    assert "".join(html[token.start : token.end] for token in tokens) == html
    paragraph = next(token for token in tokens if token.piece is Piece.START)
    values = {attribute.name: html[attribute.start : attribute.end] for attribute in paragraph.attributes}
    assert (paragraph.name, values) == ("p", {"class": "a", "id": "b", "hidden": ""})
