"""SMTP: opening a session. aiosmtplib connects, greets, upgrades to TLS and signs in; then its transport becomes our `Exchange`.

Never falls back: a missing STARTTLS, a bad certificate, plaintext glued to the answer of STARTTLS end the attempt (F14). One deadline
for all of it, whatever drips (F12). Addresses come from the DNS port, so that a slow name cannot freeze the process's threads.
aiosmtplib's `_buffer` is private and read to see what was glued on: one test guards it, requirements pin the minor version.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NoReturn

import aiosmtplib

from channels.smtp.exchange import Exchange, Stage
from channels.smtp.settings import Endpoint, Settings
from plugins import Deferred, Dns, Scope

_OPERATOR_CODES = frozenset({530, 534, 535, 538})
"""The relay will not have us as we are configured; trying again would only lock the account (RFC 4954 §6)."""


class CannotOpen(Exception):
    """No session with this relay now; `outcome` is what it means for a message that wanted one. Nothing is in doubt."""

    def __init__(self, code: str, detail: str, *, scope: Scope = "provider", throttled: bool = False) -> None:
        super().__init__(detail)
        self.outcome = Deferred(scope=scope, code=code, detail=detail, throttled=throttled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What the relay's last EHLO offered. `size`: its limit in bytes, 0 = none; None = it does not know SIZE."""

    pipelining: bool = False
    size: int | None = None
    smtputf8: bool = False
    eightbit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How to open: the provider's settings in the shape that is needed here, the TLS context made once."""

    tls: Literal["starttls", "implicit", "none"]
    context: ssl.SSLContext | None
    username: str | None
    password: str | None
    ehlo_name: str
    seconds: float
    stage_seconds: Mapping[Stage, float]

    @classmethod
    def of(cls, settings: Settings) -> Terms:
        """Reads the authority file: OSError or ssl.SSLError if that does not work."""
        context = None
        if settings.tls != "none":
            context = ssl.create_default_context(cafile=settings.ca_file)
            if not settings.verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
        return cls(
            tls=settings.tls,
            context=context,
            username=settings.username,
            password=settings.password.reveal() if settings.password is not None else None,
            ehlo_name=settings.ehlo_name,
            seconds=settings.connect_seconds,
            stage_seconds=settings.stage_seconds,
        )


async def open_session(endpoint: Endpoint, terms: Terms, dns: Dns, name: str) -> tuple[Exchange, Offer]:
    """Connect to the relay and return the session, ready for MAIL. Raises CannotOpen; then nothing is left open."""
    try:
        async with asyncio.timeout(terms.seconds):
            connected = await _connect(endpoint, terms.seconds, dns)
            client = aiosmtplib.SMTP(
                hostname=endpoint.host,
                sock=connected,
                use_tls=terms.tls == "implicit",
                start_tls=False,
                tls_context=terms.context,
                local_hostname=terms.ehlo_name,
                timeout=terms.seconds,
            )
            try:
                await _greet(client, endpoint, terms)
                return _take_over(client, terms, name)
            finally:
                _let_go(client)
    except TimeoutError as error:
        raise CannotOpen("timeout", f"{endpoint}: no session within {terms.seconds:g} s") from error
    except aiosmtplib.SMTPResponseException as error:
        _refused(endpoint, error)
    except ssl.SSLError as error:
        raise CannotOpen("tls", f"{endpoint}: {getattr(error, 'verify_message', None) or error.reason or error}") from error
    except (OSError, aiosmtplib.SMTPException) as error:
        cause = error.__cause__
        if isinstance(cause, ssl.SSLError):
            raise CannotOpen("tls", f"{endpoint}: {getattr(cause, 'verify_message', None) or cause.reason or cause}") from error
        raise CannotOpen("unreachable", f"{endpoint}: {error}") from error


async def _connect(endpoint: Endpoint, seconds: float, dns: Dns) -> socket.socket:
    """A TCP connection to the first address that takes one; each gets its share of the time. OSError if none does."""
    loop = asyncio.get_running_loop()
    failure = OSError(f"{endpoint.host} has no address")
    addresses = await dns.resolve(endpoint.host, endpoint.port)
    for address, port in addresses:
        # The protocol must be named: asyncio sets TCP_NODELAY only then, and without it Nagle holds each group up for 40 ms.
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connecting = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        connecting.setblocking(False)
        try:
            async with asyncio.timeout(seconds / len(addresses)):
                await loop.sock_connect(connecting, (address, port))
        except OSError as error:  # a TimeoutError is one
            connecting.close()
            failure = error
        except BaseException:
            connecting.close()
            raise
        else:
            return connecting
    raise failure


async def _greet(client: aiosmtplib.SMTP, endpoint: Endpoint, terms: Terms) -> None:
    await client.connect()
    await client.ehlo()
    if terms.tls == "starttls":
        await _start_tls(client, endpoint, terms)
        await client.ehlo()
    if terms.username is not None and terms.password is not None:
        await _sign_in(client, endpoint, terms.username, terms.password)


async def _start_tls(client: aiosmtplib.SMTP, endpoint: Endpoint, terms: Terms) -> None:
    """STARTTLS step by step: aiosmtplib's own would drop injected bytes in silence, and we want the attempt to end."""
    if not client.supports_extension("starttls"):
        raise CannotOpen("starttls_missing", f'{endpoint} offers no STARTTLS; tls = "starttls" never goes on in plaintext')
    answer = await client.execute_command(b"STARTTLS")
    if answer.code != 220:
        raise aiosmtplib.SMTPResponseException(answer.code, answer.message)
    _refuse_glued(client, endpoint)
    protocol = client.protocol
    transport = client.transport
    if protocol is None or not isinstance(transport, asyncio.WriteTransport) or terms.context is None:
        raise CannotOpen("unreachable", f"{endpoint}: closed after STARTTLS")
    loop = asyncio.get_running_loop()
    secured = await loop.start_tls(transport, protocol, terms.context, server_hostname=endpoint.host, ssl_handshake_timeout=terms.seconds)
    client.transport = protocol.transport = secured


async def _sign_in(client: aiosmtplib.SMTP, endpoint: Endpoint, username: str, password: str) -> None:
    """One try with one mechanism: aiosmtplib's `login` tries a wrong password with each of them, which locks accounts."""
    offered = client.supported_auth_methods
    secure = client.get_transport_info("sslcontext") is not None
    for method in ("plain", "login", "cram-md5") if secure else ("cram-md5", "plain", "login"):
        if method not in offered:
            continue
        if method == "plain":
            await client.auth_plain(username, password)
        elif method == "login":
            await client.auth_login(username, password)
        else:
            await client.auth_crammd5(username, password)
        return
    raise CannotOpen("auth_missing", f"{endpoint} offers no way to sign in that we know, yet a username is set", scope="operator")


def _take_over(client: aiosmtplib.SMTP, terms: Terms, name: str) -> tuple[Exchange, Offer]:
    """Swap the protocol on the open transport (facts/spikes.md §1). Nothing awaits here: no byte can fall between the two."""
    transport = client.transport
    if client.protocol is None or transport is None or transport.is_closing():
        raise CannotOpen("unreachable", f"{name}: closed by the relay after its greeting")
    _refuse_glued(client, name)
    offer = Offer(
        pipelining=client.supports_extension("pipelining"),
        size=_size(client),
        smtputf8=client.supports_extension("smtputf8"),
        eightbit=client.supports_extension("8bitmime"),
    )
    exchange = Exchange(loop=asyncio.get_running_loop(), seconds=terms.stage_seconds, name=name)
    transport.set_protocol(exchange)
    exchange.connection_made(transport)
    client.protocol = client.transport = None  # it must not close what it no longer owns
    return exchange, offer


def _size(client: aiosmtplib.SMTP) -> int | None:
    if not client.supports_extension("size"):
        return None
    limit = client.esmtp_extensions["size"].split()
    return int(limit[0]) if limit and limit[0].isascii() and limit[0].isdigit() and len(limit[0]) < 20 else 0


def _refuse_glued(client: aiosmtplib.SMTP, where: Endpoint | str) -> None:
    """Bytes behind a reply that nobody asked for: a 421, or somebody's injection into the plaintext (CVE-2011-0411 and kin)."""
    if client.protocol is not None and client.protocol._buffer:  # noqa: SLF001  # see the module's docstring
        raise CannotOpen("injected", f"{where}: bytes behind the reply, before they were asked for")


def _let_go(client: aiosmtplib.SMTP) -> None:
    """Drop what the client still owns, at once and without a farewell."""
    transport = client.transport
    with contextlib.suppress(RuntimeError):  # its lock may belong to a loop that is going down
        client.close()
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


def _refused(endpoint: Endpoint, error: aiosmtplib.SMTPResponseException) -> NoReturn:
    """The relay answered, and the answer was no."""
    text = "".join(char if char.isprintable() else "\ufffd" for char in " ".join(str(error.message).split())[:300])
    detail = f"{endpoint}: {error.code} {text}"
    signing_in = isinstance(error, aiosmtplib.SMTPAuthenticationError)
    if error.code in _OPERATOR_CODES or (signing_in and error.code >= 500):
        raise CannotOpen(str(error.code), detail, scope="operator") from error
    code = str(error.code) if error.code > 0 else "garbled"
    raise CannotOpen(code, detail, throttled=error.code == 421) from error
