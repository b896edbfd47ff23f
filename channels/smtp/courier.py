"""SMTP: one `send()` call. Takes a batch over one borrowed connection and reports what became of each message.

The group that makes it quick (RFC 2920): one write holds [content N, dot, (RSET,) MAIL, RCPT, DATA of N+1]; without PIPELINING the
same steps go one by one. The order that makes it safe: dot N answered -> report N -> 354 for N+1 -> handover N+1 (so that both
commit together) -> content N+1. Before the dot is written nothing can have been accepted; after it, only a whole reply decides.

| the connection fails, or the answer is odd | outcome |
|---|---|
| before 354 | Deferred; tried once more at once if the relay had not said a word about this message |
| after 354, before the dot was written | connection aborted; Deferred(nothing_sent) if the grant was given |
| after the dot | Unknown with the evidence; a reply that came before the failure counts (F9) |
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from channels.smtp import verdicts
from channels.smtp.exchange import Failure, Stage
from channels.smtp.mime import Composer, Letter, Unsendable
from channels.smtp.pool import Link, Pool
from channels.smtp.replies import Reply
from channels.smtp.session import CannotOpen
from plugins import Clock, Deferred, Grant, Message, Outcome, Rejected, Scope, Session, Unknown

ONE_WRITE = 32 * 1024
"""Content up to this size goes out in one write with its dot. Beyond, the dot waits until the kernel has the rest, so that a
connection lost in between is no doubt (F6)."""

CHUNK = 64 * 1024
PATIENCE = 2.0
"""Seconds that one letter may wait for its answers before the rest of its batch is given back."""

_ENVELOPE: tuple[Stage, ...] = ("mail", "rcpt", "data")
_LOST = Failure(kind="lost", detail="connection lost")


class Courier:
    """Carries one batch. `run` returns when each message is reported, or left for the daemon to claim again."""

    def __init__(
        self,
        *,
        batch: Sequence[Message],
        session: Session,
        pool: Pool,
        composer: Composer,
        clock: Clock,
        block_seconds: float,
        link_limit: int,
    ) -> None:
        self._messages = iter(batch)
        self._letters: deque[Letter] = deque()
        self._session = session
        self._pool = pool
        self._composer = composer
        self._clock = clock
        self._block_seconds = block_seconds
        self._link_limit = link_limit
        self._link: Link | None = None
        self._current: Letter | None = None
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._offered: Letter | None = None
        """Whose envelope is on the wire of `_link`, its replies unread."""

    async def run(self) -> None:
        self._watch(PATIENCE)
        try:
            while (link := await self._connected()) is not None:
                letter = self._pick(link)
                if letter is not None:
                    self._current, self._since = letter, self._clock.monotonic()
                    await self._deliver(link, letter)
                    self._current = None
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._end()

    def _watch(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        """A letter that the relay keeps waiting must not keep the others of its batch waiting: they may go over other connections."""
        left = PATIENCE if self._current is None else self._since + PATIENCE - self._clock.monotonic()
        if left > 0:
            self._watch(left)
            return
        offered = [letter for letter in self._letters if letter is self._offered]
        for letter in self._letters:
            if letter is not self._offered:
                self._session.report(letter.id, _WAITS)
        for message in self._messages:
            self._session.report(message.id, _WAITS)
        self._letters = deque(offered)
        if offered:
            self._watch(PATIENCE)  # else there is nothing left that could go another way

    # -- what to send next, and over what

    async def _connected(self) -> Link | None:
        """The connection to go on with; None when nothing is left, the daemon drains, or no relay can be reached."""
        if self._session.closing or not self._stocked():
            return None
        if self._link is None:
            await self._session.handover(())  # what came over the last one is known: it must not wait for another to be opened
            try:
                self._link = await self._pool.borrow()
            except CannotOpen as refusal:
                while self._stocked():
                    self._session.report(self._letters.popleft().id, refusal.outcome)
        return self._link

    def _stocked(self) -> bool:
        """True when a letter is ready, composed now if need be. A message that cannot become one is reported."""
        while not self._letters:
            message = next(self._messages, None)
            if message is None:
                return False
            try:
                self._letters.append(self._composer.compose(message))
            except Unsendable as error:
                self._session.report(message.id, error.outcome)
        return True

    def _pick(self, link: Link) -> Letter | None:
        """The next letter that this relay can take; the others are reported. None when there is none or the daemon drains."""
        while not self._session.closing and self._stocked():
            letter = self._letters.popleft()
            unfit = _unfit(letter, link)
            if unfit is None:
                return letter
            self._session.report(letter.id, unfit)
        return None

    # -- one letter

    async def _deliver(self, link: Link, letter: Letter) -> None:
        link.busy = True
        refusal = await self._envelope(link, letter)
        if refusal is not None:
            link.busy = False
            if refusal is not _AGAIN:
                self._session.report(letter.id, refusal)
            if link.exchange.failure is not None:
                self._drop()
            return
        if self._session.closing:
            self._drop()  # after 354 there is no way back but to hang up
            return
        link.sent += 1
        following = self._pick(link) if link.sent != self._link_limit else None
        try:
            sent = await self._content(link, letter, following)
        finally:
            if following is not None:
                self._letters.appendleft(following)
        if sent:
            await self._dot(link, letter)

    async def _content(self, link: Link, letter: Letter, following: Letter | None) -> bool:
        """Ask leave and write content and dot. False when the dot was not written: then it is reported, if it was granted."""
        written = False
        granted = True  # as long as we do not know better: who is interrupted while asking may have been granted
        try:
            grant = Grant(self._clock)
            granted = letter.id in await self._session.handover([letter.id])
            if granted and not grant.expired:
                written = await self._write(link, letter, following)
        finally:
            if not written:
                failure = link.exchange.failure
                self._drop()
                if granted:
                    code, detail = (failure.kind, failure.detail) if failure is not None else ("not_started", "not begun in time")
                    scope: Scope = "provider" if failure is not None else "message"
                    self._session.report(letter.id, Deferred(nothing_sent=True, scope=scope, code=code, detail=detail))
        return written

    async def _write(self, link: Link, letter: Letter, following: Letter | None) -> bool:
        """Content, dot and, if the relay pipelines, the next envelope. False when the dot surely did not leave."""
        exchange = link.exchange
        if not exchange.quiet:
            return False
        stages: tuple[Stage, ...] = ("dot",)
        tail = b".\r\n"
        if following is not None and link.offer.pipelining:
            stages += _ENVELOPE
            tail += _commands(following, link)
        content = letter.content
        if len(content) <= ONE_WRITE:
            written = exchange.write(content + tail, *stages)
        else:
            view = memoryview(content)
            for start in range(0, len(content), CHUNK):
                if not exchange.write(view[start : start + CHUNK]) or not await exchange.drained(self._block_seconds):
                    return False
            written = exchange.write(tail, *stages)
        if written and len(stages) > 1:
            self._offered = following
        return written

    async def _dot(self, link: Link, letter: Letter) -> None:
        """Read the reply that decides, and report it."""
        replies = await link.exchange.take(1)
        if replies:
            outcome = verdicts.answered_dot(replies[0])
        else:
            failure = link.exchange.failure or _LOST
            outcome = Unknown(code=failure.kind, detail=f"no answer to the final dot: {failure.detail}")
        if isinstance(outcome, Unknown):
            self._pool.doubted(link)
            link.exchange.fail("dropped", "after an answer that is none")
        else:
            self._pool.answered(link)
        if isinstance(outcome, Rejected) and verdicts.is_odd(replies[0]):  # such as 503: it did not read the content as content
            link.exchange.fail("unexpected", f"an answer out of step: {outcome.code}")
        link.busy = False
        self._session.report(letter.id, outcome)
        if self._offered is not None and replies:
            return  # the next envelope's replies, or their absence, are read first: a 421 among them is meant for it
        if link.exchange.failure is not None:
            self._drop()
        elif link.sent == self._link_limit:
            self._pool.give_back(link, more=False)
            self._link = None

    # -- the envelope

    async def _envelope(self, link: Link, letter: Letter) -> Outcome | None:
        """MAIL, RCPT, DATA. None when the relay waits for the content; `_AGAIN` when the letter went back to be tried once more."""
        exchange = link.exchange
        replies = await self._answers(link, letter)
        if len(replies) == 3 and replies[2].code == 354 and replies[0].positive and replies[1].positive:
            link.rested = False
            return None if exchange.failure is None else self._vanished(link, letter)
        idled_out = link.rested and bool(replies) and replies[0].code == 421
        if not replies or idled_out:
            return self._vanished(link, letter)
        link.rested = False
        decisive, outcome = _envelope_verdict(replies, letter)
        if outcome is None:  # consent, and then silence
            failure = exchange.failure or _LOST
            self._pool.struck(link, failure)
            return Deferred(scope="provider", code=failure.kind, detail=f"after {len(replies)} of 3 answers: {failure.detail}")
        if verdicts.is_odd(decisive):
            exchange.fail("unexpected", f"an answer out of step: {decisive.code} {decisive.text}")
        elif len(replies) == 3 and replies[2].code == 354:
            await self._lone_dot(link, replies)
        link.dirty = True
        return outcome

    async def _answers(self, link: Link, letter: Letter) -> list[Reply]:
        """The replies to MAIL, RCPT and DATA, an RSET before them if one is due; fewer when a step failed."""
        exchange = link.exchange
        if not link.offer.pipelining:
            return await self._one_by_one(link, letter)
        if self._offered is not letter:
            if not link.dirty:
                exchange.write(_commands(letter, link), *_ENVELOPE)
            else:
                exchange.write(b"RSET\r\n" + _commands(letter, link), "reset", *_ENVELOPE)
                if not await self._was_reset(link):
                    return []
        self._offered = None
        return await exchange.take(3)

    async def _one_by_one(self, link: Link, letter: Letter) -> list[Reply]:
        exchange = link.exchange
        if link.dirty:
            exchange.write(b"RSET\r\n", "reset")
            if not await self._was_reset(link):
                return []
        replies: list[Reply] = []
        for stage, command in zip(_ENVELOPE, _commands(letter, link).splitlines(keepends=True), strict=True):
            exchange.write(command, stage)
            answer = await exchange.take(1)
            replies += answer
            if not answer or not answer[0].positive:
                break
        return replies

    async def _was_reset(self, link: Link) -> bool:
        answer = await link.exchange.take(1)
        if answer and answer[0].positive:
            link.dirty = False
            return True
        if answer:
            link.exchange.fail("unexpected", f"RSET was answered with {answer[0].code} {answer[0].text}")
        return False

    async def _lone_dot(self, link: Link, replies: list[Reply]) -> None:
        """354 although the envelope was refused. With no recipient a lone dot ends it (RFC 2920 §3.1); with one it would send an
        empty mail, so there we hang up."""
        if replies[1].positive:
            link.exchange.fail("dropped", "354 after a refused MAIL")
            return
        link.exchange.write(b".\r\n", "dot")
        await link.exchange.take(1)

    def _vanished(self, link: Link, letter: Letter) -> Outcome:
        """The connection went before the relay said a word about this letter: a new one is tried at once, but only once."""
        failure = link.exchange.failure or _LOST
        link.exchange.fail("dropped", "given up")
        if failure.kind in ("lost", "unexpected", "dropped") and letter.tries == 0:
            letter.tries = 1
            self._letters.appendleft(letter)
            return _AGAIN
        self._pool.struck(link, failure)
        return Deferred(scope="provider", code=failure.kind, detail=f"before any answer: {failure.detail}")

    # -- the end of a connection

    def _drop(self) -> None:
        """Hang up: the connection is in a state that must not be used again."""
        link, self._link, self._offered = self._link, None, None
        if link is not None:
            link.exchange.fail("dropped", "given up")
            self._pool.give_back(link, more=False)

    def _end(self) -> None:
        link = self._link
        if link is None:
            return
        if link.busy or self._offered is not None:
            self._drop()
        else:
            self._link = None
            self._pool.give_back(link)


_AGAIN: Outcome = Deferred(code="again")
_WAITS: Outcome = Deferred(nothing_sent=True, code="waiting", detail="its connection waits for an answer about another message")


def _commands(letter: Letter, link: Link) -> bytes:
    """MAIL, RCPT and DATA, one a line. The addresses were checked (`address`): they hold no blank, bracket or control character."""
    size = f" SIZE={len(letter.content)}" if link.offer.size is not None else ""
    utf8 = (" BODY=8BITMIME SMTPUTF8" if link.offer.eightbit else " SMTPUTF8") if letter.utf8 else ""
    return f"MAIL FROM:<{letter.sender}>{size}{utf8}\r\nRCPT TO:<{letter.recipient}>\r\nDATA\r\n".encode()


def _unfit(letter: Letter, link: Link) -> Rejected | None:
    """Why this relay cannot carry the letter, known from its EHLO alone."""
    if letter.utf8 and not link.offer.smtputf8:
        return Rejected(code="smtputf8", detail="the address needs SMTPUTF8, which the relay does not offer")
    if link.offer.size and len(letter.content) > link.offer.size:
        return Rejected(code="too_large", detail=f"{len(letter.content)} bytes; the relay takes {link.offer.size}")
    return None


def _envelope_verdict(replies: Sequence[Reply], letter: Letter) -> tuple[Reply, Outcome | None]:
    """The reply that decides and what it means; None when all of them were consent (and more were owed)."""
    if not replies[0].positive:
        return replies[0], verdicts.refused_at_mail(replies[0], own_sender=letter.own_sender)
    if len(replies) > 1 and not replies[1].positive:
        return replies[1], verdicts.refused_at_rcpt(replies[1])
    if len(replies) > 2:
        return replies[2], verdicts.refused_at_data(replies[2])
    return replies[-1], None
