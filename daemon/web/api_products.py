"""Web: the catalogue: products come in."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

from daemon.clock import Clock
from daemon.intake.catalogue import Shelved
from daemon.intake.parse import Item
from daemon.web.api_recipients import LINES, read_items
from daemon.web.connection import Limits
from daemon.web.route import Call, Route


class CatalogueDoor(Protocol):
    """`intake.catalogue.Catalogue`."""

    async def take(self, items: Sequence[Item], /) -> Shelved: ...


class ProductsApi:
    """The routes."""

    def __init__(self, *, door: CatalogueDoor, clock: Clock, limits: Limits) -> None:
        self._door, self._clock, self._limits = door, clock, limits

    def routes(self) -> Sequence[Route]:
        return (
            Route(
                method="POST", path="/v1/products", name="importProducts", tag="products", scope="operate:write",
                handler=self.take, media=(LINES,), answer="Imported",
                summary="Set many products: a JSON object a line, up to 1 MB. Bad rows are named and never stop good ones.",
            ),
        )  # fmt: skip

    async def take(self, call: Call) -> dict[str, Any]:
        return dataclasses.asdict(await self._door.take(await read_items(call, self._clock, self._limits)))
