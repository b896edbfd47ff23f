"""Simulated mail relays: SMTP servers at the level of bytes, on the other side of the real `Exchange`, and what they took.

A connection is a transport whose bytes arrive in order after a latency drawn from the seed. How a relay treats a recipient is drawn
anew for each attempt from the behaviours that the seed has switched on. Opening (names, connect, banner) is simulated as a whole:
the greeting is spoken by aiosmtplib in production and has its own tests.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from channels.smtp.exchange import Exchange, Stage
from channels.smtp.pool import Opener
from channels.smtp.session import CannotOpen, Offer
from channels.smtp.settings import Endpoint
from daemon.simulate import Process, World
from tests.simulation.events import Asked, Event, Received

LATENCY = (0.0002, 0.01)
SECONDS: Mapping[Stage, float] = {"reset": 60.0, "mail": 60.0, "rcpt": 60.0, "data": 30.0, "dot": 120.0}
"""A fifth of what the channel has: whoever waits for a relay that hangs asks again each second, and that is met often enough so."""
CONNECT_SECONDS = 30.0
RECORDED_SECONDS = 0.1
"""So long an outcome may take into the store, with those of others before it."""

AT_RCPT = {
    "451-rcpt": b"451 4.2.1 mailbox busy, later\r\n",
    "550-rcpt": b"550 5.1.1 no such user\r\n",
    "421-rcpt": b"421 4.3.2 going down\r\n",
}
AT_DOT = {
    "451-dot": b"451 4.2.0 not now\r\n",
    "554-dot": b"554 5.6.0 refused\r\n",
    "421-dot": b"421 4.3.2 going down\r\n",
    "garbage-taken": b"\x00\xff what\r\n",
    "garbage-untaken": b"999 hm\r\n",
}
BEHAVIOURS = (
    *AT_RCPT, "drop-rcpt", "hang-rcpt", "drop-data", "drop-content", *AT_DOT, "drop-taken", "drop-untaken", "hang-taken", "hang-untaken",
    "250-rst",
)  # fmt: skip
DOUBTFUL = frozenset({"garbage-taken", "garbage-untaken", "drop-taken", "drop-untaken", "hang-taken", "hang-untaken", "drop-content"})
"""The sender has written the dot and gets no answer to it."""
_REF = re.compile(rb"ref=3D([^/=\r\n]+)/([^=\r\n]+)=3D")
_LINK = re.compile(rb"List-Unsubscribe: <http://go\.example\.com/u/([^>]+)>")
_FOLD = re.compile(rb"=\r\n")


@dataclass(slots=True, kw_only=True)
class Sea:
    """All relays of a world. `ways`: behaviour -> its share of the recipients; `note`: gets the events; `struck(kind)`: a relay
    misbehaved; `mailed(job, recipient, token)`: somebody got a mail with an unsubscribe link."""

    world: World
    ways: Mapping[str, float]
    note: Callable[[Event], object]
    struck: Callable[[str], object]
    mailed: Callable[[str, str, str], object]
    true: Callable[[], int]
    rng: random.Random
    pipelining: bool = True
    down: set[str] = field(default_factory=set)
    slow: bool = False
    links: list[Link] = field(default_factory=list)

    def way(self) -> str:
        """How the next recipient is treated."""
        draw = self.rng.random()
        for name, share in self.ways.items():
            draw -= share
            if draw < 0:
                return name
        return "accept"

    def opener(self, process: Callable[[], Process]) -> Opener:
        """For `SmtpChannel`: opens a connection of the process that runs now."""

        async def open(endpoint: Endpoint, name: str) -> tuple[Exchange, Offer]:
            mine = process()
            try:
                await self.world.dns.resolve(endpoint.host, endpoint.port)
            except OSError as error:
                raise CannotOpen("unreachable", f"{endpoint}: {error}") from error
            await asyncio.sleep(self.rng.uniform(*LATENCY))
            if self.slow and self.rng.random() < 0.5:
                self.struck("slow_banner")
                await asyncio.sleep(CONNECT_SECONDS)
                raise CannotOpen("timeout", f"{endpoint}: no session within {CONNECT_SECONDS:g} s")
            if endpoint.host in self.down:
                self.struck("refused_connect")
                raise CannotOpen("unreachable", f"{endpoint}: refused")
            mine.check()
            exchange = Exchange(loop=self.world.loop, seconds=SECONDS, name=name)
            link = Link(self, endpoint.host, exchange, mine)
            self.links = [each for each in self.links if each.counts()] + [link]
            exchange.connection_made(link)
            return exchange, Offer(pipelining=self.pipelining, size=0, smtputf8=True, eightbit=True)

        return open

    def open_links(self) -> int:
        """Connections that are open, or were a moment ago: what came over them last may be on its way to the store still."""
        return sum(link.counts() for link in self.links)

    def client_dies(self, *, power: bool) -> None:
        """What the kernel had is still delivered after a kill -9; of what a machine had that lost its power, the seed says how much."""
        for link in self.links:
            if not link.gone:
                link.cut(self.rng.random() if power else 1.0)
        self.links = []


class Link(asyncio.Transport):
    """One connection: the client's transport, and the server at its other end."""

    def __init__(self, sea: Sea, relay: str, exchange: Exchange, process: Process) -> None:
        super().__init__()
        self.sea, self.relay, self.exchange, self.process = sea, relay, exchange, process
        self.gone = self._closing = self._deaf = self._mute = self._went_down = False
        self._last = 0.0
        self._gone_at = 0.0
        self._flying: list[asyncio.TimerHandle] = []
        self._buffer = b""
        self._content: int | None = None
        self._rcpt, self._way = "", "accept"

    def counts(self) -> bool:
        """It is open, or went just now."""
        return not self.gone or self.sea.world.loop.time() - self._gone_at < RECORDED_SECONDS

    # -- the client's transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing and self.process.alive:
            self._fly(self._arrive, bytes(data))

    def is_closing(self) -> bool:
        return self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The other end always takes what comes."""

    def close(self) -> None:
        if not self._closing:
            self._closing = self.gone = True
            self._gone_at = self.sea.world.loop.time()
            self.sea.world.loop.call_soon(self.exchange.connection_lost, None)

    def abort(self) -> None:
        """What is on its way may be lost: here it arrives, which is the harder case."""
        self.close()

    def cut(self, share: float) -> None:
        """The client is dead; this share of what is on its way still arrives."""
        self._closing = self.gone = True
        kept = [each for each in self._flying if not each.cancelled()]
        for lost in kept[round(len(kept) * share) :]:
            lost.cancel()

    # -- the way between

    def _fly(self, then: Callable[[bytes], None], data: bytes) -> None:
        loop = self.sea.world.loop
        self._last = max(self._last + 1e-6, loop.time() + self.sea.rng.uniform(*LATENCY))
        handle = loop.call_at(self._last, then, data)
        if then == self._arrive:
            self._flying = [each for each in self._flying if each.when() > loop.time()] + [handle]

    def _answer(self, data: bytes) -> None:
        self._fly(self._deliver, data)

    def _deliver(self, data: bytes) -> None:
        if not self._closing and self.process.alive:
            self.exchange.data_received(data)

    def _hang_up(self) -> None:
        """The server closes: the client hears of it after what was said before."""
        self._fly(self._lost, b"")

    def _lost(self, _: bytes) -> None:
        if not self._closing and self.process.alive:
            self._closing = self.gone = True
            self._gone_at = self.sea.world.loop.time()
            self.exchange.eof_received()
            self.exchange.connection_lost(None)

    # -- the server

    def server_closes(self) -> None:
        """The relay goes down under an open connection."""
        if not self.gone and not self._deaf:
            self._deaf = self._went_down = True
            self._hang_up()

    def _swallow(self, data: bytes) -> None:
        """What was sent to a relay that is gone: a whole message with its dot is a doubt of the relay's making."""
        self._buffer += data
        if (found := _REF.search(_FOLD.sub(b"", self._buffer))) and b"\r\n.\r\n" in self._buffer:
            now, self._buffer = self.sea.true(), b""
            job, recipient = found[1].decode(), found[2].decode()
            self.sea.note(Received(began=now, at=now, relay=self.relay, job=job, recipient=recipient, copy=False, taken=False, answer=""))

    def _arrive(self, data: bytes) -> None:
        if self._went_down:
            self._swallow(data)
        if self._deaf or self._mute:
            return
        self._buffer += data
        said: list[bytes] = []
        while self._buffer and not self._deaf and not self._mute:
            if self._content is not None:
                if not self._take_content(said):
                    break
                continue
            line, found, rest = self._buffer.partition(b"\r\n")
            if not found:
                break
            self._buffer = rest
            self._command(line, said)
        if said:
            self._answer(b"".join(said))
        if self._deaf:
            self._hang_up()

    def _command(self, line: bytes, said: list[bytes]) -> None:
        verb = line[:4].upper()
        if verb == b"RCPT":
            self._on_rcpt(line[9:-1].decode(), said)
        elif verb == b"DATA":
            if self._way in AT_RCPT:
                said.append(b"503 5.5.1 no recipient\r\n")
            elif self._way == "drop-data":
                self._strike()
                self._deaf = True
            else:
                said.append(b"354 go on\r\n")
                self._content = 0
        elif verb == b"QUIT":
            said.append(b"221 bye\r\n")
        else:
            said.append(b"250 ok\r\n")

    def _on_rcpt(self, email: str, said: list[bytes]) -> None:
        self._rcpt, self._way = email, self.sea.way()
        self.sea.note(Asked(at=self.sea.true(), relay=self.relay, email=email))
        if self._way in AT_RCPT:
            self._strike()
            said.append(AT_RCPT[self._way])
            self._deaf = self._way == "421-rcpt"
        elif self._way == "drop-rcpt":
            self._strike()
            self._deaf = True
        elif self._way == "hang-rcpt":
            self._strike()
            self._mute = True
        else:
            said.append(b"250 ok\r\n")

    def _take_content(self, said: list[bytes]) -> bool:
        """False: the dot has not come yet."""
        if not self._content:
            self._content = self.sea.true()
        if self._buffer.startswith(b".\r\n"):
            content, self._buffer = b"", self._buffer[3:]
        else:
            content, found, rest = self._buffer.partition(b"\r\n.\r\n")
            if not found:
                return False
            self._buffer = rest
        began, self._content = self._content, None
        self._on_dot(began, content, said)
        return True

    def _on_dot(self, began: int, content: bytes, said: list[bytes]) -> None:
        way = self._way
        if way != "accept":
            self._strike()
        reply = AT_DOT.get(way, b"250 2.0.0 ok queued as S1\r\n")
        answered = way not in DOUBTFUL
        taken = way in ("accept", "250-rst", "drop-taken", "hang-taken", "garbage-taken")
        plain = _FOLD.sub(b"", content)
        found = _REF.search(plain)
        job, recipient = (found[1].decode(), found[2].decode()) if found else ("?", self._rcpt)
        self.sea.note(Received(
            began=began, at=self.sea.true(), relay=self.relay, job=job, recipient=recipient, copy=b"X-Homing-Copy" in content, taken=taken,
            answer=reply[:3].decode() if answered else "",
        ))  # fmt: skip
        if taken and (link := _LINK.search(plain.replace(b"\r\n ", b" "))):
            self.sea.mailed(job, recipient, link[1].decode())
        if way.startswith("hang"):
            self._mute = True
            return
        if not way.startswith("drop"):
            said.append(reply)
        self._deaf = way in ("421-dot", "250-rst") or way.startswith("drop")

    def _strike(self) -> None:
        self.sea.struck(self._way)
