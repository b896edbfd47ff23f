"""Segments, composed: the service that keeps them up to date, and the desk where they are asked about."""

from __future__ import annotations

from collections.abc import Callable

from daemon.app.setup import Setup
from daemon.audience.segment_desk import SegmentDesk
from daemon.audience.segmenting import Segmenting
from daemon.clock import Clock
from daemon.intake.tracker import shop_of
from daemon.journey.profile import Shop
from daemon.service import Signals
from daemon.store.writer import Writes
from plugins.contract import Log


class Segmentation:
    """`setup()`: as of now · `trusted()`: the clock is · `commits()`: the store's transactions so far · `changed()`: members are new."""

    def __init__(
        self, *, store: Writes, clock: Clock, log: Log, setup: Callable[[], Setup], trusted: Callable[[], bool] = lambda: True,
        commits: Callable[[], int] = lambda: 0, signals: Signals | None = None, changed: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        def shop() -> Shop:
            return shop_of(setup().config)

        def zone() -> str:
            return setup().config.homing.default_zone

        self.service = Segmenting(
            store=store, clock=clock, log=log, segments=setup().segments, shop=shop, zone=zone, changed=changed, trusted=trusted,
            commits=commits, signals=signals,
        )  # fmt: skip
        self.desk = SegmentDesk(store=store, clock=clock, segmenting=self.service, shop=shop, zone=zone)
