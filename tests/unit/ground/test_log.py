"""Nothing about a person and no secret leaves through the log."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from daemon.clock import SystemClock
from daemon.log import HidePersons, configure, get_log, person_hash
from plugins.contract import Secret

KEY = b"k" * 32
CANARY = "canary.person@mail.example.com"
PHONE = "+62 811-1111-1111"


@pytest.fixture
def lines() -> Iterator[Any]:
    """What was logged, as parsed JSON lines; the process's logging is put back."""
    stream = io.StringIO()
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    configure(stream=stream, clock=SystemClock(), key=KEY, level="debug")

    def read() -> list[dict[str, Any]]:
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    read.text = stream.getvalue  # type: ignore[attr-defined]
    yield read
    structlog.reset_defaults()
    root.handlers, _ = before
    root.setLevel(before[1])


def test_an_event_is_one_line_of_json_with_its_fields_and_time(lines: Any):
    """Bound fields come with it; people's own letters stay readable."""
    get_log(stage="dispatch").bind(queue="lapsed").info("claimed", rows=3, note="سلام")
    (line,) = lines()
    assert line.pop("at").endswith("Z")
    assert line == {"stage": "dispatch", "queue": "lapsed", "rows": 3, "note": "سلام", "event": "claimed", "level": "info"}
    assert "سلام" in lines.text()


def test_fields_about_persons_are_hashed_the_same_way_each_time(lines: Any):
    """So that one person's lines can be found without knowing the person; capital letters do not matter."""
    log = get_log()
    log.info("a", email=CANARY, recipient="c-1", first_name="Sara", addresses=[CANARY], recipients=20_000, address=None)
    log.info("b", to=CANARY.upper())
    one, two = lines()
    assert one["email"] == one["addresses"][0] == two["to"] == person_hash(KEY, CANARY)
    assert one["recipient"] == person_hash(KEY, "c-1")
    assert one["first_name"].startswith("h:")
    assert (one["recipients"], one["address"]) == (20_000, None)
    assert "Sara" not in lines.text()


@pytest.mark.parametrize("value", [CANARY, PHONE, CANARY.replace("@", "%40"), "sara@localhost", "سارا@مثال.ایران"])
def test_whatever_looks_like_an_address_is_hashed_anywhere(lines: Any, value: str):
    """In the event, in a field of any name, in nested values, in bytes, in an error and its traceback."""
    log = get_log()
    event = f"sent to <{value}>, done"
    log.info(event, detail=f"550 5.1.1 <{value}>: unknown", deep=[{"x": (value,)}, {value: 1}], raw=value.encode())
    try:
        raise ValueError(f"bad address {value}")
    except ValueError as error:
        log.error("failed", error=error, exc_info=error)
    logging.getLogger("aiosmtplib").warning("reply from %s", value)
    try:
        raise RuntimeError(value)
    except RuntimeError:
        logging.getLogger("asyncio").exception("lost")
    text = lines.text()
    assert value not in text
    assert "RuntimeError" in text
    assert "550 5.1.1 <h:" in text
    assert len(lines()) == 4


@pytest.mark.parametrize(
    "text", ["2026-11-22T04:40:11.120Z", "lapsed-45-2026-11-22", "+3 rows", "127.0.0.1:8025", "1767225600000000", "a+b=12345678"]
)
def test_what_is_no_address_stays_as_it_is(text: str):
    """Times, ids, counts and hosts are what logs are for."""
    assert HidePersons(KEY).text(text) == text


def test_secrets_never_show(lines: Any):
    """By the kind of value and by the name of the field; counts of tokens are no secrets."""
    log = get_log()
    log.info(
        "x",
        settings={"host": "h", "password": "canary-pw", "auth": Secret("canary-s")},
        api_token="canary-t",
        tokens=3,
        value=Secret("canary-v"),
    )
    (line,) = lines()
    assert "canary" not in lines.text()
    assert line["settings"] == {"host": "h", "password": "***", "auth": "***"}
    assert line["tokens"] == 3


def test_other_libraries_log_in_the_same_form(lines: Any):
    """With their name; below info they are silent."""
    logging.getLogger("apscheduler").warning("late by %d s", 3)
    logging.getLogger("apscheduler").debug("noise")
    (line,) = lines()
    assert (line["event"], line["logger"], line["level"]) == ("late by 3 s", "apscheduler", "warning")


def test_level_is_kept_and_journald_gets_its_priority():
    """`<4>` is how journald knows a warning."""
    stream = io.StringIO()
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    try:
        configure(stream=stream, clock=SystemClock(), key=KEY, level="warning", environ={"JOURNAL_STREAM": "8:1"})
        get_log().info("quiet")
        get_log().warning("loud")
        logging.getLogger("x").error("louder")
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers = handlers
        logging.getLogger().setLevel(level)
    first, second = stream.getvalue().splitlines()
    assert (first[:3], second[:3]) == ("<4>", "<3>")
    assert json.loads(first[3:])["event"] == "loud"


def test_a_terminal_gets_text_for_eyes_that_hides_just_as_much():
    """The same processors run before either renderer."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    try:
        configure(stream=stream, clock=SystemClock(), key=KEY)
        try:
            raise ValueError(CANARY)
        except ValueError:
            get_log().error("failed", email=CANARY, exc_info=True)
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers = handlers
        logging.getLogger().setLevel(level)
    assert CANARY not in stream.getvalue()
    assert "ValueError" in stream.getvalue()


@given(
    st.from_regex(r"[a-z0-9][a-z0-9._+-]{0,20}@[a-z0-9-]{1,10}(\.[a-z0-9-]{1,10}){0,2}", fullmatch=True),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_no_surrounding_text_lets_an_address_through(address: str, before: str, after: str):
    """Whatever stands beside it."""
    shown = HidePersons(KEY).text(f"{before} {address} {after}")
    assert address not in shown
