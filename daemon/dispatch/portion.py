"""What a line counts for its provider's limits: what is claimed and handed over in a warm-up, and which destinations say "slower"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from daemon.dispatch.outcome import retry_after
from daemon.dispatch.work import Envelope
from daemon.model.delivery import SECOND, Instant
from daemon.pacing.limits import Limits
from daemon.pacing.warmup import Ration
from plugins.contract import Deferred


class Portion:
    """`limits`, `ration`: the provider's, which a claim asks; nothing is limited without them."""

    def __init__(self, limits: Limits | None = None, ration: Ration | None = None) -> None:
        self.limits = limits or Limits()
        self.ration = ration or Ration({}, lambda now: (0, now, now))

    def hold(self, envelopes: Sequence[Envelope], now: Instant) -> None:
        """Claimed."""
        if self.ration:
            for envelope in envelopes:
                envelope.group = self.limits.name_of(envelope.domain, now)
                self.ration.hold(envelope.group)

    def sent(self, envelope: Envelope, now: Instant) -> None:
        """Handed over."""
        if envelope.domain:
            self.limits.sent(envelope.domain, now)
        if envelope.group is not None:
            self.ration.send(envelope.group, now)
            envelope.group = None

    def handed(self, domains: Iterable[str], now: Instant) -> None:
        """To each of these a message was handed over in its claim's own transaction."""
        for domain in domains if self.ration else ():
            group = self.limits.name_of(domain, now)
            self.ration.hold(group)
            self.ration.send(group, now)

    def let_go(self, envelopes: Sequence[Envelope]) -> Sequence[Envelope]:
        """In nobody's hands any more, handed over or not. Returns them."""
        if self.ration:
            for envelope in envelopes:
                if envelope.group is not None:
                    self.ration.let_go(envelope.group)
                    envelope.group = None
        return envelopes

    def deferred(self, envelope: Envelope, outcome: Deferred, now: Instant) -> None:
        """The destination's own rate is too high; what a provider says of itself is its line's affair."""
        if outcome.throttled and outcome.scope in ("domain", "message") and envelope.domain:
            wait = retry_after(outcome.after, now)
            self.limits.throttle(envelope.domain, now, wait if wait is not None else SECOND)
