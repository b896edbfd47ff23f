"""The parts of the conformance kit: marks are found in any dress, peers note acts, settings lead to them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web

from plugins import Accepted, Capabilities, Message, Outcome, Secret, SimpleChannel
from plugins.settings import SettingsRefusedError
from plugins.testing import Act, Behaviour, FolderPeer, HttpPeer, Reply, Rule, SmtpPeer, Verdict, run_conformance
from plugins.testing.messages import address_maker, found_in, make_message
from plugins.testing.world import START, LocalDns, connect, open_stream, settle
from tests.unit.plugins.faulty.base import Settings, Sound

ONE, OTHER = (make_message(n, channel="email", address=address_maker("email")(n), now=START) for n in (1, 2))
CALL = make_message(3, channel="call", address=address_maker("phone")(3), now=START)


@pytest.mark.parametrize(
    "data",
    [
        f"POST /x\r\n\r\n{{'id': '{ONE.id}'}}".encode(),
        f"to={ONE.address}".encode(),
        urlencode({"to": ONE.address}).encode(),
        b"Subject: x\r\n\r\n" + base64.encodebytes(f"Liebe Grüße, {ONE.text} und so weiter, ein langer Text".encode()),
        b"\r\n\r\n" + gzip.compress(ONE.text.encode(), mtime=0),
        base64.urlsafe_b64encode(ONE.id.encode() * 3),
    ],
)
def test_a_message_is_known_by_its_marks_in_any_dress(data: bytes) -> None:
    """Plain, percent-encoded, base64, zipped; and never taken for another one."""
    assert found_in(data, [ONE, OTHER]) == [ONE.id]


def test_a_phone_number_is_known_without_its_plus() -> None:
    """Providers write it as %2B, as 00 or not at all."""
    assert found_in(urlencode({"To": CALL.address}).encode(), [ONE, CALL]) == [CALL.id]
    assert found_in(b"\x1f\x8b\x08 broken", [CALL]) == []


@pytest.fixture
async def http_peer() -> AsyncIterator[HttpPeer]:
    peer = HttpPeer(prepares=lambda _method, path: path == "/login")
    await peer.start()
    yield peer
    await peer.stop()


async def test_an_act_is_a_request_that_is_not_safe(http_peer: HttpPeer) -> None:
    """GET and what the author calls preparation are none; a body in chunks is put together; kept-alive connections serve on."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    async with aiohttp.ClientSession(http_peer.origin) as http:
        await http.get("/numbers/1")
        await http.post("/login", data=b"secret")
        await http.post("/send", data=b"plain", expect100=True)
        async with http.post("/send", data=chunks()) as reply:
            assert (await reply.json())["status"] == "accepted"
    assert [bytes(act.data).split(b"\r\n\r\n")[1] for act in http_peer.seen()] == [b"plain", b"one two"]
    assert all(act.complete for act in http_peer.seen())


async def test_a_request_cut_off_is_an_act_that_is_not_complete(http_peer: HttpPeer) -> None:
    """And ends that conversation only."""
    for half in (b"POST /send HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf", b"nonsense\r\n\r\n", b"POST"):
        reader, writer = await connect("127.0.0.1", http_peer.port)
        writer.write(half)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
    assert [act.complete for act in http_peer.seen()] == [False]
    assert http_peer.seen()[0].data.endswith(b"half")


async def test_smtp_content_is_an_act_from_its_first_line(http_peer: HttpPeer) -> None:
    """The envelope is none; a session cut off before the dot leaves one that is not complete."""
    peer = SmtpPeer()
    await peer.start()
    reader, writer = await connect("127.0.0.1", peer.port)
    writer.write(b"EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nXXXX\r\nDATA\r\n")
    seen = b""
    while b"354" not in seen:
        seen += await reader.read(4096)
    assert b"502" in seen
    assert peer.seen() == []
    writer.write(b"Subject: x\r\n\r\nhello\r\n.\r\nDATA\r\nhalf\r\n")
    writer.write_eof()
    await reader.read()
    writer.close()
    assert peer.seen() == [Act(bytearray(b"Subject: x\r\n\r\nhello\r\n"), complete=True), Act(bytearray(b"half\r\n"), complete=False)]
    await peer.stop()


async def test_the_authors_own_fake_of_the_provider_answers_if_it_is_on_this_machine() -> None:
    """Requests are passed on to it and its answers come back; the kit watches."""
    got: list[dict[str, Any]] = []

    async def handler(request: web.Request) -> web.Response:
        got.extend(await request.json())
        return web.json_response({"sid": "s1"}, status=201)

    app = web.Application()
    app.router.add_post("/v1/calls", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/calls"
    report = await run_conformance(Sound, {"url": url, "token": "canary-5150"})
    assert report.passed, report.text()
    assert report.notes == (f"requests were passed on to {url}, which answered them",)
    assert len(got) >= 10
    url_of_nobody = url.replace("/v1/calls", "/nothing")
    report = await run_conformance(Sound, {"url": url_of_nobody, "token": "canary-5150"})
    assert any("was not taken as accepted but as" in note for note in report.notes)
    await runner.cleanup()


async def test_nothing_of_the_kit_leaves_this_machine() -> None:
    """Names and addresses of others are not there."""
    assert await LocalDns().resolve("LOCALHOST.", 25) == [("127.0.0.1", 25)]
    for host in ("example.com", "192.0.2.1", "10.0.0.1"):
        with pytest.raises(OSError, match="this machine only"):
            await open_stream(host, 25)


async def test_settings_that_do_not_fit_are_told_as_usual() -> None:
    """A missing key that is no address and no secret, an unknown one, a wrong one."""

    @dataclass(frozen=True)
    class Picky:
        url: str
        sender: str
        token: Secret
        retries: int = 1

    class Channel(Sound):
        settings_type = Picky  # type: ignore[assignment]

    with pytest.raises(SettingsRefusedError) as refused:
        await run_conformance(Channel, {"retries": "x", "ulr": "y"})
    assert {problem.key for problem in refused.value.problems} == {"retries", "ulr", "sender"}


async def test_settings_may_be_given_as_an_instance() -> None:
    """As an author's test has them; addresses in them are led to the kit all the same."""
    report = await run_conformance(Sound, Settings(url="https://api.example/calls", token=Secret("canary-5150")))
    assert report.passed, report.text()


@dataclass(frozen=True)
class Nothing:
    pass


class Mute(SimpleChannel[Nothing]):
    """Keeps its messages to itself."""

    name, channel, address, settings_type = "mute", "letter", "recipient", Nothing
    capabilities = Capabilities(concurrency=1, batch=1)
    box: list[bytes]

    async def send_one(self, message: Message) -> Outcome:
        self.box.append(message.text.encode())
        return Accepted()


async def test_without_a_wire_only_what_is_asked_and_reported_is_judged() -> None:
    """The report says so instead of passing what it did not see."""
    Mute.box = []
    report = await run_conformance(Mute)
    verdicts = {finding.rule: finding.verdict for finding in report.findings}
    assert report.passed
    assert {rule for rule, verdict in verdicts.items() if verdict is Verdict.NOT_CHECKED} == {
        Rule.GRANT_DEADLINE,
        Rule.DOUBT,
        Rule.REFUSAL,
        Rule.GIVES_BACK,
        Rule.PARALLEL,
    }
    assert "no id, address or text of it was seen" in report.notes[0]


async def test_an_author_may_bring_a_peer_of_their_own() -> None:
    """Four methods; then the rules about the wire are judged as well."""

    class Box:
        async def start(self) -> None:
            Mute.box = []

        async def stop(self) -> None:
            pass

        def settings(self) -> Mapping[str, Any]:
            return {}

        def seen(self) -> Sequence[bytes]:
            return Mute.box

    class Early(Mute):
        async def send(self, batch: Sequence[Message], session: Any) -> None:
            for message in batch:
                await self.send_one(message)
            await super().send(batch, session)

    report = await run_conformance(Mute, peer=Box())
    assert report.passed, report.text()
    assert (report.peer, report.notes) == ("your Box", ())
    report = await run_conformance(Early, peer=Box())
    assert {finding.rule for finding in report.failed} >= {Rule.HANDOVER_FIRST, Rule.SENT_ONCE, Rule.ONLY_GRANTED}


async def test_a_folder_is_a_peer() -> None:
    """Each new file is an act; the folder goes away with the scene."""
    peer = FolderPeer()
    await peer.start()
    folder = peer.settings()["folder"]
    with open(f"{folder}/1.json", "w") as file:
        file.write("one")
    assert peer.seen() == [Act(bytearray(b"one"), complete=True)]
    await peer.stop()
    assert peer.settings() == {}


async def test_a_channel_whose_start_fails_is_not_played_any_further() -> None:
    """One reason instead of ten that follow from it."""

    class Channel(Sound):
        async def start(self, context: Any) -> None:
            raise PermissionError("no such account")

    report = await run_conformance(Channel)
    assert [finding.rule for finding in report.failed] == [Rule.START_STOP]
    assert report.failed[0].reasons == ("start() raised PermissionError: no such account",)
    assert sum(finding.verdict is Verdict.NOT_CHECKED for finding in report.findings) >= 5


async def test_a_connection_left_open_is_found() -> None:
    """stop() must close what the channel opened by itself."""

    streams = []

    class Channel(Sound):
        async def start(self, context: Any) -> None:
            await super().start(context)
            host, _, port = context.settings.url.removeprefix("http://").partition(":")
            with contextlib.suppress(ConnectionRefusedError):
                streams.append(await context.open_stream(host, int(port)))

    report = await run_conformance(Channel)
    for stream in streams:
        stream.close()
    await settle()
    assert "stop() left 1 connections to the provider open" in [reason for finding in report.failed for reason in finding.reasons]


def test_answers_of_the_peer_are_whole() -> None:
    """Text or bytes; none for 204."""
    assert Reply(202, {"X-Call-Id": "c1"}, "ok").as_bytes() == b"HTTP/1.1 202 Kit\r\nX-Call-Id: c1\r\nContent-Length: 2\r\n\r\nok"
    assert Reply(204, {}).as_bytes() == b"HTTP/1.1 204 Kit\r\n\r\n"


async def test_a_peer_that_is_away_refuses_connections() -> None:
    """As a provider that is down does."""
    peer = HttpPeer()
    peer.behave(Behaviour.AWAY)
    await peer.start()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.wait_for(connect("127.0.0.1", peer.port), 1)
    await peer.stop()
