"""A template file's head, body and text part; what a head line may not hold (facts: B26)."""

from __future__ import annotations

import pytest

from daemon.content.names import fault_of_name, read_template_name
from daemon.content.template_file import fault_of_head, parse_file
from daemon.model.campaign import Step

GOOD = "---\nsubject: Hello {{ recipient.first_name }}\npreheader:  Soon \n---\n<p>x</p>\n--- text\nplain\n"
STEPS = (Step(name="reminder", channels=("email",)), Step(name="call", channels=("call",)))


def problems(content: str, channel: str = "email") -> list[str]:
    """The problems of a file, in words."""
    return [str(problem) for problem in parse_file("reminder.email.liquid", content, channel=channel).problems]


def test_parts_know_their_lines() -> None:
    """Each part begins at its line of the file."""
    file = parse_file("r", GOOD, channel="email")
    assert (file.head["subject"].text, file.head["subject"].line(0)) == ("Hello {{ recipient.first_name }}", 2)
    assert (file.head["preheader"].text, file.head["preheader"].line(0)) == ("Soon", 3)
    assert file.html is not None
    assert (file.html.text, file.html.line(0)) == ("<p>x</p>\n", 5)
    assert file.text is not None
    assert (file.text.text, file.text.line(0)) == ("plain\n", 7)
    assert file.problems == []


def test_mail_may_be_text_only() -> None:
    """A head and a text part are enough."""
    file = parse_file("r", "---\nsubject: a\n---\n--- text\nplain", channel="email")
    assert (file.html, file.problems) == (None, [])


def test_other_channels_have_one_body_and_free_head_lines() -> None:
    """A call or an SMS is its text; a head is not needed."""
    file = parse_file("call.call.liquid", "---\ntitle: x\n---\nHello\n--- text\nmore", channel="call")
    assert file.text is not None
    assert file.text.text == "Hello\n--- text\nmore\n"
    assert parse_file("call.call.liquid", "Hello", channel="call").problems == []


@pytest.mark.promise("B29")
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("<p>x</p>", "reminder.email.liquid:1: a mail's template begins with its head"),
        ("---\npreheader: x\n---\n<p>x</p>", "reminder.email.liquid:1: subject: missing: a mail needs a subject line"),
        ("---\nsubjct: x\n---\n<p>x</p>", 'reminder.email.liquid:2: subjct: unknown head line of a mail; did you mean "subject"?'),
        ("---\nsubject: x\nsubject: y\n---\n<p>x</p>", "reminder.email.liquid:3: subject: given twice"),
        ("---\nsubject:\n---\n<p>x</p>", "reminder.email.liquid:2: subject: is empty"),
        ("---\nsubject: x\nnonsense\n---\n<p>x</p>", "reminder.email.liquid:3: a head line is `key: value`"),
        ("---\nsubject: x\n<p>x</p>", "reminder.email.liquid:1: the head is not closed"),
        ("---\nsubject: x\n---\n \n", "reminder.email.liquid:5: the template has no body"),
        ("---\nsubject: x\n---\n<p>x</p>\n--- text\n\n", "reminder.email.liquid:5: the text part is empty"),
        ("---\nsubject: x\n---\n<p>x</p>\n--- txt\nx", 'reminder.email.liquid:5: `--- txt` is no part of a mail; did you mean "--- text"?'),
        ("---\nsubject: x\n---\na\n--- text\nb\n--- text\nc", "reminder.email.liquid:7: a second `--- text`"),
        ("---\nsubject: x\n---\na\x00b", "reminder.email.liquid:4: control character U+0000"),
        ("---\nsubject: a\x85b\n---\nx", "reminder.email.liquid:2: subject: has a line end or control character"),
        ("---\nsubject: a\u2028b\n---\nx", "reminder.email.liquid:2: subject: has a line end or control character"),
        ("---\nsubject: =?utf-8?q?a=0aBcc:x@y.z?=\n---\nx", "reminder.email.liquid:2: subject: has an encoded word that hides a line end"),
        ("---\nsubject: =?utf-8?b?YQ0KQmNjOiB4?=\n---\nx", "reminder.email.liquid:2: subject: has an encoded word that hides a line end"),
        ("---\nsubject: " + "a" * 10_000 + "\n---\nx", "reminder.email.liquid:2: subject: longer than 500 characters"),
        ("---\nsubject: x\n---\n" + "a" * 200_000, "reminder.email.liquid:1: larger than 128 KB"),
    ],
)
def test_each_mistake_is_named_with_its_line(content: str, problem: str) -> None:
    """No template with a mistake gets as far as a send."""
    assert any(found.startswith(problem) for found in problems(content)), problems(content)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("actions: [Shop now](https://shop.example.com/sale) [Later]", None),
        ("actions: [{{ vars.word }}]({{ vars.url }}) [More](/sale?x={{ recipient.id }})", None),
        ("actions: {% if vars.sale %}[Sale](/sale){% endif %}", None),
        ("actions: Shop now", "actions: at most 3, each [Title](https://..) or [Title]"),
        ("actions: [A] [B] [C] [D]", "actions: at most 3, each [Title](https://..) or [Title]"),
        ("actions: [Shop](javascript:x)", "actions: a link must begin with https:// or /"),
        ("url: shop.example.com/{{ vars.path }}", "url: a link must begin with https:// or /"),
        ("icon: //cdn.example.com/i.png", "icon: a link must begin with https:// or /"),
        ("url: {{ vars.url }}", None),
    ],
)
def test_links_and_buttons_of_a_push_are_looked_at_before_any_is_sent(line: str, said: str | None) -> None:
    """Whatever the values will be; a line with blocks of Liquid is left to the sending."""
    found = [str(each) for each in parse_file("a.push.liquid", f"---\n{line}\n---\nx", channel="push").problems]
    assert len(found) == (said is not None)
    assert said is None or found[0].startswith(f"a.push.liquid:2: {said}"), found
    assert not parse_file("a.letter.liquid", f"---\n{line}\n---\nx", channel="letter").problems


@pytest.mark.parametrize(("value", "known"), [("hgh", False), ("High", True), ("{{ vars.urgency }}", True)])
def test_an_urgency_that_no_push_service_knows_is_named(value: str, known: bool) -> None:
    """Unless a variable gives it."""
    found = [str(each) for each in parse_file("a.push.liquid", f"---\nurgency: {value}\n---\nx", channel="push").problems]
    assert found == ([] if known else ['a.push.liquid:2: urgency: must be one of very-low, low, normal, high; did you mean "high"?'])


@pytest.mark.parametrize("value", ["Halo, apa kabar?", "سلام 👋", "=?utf-8?q?caf=C3=A9?=", "a =? b ?= c", "x" * 500])
def test_usual_head_lines_pass(value: str) -> None:
    """Any language, emoji, and encoded words that hide nothing."""
    assert fault_of_head(value) is None


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("reminder.email.liquid", ("reminder", "email", None)),
        ("reminder.email.fa.liquid", ("reminder", "email", "fa")),
        ("reminder.email.fa_ir.liquid", ("reminder", "email", "fa-IR")),
        ("call.call.liquid", ("call", "call", None)),
    ],
)
def test_file_names_give_step_channel_and_locale(name: str, parts: tuple[str, str, str | None]) -> None:
    """STEP.CHANNEL[.LOCALE].liquid."""
    found = read_template_name(name, STEPS)
    assert found is not None
    assert (found.step, found.channel, found.locale) == parts


@pytest.mark.parametrize(
    ("name", "what", "near"),
    [
        ("remindr.email.liquid", 'no step "remindr"', "reminder.email.liquid"),
        ("reminder.emial.liquid", 'the step reminder has no channel "emial"', "reminder.email.liquid"),
        ("reminder.product.email.liquid", 'the step reminder has no variant "product"', None),
        ("reminder.email.klingon.liquid", 'no locale "klingon"', None),
        ("reminder.liquid", "a template's name is STEP.CHANNEL.liquid", None),
    ],
)
def test_wrong_file_names_are_explained(name: str, what: str, near: str | None) -> None:
    """A template that nobody would ever get is a mistake."""
    assert read_template_name(name, STEPS) is None
    found, suggestion = fault_of_name(name, STEPS)
    assert found.startswith(what)
    assert suggestion == near


def test_a_push_has_head_lines_of_its_own() -> None:
    """A slip of the pen would leave the notification without its link."""
    file = parse_file("cart.push.liquid", "---\ntitle: Hi\nurl: /cart\nlink: /x\nacton: [A]\n---\nBody\n", channel="push")
    assert [(problem.key, problem.suggestion) for problem in file.problems] == [("link", None), ("acton", "actions")]
    assert not parse_file("x.letter.liquid", "---\nstreet: x\n---\nBody\n", channel="letter").problems
