"""Retargeting audiences, composed: the desired sets, their sync with the platforms, and what a reload and the operators' desk need of both.

The services are always there; without a provider of audiences they sleep.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from daemon.app.ports import Pace
from daemon.app.sending import World
from daemon.app.setup import Setup
from daemon.audience.desired import Desired, Intent
from daemon.dispatch.gate import Gate
from daemon.dispatch.sync import AudienceSync, Opening
from daemon.errors import NotFoundError
from daemon.intake.tracker import shop_of
from daemon.model.audience import AUDIENCE
from daemon.policy.permission import ConsentRule
from daemon.service import Service, Signals
from plugins.contract import Context
from plugins.loader import LoadedAudience


def consent_rule(setup: Setup) -> str:
    """What an unknown consent for the channel audience means."""
    return setup.config.consent.channels.get(AUDIENCE, ConsentRule.EXPLICIT)


def intent_of(setup: Setup) -> Intent:
    """What the config and the campaigns ask for."""
    providers = [loaded.provider for loaded in setup.loading.audiences]
    return Intent.of(setup.catalogue.versions, providers, consent_rule(setup), shop_of(setup.config))


class Retargeting:
    """Both services and the way to them."""

    def __init__(self, world: World, setup: Setup, signals: Signals, gate: Gate, pace: Pace) -> None:
        self._world = world
        self.sync = AudienceSync(
            store=world.store, clock=world.clock, ids=world.ids, log=world.log, metrics=world.metrics, signals=signals,
            holds=gate.reasons, look_seconds=pace.sync_seconds,
        )  # fmt: skip
        self.desired = Desired(
            store=world.store, clock=world.clock, log=world.log, intent=intent_of(setup), changed=self.sync.wake, signals=signals,
            holds=gate.reasons, every_seconds=pace.audience_seconds,
        )  # fmt: skip
        self.sync.configure(self._openings(setup))

    def services(self) -> list[Service]:
        return [self.sync, self.desired]

    async def reload(self, setup: Setup) -> None:
        """Take another setup."""
        self.sync.configure(self._openings(setup))
        await self.sync.reload()
        self.desired.configure(intent_of(setup))

    def _openings(self, setup: Setup) -> list[Opening]:
        rates = {name: table.rate.per_second if table.rate else None for name, table in setup.config.providers.items()}
        return [Opening(loaded=each, per_second=rates.get(each.provider), context=self._context) for each in setup.loading.audiences]

    def _context(self, loaded: LoadedAudience) -> tuple[Context[Any], Callable[[], Any]]:
        world = self._world
        session = world.open_http(dns=world.dns, settings=loaded.settings, total_seconds=120.0)
        context = Context(
            provider=loaded.provider, settings=loaded.settings, clock=world.clock, rng=world.ids.rng(), dns=world.dns,
            open_stream=world.net.open_stream, http=session, log=world.log.bind(provider=loaded.provider),
        )  # fmt: skip
        return context, session.close

    async def sync_now(self, provider: str | None) -> None:
        """An operator wants it done now. NotFoundError for a provider that is none of audiences."""
        known = {str(each["provider"]) for each in self.sync.providers()}
        if provider is not None and provider not in known:
            raise NotFoundError(f'no provider of audiences is named "{provider}" (there are: {", ".join(sorted(known)) or "none"})')
        await self.sync.sync_now(provider)
        self.desired.poke()
