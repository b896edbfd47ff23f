"""The audit behind a real store and a real send journal: silent on what is true, loud on what was doctored, once and over restarts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.audit import service
from daemon.audit.service import Audit
from daemon.clock import SystemClock, to_instant
from daemon.config import Config, read_config
from daemon.dispatch.journal import Journal
from daemon.errors import GuardRefusedError
from daemon.executor import ThreadExecutor
from daemon.log import get_log
from daemon.metrics import Metrics
from daemon.store import audit as kept
from daemon.store.flight import Kind
from daemon.store.recover import accept_clock, begin
from daemon.store.writer import Lane, Store
from tests.store.conftest import World, add_job, outcome

NOON = to_instant(datetime(2026, 5, 28, 5, tzinfo=UTC))  # 12:00 in Jakarta, a Thursday
HOUR = 3_600_000_000
DAY = 24 * HOUR
CONFIG = """
[homing]
state_dir = "var"
campaigns = "campaigns"
[window]
start = "{start}"
end = "21:00"
[[cap]]
name = "daily"
limit = 1
calendar = "day"
[providers.out]
plugin = "console"
"""
BODY = {
    "name": "c", "status": "active", "purpose": "marketing", "topic": None, "starts": None, "ends": None, "window": None, "ignore_window": False,
    "on_doubt": "keep", "steps": [],
}  # fmt: skip


@dataclass
class Bench:
    """A store with a journal, whose clock is moved by hand, and an audit that is turned by hand."""

    world: World
    journal: Journal
    folder: Path
    metrics: Metrics | None = None

    def counted(self) -> str:
        assert self.metrics is not None
        return self.metrics.text().decode()

    def config(self, start: str = "09:00") -> Config:
        path = self.folder / "config.toml"
        path.write_text(CONFIG.format(start=start))
        config, problems = read_config(path, {})
        assert config is not None, problems
        return config

    async def audit(self, start: str = "09:00") -> Audit:
        """As a daemon that starts now makes it."""
        clock = FixedClock(self.world)
        self.metrics = Metrics(clock)
        made = Audit(
            store=self.world.store, sent=self.journal, clock=clock, executor=ThreadExecutor(threads=1, name="audit"), log=get_log(),
            metrics=self.metrics, config=self.config(start),
        )  # fmt: skip
        await made.begin()
        return made

    async def send(self, job: int, people: Sequence[int], *, body: dict[str, Any] | None = None, kind: Kind = Kind.ACCEPTED) -> None:
        """All of a job, now."""

        def add(conn: Any) -> None:
            add_job(conn, job, people=people, first_id=job * 1000)

        await self.world.store.write(Lane.BULK, add)
        text = json.dumps({"form": 1, "campaign": {**BODY, **(body or {})}, "digest": "d", "files": {}})
        await self.world.sql(
            "INSERT INTO campaign_version (campaign, version, digest, body, loaded_at) VALUES (:c, 1, 'd', :b, 0)", c=job, b=text
        )
        await self.world.sql("UPDATE due SET not_before = :n", n=self.world.now)
        await self.world.sql("UPDATE lane SET head = :n", n=self.world.now)
        await self.world.sql("UPDATE delivery SET expires_at = :n WHERE job = :j", n=self.world.now + 40 * DAY, j=job)
        claimed = (await self.world.claim(len(people))).claimed
        assert len(claimed) == len(people)
        await self.world.sql("UPDATE flight SET closes = :n", n=self.world.now + DAY)
        assert len(await self.world.step(grants=claimed)) == len(people)
        await self.world.step([outcome(one, kind, again_at=self.world.now + HOUR) for one in claimed])

    async def found(self, audit: Audit) -> list[tuple[str, str]]:
        """(kind, rule) of all that waits for an operator after the audit has caught up."""
        while await audit.turn():
            pass
        _, findings = await self.world.store.read(kept.open_findings)
        return [(finding["kind"], finding["rule"]) for finding in findings]


class FixedClock(SystemClock):
    """Shows what the world shows."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def instant(self) -> int:
        return self._world.now

    def monotonic(self) -> float:
        return self._world.now / 1e6


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    journal = Journal(tmp_path / "journal")
    journal.open("nonce", 0)
    (tmp_path / "campaigns").mkdir()
    store = Store.open(tmp_path / "homing.db", after_join=journal.append)
    await store.write(Lane.BULK, begin, NOON, "node", "nonce")
    world = World(store)
    world.now = NOON
    yield Bench(world, journal, tmp_path)
    await store.close()
    journal.close()


async def test_a_true_log_has_no_findings(bench: Bench) -> None:
    """Accepted, in doubt, rejected and put off; all of them looked at, some of which nothing counts."""
    audit = await bench.audit()
    await bench.send(1, range(1, 300))
    await bench.send(2, [400, 401], kind=Kind.UNKNOWN)
    await bench.send(3, [500, 501], kind=Kind.REJECTED)
    await bench.send(4, [600], kind=Kind.DEFERRED)
    assert await bench.found(audit) == []
    progress = await bench.world.store.read(kept.read_progress)
    assert (progress.judged, progress.unjudged) == (304, 0)
    assert progress.at == bench.journal.tail().at


DOCTORED = {
    "window": ("UPDATE touch SET zone = 'America/Los_Angeles'", [("window", "window")]),
    "cap": (
        "INSERT INTO touch (person, at, delivery, channel, campaign, topic, zone) SELECT person, at - 7200000000, delivery + 1, channel, campaign, topic, zone FROM touch WHERE person = 8",
        [("cap", "cap.daily")],
    ),
    "late": ("UPDATE delivery SET expires_at = handed_over_at WHERE person = 7", [("late", "expires_at")]),
    "zone": ("UPDATE recipient SET zone = 'Asia/Makassar' WHERE id = 7", [("zone", "recipient.zone")]),
    "duplicate": (
        "INSERT INTO touch (person, at, delivery, channel, campaign, topic, zone) SELECT person, at - 86400000000, delivery, channel, campaign, topic, zone FROM touch WHERE person = 7",
        [("duplicate", "touch")],
    ),
    "held_out": (
        "INSERT INTO walk (id, campaign, person, occurrence, version, state, entered_at, since_at, anchor_at, held_out) VALUES (1, 1, 7, 1, 1, 'open', 0, 0, 0, 1);"
        "UPDATE delivery SET walk = 1 WHERE person = 7",
        [("held_out", "holdout")],
    ),
    "no_touch": ("DELETE FROM touch WHERE person = 7", [("no_touch", "touch")]),
    "paused": ("UPDATE recipient SET paused_until = (SELECT max(at) + 1 FROM touch) WHERE id = 7", [("paused", "pause")]),
}


async def test_contacts_of_before_two_became_one_accuse_nobody(bench: Bench) -> None:
    """Each of them kept the cap; what is sent to both as one has to keep it."""
    audit = await bench.audit()
    await bench.send(1, [7])
    await bench.send(2, [8])
    await bench.world.sql("UPDATE touch SET person = 8")
    await bench.world.sql("UPDATE delivery SET person = 8")
    await bench.world.sql("INSERT INTO merged (person, survivor, at) VALUES (7, 8, :at)", at=bench.world.now)
    assert await bench.found(audit) == []
    assert (await bench.world.store.read(kept.read_progress)).unjudged == 2
    bench.world.now += 2 * HOUR
    await bench.send(3, [8])
    assert await bench.found(audit) == [("cap", "cap.daily")]


@pytest.mark.parametrize("kind", sorted(DOCTORED))
async def test_a_doctored_log_is_found(bench: Bench, kind: str) -> None:
    """Each kind, with a log event at error level that names the delivery and no person, and a count."""
    statement, expected = DOCTORED[kind]
    audit = await bench.audit()
    await bench.send(1, [7] if kind == "window" else [7, 8])
    for one in statement.split(";"):
        await bench.world.sql(one)
    with capture_logs() as logs:
        assert await bench.found(audit) == expected
    [event] = [entry for entry in logs if entry["event"] == "audit_finding"]
    assert (event["log_level"], event["kind"]) == ("error", kind)
    assert "example.com" not in json.dumps(event) and "p-7" not in json.dumps(event)
    assert f'homing_audit_findings_total{{kind="{kind}"}} 1.0' in bench.counted()
    assert "homing_audit_open_findings 1.0" in bench.counted()


async def test_ignored_windows_and_transactional_sends_are_no_findings(bench: Bench) -> None:
    """At night, the second of the day: by a campaign that may."""
    audit = await bench.audit()
    await bench.send(1, [7])
    bench.world.now = NOON + 11 * HOUR
    await bench.send(2, [7], body={"purpose": "transactional", "ignore_window": True})
    assert await bench.found(audit) == []
    bench.world.now += HOUR
    await bench.send(3, [7])
    assert await bench.found(audit) == [("window", "window")]  # past midnight: another day, so the cap has a slot


async def test_a_config_that_changed_later_accuses_nobody_and_acquits_nobody(bench: Bench) -> None:
    """Each send by the rules of its own hour, also when the audit comes long after."""
    audit = await bench.audit(start="09:00")
    await bench.send(1, [7])
    bench.world.now = NOON + 12 * HOUR  # midnight
    await bench.send(2, [8])
    bench.world.now += DAY
    await audit.configure(bench.config("13:00"))  # noon would now be too early
    await audit.configure(bench.config("13:00"))
    assert await bench.found(audit) == [("window", "window")]
    book = await bench.world.store.read(kept.read_rules)
    assert len(json.loads(book)) == 2


async def test_an_audit_goes_on_where_it_was(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch at a time, over a restart of the daemon; each finding told once."""
    monkeypatch.setattr(service, "BATCH", 10)
    audit = await bench.audit()
    for job in range(1, 6):
        await bench.send(job, range(job * 100, job * 100 + 10))
    await bench.world.sql("UPDATE touch SET zone = 'America/Los_Angeles' WHERE person = 105 OR person = 505")
    assert await audit.turn()
    assert len(await bench.found(audit)) == 2
    again = await bench.audit()
    assert len(await bench.found(again)) == 2
    progress = await bench.world.store.read(kept.read_progress)
    assert (progress.judged, progress.found) == (50, 2)


@pytest.mark.promise("F32")
@pytest.mark.parametrize("when", ["while it runs", "before the start"])
async def test_after_a_clock_that_was_set_back_is_accepted_the_audit_goes_on(bench: Bench, when: str) -> None:
    """What went out by the old clock is judged, once, and so is what goes out now, under the rules of now: not first when the old time
    is reached again. The journal is still no older than the store."""
    audit = await bench.audit()
    await bench.send(1, [7])
    assert await bench.found(audit) == []
    await bench.send(2, [8])
    await bench.world.sql("UPDATE touch SET zone = 'America/Los_Angeles' WHERE person = 8")
    bench.world.now = NOON - 5 * HOUR  # seven in the morning
    await bench.world.store.write(Lane.EXIT, accept_clock, bench.world.now)
    if when == "while it runs":
        await audit.clock_accepted()
        await audit.clock_accepted()
    else:
        audit = await bench.audit(start="06:00")
    assert await bench.found(audit) == [("window", "window")]
    bench.world.now += HOUR
    await bench.send(3, [9])
    await bench.send(4, [10])
    await bench.world.sql("UPDATE touch SET zone = 'Asia/Tehran' WHERE person = 10")
    early = [("window", "window")] if when == "while it runs" else []
    assert await bench.found(audit) == [("window", "window"), *early, ("window", "window")]
    progress = await bench.world.store.read(kept.read_progress)
    assert (progress.judged, progress.at) == (4, bench.journal.tail().at)
    again = await bench.audit("09:00" if early else "06:00")
    assert len(await bench.found(again)) == progress.found
    assert bench.journal.reaches(0)
    assert sorted(id for batch in bench.journal.since(0) for id in batch) == [1000, 2000, 3000, 4000]


async def test_what_was_sent_before_the_first_audit_is_not_judged(bench: Bench) -> None:
    """No rules were kept for it."""
    bench.world.now = NOON + 12 * HOUR
    await bench.send(1, [7])
    bench.world.now += HOUR
    audit = await bench.audit()
    assert await bench.found(audit) == []


async def test_findings_are_accepted_by_their_number(bench: Bench) -> None:
    """Another number is refused and names the right one; later findings are open again."""
    audit = await bench.audit()
    bench.world.now = NOON + 12 * HOUR
    await bench.send(1, [7, 8])
    await bench.found(audit)
    with pytest.raises(GuardRefusedError, match="has 2 findings that wait, not 1"):
        await bench.world.store.write(Lane.EXIT, kept.accept_findings, 1)
    await bench.world.store.write(Lane.EXIT, kept.accept_findings, 2)
    assert await bench.found(audit) == []
    await bench.send(2, [9])
    assert await bench.found(audit) == [("window", "window")]
    assert kept.findings_of(bench.folder / "homing.db")["open"] == 1


async def test_the_store_keeps_only_the_newest_findings(bench: Bench) -> None:
    """A rule that is broken a thousand times fills no disk: all are counted."""
    audit = await bench.audit()
    bench.world.now = NOON + 12 * HOUR
    await bench.send(1, range(1, 301))
    with capture_logs() as logs:
        assert len(await bench.found(audit)) == kept.KEPT_FINDINGS
    assert len([entry for entry in logs if entry["event"] == "audit_finding"]) == service.LOGGED
    assert (await bench.world.store.read(kept.read_progress)).open == 300
