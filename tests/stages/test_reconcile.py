"""Doubts are looked up at their provider, ever more seldom; its word settles them, and a plugin that fails harms nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from daemon.clock import to_datetime
from daemon.content.version import CampaignVersion
from daemon.dispatch.reconcile import AGES, BATCH, EVERY, Ask, Reconciling, last_age
from daemon.dispatch.render import MessageWriter
from daemon.dispatch.work import PlanBook
from daemon.ids import SystemIds, decode_id
from daemon.links import KeyRing, Links
from daemon.metrics import Metrics
from daemon.model.campaign import Campaign, CampaignStatus, Step
from daemon.model.delivery import HOUR, MINUTE, SECOND, State
from daemon.store.flight import Kind
from daemon.store.recover import begin
from daemon.store.writer import Lane
from plugins.contract import Accepted, Deferred, Rejected, Unknown
from plugins.feedback import Doubt
from tests.stages.intake_world import CONFIG, NOW, IntakeWorld
from tests.stages.test_explain import ExplainWorld, person


@dataclass
class Provider:
    """Says what the test has it say, and remembers what it was asked."""

    says: Any = field(default_factory=dict)
    asked: list[Sequence[Doubt]] = field(default_factory=list)

    async def reconcile(self, doubts: Sequence[Doubt]) -> object:
        self.asked.append(doubts)
        if isinstance(self.says, BaseException):
            raise self.says
        if callable(self.says):
            return await self.says(doubts)
        return {doubt.id: self.says for doubt in doubts} if not isinstance(self.says, Mapping) else self.says


class Providers(dict[str, Provider]):
    def reconcilers(self) -> Mapping[str, Ask]:
        return {name: provider.reconcile for name, provider in self.items()}


class ReconcileWorld(ExplainWorld):
    def __init__(self, inner: IntakeWorld) -> None:
        super().__init__(inner)
        self.relay = Provider()
        self.providers = Providers(relay=self.relay)
        self.rung: list[str] = []
        links, plans = Links(KeyRing.fresh(SystemIds()), "https://go.example.com"), PlanBook({})
        self.metrics = Metrics(inner.clock)
        self.service = Reconciling(
            store=inner.store, clock=inner.clock, log=inner.log, metrics=self.metrics, askers=self.providers, plans=plans,
            writer=MessageWriter(plans, links, {"email": "email"}, inner.clock), settled=lambda: self.rung.append("settled"),
            found=lambda: self.rung.append("found"), look_seconds=0.01,
        )  # fmt: skip

    async def doubt(self, *names: str, **more: Any) -> None:
        """One doubt for each, handed over now."""
        await self.drop(*[person(name, **more) for name in names or ("c-1",)])
        await self.send(Kind.UNKNOWN, code="timeout")

    async def look_at(self, age: int) -> int:
        """Look when so much time has passed since NOW. How many doubts the relay has been asked about by then."""
        self.inner.clock.wall = NOW + age
        await self.service.look()
        return sum(len(doubts) for doubts in self.relay.asked)

    async def states(self) -> list[tuple[str, str | None]]:
        return await self.inner.sql("SELECT state, reason FROM delivery ORDER BY id")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ReconcileWorld]:
    inner = await IntakeWorld.open(tmp_path, CONFIG)
    await inner.store.write(Lane.BULK, begin, NOW, "node", "nonce")
    yield ReconcileWorld(inner)
    await inner.close()


def test_the_ages_at_which_a_doubt_is_asked_about() -> None:
    """A minute, ten, an hour, then every six hours."""
    assert [last_age(age) for age in (0, MINUTE - 1, MINUTE, 10 * MINUTE, HOUR, 5 * HOUR, 6 * HOUR, 13 * HOUR)] == [
        0, 0, MINUTE, 10 * MINUTE, HOUR, HOUR, 6 * HOUR, 12 * HOUR,
    ]  # fmt: skip


async def test_a_doubt_is_asked_about_ever_more_seldom(world: ReconcileWorld) -> None:
    """Once at each age, never before a minute nor after three days; a doubt that nobody can settle stays one."""
    await world.doubt()
    seen = {age: await world.look_at(age) for age in (
        MINUTE - SECOND, MINUTE + SECOND, 9 * MINUTE, 11 * MINUTE, 12 * MINUTE, HOUR + 1, 5 * HOUR, EVERY + SECOND, EVERY + MINUTE, 13 * HOUR, 74 * HOUR,
    )}  # fmt: skip
    assert list(seen.values()) == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert await world.states() == [("in_doubt", None)]


async def test_the_provider_gets_what_was_sent(world: ReconcileWorld) -> None:
    """Address, instant, and the message with the words and the time of then, though a newer version was loaded since."""
    words = "---\nsubject: Hi {{ recipient.first_name }}\n---\n<p>Hi</p>\n"
    steps = (Step(name="offer", channels=("email",)),)
    campaign = Campaign(name="winback", status=CampaignStatus.ACTIVE, topic="winback", steps=steps)
    await world.inner.load(CampaignVersion.of(campaign, {"offer.email.liquid": words}))
    await world.doubt(traits={"first_name": "Aiko"})
    [(at,)] = await world.inner.sql("SELECT handed_over_at FROM delivery")
    world.inner.clock.wall += SECOND
    await world.inner.load(CampaignVersion.of(campaign, {"offer.email.liquid": words.replace("Hi", "Bye")}))
    await world.look_at(2 * MINUTE)
    [[doubt]] = world.relay.asked
    assert (doubt.address, doubt.handed_over_at) == ("c-1@example.com", to_datetime(at))
    assert doubt.message is not None
    assert (doubt.message.subject, doubt.message.created_at, doubt.message.id) == ("Hi Aiko", to_datetime(at), doubt.id)
    assert doubt.message.attempt == 1


async def test_a_recipient_that_changed_since_is_no_witness(world: ReconcileWorld) -> None:
    """Neither text nor address of then are known any more: the provider may still know our id."""
    await world.doubt()
    world.inner.clock.wall += MINUTE
    await world.drop(person(email="new@example.com"), id="k")
    await world.look_at(5 * MINUTE)
    [[doubt]] = world.relay.asked
    assert (doubt.message, doubt.address) == (None, "")


@pytest.mark.promise("P3")
@pytest.mark.parametrize(
    ("says", "state", "reason", "touches", "outcome"),
    [
        (Accepted(provider_id="SM1", detail="in its list"), "accepted", None, 1, "reconciled_accepted"),
        (Rejected(code="30006", detail="landline"), "rejected", "rejected_by_provider", 0, "reconciled_rejected"),
        (Deferred(code="gone", detail="never came"), "due", None, 0, "reconciled_unsent"),
    ],
)
async def test_the_answer_is_written_like_an_operators(world: ReconcileWorld, says: Any, state: str, reason: str | None, touches: int, outcome: str) -> None:
    """With the provider as the witness in the evidence; who waits for a slot or is due is told."""
    await world.doubt()
    world.relay.says = says
    await world.look_at(2 * MINUTE)
    assert await world.states() == [(state, reason)]
    assert await world.inner.sql("SELECT count(*) FROM touch") == [(touches,)]
    [(kept, detail, provider)] = await world.inner.sql("SELECT outcome, detail, provider FROM attempt WHERE n = 2")
    assert (kept, provider) == (outcome, "relay")
    assert detail == f"relay was asked: {says.detail}"
    assert world.rung == (["found"] if state == "accepted" else ["settled"])
    await world.inner.check()
    assert await world.look_at(11 * MINUTE) == 1  # it is no doubt any more


async def test_a_dead_address_is_suppressed_as_it_would_have_been(world: ReconcileWorld) -> None:
    """`Rejected(scope="address")` means the same here as from `send`."""
    await world.doubt()
    world.relay.says = Rejected(scope="address", code="30005")
    await world.look_at(2 * MINUTE)
    assert await world.inner.sql("SELECT channel, scope, reason, source FROM suppression") == [("email", "all", "bounced", "provider:relay")]


async def test_many_doubts_are_asked_about_fifty_at_a_time(world: ReconcileWorld) -> None:
    """What one answer settles is settled, the others stay."""
    await world.doubt(*[f"c-{n}" for n in range(90)])

    async def some(doubts: Sequence[Doubt]) -> object:
        return {doubt.id: Accepted() for doubt in doubts if (decode_id(doubt.id) or 0) % 2}

    world.relay.says = some
    assert await world.look_at(2 * MINUTE) == 90
    assert [len(doubts) for doubts in world.relay.asked] == [BATCH, 40]
    assert (await world.states()).count(("accepted", None)) == 45


async def test_each_provider_is_asked_about_its_own_doubts(world: ReconcileWorld) -> None:
    """Another one is not."""
    world.providers["other"] = other = Provider()
    await world.doubt()
    await world.look_at(2 * MINUTE)
    assert (len(world.relay.asked), other.asked) == (1, [])


@pytest.mark.parametrize("failure", [RuntimeError("boom"), SystemExit(1), TimeoutError(), asyncio.CancelledError()])
async def test_a_plugin_that_fails_leaves_the_doubts_and_the_others_alone(world: ReconcileWorld, failure: BaseException) -> None:
    """Logged; asked again at the next age."""
    await world.doubt()
    world.relay.says = failure
    world.providers["other"] = Provider()
    await world.look_at(2 * MINUTE)
    assert await world.states() == [("in_doubt", None)]
    world.relay.says = Accepted()
    assert await world.look_at(3 * MINUTE) == 1
    await world.look_at(11 * MINUTE)
    assert await world.states() == [("accepted", None)]


@pytest.mark.parametrize("says", [["a list"], "text", None])
async def test_what_is_no_answer_settles_nothing(world: ReconcileWorld, says: Any) -> None:
    """A fault of the plugin."""
    await world.doubt()

    async def nonsense(doubts: Sequence[Doubt]) -> object:
        return says

    world.relay.says = nonsense
    await world.look_at(2 * MINUTE)
    assert await world.states() == [("in_doubt", None)]
    assert b'homing_plugin_faults_total{provider="relay"} 1.0' in world.metrics.text()


async def test_only_what_was_asked_about_is_settled_and_only_by_a_settled_word(world: ReconcileWorld) -> None:
    """An id of nobody's, and `Unknown`, are faults; the good answer beside them holds."""
    await world.doubt("c-1", "c-2")

    async def mixed(doubts: Sequence[Doubt]) -> object:
        return {doubts[0].id: Accepted(), doubts[1].id: Unknown(), "nobody": Accepted()}

    world.relay.says = mixed
    await world.look_at(2 * MINUTE)
    assert await world.states() == [("accepted", None), ("in_doubt", None)]
    assert b'homing_plugin_faults_total{provider="relay"} 2.0' in world.metrics.text()


async def test_a_doubt_that_an_operator_settled_meanwhile_stays_as_he_said(world: ReconcileWorld) -> None:
    """The answer comes late: nothing is written."""
    await world.doubt()

    async def late(doubts: Sequence[Doubt]) -> object:
        await world.inner.do("UPDATE delivery SET state = 'accepted', ended_at = 1")
        return {doubts[0].id: Deferred()}

    world.relay.says = late
    await world.look_at(2 * MINUTE)
    assert await world.states() == [("accepted", None)]


async def test_a_look_up_under_way_ends_with_the_service(world: ReconcileWorld) -> None:
    """The drain does not wait for a provider, and asks nobody."""
    await world.doubt()
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang(doubts: Sequence[Doubt]) -> object:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return {}

    world.relay.says = hang
    world.inner.clock.wall = NOW + 2 * MINUTE
    await world.service.start()
    async with asyncio.timeout(5):
        await begun.wait()
        await world.service.stop()
    assert ended.is_set()
    assert len(world.relay.asked) == 1
    assert await world.states() == [(State.IN_DOUBT.value, None)]
    assert AGES[0] == MINUTE
