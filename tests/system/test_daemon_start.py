"""What ends a start, and with which words; and the smallest config, which starts as it stands."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.system.conftest import Build
from tests.system.daemon_world import House, document, person, wait_for

ROOT = Path(__file__).resolve().parents[2]

SMALLEST = """\
[homing]
state_dir = "var"
default_zone = "Asia/Jakarta"
[shop]
currency = "USD"
[providers.relay]
plugin = "smtp"
host = "127.0.0.1"
port = 1025
tls = "none"
from = "Kedai <hello@mail.example.com>"
[queues.lapsed-45]
campaign = "winback"
"""
"""contract.md §1, "the smallest config that runs"."""


@pytest.mark.promise("F36")
@pytest.mark.slow
def test_a_second_daemon_on_the_same_folder_ends_with_75_and_names_the_first(shop: House):
    """It says who holds the folder and what to do; the first one goes on as if nothing had been."""
    said = shop.program("run")
    assert said.code == 75
    assert f"in use by process {shop.pid}" in said.err
    assert "stop that one first, or give this one a [homing] state_dir of its own" in said.err
    assert len(said.err.splitlines()) == 1
    assert shop("db", "upgrade").code == 75
    assert shop.status()["ready"]


@pytest.mark.promise("B58")
def test_all_that_is_wrong_in_the_config_is_named_at_once(build: Build):
    """Exit 78, each problem with file, line, key and the nearest word; nothing is made in the state folder."""
    house = build(relay=False)
    text = house.config.read_text()
    text = text.replace('rolling = "7d"', 'roling = "7d"').replace('end = "24:00"', 'end = "25:00"').replace("pool = 10", 'pool = "ten"')
    house.config.write_text(text)
    (house.folder / "campaigns" / "winback" / "reminder.email.liquid").write_text("---\nsubject: hello\n---\n{% if %}</p>\n")
    at = {key: number for number, line in enumerate(text.splitlines(), 1) for key in ("roling", "end =", "pool") if line.startswith(key)}
    said = house.program("run")
    assert said.code == 78
    assert f'config.toml:{at["roling"]}: cap[1].roling: unknown key; did you mean "rolling"?' in said.err
    assert f"config.toml:{at['end =']}: window.end: " in said.err
    assert f"config.toml:{at['pool']}: providers.relay.pool: " in said.err
    assert "reminder.email.liquid:4: " in said.err
    assert "Traceback" not in said.err
    assert not house.state.exists()
    assert house("check").err == said.err


def test_one_wrong_key_is_one_line(build: Build):
    """Nothing but the problem is printed."""
    house = build(relay=False)
    with house.config.open("a") as config:
        config.write('[spol]\npath = "x"\n')
    line = len(house.config.read_text().splitlines()) - 1
    said = house("run")
    assert said.code == 78
    assert said.err.splitlines() == [f'homing: {house.config}:{line}: spol: unknown key; did you mean "spool"?']


@pytest.mark.slow
def test_the_smallest_config_of_the_contract_starts_as_it_stands(build: Build):
    """With the shipped campaigns beside it; a job comes in and a mail goes out. Only the ports are moved, by the environment."""
    house = build()
    house.config.write_text(SMALLEST)
    shutil.rmtree(house.folder / "campaigns")
    shutil.copytree(ROOT / "campaigns", house.folder / "campaigns")
    shutil.copy(ROOT / "segments.toml", house.folder / "segments.toml")
    house.start(
        HOMING__HTTP__LISTEN=f"127.0.0.1:{free_port()}",
        HOMING__HTTP__PUBLIC_LISTEN=f"127.0.0.1:{free_port()}",
        HOMING__PROVIDERS__RELAY__PORT=str(house.relay.port),
    )
    assert [path.name for path in (house.state / "spool").iterdir()] == ["lapsed-45"]
    house.drop("lapsed-45", "first.json", document("first", [person("c-1", zone=noon_zone())], queue="lapsed-45"))
    house.sent(1)
    assert house.relay.taken()[0]["subject"] == "Hello, we have missed you"
    assert house.stop() == 0


def noon_zone() -> str:
    """A zone in which it is twelve to one o'clock now, so that every window of a sane shop is open."""
    offset = 12 - time.gmtime().tm_hour
    return f"Etc/GMT{-offset:+d}" if offset else "Etc/GMT"


WITNESS = """
import sys
from dataclasses import dataclass
from pathlib import Path

from plugins import Accepted, Capabilities, SimpleChannel, hookimpl


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    words: str = ""


class Witness(SimpleChannel[Settings]):
    name, channel, address, settings_type = "witness", "email", "email", Settings
    capabilities = Capabilities(concurrency=1, batch=1)

    async def send_one(self, message):
        path = Path(__file__).with_name("modules.txt")
        if not path.exists():
            path.write_text("\\n".join(sorted(sys.modules)))
        return Accepted()


@hookimpl
def register_channels():
    return [Witness]
"""
NOT_YET = (
    "alembic", "mako", "rich", "apscheduler", "tzlocal", "phonenumbers", "twilio", "aiosmtpd", "aiosmtplib", "channels", "jinja2", "email_validator",
    "daemon.sandbox", "daemon.simulate", "daemon.app.offline", "daemon.cli.client", "cryptography.x509", "jsonschema", "requests", "hypothesis",
)  # fmt: skip
"""What neither this config nor a first claim needs: the relay's SMTP, schema changes, the hourly bell, pages, phone numbers, the sandbox."""


@pytest.mark.slow
def test_a_start_loads_only_what_the_config_and_a_first_claim_need(build: Build):
    """By the names of the modules when the first message is sent, of a daemon whose store is there and whose provider is a drop-in."""
    house = build(relay=False)
    folder = house.folder / "plugins.d"
    folder.mkdir()
    (folder / "witness.py").write_text(WITNESS)
    text = house.config.read_text()
    first, last = text.index("[providers.relay]"), text.index("[queues.lapsed]")
    text = text[:first] + '[providers.relay]\nplugin = "witness"\n' + text[last:]
    house.config.write_text(text.replace("[http]", 'plugin_dirs = ["plugins.d"]\n[http]'))
    house.start()
    house("queue", "pause", "lapsed")
    house.give(document("early", [person("first")]))
    wait_for(lambda: house.job("early")["deliveries"] == {"due": 1}, "it waits")
    assert house.stop() == 0
    house("queue", "resume", "lapsed")
    house.launch()
    modules = wait_for(lambda: (folder / "modules.txt").exists() and (folder / "modules.txt").read_text().split(), "the first message")
    loaded = [name for name in modules if any(name == unwanted or name.startswith(f"{unwanted}.") for unwanted in NOT_YET)]
    assert loaded == []
    assert "daemon.dispatch.loop" in modules

