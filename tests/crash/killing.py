"""The kill -9 loop: one installation, one misbehaving server, random kills, and the evidence for the judge."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from daemon.ids import encode_id
from tests.crash.contest import OPEN, RELAYS, Contest, Person, people
from tests.crash.judge import Ended, Evidence, Pair, judge
from tests.crash.world import SPARE
from tests.ports import free_port

SETTLE_SECONDS = 240.0
SETTLE_RATE = 25.0
"""After the last kill: by then nothing may be left that falls due soon. Rows/s: a server that takes its time over each word of ten connections,
and destinations that are asked slower after each of its refusals."""
SENT_EACH = 2.6
"""About so many reach a person today: the day's cap allows three, the narrow windows less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`rows`: messages that are to be sent, about. `settle_seconds`: it ends when nothing falls due for so long."""

    kills: int
    rows: int
    seed: int
    closes_in: float = 30.0
    opens_in: float = 45.0
    settle_seconds: float = 20.0
    delay_ms: float = 40.0
    up_seconds: tuple[float, float] = (0.2, 1.6)
    asleep: float = 0.15
    """Share of kills while it starts."""


def run(plan: Plan) -> list[str]:
    """All of it; prints what it saw and returns what is broken."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="homing-crash-") as name:
        folder, ports = Path(name), [free_port() for _ in range(RELAYS)]
        log = folder / "server.log"
        words = [",".join(map(str, ports)), str(log), "--seed", str(plan.seed), "--delay", str(plan.delay_ms)]
        server = subprocess.Popen([sys.executable, "-m", "tests.crash.zoo", *words])
        home = Contest(folder, ports, log, closes_in=plan.closes_in, opens_in=plan.opens_in)
        try:
            home.start()
            dropped = home.drop(people(max(round(plan.rows / SENT_EACH), 10)))
            kills = _kill(home, plan, random.Random(plan.seed))
            settled = _settle(home, plan)
            code = home.stop()
            doubts = _doubts(home, dropped)
            seen = Evidence(
                dropped=dropped, log=_log(log), ended=_ended(home), doubts=doubts, windows=home.windows, kills=kills,
                connections=home.pool + SPARE, now=time.time(),
            )  # fmt: skip
        finally:
            home.end()
            server.send_signal(signal.SIGKILL)
            server.wait()
        _tell(plan, seen, time.monotonic() - began)
        problems = judge(seen)
        problems += [f"the last daemon ended with exit code {code}"] if code else []
        problems += [] if settled else ["not finished within the time"]
        problems += [f"only {kills} kills"] if kills < plan.kills else []
        return problems + _crashes(folder / "daemon.log")


def _kill(home: Contest, plan: Plan, rng: random.Random) -> int:
    """Kill and start again, as often as planned."""
    for _ in range(plan.kills):
        time.sleep(rng.uniform(*plan.up_seconds))
        home.kill()
        while rng.random() < plan.asleep:
            home.spawn()
            time.sleep(rng.uniform(0.05, 1.0))
            home.kill()
        home.start()
    return plan.kills


def _settle(home: Contest, plan: Plan) -> bool:
    """Until nothing is in hand and nothing falls due for a while; False when the time is over."""
    began = time.monotonic()
    while time.monotonic() - began < max(SETTLE_SECONDS, plan.rows / SETTLE_RATE):
        soon = int((time.time() + plan.settle_seconds) * 1e6)
        if home.released_all(len(OPEN) + 2) and not home.falls_due(soon):
            return True
        time.sleep(0.25)
    return False


def _log(path: Path) -> list[Mapping[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _doubts(home: Contest, dropped: Mapping[Pair, Person]) -> dict[Pair, float]:
    """What `homing doubt list` names."""
    address = {(campaign, one.key): email for (campaign, email), one in dropped.items()}
    listed = json.loads(home.output("doubt", "list", "--json"))
    return {
        (row["campaign"], address.get((row["campaign"], row["recipient"]), row["recipient"])): datetime.fromisoformat(row["handed_over_at"]).timestamp()
        for row in listed
    }


def _ended(home: Contest) -> dict[Pair, Ended]:
    rows = home.ask(
        "SELECT c.name, r.email, d.id, d.state, d.reason, f.delivery FROM delivery d JOIN wave w ON w.id = d.wave"
        " JOIN campaign c ON c.id = w.campaign JOIN recipient r ON r.id = d.person LEFT JOIN flight f ON f.delivery = d.id"
    )
    return {
        (str(campaign), str(email)): Ended(
            id=encode_id(int(str(id))), state="in flight" if flight is not None else str(state), reason=None if reason is None else str(reason)
        )
        for campaign, email, id, state, reason, flight in rows
    }


def _tell(plan: Plan, seen: Evidence, seconds: float) -> None:
    kinds, states = Counter(str(row["kind"]) for row in seen.log), Counter(ended.state for ended in seen.ended.values())
    waiting = Counter(str(ended.reason) for ended in seen.ended.values() if ended.state == "due")
    narrow = {name: sum(ended.state == "accepted" for (campaign, _), ended in seen.ended.items() if campaign == name) for name in seen.windows}
    print(f"seed {plan.seed}: {seen.kills} kills, {len(seen.dropped)} dropped in, {kinds['accepted'] + kinds['reset']} taken, {seconds:.0f} s")
    print(f"  states {dict(states)}; due because {dict(waiting)}; sent in narrow windows {narrow}")
    print(f"  server {dict(kinds)}; in doubt {len(seen.doubts)} of at most {seen.kills} x {seen.connections} + what it left open", flush=True)


def _crashes(log: Path) -> list[str]:
    """The daemon was killed, it never fell."""
    text = log.read_text(errors="replace")
    return [f"the daemon's log has {word!r}" for word in ("Traceback", "This is a bug in Homing", '"plugin_fault"') if word in text]
