"""Campaigns with walks: the real stages from a dropped job or an event to recorded outcomes, under a clock that a test moves."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daemon.audience.walking import Standing, WalkStage, standing_of
from daemon.content.version import CampaignVersion
from daemon.ids import SystemIds
from daemon.journey.events import event_id
from daemon.journey.profile import Shop
from daemon.model.campaign import Campaign, CampaignStatus, Step
from daemon.model.delivery import DAY
from daemon.store.event_row import EventRow
from daemon.store.events import Taken, take_events
from daemon.store.recipients import person_id
from daemon.store.recover import begin
from daemon.store.writer import Lane
from tests.stages.intake_world import NOW, IntakeWorld
from tests.stages.several_world import CONFIG, SeveralWorld, person

ORDER = "Order Completed"
THREE = tuple(Step(name=name, channels=("email",), day=day) for name, day in (("reminder", 45), ("offer", 60), ("last", 90)))


def campaign(name: str = "winback", steps: Sequence[Step] = THREE, **more: Any) -> CampaignVersion:
    """A campaign with templates for its steps."""
    files: dict[str, str] = {}
    for step in steps:
        for channel in step.every_channel:
            files[f"{step.name}.{channel}.liquid"] = "---\nsubject: Hi\n---\n<p>Hi</p>\n" if channel == "email" else "Hi"
    made = Campaign(name=name, status=CampaignStatus.ACTIVE, topic=name, steps=tuple(steps), **more)
    return CampaignVersion.of(made, files)


class WalkWorld(SeveralWorld):
    """`go(days)`: the clock moves on, walks move, everything due is sent and accepted. `walks()`: what stands of them."""

    stage: WalkStage

    @classmethod
    async def begin(cls, folder: Path, *versions: CampaignVersion, config: str = CONFIG) -> WalkWorld:
        inner = await IntakeWorld.open(folder, config)
        await inner.store.write(Lane.BULK, begin, NOW, "node", "nonce")
        world = cls(inner)
        world.campaigns = {}
        world.stage = WalkStage(
            store=inner.store, clock=inner.clock, ids=SystemIds(), log=inner.log, config=inner.config, rules=world.rules,
            standing=world.standing, shop=Shop,
        )  # fmt: skip
        for version in versions:
            await world.load(version)
        return world

    campaigns: dict[str, Campaign]

    def standing(self) -> list[Standing]:
        return standing_of(self.campaigns, self.inner.config)

    async def load(self, version: CampaignVersion) -> None:
        await self.inner.load(version)
        self.campaigns[version.campaign.name] = version.campaign
        self.stage.configure(self.inner.config, self.rules)

    async def walk(self) -> int | None:
        """The walking stage works until nothing is due now. Returns when it will next."""
        for _ in range(200):
            at = await self.stage.round()
            if at is None or at > self.inner.clock.wall:
                return at
        raise AssertionError("the walking stage has no end")

    async def go(self, time: int = 0) -> None:
        """So much later: all that may happen by then happens, at its time."""
        end = self.inner.clock.wall + time
        for turns in itertools.count():
            assert turns < 1000, "time does not pass"
            at = await self.walk()
            await self.send()
            next_due = await self.inner.sql("SELECT min(head) FROM lane")
            times = [one for one in (at, next_due[0][0]) if one is not None and one <= end]
            if not times:
                break
            self.inner.clock.wall = max(self.inner.clock.wall + 1, min(times))
        self.inner.clock.wall = end
        await self.inner.check()

    async def happen(self, name: str, recipient: str = "c-1", *, ago: int = 0, id: str | None = None, **properties: Any) -> Taken:
        at = self.inner.clock.wall - ago
        text = json.dumps(properties) if properties else None
        row = EventRow(person_id(recipient), recipient, name, event_id(id or f"{name} {recipient} {at}"), at, text)
        return await self.inner.store.write(Lane.EVENTS, take_events, [row], Shop(), self.inner.clock.wall)

    async def lapsed(self, days: int, *recipients: str) -> None:
        """They are known, and ordered last so many days ago."""
        for recipient in recipients or ("c-1",):
            await self.happen(ORDER, recipient, ago=days * DAY, id=f"old {recipient}", revenue=10)

    async def put_in(self, segment: str, *recipients: str) -> None:
        """A segment that has just been evaluated has these members (too)."""
        now = self.inner.clock.wall
        await self.inner.do(
            "INSERT INTO segment (id, name, members, evaluated_at) VALUES ((SELECT coalesce(max(id), 0) + 1 FROM segment), :name, 0, :now)"
            " ON CONFLICT (name) DO UPDATE SET evaluated_at = excluded.evaluated_at",
            name=segment, now=now,
        )  # fmt: skip
        for recipient in recipients:
            await self.inner.do(
                "INSERT INTO segment_member (segment, person, since) SELECT id, :person, :now FROM segment WHERE name = :name",
                person=person_id(recipient), name=segment, now=now,
            )  # fmt: skip

    async def walks(self, recipient: str = "c-1", name: str = "winback") -> list[tuple[Any, ...]]:
        """(state, step, end_reason) of each, in order."""
        return await self.inner.sql(
            "SELECT walk.state, walk.step, walk.end_reason FROM walk JOIN campaign ON campaign.id = walk.campaign"
            " JOIN recipient ON recipient.id = walk.person WHERE recipient.key = :key AND campaign.name = :name ORDER BY walk.occurrence",
            key=recipient, name=name,
        )  # fmt: skip

    async def steps(self, recipient: str = "c-1") -> list[tuple[str, str, str | None]]:
        """(step, state, reason) of its deliveries, as they were planned."""
        found = await self.inner.sql(
            "SELECT wave.step, delivery.state, delivery.reason FROM delivery JOIN wave ON wave.id = delivery.wave"
            " JOIN recipient ON recipient.id = delivery.person WHERE recipient.key = :key ORDER BY delivery.id",
            key=recipient,
        )
        return [(step, state, reason) for step, state, reason in found]

    async def one(self, statement: str, **values: Any) -> Any:
        return (await self.inner.sql(statement, **values))[0][0]


__all__ = ["CONFIG", "DAY", "NOW", "ORDER", "THREE", "WalkWorld", "campaign", "person"]
