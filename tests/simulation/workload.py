"""What one seed does: who is written to, by which jobs, what breaks and when, how relays behave. Drawn before the world begins.

Swarm: each seed switches classes of faults and behaviours on and off. Faults strike a drawn number of loop steps after a job was
dropped, which is where the work is, or at a drawn time.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.simulation.events import Row
from tests.simulation.relay import BEHAVIOURS
from tests.simulation.shop import QUEUES, VARIANTS

ROWS = 200
"""At least so many deliveries. Those of a queue that is cancelled may never be planned: others are then asked for in their place."""
JOBS = 4
"""There are at least so many jobs, of at most 60 rows: faults are tied to one of the first."""
PEOPLE = 90
CANCELLED_SHARE = 0.15
"""Of the seeds: a queue is cancelled and the daemon stopped soon after, and something else breaks then."""
CANCELLING = 7
"""Of the others each seventh does so too, and what breaks then is each class in its turn: none is left to chance to meet what is cancelled."""
STARTS = (
    "2026-11-23T01:56:00+00:00", "2026-11-27T12:51:00+00:00", "2026-10-24T22:58:00+00:00", "2026-11-01T04:57:00+00:00",
    "2027-03-28T00:56:00+00:00", "2026-11-29T10:48:00+00:00", "2026-11-26T07:58:00+00:00",
)  # fmt: skip
"""Just before windows open or close somewhere, and nights in which clocks change."""
ZONES = (
    "Asia/Jakarta", "Asia/Tokyo", "Europe/Berlin", "Europe/London", "America/New_York", "America/Los_Angeles", "Asia/Tehran",
    "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Auckland", "America/Sao_Paulo", "Africa/Lagos",
)  # fmt: skip
ZONES_MET = 4
"""So many of them in one world, beside that of most people: each has an hour of its own at which the daemon wakes."""
COUNTRIES = ("US", "ID", "AU", "DE")
DEATHS = ("kill", "power_loss")
FAULTS = (
    "sigterm", "clock_forward", "clock_back", "store_full", "store_broken", "disk_full", "dns", "refused", "slow_banner", "kill_switch",
    "pause_queue", "pause_campaign", "cancel_queue", "reload", "silence", "suppress",
)  # fmt: skip
PLANNED = (*DEATHS, *FAULTS)
"""What a plan strikes with; relays have their own ways."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """One job. `at`: seconds after the start; `door`: spool or http."""

    at: float
    key: str
    queue: str
    door: str
    rows: tuple[Row, ...]
    expected: int | None
    blank: frozenset[str]
    """Recipients whose row lacks what the template needs."""

    def body(self) -> bytes:
        head = {"id": self.key, "queue": self.queue}
        if self.expected is not None:
            head["expected_count"] = self.expected  # type: ignore[assignment]
        lines = [json.dumps(head)]
        for row in self.rows:
            item: dict[str, object] = {"id": row.recipient, "email": row.email}
            item |= {"zone": row.zone} if row.zone else {}
            item |= {"country": row.country} if row.country else {}
            if row.recipient not in self.blank:
                item["vars"] = {"ref": f"{self.key}/{row.recipient}"}
            lines.append(json.dumps(item))
        return "\n".join(lines).encode() + b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """`steps` after the drop of job number `job`; `draw`: what the fault needs of chance, in [0, 1); `seconds`: how long."""

    kind: str
    job: int
    steps: int
    draw: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a seed decides before its world begins."""

    seed: int
    start: datetime
    variant: int
    pipelining: bool
    jobs: tuple[JobPlan, ...]
    spare: Mapping[str, Sequence[Row]]
    """Queue -> people whom none of its jobs names."""
    faults: tuple[FaultPlan, ...]
    ways: Mapping[str, float]
    unsubscribe: float
    """The share of recipients who use the link of a mail."""


def draw_plan(seed: int) -> Plan:
    """The plan of a seed."""
    rng = random.Random(f"workload {seed}")
    start = datetime.fromisoformat(rng.choice(STARTS)) + timedelta(seconds=rng.uniform(0, 150))
    faults = _draw_faults(rng)
    jobs, spare = _draw_jobs(rng, start)
    turn, at = divmod(seed, CANCELLING)
    stopping = random.Random(f"cancelled {seed}")
    if stopping.random() < CANCELLED_SHARE:
        faults += _draw_stop_after_cancel(stopping, jobs)
    elif at == CANCELLING - 1:
        faults += _draw_stop_after_cancel(stopping, jobs, PLANNED[turn % len(PLANNED)])
    ways = {name: rng.uniform(0.01, 0.03) for name in rng.sample(BEHAVIOURS, rng.randint(1, 6))}
    return Plan(
        seed=seed, start=start, variant=rng.randrange(len(VARIANTS)), pipelining=rng.random() < 0.75, jobs=jobs, spare=spare,
        faults=faults, ways=ways, unsubscribe=rng.choice((0.0, 0.03, 0.1)),
    )  # fmt: skip


def _draw_people(rng: random.Random, start: datetime) -> list[Row]:
    awake = [zone for zone in ZONES if 9 <= start.astimezone(ZoneInfo(zone)).hour < 19]
    home = rng.choice(awake or ["Asia/Jakarta"])
    zones, countries = rng.sample(ZONES, ZONES_MET), rng.sample(COUNTRIES, 2)
    people = []
    for number in range(PEOPLE):
        draw, zone, country = rng.random(), None, None
        if draw < 0.72:
            zone = home
        elif draw < 0.92:
            zone = rng.choice(zones)
        elif draw < 0.97:
            country = rng.choice(countries)
        domain = "slow.example" if rng.random() < 0.15 else "mail.example"
        people.append(Row(recipient=f"c{number}", email=f"c{number}@{domain}", zone=zone, country=country))
    return people


def _draw_jobs(rng: random.Random, start: datetime) -> tuple[tuple[JobPlan, ...], Mapping[str, Sequence[Row]]]:
    """And whom each queue has left."""
    people = _draw_people(rng, start)
    free = {queue: rng.sample(people, len(people)) for queue in QUEUES}
    jobs: list[JobPlan] = []
    total = 0
    while total < ROWS:
        fresh = [queue for queue, left in free.items() if len(left) >= 40]
        queue = rng.choice(fresh or [queue for queue, left in free.items() if left])
        count = min(rng.randint(40, 60), max(ROWS - total, 5))
        rows, free[queue] = tuple(free[queue][:count]), free[queue][count:]
        total += len(rows)
        at = 0.0 if not jobs else jobs[-1].at + rng.choice((0.0, rng.uniform(0, 2), rng.uniform(0, 200), rng.uniform(0, 9000)))
        draw = rng.random()
        expected = None if draw < 0.1 else len(rows) + (1 if draw > 0.96 else 0)
        blank = frozenset(row.recipient for row in rows if rng.random() < 0.01)
        jobs.append(JobPlan(
            at=at, key=f"j{len(jobs)}", queue=queue, door=rng.choice(("spool", "spool", "http")), rows=rows, expected=expected, blank=blank,
        ))  # fmt: skip
    return tuple(jobs), free


def _draw_faults(rng: random.Random) -> tuple[FaultPlan, ...]:
    deaths = [rng.choice(DEATHS) for _ in range(rng.randint(1, 4))]
    others = [kind for kind in rng.sample(FAULTS, rng.randint(1, 6)) for _ in range(rng.randint(1, 2))]
    found = [
        FaultPlan(
            kind=kind, job=rng.randrange(JOBS), steps=round(30 * 130 ** rng.random()), draw=rng.random(),
            seconds=rng.choice((rng.uniform(0.05, 5), rng.uniform(5, 200))),
        )
        for kind in (*deaths, *others)
    ]  # fmt: skip
    return tuple(found)


def _draw_stop_after_cancel(rng: random.Random, jobs: Sequence[JobPlan], kind: str | None = None) -> tuple[FaultPlan, ...]:
    """A job's queue is cancelled while the job is under way, the daemon is stopped soon after, and then a fault of this kind strikes,
    or of any: chance alone seldom has it so."""
    job = rng.randrange(JOBS)
    steps = rng.randint(100, 600)
    which = (sorted(QUEUES).index(jobs[job].queue) + 0.5) / len(QUEUES)
    return (
        FaultPlan(kind="cancel_queue", job=job, steps=steps, draw=which, seconds=1),
        FaultPlan(kind="sigterm", job=job, steps=steps + rng.randint(50, 400), draw=rng.random(), seconds=rng.uniform(0.05, 5)),
        FaultPlan(kind=kind or rng.choice(FAULTS), job=job, steps=steps + rng.randint(400, 1500), draw=rng.random(), seconds=rng.uniform(5, 200)),
    )


def utc(at: datetime) -> int:
    """Microseconds."""
    return round((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
