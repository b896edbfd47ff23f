"""Reports: how the deliveries of one step hang together: which one took whose place, and which one goes after which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daemon.ids import encode_id
from daemon.model.delivery import FINAL
from daemon.store.read import DeliveryRow


class Family:
    """`rows`: the deliveries that are told of."""

    def __init__(self, rows: Sequence[DeliveryRow]) -> None:
        self._by_id = {row.id: row for row in rows}
        self._followers = {row.follows: row for row in rows if row.follows is not None}

    def facts(self, row: DeliveryRow) -> Mapping[str, str]:
        """`instead_of`, `instead`: the delivery whose place it took, which took its place; `after`, `then`: that of an escalation."""
        facts: dict[str, str] = {}
        if row.follows is not None:
            facts["after" if row.follows == row.escalates else "instead_of"] = encode_id(row.follows)
        if (next_one := self._followers.get(row.id)) is not None:
            facts["then" if next_one.escalates == row.id else "instead"] = encode_id(next_one.id)
        return facts

    def words(self, row: DeliveryRow) -> str:
        """What to add to the sentence about a delivery; empty for one that stands alone."""
        said = ""
        if row.follows is not None:
            former = self._by_id.get(row.follows)
            channel = former.channel if former is not None else "the other channel"
            if row.follows != row.escalates:
                said += f" It takes the place of {channel}."
            elif row.state not in FINAL:
                said += f" It goes after {channel}, unless the recipient reacts to that before."
            else:
                said += f" It was to go after {channel}."
        if (next_one := self._followers.get(row.id)) is not None:
            said += f" {next_one.channel} follows." if next_one.escalates == row.id else f" {next_one.channel} takes its place."
        return said
