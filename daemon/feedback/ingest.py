"""Feedback: what a provider posts to its hook, from the request to committed rows. Comes from `daemon/web`, ends in the store.

The provider's plugin says what the request means; nothing here knows a provider. Every report is committed before `take`
returns, so that an answer of 2xx is true; a store that is out of reach is raised, and the provider tries again. A plugin that
fails is logged and counted, and costs nobody else anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, get_args

from daemon.clock import Clock, to_instant
from daemon.errors import HomingError, NotFoundError
from daemon.ids import decode_id, encode_id
from daemon.metrics import Metrics
from daemon.model.words import cut
from daemon.store.feedback import Heard, Report, hear, hear_device
from daemon.store.writer import Lane, Writes
from plugins.contract import Log
from plugins.feedback import BadSignature, Feedback, FeedbackKind, TakesFeedback, WebhookRequest

KINDS = frozenset(get_args(FeedbackKind))


class Receiver(NamedTuple):
    """A running provider: what it is to recipients, which kind of address it uses, its plugin."""

    channel: str
    address: str
    plugin: object


class Receivers(Protocol):
    """The providers: `known` by the config, `receiver` if it runs."""

    def known(self, provider: str) -> bool: ...
    def receiver(self, provider: str) -> Receiver | None: ...


class NotRunningError(HomingError):
    """The provider is configured and does not run (yet): its feedback may come again."""


class UnreadableError(Exception):
    """The plugin cannot read the request (it raised ValueError)."""


class Ingesting:
    """The door for feedback. `hash_address(kind, text)`: None for what is no such address; `channels()`: all that are known, each of
    which a complaint closes; `woken()`: waiting rows are due; `parked()`: something waits for its delivery."""

    def __init__(
        self, *, store: Writes, clock: Clock, log: Log, metrics: Metrics, receivers: Receivers,
        hash_address: Callable[[str, str], bytes | None], channels: Callable[[], Sequence[str]],
        woken: Callable[[], None] = lambda: None, parked: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._store, self._clock, self._log, self._metrics, self._receivers = store, clock, log, metrics, receivers
        self._hash_address, self._channels, self._woken, self._parked = hash_address, channels, woken, parked

    def find(self, provider: str) -> Receiver:
        """Who takes this provider's feedback. NotFoundError if nobody does, NotRunningError if nobody does now."""
        receiver = self._receivers.receiver(provider)
        if receiver is None and self._receivers.known(provider):
            raise NotRunningError(f'the provider "{provider}" does not run now')
        if receiver is None or not isinstance(receiver.plugin, TakesFeedback):
            raise NotFoundError("no provider takes feedback here")
        return receiver

    async def take(self, provider: str, request: WebhookRequest) -> Sequence[Heard]:
        """Parse and commit. BadSignature as the plugin raises it; UnreadableError; HomingError if it fails; StoreUnavailableError."""
        receiver = self.find(provider)
        reports = self._parse(provider, receiver, request)
        if not reports:
            return ()
        heard = await self._store.write(Lane.EXIT, hear, reports, channels=self._channels(), now=self._clock.instant())
        self.tell(list(zip(reports, heard, strict=True)))
        return heard

    async def take_of_device(self, delivery: int, kinds: Sequence[str]) -> None:
        """The recipient's own device says so, by the token of the delivery."""
        now = self._clock.instant()
        self.tell(await self._store.write(Lane.EXIT, hear_device, delivery, kinds, channels=self._channels(), now=now))

    def tell(self, heard: Sequence[tuple[Report, Heard]]) -> None:
        """Log, count and pass on what became of reports."""
        for report, one in heard:
            self._metrics.feedback(report.provider, report.kind, one.how)
            self._log.info(
                "feedback", provider=report.provider, kind=report.kind, how=one.how, code=report.code, detail=report.detail,
                delivery=None if one.delivery is None else encode_id(one.delivery), settled=one.settled.value if one.settled else None,
            )  # fmt: skip
        if any(one.waits for _, one in heard):
            self._parked()
        if any(one.woken for _, one in heard):
            self._woken()

    def _parse(self, provider: str, receiver: Receiver, request: WebhookRequest) -> list[Report]:
        plugin: Any = receiver.plugin
        try:
            found: Any = plugin.parse_feedback(request)
            if isinstance(found, str | bytes) or not isinstance(found, Sequence):
                raise TypeError(f"parse_feedback gave {type(found).__name__}, not a list of Feedback")
        except BadSignature:
            raise
        except ValueError:
            raise UnreadableError from None
        except (Exception, SystemExit) as error:  # noqa: BLE001 - plugin isolation
            self._fault(provider, f"{type(error).__name__}: {error}", error)
            raise HomingError("the provider's plugin failed on it; the log says how") from None
        reports = []
        for item in found:
            try:
                reports.append(self._report(provider, receiver, item))
            except (TypeError, ValueError) as error:
                self._fault(provider, f"a report that is none: {error}")
        return reports

    def _fault(self, provider: str, what: str, error: BaseException | None = None) -> None:
        self._metrics.fault(provider)
        self._log.error("plugin_fault", provider=provider, what=f"parse_feedback: {what}", exc_info=error)

    def _report(self, provider: str, receiver: Receiver, item: object) -> Report:
        """TypeError or ValueError if it is no report."""
        if not isinstance(item, Feedback):
            raise TypeError(f"{type(item).__name__} is no Feedback")
        if item.kind not in KINDS:
            raise ValueError(f"its kind {item.kind!r} is none of {', '.join(sorted(KINDS))}")
        delivery = None if item.delivery is None else decode_id(item.delivery)
        if item.delivery is not None and delivery is None:
            raise ValueError("its delivery is no delivery's id")
        hashed = None if item.address is None else self._hash_address(receiver.address, item.address)
        if delivery is None and item.provider_id is None and hashed is None:
            raise ValueError(f"it names neither delivery nor provider_id, nor an address of the kind {receiver.address}")
        at = self._clock.instant() if item.at is None else _instant(item.at)
        return Report(
            provider=provider, channel=receiver.channel, kind=item.kind, at=at, delivery=delivery, provider_id=cut(item.provider_id),
            hash=hashed, event=cut(item.id) or "", code=cut(item.code), detail=cut(item.detail), human=bool(item.human),
        )  # fmt: skip


def _instant(at: object) -> int:
    if not isinstance(at, datetime):
        raise TypeError(f"its at is {type(at).__name__}, not a datetime")
    return to_instant(at)
