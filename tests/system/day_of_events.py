"""What a rehearsed day has beside its jobs: browsers, people who become dormant, carts that are left, and orders that come in time or not.

`furnish` puts it beside what `test_rehearsed_day` lays out. What people do is a list of (when, event): the rehearsal hears of it from a crowd
(`Doers`), the real daemon by `post`, each in its own second.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from daemon.app.main import Daemon
from daemon.clock import Clock, SystemClock, iso, to_instant
from daemon.model.delivery import Instant
from daemon.sandbox.ads import AdsServer
from daemon.sandbox.house import Ports
from daemon.sandbox.push import PushService
from daemon.simulate.rehearsal import Feedback, Sent
from daemon.store import engine as engines
from daemon.store.push import Subscribing, subscribe_known
from tests.system.cli_world import CliWorld

Done = tuple[Instant, Mapping[str, Any]]
SECONDS = 1_000_000
FIRST, ORDERS, CARTS = 100, 60, 40
"""Recipients from this number on: those with an order long ago, of whom some order again, and those who leave a cart."""
AUDIENCE = '[[audience]]\nproviders = ["meta"]\nname = "carts-{{ country }}"\n'
CAMPAIGNS = {
    "pushed": 'priority = 50\n[enrol]\njobs = true\n[[step]]\nname = "nudge"\nchannels = ["push"]\nvalid = "20h"\n',
    "dormant": 'priority = 55\n[enrol]\nsegment = "dormant"\nanchor = "entered"\n[exit]\nevents = ["Order Completed"]\n'
    '[[step]]\nname = "asleep"\ndelay = "25m"\nchannels = ["email"]\nvalid = "20h"\n'
    'escalate = { to = ["sms", "push"], after = "3h" }\n',
    "cart": 'priority = 75\n[enrol]\ntrigger = { event = "Checkout Started", where = "value > 100" }\n[exit]\nevents = ["Order Completed"]\n'
    '[[step]]\nname = "left"\ndelay = "90m"\nchannels = ["push", "email"]\nvalid = "12h"\n' + AUDIENCE,
}
SEGMENTS = '[dormant]\nwhere = "orders >= 1 and days_since_order >= 30 and days_since_order < 60"\nevery = "*/20 * * * *"\n'


def browsers_of(service: PushService) -> dict[str, list[dict[str, Any]]]:
    """Recipient -> subscriptions: a pure function of the service's seed and port, so two services know the same browsers."""
    found: dict[str, list[dict[str, Any]]] = {}
    for n in (*range(0, 90, 5), *range(FIRST, FIRST + ORDERS + CARTS, 3)):
        found[f"c-{n}"] = [service.new_subscription() for _ in range(2 if n % 10 == 0 else 1)]
    return found


def providers(folder: Path, ports: Ports, service: PushService) -> str:
    """Where the local push service and the advertising platforms will listen."""
    platform = AdsServer(SystemClock(), port=ports.ads).meta_keys()
    for name, secret in (("vapid", service.vapid_private_key), ("meta", platform["access_token"]), ("app", platform["app_secret"])):
        (folder / name).write_text(secret)
        (folder / name).chmod(0o600)
    return (
        f'[providers.browsers]\nplugin = "webpush"\nvapid_private_key = {{ file = "{folder / "vapid"}" }}\nsubject = "mailto:push@example.com"\n'
        f'allow_hosts = ["http://127.0.0.1:{ports.push}"]\n[queues.pushed]\n'
        f'[providers.meta]\nplugin = "audience_meta"\nbase_url = "http://127.0.0.1:{ports.ads}"\naccount_id = "{platform["account_id"]}"\n'
        f'access_token = {{ file = "{folder / "meta"}" }}\napp_secret = {{ file = "{folder / "app"}" }}\n'
    )


def furnish(folder: Path, start: datetime, ports: Ports, homing: CliWorld, rows: Sequence[dict[str, Any]], people: Sequence[dict[str, Any]]) -> None:
    """`rows`: those whom a job of pushes names; `people`: those who become recipients by import."""
    service = PushService(SystemClock(), port=ports.push)
    config = folder / "config.toml"
    told = config.read_text().replace("[consent]\n", '[consent]\naudience = "implied"\n')
    config.write_text(told + providers(folder, ports, service))
    (folder / "segments.toml").write_text(SEGMENTS)
    for name, body in CAMPAIGNS.items():
        place = folder / "campaigns" / name
        place.mkdir()
        (place / "campaign.toml").write_text(f'status = "active"\npurpose = "marketing"\ntopic = "{name}"\n{body}')
        step = next(line.split('"')[1] for line in body.splitlines() if line.startswith("name"))
        if '"email"' in body:
            (place / f"{step}.email.liquid").write_text('---\nsubject: Hello\n---\n<p>Hello <a href="{{ unsubscribe_url }}">no</a></p>\n')
        if '"push"' in body:
            (place / f"{step}.push.liquid").write_text("---\ntitle: Hello\nurl: https://shop.example.com/\n---\nHello\n")
        if '"sms"' in body:
            (place / f"{step}.sms.liquid").write_text("Hello. STOP ends it.\n")
    (folder / "people.ndjson").write_text("".join(json.dumps(row) + "\n" for row in people))
    homing.ok("recipients", "import", str(folder / "people.ndjson"))
    job = {"id": "pushed", "queue": "pushed", "campaign": "pushed", "not_before": start.isoformat(), "recipients": rows}
    (folder / "pushed.json").write_text(json.dumps(job))
    homing.ok("enqueue", "pushed", str(folder / "pushed.json"))
    _register(folder / "var" / "homing.db", browsers_of(service), to_instant(start - timedelta(days=1)))


def _register(store: Path, browsers: Mapping[str, Sequence[Mapping[str, Any]]], now: Instant) -> None:
    """What the shop's pages did the day before."""
    engine = engines.open_writer(store)
    with engine.begin() as conn:
        for key, subscriptions in browsers.items():
            for each in subscriptions:
                asked = Subscribing(endpoint=each["endpoint"], address=json.dumps(each), channel="push", family=None, source="page", text="Yes")
                assert subscribe_known(conn, key, asked, now=now) is not None
    engine.dispose()


def _said(at: datetime, who: str, event: str, n: int, **properties: Any) -> dict[str, Any]:
    return {
        "type": "track", "userId": who, "event": event, "timestamp": iso(to_instant(at)), "messageId": f"{who}-{event}-{n}", "properties": properties
    }  # fmt: skip


def doings(start: datetime) -> list[Done]:
    """In order of the instants at which they are told, each some seconds after a full minute."""
    told: list[tuple[datetime, dict[str, Any]]] = []

    def order(at: datetime, who: str, n: int, told_at: datetime | None = None) -> None:
        told.append((told_at or at, _said(at, who, "Order Completed", n, order_id=f"{who}-{n}", revenue=30)))

    early = start + timedelta(seconds=10)
    for n in range(ORDERS):
        order(start - timedelta(days=30) + timedelta(minutes=17 * n, seconds=20), f"c-{FIRST + n}", 0, early)
        if n % 6 == 1:
            order(start + timedelta(minutes=17 * n + 30, seconds=25), f"c-{FIRST + n}", 1)
    for n in range(CARTS):
        who = f"c-{n if n % 4 == 2 else FIRST + ORDERS + n}"  # some are in the jobs, too
        began = start + timedelta(minutes=21 * n - 40, seconds=35)
        told.append((max(began, early), _said(began, who, "Checkout Started", n, value=90 if n % 8 == 5 else 240)))
        if n % 3 == 1:
            order(began + timedelta(minutes=40 if n % 2 else 89), who, 2)
        elif n % 9 == 3:
            order(began + timedelta(minutes=95), who, 2)
    return sorted(((to_instant(at), event) for at, event in told), key=lambda done: (done[0], done[1]["messageId"]))


def ordered(done: Sequence[Done]) -> tuple[set[str], set[str]]:
    """Of those who left a cart: who ordered before the reminder was to go, and who did later."""
    carts = {event["userId"]: event["timestamp"] for _, event in done if event["event"] == "Checkout Started"}
    found: tuple[set[str], set[str]] = set(), set()
    for _, event in done:
        who = event["userId"]
        if event["event"] == "Order Completed" and who in carts and event["timestamp"] > carts[who]:
            waited = datetime.fromisoformat(event["timestamp"]) - datetime.fromisoformat(carts[who])
            found[waited > timedelta(minutes=90)].add(who)
    return found


class Doers:
    """The crowd of a rehearsal: does what is written, whatever it receives."""

    def __init__(self, done: Sequence[Done]) -> None:
        self._done = list(done)

    def received(self, sent: Sent) -> None:
        """It changes nothing."""

    def events(self, now: Instant) -> Sequence[Mapping[str, Any]]:
        found = [event for at, event in self._done if at <= now]
        del self._done[: len(found)]
        return found

    def feedback(self, now: Instant) -> Sequence[Feedback]:
        return ()

    def next_at(self) -> Instant | None:
        return self._done[0][0] if self._done else None


async def post(daemon: Daemon, clock: Clock, done: Sequence[Done]) -> None:
    """The shop tells of it when it happens."""
    for at, event in done:
        await clock.sleep((at - clock.instant()) / SECONDS)
        tracked = await daemon.tracker.take([event])
        assert not tracked.errors
