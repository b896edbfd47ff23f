"""PACING, destinations: how many messages to one destination domain may be on their way over one provider at once.

A relay that hands on while it listens can be held up by one domain behind it; each message to there then holds a connection for
minutes, and a few of them hold all. So a domain that nobody knows gets one place and one more with each answer. One that answers
much later than the others is slow: as long as others wait, one message to there goes at a time and rests twice as long as it took; with
nothing else to send it may have up to half of the places, fewer the slower it is. What waits for it waits in the queue, not on a place.
Pure: monotonic seconds come in; "much later" is measured against what is usual for this provider. Belongs to the loop; a claim, in
the writer's thread, asks `took`, `spare` and `later` meanwhile: they look one domain up and read what changes once.
"""

from __future__ import annotations

from dataclasses import dataclass

START = 1
SLOW_SECONDS = 2.0
USUAL = 0.25
"""Seconds, until answers tell more."""
TIMES_USUAL = 8
LEARNING = 1.05
"""Each answer moves what is usual by a twentieth towards itself: it settles at the median, whatever a few slow ones take."""
REST = 2
HALF_SECONDS = 5.0
"""A slow domain may have half of the places, when nobody else wants them, as long as a message to it takes no longer."""
FIRST_PAUSE = 2.0
LONGEST_PAUSE = 600.0
REMEMBERED = 5000


@dataclass(slots=True)
class Destination:
    """One domain. `held`: claimed for it, `busy`: of those in a batch; `took` > 0: it is slow, and its last message took so long."""

    window: int = START
    held: int = 0
    busy: int = 0
    took: float = 0.0
    rests_until: float = 0.0
    pause: float = 0.0


class Destinations:
    """All domains behind one provider. `places`: how many messages it carries at once. The domain "" is nobody's: not limited."""

    def __init__(self, places: int) -> None:
        self._places = max(1, places)
        self._known: dict[str, Destination] = {}
        self._slow: dict[str, Destination] = {}
        self._usual = USUAL
        self._put_off = 0

    @property
    def patience(self) -> float:
        """Seconds after which an answer is late."""
        return max(SLOW_SECONDS, TIMES_USUAL * self._usual)

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
            known.took, known.window = seconds, 1
            known.rests_until = now + REST * seconds
            known.pause = min(LONGEST_PAUSE, max(2 * known.pause, FIRST_PAUSE))
        else:
            if known.took:
                del self._slow[domain]
                known.took, known.window = 0.0, START
            known.pause = 0.0
            known.window += 1

    def waits(self, domain: str, seconds: float) -> bool:
        """A message to it has had no answer for so long. True if that is news."""
        if not domain:
            return False
        known = self._of(domain)
        news = not known.took
        self._slow[domain] = known
        known.took = max(known.took, seconds)
        known.window = 1
        known.pause = min(LONGEST_PAUSE, max(known.pause, FIRST_PAUSE, seconds))
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

    def later(self, domain: str) -> float:
        """In how many seconds one that found no room may ask again; they come back one after the other, not all at once."""
        known = self._known.get(domain)
        pause = known.pause if known is not None and known.pause else FIRST_PAUSE
        self._put_off += 1
        return pause * (1 + self._put_off % 100 / 100)

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
        """Those that have nothing on the way and nothing against them."""
        for name in [name for name, known in self._known.items() if not known.held and not known.busy and not known.took]:
            del self._known[name]
