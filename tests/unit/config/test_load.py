"""What a config says when it is right, and all that it says when it is wrong."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from daemon.config import Address, Config, Rate, load_config, parse_config
from daemon.config.notices import TYPES, wanted_types
from daemon.config.values import DAY, MINUTE
from daemon.errors import ConfigError
from plugins.contract import Secret

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


def load(text: str, environ: dict[str, str] | None = None, path: str = "/etc/homing/config.toml") -> Config:
    return parse_config(text, path=Path(path), environ=environ or {})


def problems(text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, environ, "config.toml")
    assert caught.value.exit_code == 78
    return str(caught.value).splitlines()


def test_the_smallest_config_of_the_contract_loads_with_all_defaults():
    """Thirteen lines are enough; everything else has a default."""
    config = load(SMALLEST)
    assert config.homing.state_dir == Path("/etc/homing/var")
    assert config.homing.database == Path("/etc/homing/var/homing.db")
    assert config.homing.journal == Path("/etc/homing/var/journal")
    assert config.spool.path == Path("/etc/homing/var/spool")
    assert config.homing.default_zone == "Asia/Jakarta"
    assert config.homing.unknown_zone == "intersect"
    assert config.http.listen == Address("127.0.0.1", 8025)
    assert config.http.public_base == "http://127.0.0.1:8026"
    assert config.intake.unexpected_max == 1000
    assert config.intake.late_grace == 30 * MINUTE
    assert config.window.default == {"start": "09:00", "end": "21:00"}
    assert config.consent.channels == {"email": "implied", "sms": "explicit", "push": "explicit"}
    assert config.weights == {"sms": 3, "email": 1, "push": 0.5, "audience_day": 0.2}
    relay = config.providers["relay"]
    assert (relay.plugin, relay.rate) == ("smtp", None)
    assert relay.settings == {"host": "127.0.0.1", "port": 1025, "tls": "none", "from": "Kedai <hello@mail.example.com>"}
    assert config.queues["lapsed-45"].campaign == "winback"


def test_every_table_of_the_contract_is_read_into_typed_values():
    """Durations are microseconds, rates and addresses are objects, windows stay raw."""
    config = load(
        SMALLEST
        + """
rate = 1
[http]
listen = "[::1]:0"
public_url = "https://go.example.com/"
trusted_proxies = ["10.0.0.0/8"]
[window]
hours = ["mon-fri 09:00-12:00"]
closed = [2027-03-20, "fri 11:30-13:30"]
[window.channels.sms]
start = "10:00"
end = "19:00"
[window.countries.US]
end = "20:00"
[[cap]]
name = "weekly-email"
limit = 3
rolling = "7d"
channels = ["email"]
[[cap]]
name = "units"
limit = 2.5
calendar = "week"
count = "units"
on_cap = "drop"
[weights]
call = 5
[consent]
call = "double_opt_in"
[consent.countries.CA]
email_days = 730
[topics.winback]
title = "We miss you"
"title.fa" = "دلتنگ شما"
""".replace("rate = 1\n", "weight = 2\n")
    )
    assert config.http.listen == Address("::1", 0)
    assert config.http.public_base == "https://go.example.com"
    assert config.http.trusted_proxies == (ip_network("10.0.0.0/8"),)
    assert config.window.default == {"hours": ("mon-fri 09:00-12:00",), "closed": ("2027-03-20", "fri 11:30-13:30")}
    assert config.window.channels == {"sms": {"start": "10:00", "end": "19:00"}}
    assert config.window.countries == {"US": {"end": "20:00"}}
    weekly, units = config.caps
    assert (weekly.name, weekly.limit, weekly.rolling, weekly.channels, weekly.on_cap) == ("weekly-email", 3, 7 * DAY, ("email",), "defer")
    assert (units.limit, units.calendar, units.rolling, units.count, units.on_cap) == (2.5, "week", None, "units", "drop")
    assert config.weights["call"] == 5
    assert config.consent.channels["call"] == "double_opt_in"
    assert config.consent.countries["CA"] == {"email_days": 730}
    assert config.topics["winback"].titles == {"": "We miss you", "fa": "دلتنگ شما"}
    assert config.queues["lapsed-45"].weight == 2
    assert (("cap", 0, "channels"), "email") in config.named_channels()


@pytest.mark.promise("B58")
def test_all_problems_come_at_once_in_the_order_of_their_lines():
    """One run of `homing check` names everything that is wrong."""
    found = problems(
        """\
[homing]
state_dir = 7
default_zone = "Jakarta"
[htpp]
[window]
strat = "09:00"
[queues.a]
weight = -1
[providers.x]
rate = "fast"
[http]
listen = "8025"
"""
    )
    assert found == [
        "config.toml:2: homing.state_dir: must be a string, not an integer",
        'config.toml:3: homing.default_zone: no such time zone (got "Jakarta"); did you mean "Asia/Jakarta"?',
        'config.toml:4: htpp: unknown key; did you mean "http"?',
        'config.toml:6: window.strat: unknown key; did you mean "start"?',
        "config.toml:8: queues.a.weight: must be greater than 0 (got -1)",
        "config.toml:9: providers.x.plugin: missing; it has no default",
        'config.toml:10: providers.x.rate: must be a rate such as "100/s", "600/m" or "1/10s" (got "fast")',
        'config.toml:12: http.listen: must be "HOST:PORT", as "127.0.0.1:8025" (got "8025")',
    ]


@pytest.mark.promise("B58")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[homing]\nunknown_zone = "intersekt"', 'must be "intersect", "default" or "hold" (got "intersekt"); did you mean "intersect"?'),
        ('[homing]\nhome_countries = ["UK"]', 'two capital letters (got "UK"); did you mean "GB"?'),
        ("[homing]\nworkers = 2", "homing.workers: not supported yet: SQLite has one writer"),
        ("[homing]\nworkers = true", "must be an integer, not a boolean"),
        ('[homing]\nstore = "postgresql://db/homing"', "homing.store: not supported yet"),
        ('[homing]\nstore = "mysql://db"', 'must be "sqlite:PATH"'),
        ('[homing]\ncurrency = "USD"', "unknown key here; it belongs to [shop]"),
        ('[http]\nlisten = "127.0.0.1:70000"', "the port must be at most 65535"),
        ('[http]\nlisten = "::1:80"', 'did you mean "[::1]:80"?'),
        ('[http]\nlisten = "a:1"\npublic_listen = "a:1"', "config.toml:3: http.public_listen: is the same as listen"),
        ('[http]\npublic_url = "go.example.com"', 'must start with "https://"'),
        ('[http]\ntrusted_proxies = ["10.0.0.0/33"]', "must be an address or a network"),
        ("[http]\nlisten = 8025", "must be a string, not an integer"),
        ("[intake]\nlate_grace = 30", 'must be a duration such as "30m", "24h" or "7d", not an integer'),
        ('[intake]\nlate_grace = "half an hour"', 'must be a duration such as "30m"'),
        ("[intake]\nmax_recipients = 0", "must be at least 1 (got 0)"),
        ('[window]\nstart = "09:00"\nhours = ["mon 09:00-10:00"]', "hours and start are two forms of one thing"),
        ('[window.channels.sms]\ndays = ["mon"]\nhours = ["mon 09:00-10:00"]', "config.toml:3: window.channels.sms.hours: hours and days"),
        ('[window.countries.usa]\nstart = "10:00"', "country code of two capital letters"),
        ('[[cap]]\nname = "a"\nlimit = 1', "cap[1]: needs exactly one of rolling and calendar"),
        ('[[cap]]\nname = "a"\nlimit = 1\nrolling = "1d"\ncalendar = "day"', "needs exactly one of rolling and calendar"),
        ('[[cap]]\nname = "a"\nlimit = 0\nrolling = "1d"', "cap[1].limit: must be greater than 0"),
        ('[[cap]]\nname = "a"\nlimit = 1\nrolling = "0d"', "must be longer than 0"),
        ('[[cap]]\nname="a"\nlimit=1\nrolling="1d"\n[[cap]]\nname="a"\nlimit=1\nrolling="1d"', 'another cap of the name "a"'),
        ("[consent.countries.CA]\nemail = 730", 'did you mean "email_days"?'),
        ('[shop]\ncurrency = "usd"', 'did you mean "USD"?'),
        ("[shop]\nmargin = 40", "must be at most 1 (got 40)"),
        ("[shop]\ncac = nan", "must be a finite number"),
        ('[providers.x]\nplugn = "smtp"', 'missing; "plugn" here may be meant for it'),
        ('[queues."a/b"]\nweight = 1', "a name has letters, digits"),
        ("[spool]\nowners = ['no-such-user-here']", 'this machine has no user "no-such-user-here"'),
        (
            '[providers.x]\nplugin = "smtp"\ndomains = { "gmail.com" = "x" }',
            'config.toml:3: providers.x.domains."gmail.com": must be a rate',
        ),
        ('[providers.x]\nplugin = "smtp"\ndomains = { "*google.com" = "1/s" }', 'providers.x.domains."*google.com": must be a domain, "*."'),
        ('[providers.x]\nplugin = "smtp"\nwarm_up = { start = "soon", first_day = 1, until = 2 }', "config.toml:3: providers.x.warm_up.start: must be a day"),
        ('[providers.x]\nplugin = "smtp"\nwarm_up = { start = "2026-12-01", until = 2 }', "config.toml:3: providers.x.warm_up.first_day: missing"),
        (
            '[providers.x]\nplugin = "smtp"\nwarm_up = { start = "2026-12-01", first_day = 1, until = 2, growht = 2 }',
            'config.toml:3: providers.x.warm_up.growht: unknown key; did you mean "growth"?',
        ),
        (
            '[providers.x]\nplugin = "smtp"\nwarm_up = { start = "2026-12-01", first_day = 1, until = 2, growth = 0.5 }',
            "config.toml:3: providers.x.warm_up.growth: must be at least 1",
        ),
        ("[attribution]\nwindows = 3", "config.toml:1: attribution: not supported yet"),
        ("[retention]\ntouch = 300", "config.toml:2: retention.touch: unknown key"),
        ("[retention]\nevent = 3", "config.toml:2: retention.event: must be 0 (for good), or 31 to 36500 days (got 3)"),
        ('[retention]\nevent = "1y"', "config.toml:2: retention.event: must be a number of days, not a string"),
        ('[[notify]]\nurl = "x"', 'config.toml:2: notify[1].url: must be an address such as "https://'),
        ('[[notify]]\nurl = "https://a.example/"\nsecret = "0123456789abcdef"', "config.toml:3: notify[1].secret: must name a secret, as {"),
        ('[[notify]]\nurl = "https://a.example/"', "config.toml:1: notify[1].secret: missing"),
        ('[[notify]]\nurl = "https://a.example/"\nsecret = { env = "SHORT" }', "notify[1].secret: is shorter than 16 bytes"),
        ('[[notify]]\nurl = "https://a.example/"\nsecret = { env = "NOT_THERE" }', "config.toml:3: notify[1].secret: the environment variable NOT_THERE is not set"),
        ('[[notify]]\nurl = "https://a.example/"\nsecret = { env = "NO_BASE64" }', "notify[1].secret: what stands behind whsec_ is no base64"),
        ('[[notify]]\nurl = "http://a.example/"\nsecret = { env = "LONG" }', "config.toml:1: notify[1]: url must begin with https"),
        ('[[notify]]\nurl = "https://u@a.example/"\nsecret = { env = "LONG" }', "notify[1].url: must have neither user nor fragment"),
        ('[[notify]]\nurl = "https://a.example/"\nsecret = { env = "LONG" }\nevents = ["delivery.bounce"]', 'config.toml:4: notify[1].events[1]: must be a type of notices, "delivery.*" or "*" (got "delivery.bounce"); did you mean "delivery.bounced"?'),
        ('[[notify]]\nurl = "https://a.example/"\nsecret = { env = "LONG" }\nevents = ["alert.*"]', 'notify[1].events[1]: not supported yet: this version tells no "alert.*"'),
        ('[[notify]]\nurl = "https://a.example/"\nsecret = { env = "LONG" }\nevents = []', "notify[1].events: is empty"),
        ('[[notify]]\nurl = "https://a.example/"\nsecret = { env = "LONG" }\nkeep = "40d"', "notify[1].keep: must be longer than 0 and at most 30d"),
        ('[[notify]]\nurl = "https://a.example/"\nsecret = { env = "LONG" }\nevent = ["*"]', 'notify[1].event: unknown key; did you mean "events"?'),
        ('[[notify]]\nurl = "https://a.example/"\nsecret = { env = "LONG" }\n' * 2, "config.toml:5: notify[2].url: is another [[notify]]'s url too"),
        ("homing = 3", "homing: must be a table, not an integer"),
        ("cap = 3", "cap: must be an array, not an integer"),
        ("[homing\n", "this is no TOML"),
        ('[a]\n[a."b.c"]\n[shop]\n[shop]', "config.toml:4: this is no TOML: cannot declare [shop] twice"),
        ("[homing]\nx = 1\nx = 2", "config.toml:3: this is no TOML: cannot overwrite a value"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(text: str, said: str):
    """Each message has file, line, key, what is wrong and, where there is one, the nearest right value."""
    environ = {"SHORT": "abc", "LONG": "0123456789abcdef", "NO_BASE64": "whsec_?"} if "[[notify]]" in text else None
    assert said in "\n".join(problems(text, environ))


def test_who_is_told_is_read_with_its_secret_and_reported_without_it():
    """Defaults; two targets; the digest names the reference, never the secret; a client that may not read it does without."""
    text = '[[notify]]\nurl = "https://a.example/x"\nsecret = { env = "A" }\n[[notify]]\nurl = "http://127.0.0.1:9/"\nsecret = { env = "A" }\nevents = ["job.*"]\nkeep = "1d"'
    config = load(text, {"A": "0123456789abcdef"})
    first, second = config.notify
    assert (first.events, first.keep, first.old_secret, first.secret.reveal()) == (("*",), 3 * DAY, None, "0123456789abcdef")
    assert (second.events, second.keep) == (("job.*",), DAY)
    assert config.digest == load(text, {"A": "another-secret-0"}).digest != load("").digest
    assert "0123456789abcdef" not in repr(config)


def test_patterns_of_events_name_types():
    """One, a family, all; nothing else."""
    assert wanted_types(["job.held"]) == {"job.held"}
    assert wanted_types(["job.*", "delivery.held"]) == {"job.accepted", "job.held", "job.finished", "delivery.held"}
    assert wanted_types(["*"]) == set(TYPES)
    assert wanted_types(["job"]) == frozenset()


def test_a_path_that_starts_with_state_lies_below_the_state_folder():
    """STATE follows state_dir, wherever it comes from."""
    config = load('[homing]\nstate_dir = "/srv/h"\njournal = "STATE/j"\n[spool]\npath = "/in"')
    assert (config.homing.journal, config.spool.path) == (Path("/srv/h/j"), Path("/in"))
    assert load("", {"HOMING__HOMING__STATE_DIR": "/srv/e"}).spool.path == Path("/srv/e/spool")


def test_a_file_that_is_absent_or_no_text_is_a_config_error(tmp_path: Path):
    """The message says what to do about it."""
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory; write one"):
        load_config(tmp_path / "config.toml", {})
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_config(tmp_path / "config.toml", {})


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path):
    """Files come from editors of all kinds; lines are still counted right."""
    (tmp_path / "config.toml").write_bytes(b"\xef\xbb\xbf" + SMALLEST.replace("\n", "\r\n").encode())
    config = load_config(tmp_path / "config.toml", {})
    assert config.locate(("providers", "relay", "port")).endswith("config.toml:9")


def test_a_key_can_be_located_for_checks_of_higher_floors():
    """A plugin's settings problem names the line of its key, or of its table where the key is absent."""
    config = load(SMALLEST)
    assert config.locate(("providers", "relay", "port")) == "/etc/homing/config.toml:9"
    assert config.locate(("providers", "relay", "password")) == "/etc/homing/config.toml:6"
    problem = config.problem(("providers", "relay", "tls"), "must be ..", "none")
    assert str(problem) == '/etc/homing/config.toml:10: providers.relay.tls: must be ..; did you mean "none"?'


def test_digest_is_of_what_is_in_effect_and_the_same_on_every_machine():
    """Comments, defaults written out and the folder do not matter; a changed value does; a secret's value does not."""
    one = load(SMALLEST)
    assert one.digest == load("# x\n" + SMALLEST + "weight = 1\n", path="/elsewhere/config.toml").digest
    assert one.digest != load(SMALLEST + "weight = 2\n").digest
    secret = SMALLEST.replace("port = 1025", 'port = 1025\npassword = { env = "PW" }')
    assert load(secret, {"PW": "a"}).digest == load(secret, {"PW": "b"}).digest != one.digest


def test_config_is_frozen_and_never_shows_a_secret():
    """It is swapped as a whole; its repr may be logged."""
    config = load(SMALLEST.replace("port = 1025", 'port = 1025\npassword = { env = "PW" }'), {"PW": "canary-7131"})
    assert config.providers["relay"].settings["password"] == Secret("canary-7131")
    assert "canary-7131" not in repr(config)
    with pytest.raises(ValueError, match="frozen"):
        config.homing.workers = 2  # type: ignore[misc]


def test_a_warm_up_is_read_with_its_groups():
    """The first day in quotes or not; names of destinations in small letters."""
    config = load(
        '[providers.x]\nplugin = "smtp"\n[providers.x.warm_up]\nstart = 2026-12-01\nfirst_day = 200\nuntil = 100000\n'
        'domains = { "*.Google.com" = { first_day = 50, until = 20000 } }\n'
    )
    warm_up = config.providers["x"].warm_up
    assert warm_up is not None
    assert (warm_up.start, warm_up.first_day, warm_up.growth, warm_up.until) == ("2026-12-01", 200, 1.5, 100_000)
    assert {name: (share.first_day, share.until) for name, share in warm_up.domains.items()} == {"*.google.com": (50, 20_000)}
    assert "warm_up" not in config.providers["x"].settings


def test_rates_and_users_are_resolved():
    """`600/m` is ten a second; the daemon's own user is known to the machine."""
    config = load(
        '[providers.x]\nplugin = "smtp"\nrate = "600/m"\ndomains = { "*" = "1/10s" }\n[spool]\nowners = ["root", "12"]\ngroup = "root"'
    )
    assert config.providers["x"].rate == Rate(600, MINUTE)
    assert config.providers["x"].rate.per_second == pytest.approx(10)
    assert config.providers["x"].domains["*"].per_second == pytest.approx(0.1)
    assert config.spool.owner_ids == {0, 12}
    assert config.spool.group_id == 0
