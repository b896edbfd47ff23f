"""Campaigns over several channels: the real stages from a dropped job to recorded outcomes; providers are what a test says."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from daemon.content.version import CampaignVersion
from daemon.dispatch.judge import Judgement, Judging
from daemon.dispatch.offering import minting
from daemon.dispatch.outcome import to_result
from daemon.dispatch.work import Envelope, PlanBook
from daemon.ids import encode_id
from daemon.journey.worth import Budgets
from daemon.model.campaign import Campaign, CampaignStatus, Step
from daemon.policy.rules import Rules, compile_rules
from daemon.reports.explain import Explaining
from daemon.store.claim import Claimed, ClaimResult, claim_due
from daemon.store.flight import Flights
from daemon.store.flight import Step as FlightStep
from daemon.store.recover import begin
from daemon.store.writer import Lane
from plugins.contract import Accepted, Outcome
from tests.stages.intake_world import NOW, IntakeWorld, job

CONFIG = """
[homing]
state_dir = "{state}"
default_zone = "Asia/Jakarta"
[window.channels.sms]
start = "10:00"
end = "20:00"
[consent]
sms = "implied"
[providers.relay]
plugin = "smtp"
host = "127.0.0.1"
[queues.lapsed-45]
campaign = "winback"
"""
KINDS = {"email": "email", "sms": "phone"}
SERVING = {"email": "relay", "sms": "texts"}


def winback(step: Step, **more: Any) -> CampaignVersion:
    """The campaign with this step, a template for each of its channels."""
    files = {f"{step.name}.{channel}.liquid": "Hi" for channel in step.every_channel if channel != "email"}
    files[f"{step.name}.email.liquid"] = "---\nsubject: Hi\n---\n<p>Hi</p>\n"
    campaign = Campaign(name="winback", status=CampaignStatus.ACTIVE, topic="winback", steps=(step,), **more)
    return CampaignVersion.of(campaign, files)


def person(name: str = "c-1", *, email: bool = True, phone: bool = True, **more: Any) -> dict[str, Any]:
    number = int(name.rpartition("-")[2])
    row: dict[str, Any] = {"id": name, "zone": "Asia/Jakarta", **more}
    if email:
        row["email"] = f"user{number}@example.com"
    if phone:
        row["phone"] = f"+6281100{number:05d}"
    return row


class SeveralWorld:
    """`claim` and `send` by hand. `rows(id)`: (channel, state, reason) of a recipient's deliveries in the order in which they were made."""

    def __init__(self, inner: IntakeWorld) -> None:
        self.inner = inner
        self.rules: Rules = compile_rules(inner.config)
        self.kinds = dict(KINDS)
        self.serving = dict(SERVING)
        self.budgets = Budgets()
        self.plans = PlanBook({})
        self.flights = Flights(lambda: inner.clock.wall, lambda now, highest: False)
        self.epoch = 0
        self.sent: list[tuple[str, str]] = []
        """(recipient, channel) of each handover."""
        self.brought: list[tuple[str, str, str | None]] = []
        """(recipient, offer, code) of each handover with an offer."""

    @classmethod
    async def open(cls, folder: Path, step: Step, *, config: str = CONFIG, **more: Any) -> SeveralWorld:
        inner = await IntakeWorld.open(folder, config)
        await inner.store.write(Lane.BULK, begin, NOW, "node", "nonce")
        await inner.load(winback(step, **more))
        return cls(inner)

    async def drop(self, *rows: dict[str, Any], id: str = "j", **more: Any) -> None:
        await self.inner.drop(job(0, id=id, recipients=list(rows), **more))
        await self.inner.settle()

    def bind(self, now: int) -> Judgement:
        return Judging(self.rules, self.kinds, {}, budgets=self.budgets).bind(self.plans, self.serving, set(self.serving), now)

    async def claim(self) -> ClaimResult:
        self.epoch += 1
        judge = self.bind(self.inner.clock.wall)
        return await self.inner.store.write(
            Lane.CLAIM, claim_due, now=self.inner.clock.wall, owner=1, epoch=self.epoch, horizon=judge.horizon, judge=judge, contest=judge.contest,
            share=lambda lanes: [(lane.id, 100) for lane in lanes], prepare=judge.prepare, mint=minting(b"secret" * 6),
        )  # fmt: skip

    async def settle(self) -> list[Claimed]:
        """Claim until nothing more is due: what takes another's place is claimed by the next claim."""
        claimed: list[Claimed] = []
        while (result := await self.claim()).taken:
            claimed += result.claimed
        return claimed

    async def send(self, answer: Callable[[Claimed], Outcome | None] = lambda _: Accepted(), claimed: Sequence[Claimed] | None = None) -> None:
        """What was claimed, or everything that is due until nothing is: handover, and this answer recorded (None: no answer comes)."""
        while todo := list(claimed if claimed is not None else await self.settle()):
            step = FlightStep(grants=[(one.row.delivery, one.epoch) for one in todo])
            done = await self.inner.store.join(Lane.HANDOVER, self.flights.step, step)
            going = [one for one in todo if one.row.delivery in done.granted]
            self.sent += [(one.row.recipient, one.row.channel) for one in going]
            self.brought += [(one.row.recipient, one.offer.offer, one.offer.code) for one in going if one.offer is not None]
            await self.record(answer, going)
            if claimed is not None:
                return

    async def record(self, answer: Callable[[Claimed], Outcome | None], claimed: Sequence[Claimed]) -> None:
        answers = [(one, said) for one in claimed if (said := answer(one)) is not None]
        results = [to_result(self._envelope(one), said, self.inner.clock.wall, random.Random(1)) for one, said in answers]
        await self.inner.store.join(Lane.HANDOVER, self.flights.step, FlightStep(outcomes=results))
        await self.inner.check()

    def _envelope(self, one: Claimed) -> Envelope:
        plan = self.plans.peek(one.row.campaign, one.row.version)
        assert plan is not None
        return Envelope(claimed=one, public_id=encode_id(one.row.delivery), plan=plan)

    async def rows(self, recipient: str = "c-1") -> list[tuple[str, str, str | None]]:
        found = await self.inner.sql(
            "SELECT wave.channel, delivery.state, delivery.reason FROM delivery JOIN wave ON wave.id = delivery.wave"
            " JOIN recipient ON recipient.id = delivery.person WHERE recipient.key = :key ORDER BY delivery.id",
            key=recipient,
        )
        return [(channel, state, reason) for channel, state, reason in found]

    async def explain(self, recipient: str = "c-1") -> list[dict[str, Any]]:
        """Its deliveries as explain has them, the newest first."""
        return [delivery for walk in (await self.explained(recipient))["enrolments"] for delivery in walk["deliveries"]]

    async def explained(self, recipient: str = "c-1") -> dict[str, Any]:
        """All that explain says of it."""
        explainer = Explaining(store=self.inner.store, clock=self.inner.clock, bind=self.bind, rules=lambda: self.rules, gate=dict)
        return await explainer.explain(recipient)

    async def counts(self, key: str = "j") -> dict[str, int]:
        """The job's deliveries by state, as its receipt has them."""
        return {state: n for state, n in (await self.inner.job(key)).deliveries.items() if n}

    async def close(self) -> None:
        await self.inner.check()
        await self.inner.close()
