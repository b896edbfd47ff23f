"""Test sends for the operators' desk: finds the campaign's words and the recipient, and hands them to `dispatch.trial`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from daemon.app.sending import Sending, World
from daemon.app.setup import Setup
from daemon.dispatch.gate import Gate
from daemon.dispatch.trial import send_test
from daemon.dispatch.words import profile_words
from daemon.errors import NotFoundError
from daemon.intake.tracker import shop_of
from daemon.links import Links
from daemon.model.delivery import SECOND
from daemon.model.recipient import Recipient
from daemon.store.products import recommended
from daemon.store.profiles import read_profile
from daemon.store.recipients import read_recipient

PLACEHOLDERS: Mapping[str, str] = {"first_name": "Aiko", "last_product": "your last order"}


class Trials:
    """`send` satisfies `Hooks.test`. Without a recipient, a made-up one with placeholder traits gets the words."""

    def __init__(self, world: World, gate: Gate, setup: Callable[[], Setup], sending: Sending, links: Links) -> None:
        self._world, self._gate, self._setup, self._sending, self._links = world, gate, setup, sending, links

    async def send(self, name: str, to: Sequence[str], locale: str | None, recipient: str | None) -> dict[str, Any]:
        """Each step of the campaign as the folder has it now, once to each address. NotFoundError for an unknown name."""
        setup = self._setup()
        version = setup.catalogue.versions.get(name)
        if version is None:
            raise NotFoundError(f'no campaign is named "{name}"; `homing campaigns list` shows them')
        profile = None
        person = Recipient(id=0, key="test", locale=locale, traits={**PLACEHOLDERS, "days_since_order": 45})
        if recipient is not None:
            found = await self._world.store.read(read_recipient, recipient)
            if found is None:
                raise NotFoundError(f'no recipient has the id "{recipient}"')
            person, now, shop = found.recipient, self._world.clock.instant(), shop_of(setup.config)
            row = await self._world.store.read(read_profile, person.id, now)
            profile = profile_words(row, shop, now, knows_tier="tier" in person.traits)
        products = await self._world.store.read(recommended, [person.id], self._world.clock.instant())
        sent = await send_test(
            version,
            person,
            to,
            channels={line.kind: line.channel for line in reversed(list(self._sending.lines.values()))},
            gate=self._gate,
            clock=self._world.clock,
            ids=self._world.ids,
            shop={"currency": setup.config.shop.currency},
            locale=locale,
            vars=PLACEHOLDERS,
            profile=profile,
            products=products.get(person.id, ()),
            unsubscribe_url=self._links.unsubscribe_url(0),
            preferences_url=self._links.preferences_url(0),
            countdown_url=self._links.countdown_url(0),
            push_join_token=self._links.join_token(0, self._world.clock.instant() / SECOND),
        )
        self._world.log.info("test_sent", campaign=name, messages=len(sent))
        return {"campaign": name, "job": None, "sent": sent}
