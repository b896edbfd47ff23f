"""A day that was rehearsed is the day that comes: the same people get the same step over the same channel in the same minute.

The real day is lived by the whole daemon on its real ports (but its web doors): SQLite file, writer's thread, SMTP and Twilio's HTTP over
loopback sockets, in leaping time (`leaping`). What went out then is read from the logs of the local providers, not from the daemon.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import text

from daemon.app.main import Daemon
from daemon.app.ports import Pace, system_ports
from daemon.app.setup import read_setup
from daemon.clock import iso
from daemon.ids import decode_id
from daemon.notify import Notifier
from daemon.sandbox.house import NUMBER, SENDER, Ports, Sandbox
from daemon.sandbox.stage import free_ports
from daemon.sandbox.twilio import ACCOUNT, TOKEN
from daemon.sandbox.verify import arrivals_in
from daemon.service import Signals
from daemon.simulate import QuietLog
from daemon.simulate.rehearsal import Sent, Wish, rehearse
from daemon.store.engine import open_reader
from tests.system.cli_world import CliWorld
from tests.system.day_of_events import CARTS, FIRST, ORDERS, Doers, Done, browsers_of, doings, ordered, post
from tests.system.day_of_events import furnish as furnish_more
from tests.system.leaping import LeapingClock, LeapingLoop, open_counted

START = datetime.fromisoformat("2031-01-06T00:00:00+07:00")
CONFIG = """\
[homing]
state_dir = "var"
default_zone = "Asia/Jakarta"
unknown_zone = "intersect"
home_countries = ["ID", "MY", "IR"]
[http]
listen = "127.0.0.1:0"
public_listen = "127.0.0.1:0"
[window]
start = "09:00"
end = "21:00"
[window.channels.sms]
start = "10:00"
end = "20:00"
[[cap]]
name = "burst"
limit = 1
rolling = "3h"
[[cap]]
name = "daily"
limit = 2
calendar = "day"
[consent]
email = "implied"
sms = "explicit"
[shop]
currency = "USD"
[queues.lapsed]
[queues.vip]
[queues.late]
[queues.walked]
"""
CAMPAIGNS = {
    "lapsed": 'priority = 40\n[enrol]\njobs = true\n[[step]]\nname = "hello"\nchannels = ["email"]\nvalid = "40h"\n',
    "vip": 'priority = 80\n[enrol]\njobs = true\n[[step]]\nname = "invite"\nchannels = ["sms", "email"]\n',
    "late": 'priority = 60\n[enrol]\njobs = true\n[window]\nhours = ["mon-fri 13:00-17:00"]\n[[step]]\nname = "offer"\nchannels = ["email"]\n',
    "walked": 'priority = 70\n[enrol]\njobs = true\nanchor = "entered"\n[exit]\nevents = ["Order Completed"]\n'
    '[[step]]\nname = "first"\ndelay = "30m"\nchannels = ["email"]\nvalid = "20h"\n'
    '[[step]]\nname = "second"\ndelay = "4h"\nchannels = ["email"]\nvalid = "20h"\n',
}
PLACES = (
    {"zone": "Asia/Jakarta"}, {"zone": "Asia/Tehran"}, {"zone": "America/New_York"}, {"zone": "Pacific/Auckland"}, {"country": "AU"}, {},
)  # fmt: skip
CONSENT = {"sms": {"at": "2020-01-15T08:00:00Z", "source": "checkout", "text": "Yes"}}


class Message(NamedTuple):
    recipient: str
    campaign: str
    step: str
    channel: str
    minute: str


def people(count: int) -> list[dict[str, Any]]:
    rows = []
    for n in range(count):
        row: dict[str, Any] = {"id": f"c-{n}", "email": f"c-{n}@example.com", **PLACES[n % len(PLACES)]}
        if n % 4 == 2:
            row |= {"phone": f"+62811100{n:04}", "consent": CONSENT}
        if n % 11 == 3:
            row["traits"] = {"quiet_hours": ["08:00-11:15"]}
        rows.append(row)
    return rows


def providers(ports: Ports, secret: Path) -> str:
    """Where the local providers will listen."""
    secret.write_text(TOKEN)
    secret.chmod(0o600)
    relay = f'[providers.relay]\nplugin = "smtp"\nhost = "127.0.0.1"\nport = {ports.smtp}\ntls = "none"\nfrom = "{SENDER}"\n'
    return relay + (
        f'[providers.texts]\nplugin = "sms_twilio"\nbase_url = "http://127.0.0.1:{ports.sms}"\naccount_sid = "{ACCOUNT}"\n'
        f'auth_token = {{ file = "{secret}" }}\nfrom = "{NUMBER}"\ncountries = ["ID"]\n'
    )


def furnish(folder: Path, ports: Ports, homing: CliWorld) -> None:
    """Config, campaigns, and four jobs that begin at START, one of them five hours later."""
    (folder / "config.toml").write_text(CONFIG + providers(ports, folder / "token"), encoding="utf-8")
    for name, body in CAMPAIGNS.items():
        place = folder / "campaigns" / name
        place.mkdir(parents=True)
        head = f'status = "active"\npurpose = "marketing"\ntopic = "{name}"\n'
        (place / "campaign.toml").write_text(head + body, encoding="utf-8")
        steps = [line.split('"')[1] for line in body.splitlines() if line.startswith("name")]
        for step in steps:
            (place / f"{step}.email.liquid").write_text('---\nsubject: Hello\n---\n<p>Hello <a href="{{ unsubscribe_url }}">no</a></p>\n')
        if "sms" in body:
            (place / f"{steps[0]}.sms.liquid").write_text("Hello. STOP ends it.\n")
    rows = people(90)
    for queue, chosen, hour in (("lapsed", rows, 0), ("vip", rows[::2], 0), ("late", rows[::3], 5), ("walked", rows[1::3], 0)):
        path, begins = folder / f"{queue}.json", (START + timedelta(hours=hour)).isoformat()
        job = {"id": queue, "queue": queue, "campaign": queue, "expected_count": len(chosen), "not_before": begins, "recipients": chosen}
        path.write_text(json.dumps(job))
        homing.ok("enqueue", queue, str(path))


async def live(folder: Path, providers: Ports, done: Sequence[Done]) -> dict[str, int]:
    """The real day, on which people do these things. Returns how many are in which audience of the platform at its end."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, LeapingLoop)
    clock = LeapingClock(loop, START)
    sandbox = Sandbox(folder / "sandbox", clock, providers)
    await sandbox.start()
    browsers_of(sandbox.push)
    setup = read_setup(folder / "config.toml", {})
    pace = Pace(
        tick_seconds=60, observe_ticks=60, audit_seconds=3600, reconcile_seconds=3600, poll_seconds=60, audience_seconds=600, sync_seconds=600
    )  # fmt: skip
    ports = replace(
        system_ports(clock, {}), pace=pace, signals=False, doors=False, open_store=open_counted, open_log=lambda _: QuietLog(), settle=lambda: None
    )  # fmt: skip
    daemon = Daemon(setup, lambda: setup, ports, Signals.off(), functools.partial(Notifier, environ={}, pid=1))
    main = asyncio.create_task(daemon.run())
    day = asyncio.create_task(asyncio.sleep(86_400))
    posting = asyncio.create_task(post(daemon, clock, done))
    await asyncio.wait({main, day}, return_when=asyncio.FIRST_COMPLETED)
    assert not main.done(), main.exception()
    await posting
    assert daemon.supervisor is not None
    daemon.supervisor.request_stop("the day is over")
    await main
    await sandbox.stop()
    return {name: len(rows) for (_, name), rows in sandbox.members().items()}


def logged(folder: Path) -> Counter[Message]:
    """What the logs of the providers say; the store is asked only whose delivery it was (an SMS is known by its number: each has one). A
    push to all browsers of a recipient is one message."""
    engine = open_reader(folder / "var" / "homing.db")
    query = text(
        "SELECT delivery.id, recipient.phone, recipient.key, campaign.name, wave.step, wave.channel FROM delivery"
        " JOIN wave ON wave.id = delivery.wave JOIN campaign ON campaign.id = wave.campaign JOIN recipient ON recipient.id = delivery.person"
    )
    known: dict[object, tuple[str, ...]] = {}
    with engine.begin() as conn:
        for id, phone, *named, channel in conn.execute(query):
            known[id] = tuple(named)
            if channel == "sms" and phone is not None:  # None: it had nowhere to go
                assert phone not in known
                known[phone] = tuple(named)
    engine.dispose()
    found: Counter[Message] = Counter()
    pushed: set[object] = set()
    for arrival in arrivals_in(folder / "sandbox"):
        key = arrival.to if arrival.channel == "sms" else decode_id(arrival.delivery)
        if arrival.channel != "push" or key not in pushed:
            found[Message(*known[key], arrival.channel, arrival.at[:16])] += 1
        pushed |= {key} if arrival.channel == "push" else set()
    return found


@pytest.mark.slow
@pytest.mark.promise("P9")
def test_rehearsed_day_is_the_real_day(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred people in six places over three channels, two caps, windows of the shop, of a channel, of a campaign and of people: jobs,
    one of them walked; people who become dormant in the course of the day; carts that are left, and orders that come in time or too late;
    fall-back to another channel, and escalation. Every message of the day, to the minute."""
    monkeypatch.setattr("plugins.http_session.KEEPALIVE_SECONDS", 3600.0)  # a session with an open connection looks at it so often
    smtp, sms, inbox, ads, push = free_ports(5)
    ports = Ports(smtp=smtp, sms=sms, inbox=inbox, ads=ads, push=push)
    homing = CliWorld(tmp_path, capsys)
    furnish(tmp_path, ports, homing)
    everybody = people(FIRST + ORDERS + CARTS)
    furnish_more(tmp_path, START, ports, homing, everybody[:90], everybody[FIRST:])
    rehearsed: Counter[Message] = Counter()

    def took(sent: Sent) -> None:
        rehearsed[Message(sent.recipient, sent.campaign, sent.step, sent.channel, iso(sent.at)[:16])] += 1

    done = doings(START)
    calendar = rehearse(read_setup(tmp_path / "config.toml", {}), Wish(days=1, start=START, grain=0.05, took=took, crowd=Doers(done)))
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        members = runner.run(live(tmp_path, ports, done))
    real = logged(tmp_path)
    steps = Counter((message.step, message.channel) for message in real.elements())
    assert {step for step, _ in steps} == {"hello", "invite", "offer", "first", "second", "nudge", "asleep", "left"}
    assert min(steps["nudge", "push"], steps["asleep", "sms"], steps["asleep", "push"], steps["left", "push"], steps["left", "email"]) > 5
    assert sum(real.values()) > 240
    assert calendar.days[0].capped > 10
    reminded, (in_time, too_late) = {message.recipient for message in real if message.step == "left"}, ordered(done)
    assert not reminded & in_time
    assert reminded & too_late
    assert sum(members.values()) > 15
    assert {key.name: moved.members for key, moved in calendar.totals().audiences.items()} == members
    assert not {m: (rehearsed[m], real[m]) for m in sorted({*rehearsed, *real}) if rehearsed[m] != real[m]}
