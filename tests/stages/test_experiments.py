"""Experiments in the store: people by arm, what was learned of them, what it comes to, and what is told of it."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from daemon.app.experimenting import Experimenting
from daemon.content.version import CampaignVersion
from daemon.errors import NotFoundError
from daemon.journey.arms import digest_of
from daemon.journey.profile import MICROS, Shop
from daemon.metrics import Metrics
from daemon.model.campaign import Campaign, Step
from daemon.model.delivery import DAY, HOUR
from daemon.model.journey import Experiment, Goal, Metric, Variant
from daemon.reports.experiments import trials_of
from daemon.reports.named import Reporting
from daemon.store import schema as s
from daemon.store.experiments import decided, results
from daemon.store.sql import many
from daemon.store.writer import Lane
from tests.stages.intake_world import IntakeWorld

LEAST = 200
HALVES = (Variant(name="product", share=0.5), Variant(name="discount", share=0.5))


def campaign(metric: Metric = Metric.GOAL, variants: tuple[Variant, ...] = HALVES) -> Campaign:
    trial = Experiment(variants=variants, hypothesis="the product beats the discount", metric=metric, min_per_variant=LEAST)
    return Campaign(name="back", steps=(Step(name="offer", channels=("email",), day=60, experiment=trial),), goal=Goal(event="Order Completed"))


class World:
    def __init__(self, inner: IntakeWorld) -> None:
        self.inner = inner
        self.now = inner.clock.instant()
        self.metrics = Metrics(inner.clock)
        self.service = Experimenting(
            store=inner.store, clock=inner.clock, log=inner.log, metrics=self.metrics, shop=lambda: Shop("USD"), margin=lambda: 0.5
        )

    async def fill(self, rows: list[dict[str, Any]], what: Campaign) -> None:
        """People with a walk each that has reached the step: arm, and what they did."""
        entered = self.now - 20 * DAY

        def write(conn: Connection) -> None:
            conn.execute(insert(s.campaign).values(id=9, name="back", status="active", version=1))
            conn.execute(insert(s.campaign_version).values(campaign=9, version=1, digest="d", body=CampaignVersion.of(what, {}).to_json(), loaded_at=1))
            conn.execute(insert(s.event_name).values(id=1, name="Order Completed"))
            conn.execute(insert(s.wave).values(id=1, campaign=9, step="offer", occurrence=1, channel="email"))
            conn.execute(insert(s.wave).values(id=2, campaign=9, step="offer", occurrence=2, channel="email"))
            walks, deliveries, feedback, events, profiles, consents = [], [], [], [], [], []
            for n, row in enumerate(rows, 1):
                person, occurrence = row.get("person", n), row.get("occurrence", 1)
                arms = json.dumps({"offer": row["arm"]}) if row["arm"] else None
                goal = entered + 2 * DAY if row.get("bought") else None
                walks.append((n, 9, person, occurrence, row.get("version", 1), "open", entered, entered, entered, arms, int(row.get("out", 0)), goal))
                if row.get("reached", True):
                    deliveries.append((n, occurrence, person, 1, 1, "accepted", 1, entered + DAY, entered + 9 * DAY, entered + DAY))
                feedback += [(person, n, b"", kind, "relay", "", 1, "email", entered + DAY + HOUR) for kind in row.get("did", ())]
                if row.get("bought"):
                    sum_ = row.get("sum", 10)
                    events.append((person, 1, n, entered + 2 * DAY, entered + 2 * DAY, json.dumps({"order_id": n, "revenue": sum_})))
                    profiles.append((person, 1 + row.get("orders", 0), (sum_ + row.get("value", 0)) * MICROS))
                if row.get("left"):
                    consents.append((person, "email", "*", "withdrawn", entered + 2 * DAY))
            for table, names, found in (
                (s.walk, "id campaign person occurrence version state entered_at since_at anchor_at arms held_out goal_at", walks),
                (s.delivery, "id wave person job version state lane not_before expires_at handed_over_at", deliveries),
                (s.feedback, "person delivery hash kind provider event human channel at", feedback),
                (s.event, "person name id at received_at properties", events),
                (s.profile, "person orders value", profiles),
                (s.consent, "person channel topic state at", consents),
            ):  # fmt: skip
                many(conn, insert(table), tuple(names.split()), found)

        await self.inner.store.write(Lane.BULK, write)

    async def look(self) -> dict[str, Any]:
        """One round; what is found of all people."""
        await self.service.round()
        found = {one.slice: one for _, one in await self.inner.store.read(results)}
        return {"finding": found[""].finding, "winner": found[""].winner, "slices": found, **json.loads(found[""].body)}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    inner = await IntakeWorld.open(tmp_path)
    yield World(inner)
    await inner.close()


def people(arm: str | None, count: int, bought: int, **more: Any) -> list[dict[str, Any]]:
    return [{"arm": arm, "bought": n < bought, **more} for n in range(count)]


async def test_a_winner_is_named_kept_and_not_looked_at_again(world: World) -> None:
    """Three in ten against one in ten: named, with its numbers, beside those who were held out; the next day nothing is changed."""
    await world.fill([*people("product", 600, 180), *people("discount", 590, 59), *people(None, 100, 8, out=1), {"arm": "product", "reached": False}], campaign())
    found = await world.look()
    assert (found["finding"], found["winner"]) == ("winner", "product")
    assert [(arm["name"], arm["people"], arm["acted"]) for arm in found["arms"]] == [("product", 600, 180), ("discount", 590, 59)]
    assert found["hypothesis"] == "the product beats the discount" and found["held_out"]["people"] == 100
    assert found["arms"][0]["lift"]["low"] > 0
    experiment = campaign().steps[0].experiment
    assert experiment is not None
    assert await world.inner.store.read(decided, 9) == {("offer", digest_of(experiment)): "product"}
    before = await world.inner.sql("SELECT * FROM experiment_result")
    world.inner.clock.wall += 2 * DAY
    assert await world.service.round() == 0
    assert await world.inner.sql("SELECT * FROM experiment_result") == before


async def test_campaigns_without_one_are_not_looked_at(world: World) -> None:
    """Only those that try something, have begun, and are no inline job's."""
    await world.fill([*people("product", 5, 1)], campaign())
    plain = CampaignVersion.of(Campaign(name="plain", steps=(Step(name="offer", channels=("email",)),)), {}).to_json()
    tries = CampaignVersion.of(campaign(), {}).to_json()
    bare = CampaignVersion.of(
        Campaign(name="bare", steps=(Step(name="offer", channels=("email",), experiment=Experiment(variants=HALVES)),)), {}
    ).to_json()

    def write(conn: Connection) -> None:
        for number, name, status, body in ((20, "plain", "active", plain), (21, "draft", "draft", tries), (22, "job:x", "active", tries), (23, "bare", "paused", bare)):
            conn.execute(insert(s.campaign).values(id=number, name=name, status=status, version=1))
            conn.execute(insert(s.campaign_version).values(campaign=number, version=1, digest="d", body=body, loaded_at=1))

    await world.inner.store.write(Lane.BULK, write)
    assert [trial.campaign for trial in await world.service.under_way()] == [9, 23]


async def test_an_undecided_one_is_looked_at_daily(world: World) -> None:
    await world.fill([*people("product", 300, 30), *people("discount", 300, 31)], campaign())
    assert (await world.look())["finding"] == "running"
    assert await world.service.round() == 0, "not twice a day"
    world.inner.clock.wall += DAY
    assert await world.service.round() == 1


async def test_the_alarm_of_a_wrong_ratio_is_loud(world: World) -> None:
    """Somebody loses people of one arm: nothing is decided, the log and the metric say so, once."""
    await world.fill([*people("product", 500, 200), *people("discount", 350, 35)], campaign())
    found = await world.look()
    assert (found["finding"], found["winner"]) == ("invalid", None)
    assert "product 500, discount 350" in found["alarms"][0]
    assert [event for event, _ in world.inner.log.events if event.startswith("experiment_")] == ["experiment_invalid"]
    assert b'homing_experiments{finding="invalid"} 1.0' in world.metrics.text()
    world.inner.clock.wall += DAY
    await world.service.round()
    assert len([event for event, _ in world.inner.log.events if event == "experiment_invalid"]) == 1


async def test_an_arm_that_drives_people_away_is_stopped(world: World) -> None:
    """It wins, but a tenth leave: by a complaint, a STOP, or the link in the message, whose consent says so. The other arm goes on."""
    leaving = [{"arm": "product", "bought": True, "did": ("complained",)} for _ in range(20)]
    leaving += [{"arm": "product", "bought": True, "left": True} for _ in range(30)]
    await world.fill([*people("product", 450, 180), *leaving, *people("discount", 500, 50, did=("clicked",))], campaign())
    found = await world.look()
    assert (found["finding"], found["winner"]) == ("stopped", "discount")
    assert found["arms"][0]["complained"] == 20 and found["arms"][0]["unsubscribed"] == 30


async def test_crossed_people_and_second_walks_do_not_count(world: World) -> None:
    """A person joined of two arms is left out and counted; of two walks with one arm the first counts; a walk of a version without this
    experiment has nothing to do with it."""
    rows = [*people("product", 300, 30), *people("discount", 300, 30)]
    rows += [{"arm": "discount", "person": 1, "occurrence": 2}, {"arm": "product", "person": 2, "occurrence": 2}, {"arm": "product", "version": 7}]
    await world.fill(rows, campaign())
    found = await world.look()
    assert found["crossed"] == 1
    assert [(arm["name"], arm["people"]) for arm in found["arms"]] == [("product", 299), ("discount", 300)]


async def test_margin_counts_money_and_tiers_are_those_at_entry(world: World) -> None:
    """Half of what was bought is margin. Who had two orders of 450 at entry, and three of 500 now, was no high tier then."""
    rows = [*people("product", 250, 100, sum=40), *people("discount", 250, 25, sum=10), *people("product", 30, 30, sum=50, orders=2, value=450)]
    await world.fill(rows, campaign(Metric.MARGIN))
    found = await world.look()
    assert found["arms"][0]["mean"] == pytest.approx((100 * 20 + 30 * 25) / 280)
    assert set(found["slices"]) == {"", "low", "medium"}
    medium = json.loads(found["slices"]["medium"].body)
    assert [arm["people"] for arm in medium["arms"]] == [30, 0]


async def test_clicks_of_people_count(world: World) -> None:
    rows = [*people("product", 250, 0, did=("clicked",)), *people("discount", 250, 0)]
    await world.fill(rows, campaign(Metric.CLICK))
    found = await world.look()
    assert [arm["mean"] for arm in found["arms"]] == [1.0, 0.0] and found["winner"] == "product"


async def test_arms_on_the_day_count_from_the_entry(world: World) -> None:
    """Where arms differ in the day, who has not reached the step counts too: else the later arm would look smaller."""
    variants = (Variant(name="early", share=0.5, day=45), Variant(name="late", share=0.5, day=60))
    await world.fill([*people("early", 300, 30), *people("late", 200, 20), *people("late", 100, 10, reached=False)], campaign(variants=variants))
    found = await world.look()
    assert found["finding"] == "running"
    assert [arm["people"] for arm in found["arms"]] == [300, 300]


def test_the_same_arms_in_another_version_are_the_same_experiment() -> None:
    """Other words of the hypothesis change nothing; other shares make another one."""
    one, two = campaign(), campaign(variants=(Variant(name="product", share=0.4), Variant(name="discount", share=0.6)))
    bodies = {1: CampaignVersion.of(one, {}).to_json(), 2: CampaignVersion.of(one, {"x": "y"}).to_json(), 3: CampaignVersion.of(two, {}).to_json()}
    [trial] = trials_of(9, 2, bodies)
    assert trial.versions == {1, 2} and trial.shares == {"product": 0.5, "discount": 0.5} and not trial.everyone
    assert trials_of(9, 3, bodies)[0].digest != trial.digest
    assert trials_of(9, 4, bodies) == []


async def test_the_report_has_a_row_for_each_arm(world: World) -> None:
    await world.fill([*people("product", 300, 30), *people("discount", 300, 31), *people(None, 50, 3, out=1)], campaign())
    await world.look()
    reporting = Reporting(store=world.inner.store)
    found = await reporting.report("experiments", "back")
    assert [(row["segment"], row["arm"], row["people"]) for row in found.rows][:3] == [("all", "product", 300), ("all", "discount", 300), ("all", "(held out)", 50)]
    assert all(set(row) == set(found.columns) for row in found.rows)
    assert found.details[0]["body"]["metric"] == "goal"
    assert (await reporting.report("experiments", "other")).rows == []
    with pytest.raises(NotFoundError, match='did you mean "experiments"'):
        await reporting.report("experiment")


async def test_many_people_are_read_by_stretches(world: World) -> None:
    """More than two stretches, two walks of one person across an edge: each counts once."""
    rng = random.Random(4)
    rows = [{"arm": rng.choice(["product", "discount"])} for _ in range(1300)]
    rows += [{"arm": rows[n]["arm"], "person": n + 1, "occurrence": 2} for n in (498, 499, 500, 997, 998)]
    await world.fill(rows, campaign())
    assert sum(arm["people"] for arm in (await world.look())["arms"]) == 1300
