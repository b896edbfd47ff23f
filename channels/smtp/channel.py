"""SMTP: the channel itself. Holds what lives as long as the provider: settings, connections, the composer; work is done by `Courier`.

One `send()` call uses one connection for its batch, so `capabilities.concurrency` is the number of connections, and `spare` of those that
are opened only while others hang: none for an hour after the relay has refused one. Messages come from
the daemon's dispatch, outcomes go back through the session; the relay is the only other party.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from collections.abc import Sequence
from typing import ClassVar

from channels.smtp.courier import Courier
from channels.smtp.exchange import Exchange
from channels.smtp.mime import Composer
from channels.smtp.pool import Opener, Pool
from channels.smtp.session import Offer, Terms, open_session
from channels.smtp.settings import Endpoint, Settings
from plugins import Capabilities, Context, Message, Session

SPARE_PAUSE = 3600.0
"""For so long a relay that has refused a spare connection is not asked for another."""


class SmtpChannel:
    """E-mail by a relay, several of them as fail-over. See `Settings` for the keys."""

    name: ClassVar[str] = "smtp"
    channel: ClassVar[str] = "email"
    address: ClassVar[str] = "email"
    settings_type: ClassVar[type] = Settings
    capabilities: Capabilities = Capabilities(concurrency=10, batch=50, unit=1)

    def __init__(self, opener: Opener | None = None) -> None:
        """`opener` takes the place of the network, for a simulation or a test."""
        self._opener = opener
        self._pool: Pool | None = None
        self._places: asyncio.Semaphore | None = None

    async def start(self, context: Context[Settings]) -> None:
        """Connects to nobody yet. ValueError when the authority file cannot be read."""
        settings = context.settings
        self._context = context
        self._composer = Composer(sender=settings.from_, provider=context.provider)
        self._pool = Pool(
            endpoints=settings.endpoints,
            open_session=self._opener or _network(context),
            clock=context.clock,
            rng=context.rng,
            log=context.log,
            idle_seconds=settings.idle_seconds,
            size=settings.pool,
        )
        self._places = asyncio.Semaphore(settings.pool + settings.spare)
        self.capabilities = Capabilities(concurrency=settings.pool, batch=50, unit=1, spare=settings.spare)

    async def send(self, batch: Sequence[Message], session: Session) -> None:
        """Carry the batch over one connection (see `courier`). More calls at once than connections wait for their turn."""
        pool = self._pool
        if pool is None or self._places is None:
            raise RuntimeError("send() was called before start() or after stop()")
        settings = self._context.settings
        async with self._places:
            courier = Courier(
                batch=batch,
                session=session,
                pool=pool,
                composer=self._composer,
                clock=self._context.clock,
                block_seconds=settings.block_seconds,
                link_limit=settings.messages_per_connection,
            )
            await courier.run()
        refused = self._context.clock.monotonic() < pool.refused_at + SPARE_PAUSE
        if refused != (self.capabilities.spare < settings.spare):
            self.capabilities = dataclasses.replace(self.capabilities, spare=0 if refused else settings.spare)

    async def probe(self) -> str:
        """See `plugins.feedback.Probes`. Opens a session with each relay as a message would: EHLO, STARTTLS, AUTH. CannotOpen."""
        settings = self._context.settings
        opener = self._opener or _network(self._context)
        for endpoint in settings.endpoints:
            exchange, _ = await opener(endpoint, f"{endpoint} probe")
            exchange.quit()
        how = "signed in at" if settings.username is not None else "taken by"
        return f"{how} {', '.join(map(str, settings.endpoints))}"

    async def stop(self) -> None:
        """Say goodbye to the relays. Harmless without a start, and twice."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.stop()


def _network(context: Context[Settings]) -> Opener:
    try:
        terms = Terms.of(context.settings)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"ca_file: {context.settings.ca_file}: {error}") from error

    async def opener(endpoint: Endpoint, name: str) -> tuple[Exchange, Offer]:
        return await open_session(endpoint, terms, context.dns, name)

    return opener
