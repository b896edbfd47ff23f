"""PACING, destinations: how many messages to one destination domain may be on their way over one provider at once.

A relay that hands on while it listens can be held up by one domain behind it; each message to there then holds a connection for
minutes, and a few of them hold all. So a domain that nobody knows gets one place and one more with each answer. One that answers
much later than the others is slow: as long as others wait, one message to there goes at a time and rests twice as long as it took; with
nothing else to send it may have up to half of the places, fewer the slower it is. What waits for it waits in the queue, not on a place:
each row gets the next turn at the domain's own pace, and is remembered, so that it comes sooner when the domain is well again: a few
with each answer, not all at once.
Pure: seconds (monotonic) and instants come in; "much later" is measured against what is usual for this provider. Belongs to the loop; a
claim, in the writer's thread, asks `took`, `spare` and `put_off` meanwhile: they look one domain up and read what changes once.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from daemon.model.delivery import SECOND, Instant

START = 1
"""Places of a domain of which nothing good is known yet."""
SLOW_SECONDS = 2.0
"""No answer that comes sooner is late."""
HANG_SECONDS = 1.0
USUAL = 0.25
"""Seconds, until answers tell more."""
TIMES_USUAL = 8
LEARNING = 1.05
"""Each answer moves what is usual by a twentieth towards itself: it settles at the median, whatever a few slow ones take."""
REST = 2
"""A slow domain rests so many times as long as its last message took: one that hangs has a connection for a third of the time at most."""
HALF_SECONDS = 5.0
"""A slow domain may have half of the places, when nobody else wants them, as long as a message to it takes no longer."""
LONGEST_SECONDS = 1800.0
"""No turn is further away; what finds none by then asks again, spread over as long again."""
REMEMBERED = 5000
WAITING = 20_000
"""Rows that are remembered; more than that come at their turns only."""
EACH_ANSWER = 2
"""Rows that are let go for each answer in time."""

Waiting = tuple[int, Instant, int]
"""A due row: (lane, not_before, delivery)."""


@dataclass(slots=True)
class Destination:
    """One domain. `held`: claimed for it, `busy`: of those in a batch; `took` > 0: it is slow, and its last message took so long;
    `turn`: the next free one of those that wait; `earned`: so many of them may be let go."""

    window: int = START
    held: int = 0
    busy: int = 0
    took: float = 0.0
    rests_until: float = 0.0
    turn: Instant = 0
    earned: int = 0


class Destinations:
    """All domains behind one provider. `places`: how many messages it carries at once. The domain "" is nobody's: not limited."""

    def __init__(self, places: int) -> None:
        self._places = max(1, places)
        self._known: dict[str, Destination] = {}
        self._slow: dict[str, Destination] = {}
        self._usual = USUAL
        self._waiting: dict[str, deque[Waiting]] = {}
        """Those that were put off, by domain."""
        self._count = self._beyond = 0
        self._lock = threading.Lock()
        """Held while rows that wait are written down or let go."""

    def __bool__(self) -> bool:
        """Is any of them slow? Else a claim need not ask."""
        return bool(self._slow)

    @property
    def patience(self) -> float:
        """Seconds after which an answer is late."""
        return max(SLOW_SECONDS, TIMES_USUAL * self._usual)

    @property
    def unusual(self) -> float:
        """Seconds without an answer after which somebody else may have the place."""
        return max(HANG_SECONDS, TIMES_USUAL * self._usual)

    def is_slow(self, domain: str) -> bool:
        return domain in self._slow

    def slow(self) -> dict[str, float]:
        """Slow domains and how long their last message took."""
        return {name: known.took for name, known in self._slow.items()}

    def hold(self, domain: str) -> None:
        """A message to it was claimed."""
        if domain:
            self._of(domain).held += 1

    def let_go(self, domain: str) -> None:
        """It is in nobody's hands any more."""
        if domain:
            self._of(domain).held -= 1

    def may(self, domain: str, now: float, *, alone: bool = False) -> bool:
        """May one more start? `alone`: nobody else wants the place."""
        known = self._known.get(domain)
        if known is None:
            return True
        if not known.took:
            return known.busy < known.window
        if alone:
            return known.busy < self._at_most(known.took)
        return not known.busy and now >= known.rests_until

    def begin(self, domain: str) -> None:
        if domain:
            self._of(domain).busy += 1

    def end(self, domain: str, seconds: float | None, now: float) -> None:
        """Its message is done; None: that says nothing of the domain (it was not sent)."""
        if not domain:
            return
        known = self._of(domain)
        known.busy -= 1
        if seconds is None:
            return
        late = seconds > self.patience
        self._usual *= LEARNING if seconds > self._usual else 1 / LEARNING
        self._usual = max(self._usual, 0.001)
        if late:
            self._slow[domain] = known
            known.took, known.rests_until = seconds, now + REST * seconds
            known.window, known.earned = START, 0
        else:
            if known.took:
                del self._slow[domain]
                known.took, known.window, known.turn, known.earned = 0.0, START, 0, self._places
            known.window += 1
            known.earned += EACH_ANSWER

    def waits(self, domain: str, seconds: float, now: float) -> bool:
        """A message to it has had no answer for so long. True if that is news. It will rest even if none ever comes."""
        if not domain:
            return False
        known = self._of(domain)
        news = not known.took
        self._slow[domain] = known
        known.took = max(known.took, seconds)
        known.rests_until = now + REST * seconds
        known.window, known.earned = START, 0
        return news

    def took(self, domain: str) -> float:
        """How long the last message to a slow domain took; 0 for others."""
        known = self._slow.get(domain)
        return known.took if known is not None else 0.0

    def rested_at(self, now: float) -> float | None:
        """When the first slow domain that has something claimed and nothing on its way may have a place again; None: there is none."""
        waiting = (known.rests_until for known in self._slow.values() if known.held and not known.busy)
        return min((until for until in waiting if until > now), default=None)

    def spare(self, domain: str) -> int | None:
        """How many more may be claimed for it now; None: any number."""
        known = self._known.get(domain)
        if known is None or not (took := known.took):
            return None
        return max(0, 2 * self._at_most(took) - known.held)

    def too_many(self, domain: str) -> int:
        """How many of those that are claimed for it have no place for long."""
        known = self._known.get(domain)
        return max(0, known.held - 2 * self._at_most(known.took)) if known is not None and known.took else 0

    def put_off(self, domain: str, lane: int, delivery: int, now: Instant, latest: Instant, *, remembered: bool = True) -> Instant:
        """When a row that finds no room may ask again: the domain's next free turn, at the pace that it has now, but by `latest`.
        `remembered` False: it must not come sooner."""
        known = self._known.get(domain)
        with self._lock:
            took = max(known.took, SLOW_SECONDS) if known is not None else SLOW_SECONDS
            at = max(known.turn if known is not None else 0, now + int(took * SECOND))
            if at > now + int(LONGEST_SECONDS * SECOND):
                self._beyond += 1
                at = now + int(LONGEST_SECONDS * (1 + self._beyond % 100 / 100) * SECOND)
            elif known is not None:
                known.turn = at + int(took / self._at_most(took) * SECOND)
            at = min(at + -at % SECOND, max(latest, now + SECOND))  # on whole seconds: those that ask again together are one claim
            self._drop_past(domain, now)
            if remembered and known is not None and self._count < WAITING:
                self._waiting.setdefault(domain, deque()).append((lane, at, delivery))
                self._count += 1
            return at

    def earned(self, domain: str) -> bool:
        """It answers in time again while rows wait for their turns, and has earned as many of them as make a transaction."""
        if domain not in self._waiting:
            return False
        known = self._known[domain]
        return not known.took and known.earned >= max(self._places, known.window // 2)

    def freed(self, domain: str, now: Instant) -> list[Waiting]:
        """The rows that it has earned: they need not wait any longer."""
        with self._lock:
            self._drop_past(domain, now)
            known, rows = self._known[domain], self._waiting.get(domain, deque())
            found = [rows.popleft() for _ in range(min(known.earned, len(rows)))]
            self._count -= len(found)
            self._drop_past(domain, now)
            known.earned = 0
            return found

    def freed_all(self, now: Instant) -> list[Waiting]:
        """All rows that wait for a turn: nobody will know of them any more."""
        with self._lock:
            left = [row for rows in self._waiting.values() for row in rows if row[1] > now]
            self._waiting.clear()
            self._count = 0
            return left

    def _drop_past(self, domain: str, now: Instant) -> None:
        """Those whose turn has come by itself; and the line, when it is empty."""
        if (rows := self._waiting.get(domain)) is None:
            return
        while rows and rows[0][1] <= now:
            rows.popleft()
            self._count -= 1
        if not rows:
            del self._waiting[domain]

    def _at_most(self, took: float) -> int:
        """Places that a slow domain may have when nobody else wants them."""
        return max(1, min(self._places // 2, int(self._places / 2 * HALF_SECONDS / took)))

    def _of(self, domain: str) -> Destination:
        known = self._known.get(domain)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._forget()
            known = self._known[domain] = Destination()
        return known

    def _forget(self) -> None:
        """Those that have nothing on the way, nothing against them and nobody waiting."""
        for name in [name for name, known in self._known.items() if not (known.held or known.busy or known.took or name in self._waiting)]:
            del self._known[name]
