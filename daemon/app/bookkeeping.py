"""What keeps the books of offers, experiments and the catalogue, and tells of them, put together: the services, and the doors to what
they know."""

from __future__ import annotations

from collections.abc import Callable

from daemon.app.arriving import Arriving
from daemon.app.experimenting import Experimenting
from daemon.app.noticing import Noticing
from daemon.app.offering import SECONDS, Offering
from daemon.app.recommending import SECONDS as COUNTING_SECONDS
from daemon.app.recommending import Recommending
from daemon.app.sending import World
from daemon.config.load import Config
from daemon.content.roadmap import load_roadmap
from daemon.intake.catalogue import Catalogue
from daemon.intake.stocking import Stocking
from daemon.intake.tracker import shop_of
from daemon.metrics import Metrics
from daemon.reports.named import Reporting
from daemon.service import Service

ROUND_SECONDS = 0.5
"""How often it is looked whether there is anything new to be told."""


class Bookkeeping:
    """`config()`: the one in force; `woken`: deliveries that waited are due; `changed`: the same, from a door; `trusted()`: the
    clock is; `walks`: some may begin, or have ended."""

    def __init__(
        self, world: World, *, metrics: Metrics, config: Callable[[], Config], woken: Callable[[], object], changed: Callable[[], None],
        walks: Callable[[], None], poll_seconds: float = SECONDS, trusted: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        self.offers = Stocking(store=world.store, clock=world.clock, changed=changed)
        self.products = Catalogue(store=world.store, clock=world.clock)
        self.reports = Reporting(store=world.store, ideas=lambda: load_roadmap(config().homing.campaigns))
        self.notices = Noticing(world, lambda: config().notify, round_seconds=lambda: max(ROUND_SECONDS, poll_seconds))
        self._services: list[Service] = [
            self.notices,
            Offering(store=world.store, clock=world.clock, log=world.log, woken=woken, seconds=max(SECONDS, poll_seconds), trusted=trusted),
            Recommending(
                store=world.store, clock=world.clock, log=world.log, seconds=max(COUNTING_SECONDS, poll_seconds), trusted=trusted,
            ),
            Arriving(
                store=world.store, clock=world.clock, log=world.log, shop=lambda: shop_of(config()), walks=walks,
                seconds=max(COUNTING_SECONDS, poll_seconds), trusted=trusted,
            ),
            Experimenting(
                store=world.store, clock=world.clock, log=world.log, metrics=metrics, shop=lambda: shop_of(config()),
                margin=lambda: config().shop.margin,
            ),
        ]  # fmt: skip

    def services(self) -> list[Service]:
        return self._services
