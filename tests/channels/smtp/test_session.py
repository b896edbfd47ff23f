"""Opening a session: TLS or nothing, one try at signing in, one deadline, nothing taken for granted (facts/reliability.md §8 F12, F14)."""

from __future__ import annotations

import asyncio
import base64
import socket
from typing import Any

import aiosmtplib
import pytest

from channels.smtp.session import CannotOpen, Terms, open_session
from channels.smtp.settings import Endpoint
from plugins import Deferred, Secret
from tests.channels.smtp.conftest import Certificates
from tests.channels.smtp.line import Line, Names, batch, channel, context
from tests.channels.smtp.servers import Peer, Sink, aiosmtpd_server
from tests.channels.smtp.test_phases import SHORT, big, brief, judge


async def refusal(port: int, **settings: Any) -> Deferred:
    """What a batch is told when no session can be opened."""
    line = Line()
    async with channel(port=port, **(SHORT | {"connect_seconds": 0.25} | settings)) as sender:
        await sender.send(batch(1), line)
    outcome = line.outcomes["m1"]
    assert isinstance(outcome, Deferred)
    assert not line.granted
    return outcome


@pytest.mark.promise("B28")
@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "step by step"])
@pytest.mark.parametrize("auth", [False, True], ids=["open", "auth"])
@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
async def test_mails_arrive_byte_by_byte_over_every_kind_of_session(
    certificates: Certificates, tls: str, auth: bool, pipelining: bool
) -> None:
    """aiosmtpd, the independent peer: 16 messages on 4 connections, from 0.5 to 60 KB, each once and as it was composed."""
    sink = Sink(pipelining=pipelining)
    options: dict[str, Any] = {} if tls == "none" else {tls: certificates.good}
    settings: dict[str, Any] = {"tls": tls, "pool": 4} | ({} if tls == "none" else {"ca_file": certificates.ca_file, "host": "localhost"})
    if auth:
        settings |= {"username": "homing", "password": Secret("right")}
    messages = [
        type(it)(**{name: getattr(it, name) for name in it.__slots__} | {"text_pieces": ("Zeile é.\n" * (n * n * 20), ".\n", "From me\n")})
        for n, it in enumerate(batch(16))
    ]
    lines = [Line() for _ in range(4)]
    async with aiosmtpd_server(sink, auth=auth, **options) as port:
        async with channel(port=port, **settings) as sender:
            await asyncio.gather(*(sender.send(messages[n::4], line) for n, line in enumerate(lines)))
            composed = {it.id: sender._composer.compose(it).content.replace(b"\r\n..", b"\r\n.") for it in messages}
    assert {brief(outcome) for line in lines for outcome in line.outcomes.values()} == {"accepted"}
    assert len(sink.mails) == 16
    assert {mail.id: mail.data for mail in sink.mails} == composed


@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
async def test_a_mail_of_megabytes_goes_through_in_pieces(certificates: Certificates, tls: str) -> None:
    """Flow control over TLS too, where asyncio's buffer limits behave otherwise than on a plain socket."""
    context = None if tls == "none" else certificates.good
    settings: dict[str, Any] = {"tls": tls} | ({} if tls == "none" else {"ca_file": certificates.ca_file})
    async with Peer(narrow=True, context=context, implicit=tls == "implicit") as peer:
        line = Line(peer.events)
        async with channel(port=peer.port, block_seconds=5.0, **settings) as sender:
            await sender.send([*batch(1), *big(2, 2)[1:], *batch(4)[2:]], line)
            composed = sender._composer.compose(big(2, 2)[1]).content
    judge(line, peer)
    assert [brief(outcome) for outcome in line.outcomes.values()] == ["accepted"] * 4
    assert peer.taken[1].data == composed


@pytest.mark.promise("F14")
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("server", ["other_name", "stranger", "expired"])
async def test_a_bad_certificate_ends_the_attempt(certificates: Certificates, tls: str, server: str) -> None:
    """F14: another name, an unknown authority, a past date. Never plaintext."""
    async with Peer(context=getattr(certificates, server), implicit=tls == "implicit") as peer:
        outcome = await refusal(peer.port, tls=tls, ca_file=certificates.ca_file, host="localhost")
        assert (outcome.scope, outcome.code) == ("provider", "tls")
    assert not [command for command in peer.commands if command.startswith(("MAIL", "AUTH"))]


async def test_verify_false_takes_any_certificate_on_loopback(certificates: Certificates) -> None:
    """For a relay of one's own on this machine."""
    async with Peer(context=certificates.stranger) as peer:
        line = Line()
        async with channel(port=peer.port, tls="starttls", verify=False) as sender:
            await sender.send(batch(1), line)
    assert len(peer.taken) == 1


@pytest.mark.promise("F14")
async def test_a_stripped_starttls_ends_the_attempt() -> None:
    """F14: the relay, or somebody on the way, does not offer it."""
    async with Peer() as peer:
        outcome = await refusal(peer.port, tls="starttls", username="u", password=Secret("p"))
        assert (outcome.scope, outcome.code) == ("provider", "starttls_missing")
    assert [command.split()[0] for command in peer.commands] == ["EHLO"]


@pytest.mark.promise("F14")
@pytest.mark.parametrize("answer", ["454 4.7.0 TLS not available", "502 5.5.1 what", "drop", "hang", "garbage"])
async def test_a_refused_starttls_ends_the_attempt(certificates: Certificates, answer: str) -> None:
    """Whatever the way of refusing."""
    async with Peer(context=certificates.good, script={"starttls": answer}) as peer:
        outcome = await refusal(peer.port, tls="starttls", ca_file=certificates.ca_file)
        assert outcome.scope == "provider"
    assert not [command for command in peer.commands if command.startswith("MAIL")]


@pytest.mark.promise("F14")
async def test_plaintext_behind_the_answer_to_starttls_ends_the_attempt(certificates: Certificates) -> None:
    """F14: bytes that somebody put there before TLS; aiosmtplib would drop them in silence, and its `_buffer` is where we see them."""
    injected = "220 2.0.0 Ready\r\n250 injected"
    async with Peer(context=certificates.good, script={"starttls": injected}) as peer:
        outcome = await refusal(peer.port, tls="starttls", ca_file=certificates.ca_file)
        assert (outcome.scope, outcome.code) == ("provider", "injected")
    assert not [command for command in peer.commands if command.startswith("MAIL")]


@pytest.mark.parametrize("size", ["²", "9" * 5000, "-5", "x", "1e9", "\0"])
async def test_a_size_that_is_no_number_is_no_limit(size: str) -> None:
    """What the relay says of itself is read, never trusted to be well-formed."""
    async with Peer(extensions=[f"SIZE {size}"]) as peer:
        line = Line(peer.events)
        async with channel(port=peer.port) as sender:
            await sender.send(batch(1), line)
        assert brief(line.outcomes["m1"]) == "accepted"


@pytest.mark.promise("F14")
async def test_bytes_behind_the_last_reply_end_the_attempt() -> None:
    """A 421 glued to the answer to EHLO, or a desynchronised relay."""
    async with Peer(script={"ehlo": "250 peer.example\r\n421 4.3.2 closing"}) as peer:
        outcome = await refusal(peer.port)
        assert (outcome.scope, outcome.code) == ("provider", "injected")


def test_aiosmtplib_still_has_the_parts_that_we_lean_on() -> None:
    """`_buffer` is private: whoever raises the pinned minor version learns it here."""
    assert aiosmtplib.__version__.startswith("5.1.")
    protocol = aiosmtplib.protocol.SMTPProtocol
    assert "_buffer" in protocol.__init__.__code__.co_names
    assert {"execute_command", "auth_plain", "auth_login", "auth_crammd5", "supports_extension"} <= set(dir(aiosmtplib.SMTP))


async def test_a_wrong_password_is_tried_once_and_stops_the_provider() -> None:
    """535 is for the operator; trying each mechanism in turn locks accounts."""
    async with Peer(script={"auth": "535 5.7.8 authentication failed"}) as peer:
        outcome = await refusal(peer.port, username="homing", password=Secret("wrong"))
        assert (outcome.scope, outcome.code) == ("operator", "535")
        assert "wrong" not in str(outcome)
    assert len([command for command in peer.commands if command.startswith("AUTH")]) == 1


async def test_a_wrong_password_at_aiosmtpd_stops_the_provider(certificates: Certificates) -> None:
    """The same with the independent peer, over TLS."""
    async with aiosmtpd_server(Sink(), starttls=certificates.good, auth=True) as port:
        outcome = await refusal(port, tls="starttls", ca_file=certificates.ca_file, username="homing", password=Secret("wrong"))
    assert (outcome.scope, outcome.code) == ("operator", "535")


async def test_a_temporary_failure_to_sign_in_is_the_providers() -> None:
    """454 4.7.0: the relay's user database is down."""
    async with Peer(script={"auth": "454 4.7.0 temporary failure"}) as peer:
        outcome = await refusal(peer.port, username="homing", password=Secret("right"))
        assert (outcome.scope, outcome.code) == ("provider", "454")


async def test_in_clear_the_password_itself_is_not_sent_if_that_can_be_helped() -> None:
    """CRAM-MD5 first where there is no TLS; the example of RFC 2195 shows that the digest is right."""
    async with Peer(script={"auth": "235 2.7.0 ok"}, mechanisms="PLAIN CRAM-MD5") as peer:
        line = Line()
        async with channel(port=peer.port, username="tim", password=Secret("tanstaaftanstaaf")) as sender:
            await sender.send(batch(1), line)
    assert brief(line.outcomes["m1"]) == "accepted"
    answer = base64.b64decode(peer.commands[peer.commands.index("AUTH CRAM-MD5") + 1]).decode()
    assert answer == "tim b913a602c7eda7a495b4e6e7334d3890"


async def test_login_is_used_where_plain_is_not_offered(certificates: Certificates) -> None:
    """The old way of some relays."""
    sink = Sink()
    line = Line()
    settings: dict[str, Any] = {"tls": "starttls", "ca_file": certificates.ca_file, "username": "homing", "password": Secret("right")}
    async with (
        aiosmtpd_server(sink, starttls=certificates.good, auth=True, without="PLAIN") as port,
        channel(port=port, **settings) as sender,
    ):
        await sender.send(batch(1), line)
    assert brief(line.outcomes["m1"]) == "accepted"


async def test_no_mechanism_in_common_is_the_operators() -> None:
    """Such as a relay that wants OAuth."""
    async with Peer(script={"auth": "235 2.7.0 ok"}, mechanisms="XOAUTH2") as peer:
        outcome = await refusal(peer.port, username="homing", password=Secret("right"))
        assert (outcome.scope, outcome.code) == ("operator", "auth_missing")


async def test_cancelled_while_it_connects_nothing_is_left_open() -> None:
    """The daemon gives up during the greeting, or before the connection is there at all."""
    async with Peer(script={"connect": "hang"}) as peer:
        for turns in (1, 30):
            opening = asyncio.ensure_future(open_session(Endpoint("127.0.0.1", peer.port), Terms.of(context().settings), Names(), "test"))
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening


async def test_a_relay_without_auth_is_the_operators() -> None:
    """A username that cannot be used is a mistake in the config, or a relay that changed."""
    async with Peer() as peer:
        outcome = await refusal(peer.port, username="homing", password=Secret("right"))
        assert (outcome.scope, outcome.code) == ("operator", "auth_missing")


@pytest.mark.promise("F11", "F12")
@pytest.mark.parametrize(
    ("script", "code"),
    [
        ({"connect": "421 4.3.2 too many connections"}, "421"),
        ({"connect": "554 5.7.1 no service"}, "554"),
        ({"connect": "drop"}, "unreachable"),
        ({"connect": "rst"}, "unreachable"),
        ({"connect": "hang"}, "timeout"),
        ({"connect": "garbage"}, "garbled"),
        ({"connect": "drip 220 slow"}, "timeout"),
        ({"connect": "raw 220-" + "x" * 40_000}, "garbled"),
        ({"ehlo": "550 5.7.1 refused"}, "550"),
        ({"ehlo": "421 4.3.2 closing"}, "421"),
        ({"ehlo": "drop"}, "unreachable"),
        ({"ehlo": "hang"}, "timeout"),
        ({"ehlo": "drip 250 slow"}, "timeout"),
        ({"ehlo": "garbage"}, "garbled"),
        ({"ehlo": "raw " + "250-more\r\n" * 20_000}, "garbled"),
        ({"ehlo": "250-peer\r\n550 no"}, "550"),
        ({"connect": "554 5.7.1 \x1b[31m\0no"}, "554"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_bad_greeting_defers_the_batch(script: dict[str, str], code: str) -> None:
    """F12: banner and EHLO have one deadline together, drip or not; a flood has an end. No HELO, no second try."""
    async with Peer(script=script) as peer:
        started = asyncio.get_running_loop().time()
        outcome = await refusal(peer.port)
        assert asyncio.get_running_loop().time() - started < 1.0
        assert outcome.scope == "provider"
        assert outcome.code == code
        assert outcome.throttled == (code == "421")
        assert outcome.detail is not None
        assert outcome.detail.isprintable()
    assert "HELO" not in "".join(peer.commands)


async def test_the_first_address_that_answers_is_used() -> None:
    """A name with several addresses, the first of which is dead."""

    class Two(Names):
        async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
            return [("127.0.0.2", 1), ("127.0.0.1", port)]

    async with Peer() as peer:
        terms = Terms.of(context().settings)
        exchange, offer = await open_session(Endpoint("relay.example", peer.port), terms, Two(), "test")
        assert offer.pipelining
        assert offer.size == 10_000_000
        exchange.quit()
        await exchange.closed


async def test_nagle_is_off() -> None:
    """asyncio switches it off only for a socket made with its protocol named; else each group waits 40 ms for an ACK."""
    async with Peer() as peer:
        exchange, _ = await open_session(Endpoint("127.0.0.1", peer.port), Terms.of(context().settings), Names(), "test")
        assert exchange._transport is not None
        connected = exchange._transport.get_extra_info("socket")
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        exchange.quit()
        await exchange.closed


@pytest.mark.promise("F15")
async def test_a_name_without_an_address_cannot_be_opened() -> None:
    """Nothing to connect to."""

    class Nowhere(Names):
        async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
            return []

    with pytest.raises(CannotOpen, match="no address"):
        await open_session(Endpoint("relay.example", 25), Terms.of(context().settings), Nowhere(), "test")


@pytest.mark.promise("F15")
async def test_a_name_that_does_not_resolve_defers_the_batch() -> None:
    """F15, as far as the relay's own name goes."""

    class Broken(Names):
        async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
            raise OSError("SERVFAIL")

    with pytest.raises(CannotOpen, match="SERVFAIL") as caught:
        await open_session(Endpoint("relay.example", 25), Terms.of(context().settings), Broken(), "test")
    assert caught.value.outcome.scope == "provider"


async def test_a_mail_that_is_too_large_is_rejected_before_the_wire() -> None:
    """SIZE in the relay's EHLO (RFC 1870); an unlimited or unnamed size refuses nothing."""
    for extensions, wanted in ((["SIZE 400"], "rejected message"), (["SIZE 0"], "accepted"), (["SIZE"], "accepted"), ([], "accepted")):
        async with Peer(extensions=extensions) as peer:
            line = Line(peer.events)
            async with channel(port=peer.port) as sender:
                await sender.send(batch(1), line)
            assert brief(line.outcomes["m1"]) == wanted
            mails = [command for command in peer.commands if command.startswith("MAIL")]
            assert len(mails) == (wanted == "accepted")
            assert all(("SIZE=" in command) == bool(extensions) for command in mails)


@pytest.mark.promise("B22")
async def test_an_address_beyond_ascii_needs_a_relay_with_smtputf8() -> None:
    """B22: rejected where it is not offered, carried unchanged where it is."""
    for offered in (False, True):
        sink = Sink(smtputf8=offered)
        line = Line()
        it = batch(1)[0]
        it = type(it)(**{name: getattr(it, name) for name in it.__slots__} | {"address": "سارا@نمونه.example"})
        async with aiosmtpd_server(sink) as port, channel(port=port) as sender:
            await sender.send([it, batch(2)[1]], line)
        assert brief(line.outcomes["m1"]) == ("accepted" if offered else "rejected message")
        assert brief(line.outcomes["m2"]) == "accepted"
        assert [mail.recipient for mail in sink.mails] == ["سارا@xn--hhbbbed.example"] * offered + ["m2@example.com"]
