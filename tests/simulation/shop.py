"""The simulated shop: its configs and campaigns, written as files for the daemon and kept as plain data for the checker.

One text, two readers: the checker parses the same tables by its own words. There are a few variants, so that worlds differ in caps,
windows, rates and in what is done about unknown zones; each has a twin with another provider table, for reloads.
"""

from __future__ import annotations

import functools
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from channels.smtp import SmtpChannel
from channels.smtp.pool import Opener
from daemon.app.setup import Setup, read_setup

STATE = Path("/state")
QUEUES = {"lapsed": ("winback", 1), "hurry": ("nudge", 2), "orders": ("receipt", 1), "alarms": ("alert", 1), "letters": ("news", 1)}
POOL = 3
SPREAD = 50_000
"""A twentieth of a second after a window opens, not half an hour: a world has few messages, and each look at the store has its price."""

CAMPAIGNS: Mapping[str, str] = {
    "winback": 'status = "active"\npurpose = "marketing"\ntopic = "winback"\npriority = 50\n[window]\nhours = ["mon-sat 09:00-20:00", "sun 10:00-18:00"]\n'
    '[enrol]\njobs = true\nagain = "never"\n[[step]]\nname = "one"\nchannels = ["email"]\nvalid = "26h"\n',
    "nudge": 'status = "active"\npurpose = "marketing"\ntopic = "nudge"\npriority = 80\n[enrol]\njobs = true\nagain = "never"\n'
    '[[step]]\nname = "one"\nchannels = ["email"]\nvalid = "20h"\n',
    "receipt": 'status = "active"\npurpose = "transactional"\npriority = 90\n[enrol]\njobs = true\nagain = "never"\n'
    '[[step]]\nname = "one"\nchannels = ["email"]\nvalid = "24h"\n',
    "alert": 'status = "active"\npurpose = "transactional"\npriority = 100\nignore_window = true\non_doubt = "resend_once"\n[enrol]\njobs = true\n'
    'again = "never"\n[[step]]\nname = "one"\nchannels = ["email"]\nvalid = "8h"\n',
    "news": 'status = "active"\npurpose = "marketing"\ntopic = "news"\npriority = 20\n[goal]\nevent = "Order Completed"\n[exit]\n'
    'events = ["Order Completed"]\n[enrol]\njobs = true\nagain = "never"\nanchor = "entered"\n'
    '[[step]]\nname = "one"\nday = 0\nchannels = ["email"]\nvalid = "5h"\n',
}
TEMPLATE = "---\nsubject: Hello\n---\nref={{ vars.ref }}=\n{{ unsubscribe_url }}\n"

_BASE = """
[homing]
state_dir = "/state"
campaigns = "{campaigns}"
default_zone = "Asia/Jakarta"
{unknown}
[http]
public_url = "http://go.example.com"
[intake]
late_grace = "3h"
unexpected_max = 100
[shop]
currency = "USD"
{rules}
[providers.relay]
plugin = "smtp"
host = "relay1.example"
port = 25
relays = ["relay2.example:25"]
tls = "none"
from = "Shop <hello@shop.example>"
pool = {pool}
{provider}
"""
_CAPS = '[[cap]]\nname = "burst"\nlimit = {burst}\nrolling = "{rolling}"\n[[cap]]\nname = "daily"\nlimit = {daily}\ncalendar = "day"\n'
VARIANTS: tuple[Mapping[str, str], ...] = (
    {"unknown": 'home_countries = ["ID"]', "rules": _CAPS.format(burst=2, rolling="3h", daily=3), "provider": ""},
    {"unknown": 'unknown_zone = "hold"', "rules": '[window]\nstart = "08:00"\nend = "22:00"\n', "provider": 'rate = "500/s"'},
    {
        "unknown": 'unknown_zone = "default"',
        "rules": '[window]\nhours = ["mon-fri 09:00-12:00", "mon-fri 13:30-20:00", "sat,sun 10:00-18:00"]\nclosed = ["fri 15:00-15:30"]\n'
        + _CAPS.format(burst=1, rolling="90m", daily=2),
        "provider": 'domains = { "slow.example" = "40/s" }',
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The same as plain data: what the checker judges by. Tables as TOML gives them."""

    config: Mapping[str, Any]
    campaigns: Mapping[str, Mapping[str, Any]]

    @classmethod
    @functools.cache
    def of(cls, variant: int) -> Book:
        return cls(config=tomllib.loads(_text(variant, Path("campaigns"), POOL)), campaigns={k: tomllib.loads(v) for k, v in CAMPAIGNS.items()})


def _text(variant: int, campaigns: Path, pool: int) -> str:
    queues = "".join(f'[queues.{name}]\ncampaign = "{campaign}"\nweight = {weight}\n' for name, (campaign, weight) in QUEUES.items())
    return _BASE.format(campaigns=campaigns, pool=pool, **VARIANTS[variant]) + queues


@functools.cache
def _setups(pools: tuple[int, int]) -> tuple[tuple[Setup, Setup], ...]:
    """All variants and their twins, read once a process by the daemon's own reader."""
    found = []
    with tempfile.TemporaryDirectory(prefix="homing-sim-") as folder:
        for name, text in CAMPAIGNS.items():
            place = Path(folder, "campaigns", name)
            place.mkdir(parents=True)
            (place / "campaign.toml").write_text(text)
            (place / "one.email.liquid").write_text(TEMPLATE)
        path = Path(folder, "config.toml")
        for variant in range(len(VARIANTS)):
            pair = []
            for pool in pools:
                path.write_text(_text(variant, path.parent / "campaigns", pool))
                pair.append(read_setup(path, {}))
            found.append((pair[0], pair[1]))
    return tuple(found)


def setup_of(variant: int, opener: Opener, *, twin: bool = False, pool: int = POOL) -> Setup:
    """A reading of the shop whose SMTP channel speaks to the simulated relays; the twin has a connection less in its `pool`."""

    class Channel(SmtpChannel):
        def __init__(self) -> None:
            super().__init__(opener)

    setup = _setups((pool, pool - 1))[variant][twin]
    channels = tuple(replace(loaded, channel_class=Channel) for loaded in setup.loading.channels)
    setup = replace(setup, rules=replace(setup.rules, spread=SPREAD))
    return replace(setup, loading=replace(setup.loading, channels=channels))
