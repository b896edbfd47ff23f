"""The sandbox: what arrives is logged before it is answered, faults are asked for by address, and the inbox is safe to open."""

from __future__ import annotations

import asyncio
import gc
import smtplib
import socket
import warnings
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from daemon.clock import SystemClock
from daemon.sandbox.inbox import Inbox, one_click_url
from daemon.sandbox.mailbox import Mailbox, parse, read_log, text_of
from daemon.sandbox.push import PushService
from daemon.sandbox.smtp import SmtpServer, fault_of

EVIL = "<script>alert(1)</script>"


@pytest.fixture
async def mailbox(tmp_path: Path) -> AsyncIterator[Mailbox]:
    box = Mailbox(tmp_path, SystemClock())
    yield box
    box.close()


@pytest.fixture
async def server(mailbox: Mailbox) -> AsyncIterator[SmtpServer]:
    smtp = SmtpServer(mailbox, SystemClock(), port=0)
    await smtp.start()
    yield smtp
    await smtp.stop()


@pytest.fixture
async def inbox(mailbox: Mailbox) -> AsyncIterator[Inbox]:
    page = Inbox(mailbox, port=0)
    await page.start()
    yield page
    await page.stop()


def message(subject: str = "Hello", to: str = "a@example.com", html: str = "<p>Hi</p>") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Shop <shop@example.com>", to, subject
    mail["X-Homing-Delivery"] = "01JD0000000AB"
    mail["List-Unsubscribe"] = "<mailto:u@example.com>, <http://127.0.0.1:9/u/v1.token>"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content("Salam سلام\n")
    mail.add_alternative(html, subtype="html")
    return mail


async def say(port: int, *lines: bytes) -> bytes:
    """Send all lines in one write, as a pipelining client does; returns all that came back until the peer closed."""
    import asyncio

    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"".join(line + b"\r\n" for line in lines))
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


async def test_pipelining_is_announced_and_works(server: SmtpServer, mailbox: Mailbox) -> None:
    """A client that writes its whole session at once gets one answer a command, and the message is in the log."""
    start = (b"EHLO me", b"MAIL FROM:<s@example.com>", b"RCPT TO:<a@example.com>")
    answer = await say(server.port, *start, b"DATA", b"Subject: x", b"", b"..dot", b".", b"QUIT")
    assert b"250-PIPELINING\r\n" in answer
    assert b"250 2.0.0 OK 1\r\n" in answer
    assert mailbox.content(1) == b"Subject: x\r\n\r\n.dot\r\n"


async def test_log_names_envelope_delivery_subject_and_time(server: SmtpServer, mailbox: Mailbox) -> None:
    """A line of the log is enough to judge one send: who, which delivery, when."""
    await say(
        server.port, b"EHLO me", b"MAIL FROM:<s@example.com>", b"RCPT TO:<a@example.com>", b"DATA",
        *message("Kami rindu").as_bytes().splitlines(), b".", b"QUIT",
    )  # fmt: skip
    (entry,) = read_log(mailbox.folder)
    assert (entry.sender, entry.recipients, entry.delivery) == ("s@example.com", ("a@example.com",), "01JD0000000AB")
    assert (entry.subject, entry.reply, entry.offset_seconds) == ("Kami rindu", "250", 0.0)
    assert entry.at.endswith("Z")


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("550-rcpt@x.y", ("550", "rcpt")),
        ("451-dot.7@x.y", ("451", "dot")),
        ("drop-dot+a@x.y", ("drop", "dot")),
        ("hang-dot@x.y", ("hang", "dot")),
        ("550-rcptx@x.y", None),
        ("anna@x.y", None),
        ("999-rcpt@x.y", None),
    ],
)
def test_fault_is_named_by_the_local_part(address: str, fault: tuple[str, str] | None) -> None:
    """Only an address that asks for a fault gets one."""
    assert fault_of(address) == fault


async def test_refused_recipient_and_refused_message_are_not_logged(server: SmtpServer, mailbox: Mailbox) -> None:
    """The log holds what the server took responsibility for, nothing else."""
    start = (b"EHLO me", b"MAIL FROM:<s@example.com>")
    assert b"\r\n550 5.1.1" in await say(server.port, *start, b"RCPT TO:<550-rcpt@example.com>", b"QUIT")
    assert b"\r\n451 4.3.0" in await say(server.port, *start, b"RCPT TO:<451-dot@example.com>", b"DATA", b"", b"x", b".", b"QUIT")
    assert read_log(mailbox.folder) == []


async def test_dropped_dot_is_logged_without_an_answer(server: SmtpServer, mailbox: Mailbox) -> None:
    """Taken, then the connection is gone: the case that only `in_doubt` can name."""
    answer = await say(server.port, b"EHLO me", b"MAIL FROM:<s@example.com>", b"RCPT TO:<drop-dot@example.com>", b"DATA", b"", b"x", b".")
    assert answer.splitlines()[-1].startswith(b"354 ")
    (entry,) = read_log(mailbox.folder)
    assert entry.reply == ""


async def test_stop_closes_a_hanging_session(mailbox: Mailbox) -> None:
    """A peer that waits for ever does not keep the sandbox up; stopping twice, or before the start, is no error."""
    smtp = SmtpServer(mailbox, SystemClock(), port=0)
    await smtp.stop()
    await smtp.start()
    with socket.create_connection(("127.0.0.1", smtp.port)):
        await smtp.stop()
        await smtp.stop()


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    """The log is appended to; a half-written last line is not read."""
    first = Mailbox(tmp_path, SystemClock())
    first.take("s@x.y", ["a@x.y"], b"Subject: one\r\n\r\n", "250")
    first.close()
    second = Mailbox(tmp_path, SystemClock())
    second.take("s@x.y", ["a@x.y"], b"Subject: two\r\n\r\n", "250")
    second.close()
    with (tmp_path / "log.ndjson").open("a") as log:
        log.write('{"n": 3, "at"')
    assert [(entry.n, entry.subject) for entry in read_log(tmp_path)] == [(1, "one"), (2, "two")]


@pytest.mark.promise("B55")
async def test_inbox_escapes_what_a_message_says(inbox: Inbox, mailbox: Mailbox) -> None:
    """Script in subject, sender, recipient, header or text is shown, never run; HTML is served only under a sandbox policy."""
    mailbox.take(EVIL, [EVIL], message(EVIL, html=f"<p>{EVIL}</p>").as_bytes(), "250")
    async with aiohttp.ClientSession(inbox.url) as session:
        for path in ("/", "/?q=%3Cscript%3E", "/m/1"):
            async with session.get(path) as reply:
                body = await reply.text()
                assert reply.status == 200
                assert "script-src" not in reply.headers["Content-Security-Policy"]
                assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert EVIL not in body
        async with session.get("/m/1/html") as reply:
            assert reply.headers["Content-Security-Policy"].startswith("sandbox allow-popups ")
            assert "allow-scripts" not in reply.headers["Content-Security-Policy"]
            served = await reply.text()
            assert served.startswith('<base target="_blank">')
            assert EVIL in served
        async with session.get("/m/1/raw") as reply:
            assert (reply.content_type, reply.headers["X-Content-Type-Options"]) == ("text/plain", "nosniff")


async def test_inbox_refuses_a_foreign_host_name(inbox: Inbox) -> None:
    """A page elsewhere whose name points at loopback gets nothing (DNS rebinding)."""
    async with aiohttp.ClientSession() as session, session.get(inbox.url, headers={"Host": "evil.example"}) as reply:
        assert reply.status == 421


async def test_inbox_lists_searches_and_pages(inbox: Inbox, mailbox: Mailbox) -> None:
    """Newest first, fifty a page, found by address or subject."""
    for n in range(60):
        mailbox.take("s@x.y", [f"user{n}@example.com"], f"Subject: No {n}\r\n\r\n".encode(), "250")
    async with aiohttp.ClientSession(inbox.url) as session:
        first, second, found = [await (await session.get(path)).text() for path in ("/", "/?page=2", "/?q=user7@")]
        missing = await session.get("/m/61")
    assert "No 59" in first
    assert "No 9<" not in first
    assert "No 9<" in second
    assert "1 found" in found
    assert missing.status == 404


async def test_one_click_button_posts_to_the_messages_own_link(inbox: Inbox, mailbox: Mailbox) -> None:
    """The button is the RFC 8058 form: the address from List-Unsubscribe with the one-click body."""
    mailbox.take("s@x.y", ["a@example.com"], message().as_bytes(), "250")
    async with aiohttp.ClientSession(inbox.url) as session, session.get("/m/1") as reply:
        body = await reply.text()
    assert '<form method="post" action="http://127.0.0.1:9/u/v1.token"' in body
    assert 'name="List-Unsubscribe" value="One-Click"' in body


def test_only_web_addresses_become_buttons() -> None:
    """`javascript:` or a broken link in List-Unsubscribe offers no button, nor does a message without the post header."""
    mail = message()
    mail.replace_header("List-Unsubscribe", "<javascript:alert(1)>, <http://[broken>")
    assert one_click_url(mail) is None
    mail = message()
    del mail["List-Unsubscribe-Post"]
    assert one_click_url(mail) is None


def test_odd_charset_is_shown_not_raised() -> None:
    """A message with a charset nobody knows can still be opened."""
    mail = parse(b"Content-Type: text/plain; charset=klingon\r\n\r\nnuq\xffneH\r\n")
    assert text_of(mail, "plain") == "nuq\ufffdneH\r\n"
    assert text_of(mail, "html") is None


def test_smtplib_can_send_to_it(tmp_path: Path) -> None:
    """Another client than ours: the standard library's, from its own thread."""
    async def run() -> str:
        box = Mailbox(tmp_path, SystemClock())
        smtp = SmtpServer(box, SystemClock(), port=0)
        await smtp.start()

        def send() -> None:
            with smtplib.SMTP("127.0.0.1", smtp.port) as client:
                client.send_message(message("Through smtplib"))

        await asyncio.to_thread(send)
        await smtp.stop()
        box.close()
        return read_log(tmp_path)[0].subject

    assert asyncio.run(run()) == "Through smtplib"


@pytest.mark.parametrize("turns", range(7))
@pytest.mark.parametrize("make", [SmtpServer, PushService])
def test_a_stop_leaves_no_connection_behind(make: Any, turns: int, tmp_path: Path) -> None:
    """Whoever comes at the very moment is closed too, before the loop is."""

    async def run() -> None:
        box = Mailbox(tmp_path, SystemClock())
        server = SmtpServer(box, SystemClock(), port=0) if make is SmtpServer else PushService(SystemClock())
        await server.start()
        with socket.create_connection(("127.0.0.1", server.port)):
            for _ in range(turns):
                await asyncio.sleep(0)
            await server.stop()
        box.close()

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        asyncio.run(run())
        gc.collect()
    assert [str(one.message) for one in told] == []
