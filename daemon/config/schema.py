"""GROUND, config: the tables of `config.toml` and what each key means. The one place: `docs/config.md` is printed from here.

Models only say shape, default and meaning; texts are read by `values`. They are frozen, refuse unknown keys and never print a
value of a provider. Field descriptions are the comments of the shipped `config.toml` and of the docs.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

from pydantic import BeforeValidator, ConfigDict, Field, Strict, ValidationInfo, field_validator

from daemon.config import values
from daemon.config.notices import NotifyTable
from daemon.config.retention import RetentionTable
from daemon.config.table import Table
from daemon.config.values import DAY, MINUTE, Address, BadValue, Rate


def _path(value: Any, info: ValidationInfo) -> Path:
    where = info.context or {}
    return values.resolve_path(value, base=where.get("base", Path()), state=where.get("state", Path("STATE")))


def _store(value: Any, info: ValidationInfo) -> str:
    url = values.text(value)
    scheme, colon, rest = url.partition(":")
    if scheme in ("postgresql", "postgres"):
        raise BadValue('not supported yet: this version keeps its store in SQLite ("sqlite:PATH")')
    if scheme != "sqlite" or not colon or not rest or rest == ":memory:":
        raise BadValue(f'must be "sqlite:PATH" (got "{url}")', "sqlite:STATE/homing.db")
    return f"sqlite:{_path(rest, info)}"


def _days(value: Any) -> Any:
    """Dates may be written bare: `closed = [2027-03-20]`."""
    if isinstance(value, list):
        return [item.isoformat() if isinstance(item, date) else item for item in value]
    return [value] if isinstance(value, str) else value


Destination = Annotated[str, BeforeValidator(values.parse_destination)]
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Strict(), Field(ge=1)]
Whole = Annotated[int, Strict(), Field(ge=0)]
Number = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Strict(), Field(ge=0, le=1)]
Duration = Annotated[int, BeforeValidator(values.parse_duration)]
RateText = Annotated[Rate, BeforeValidator(values.parse_rate)]
Listen = Annotated[Address, BeforeValidator(values.parse_address)]
Network = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(values.parse_network)]
Zone = Annotated[str, BeforeValidator(values.parse_zone)]
Country = Annotated[str, BeforeValidator(values.parse_country)]
Name = Annotated[str, BeforeValidator(values.parse_name)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_days)]
Folder = Annotated[Path, BeforeValidator(_path), Field(validate_default=True)]
StoreUrl = Annotated[str, BeforeValidator(_store), Field(validate_default=True)]


class HomingTable(Table):
    """The daemon itself."""

    state_dir: Folder = Field(Path("var"), description="everything that Homing keeps; below it STATE in other paths")
    store: StoreUrl = Field("sqlite:STATE/homing.db", description="the store: sqlite:PATH (one machine)")
    campaigns: Folder = Field(Path("campaigns"), description="folder of campaign folders")
    segments: Folder = Field(Path("segments.toml"), description="file of segment definitions")
    plugin_dirs: tuple[Annotated[Path, BeforeValidator(_path)], ...] = Field((), description="folders of drop-in channel plugins (.py)")
    default_zone: Zone = Field("UTC", description='the zone of schedules, and of unknown recipients where unknown_zone = "default"')
    unknown_zone: Literal["intersect", "default", "hold"] = Field(
        "intersect",
        description="recipients without any zone: intersect (all zones of home_countries; none given: held), default or hold",
    )
    home_countries: tuple[Country, ...] = Field((), description='where recipients of unknown zone may live, as ["ID", "MY"]')
    test_addresses: tuple[Text, ...] = Field((), description="the only addresses that test sends may go to")
    workers: Count = Field(1, description="worker processes; more than one needs PostgreSQL, which this version does not support yet")
    journal: Folder = Field(Path("STATE/journal"), description="send journal, best on another disk than the store")

    @field_validator("workers")
    @classmethod
    def _one_worker(cls, value: int) -> int:
        if value > 1:
            raise BadValue("not supported yet: SQLite has one writer, so there is one process (1)")
        return value

    @property
    def database(self) -> Path:
        """The file of the SQLite store."""
        return Path(self.store.removeprefix("sqlite:"))


class HttpTable(Table):
    """The two listeners: one for operators, one for the world."""

    listen: Listen = Field(Address("127.0.0.1", 8025), description="API, metrics: keep it on loopback or behind TLS")
    public_listen: Listen = Field(Address("127.0.0.1", 8026), description="links, webhooks, push: what recipients and providers reach")
    public_url: str = Field("", description='how the world reaches public_listen, as "https://go.example.com"; empty: http://PUBLIC_LISTEN')
    trusted_proxies: tuple[Network, ...] = Field((), description="networks whose X-Forwarded-For is believed")

    @field_validator("public_url")
    @classmethod
    def _url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise BadValue(f'must start with "https://" or "http://" (got "{value}")')
        return value.rstrip("/")

    @property
    def public_base(self) -> str:
        """`public_url`, or else what `public_listen` says; without a slash at its end."""
        return self.public_url or f"http://{self.public_listen}"


class SpoolTable(Table):
    """Where marketing tools drop job files."""

    path: Folder = Field(Path("STATE/spool"), description="one folder a queue below it, each with tmp, new, done, failed")
    owners: tuple[Text, ...] = Field((), description="users whose files are taken, beside the daemon's own and root's")
    group: str = Field("", description="group of the queue folders (mode 2770); empty: the daemon's own")

    @field_validator("owners")
    @classmethod
    def _owners(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            values.user_id(name)
        return names

    @field_validator("group")
    @classmethod
    def _group(cls, name: str) -> str:
        if name:
            values.group_id(name)
        return name

    @property
    def owner_ids(self) -> frozenset[int]:
        """The numeric ids of `owners`."""
        return frozenset(map(values.user_id, self.owners))

    @property
    def group_id(self) -> int | None:
        return values.group_id(self.group) if self.group else None


class IntakeTable(Table):
    """What a job may be."""

    unexpected_max: Whole = Field(1000, description="a larger job without expected_count is held")
    max_recipients: Count = Field(10_000_000, description="a larger job is refused")
    late_grace: Duration = Field(30 * MINUTE, description="a start after a longer silence, with work overdue, is held")


class WindowFields(Table):
    """Local hours when sending is allowed, half-open [start, end): start and end with days, or hours; never both."""

    start: Text | None = Field(None, description='"09:00"')
    end: Text | None = Field(None, description='"21:00"; "24:00" is allowed; before start = over midnight')
    days: Texts | None = Field(None, description='["mon-fri"]; default all')
    hours: Texts | None = Field(None, description='["mon-fri 09:00-12:00", "sat 22:00-02:00"]: a range belongs to the day it opens on')
    closed: Texts | None = Field(None, description='["2027-03-20", "fri 11:30-13:30"]')


class WindowTable(WindowFields):
    """When recipients may be written to, in their own local time. Everything that applies is intersected."""

    DEFAULTS: ClassVar[Mapping[str, str]] = {"start": "09:00", "end": "21:00"}

    start: Text | None = Field(None, description="local time at which it opens", json_schema_extra={"default": "09:00"})
    end: Text | None = Field(
        None, description='and closes; "24:00" is allowed; before start: over midnight', json_schema_extra={"default": "21:00"}
    )
    days: Texts | None = Field(None, description="days on which it opens", json_schema_extra={"default": ["mon-sun"]})
    closed: Texts | None = Field(None, description='["2027-03-20", "fri 11:30-13:30"]: dates and ranges', json_schema_extra={"default": []})
    channels: Mapping[Name, WindowFields] = Field({}, description="[window.channels.sms]: the same keys, for one channel")
    countries: Mapping[Country, WindowFields] = Field({}, description="[window.countries.US]: the same keys, for one country")


class CapTable(Table):
    """A frequency cap: how many touches a person may get in a period."""

    name: Name = Field(description="its name in explain and reports: cap.NAME")
    limit: Positive = Field(description="touches, or units, in the period")
    rolling: Duration | None = Field(None, description='period (now - 7d, now], as "7d"; exactly one of rolling and calendar')
    calendar: Literal["day", "week", "month"] | None = Field(None, description="of the recipient's zone, week from Monday")
    channels: tuple[Name, ...] = Field((), description="only these channels count; empty: all")
    topics: tuple[Name, ...] = Field((), description="only these topics count; empty: all")
    campaign: str = Field("", description="only this campaign counts; empty: all")
    count: Literal["touches", "units"] = Field("touches", description="units: weighted by [weights]")
    on_cap: Literal["defer", "drop"] = Field("defer", description="over the cap: wait until the slot frees, or drop")

    @field_validator("rolling")
    @classmethod
    def _long_enough(cls, value: int | None) -> int | None:
        if value is not None and not 0 < value <= 400 * DAY:
            raise BadValue("must be longer than 0 and at most 400d")
        return value


class WeightsTable(Table):
    """Units of a touch, by channel, for caps with count = "units"; other channels weigh 1."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Number] = Field(init=False)

    sms: Number = Field(3, description="units of an SMS")
    email: Number = Field(1, description="units of an e-mail")
    push: Number = Field(0.5, description="units of a web push")
    audience_day: Number = Field(0.2, description="units of a day in a retargeting audience")


Consent = Literal["implied", "explicit", "double_opt_in"]


def _day_keys(value: Any) -> Any:
    for key in value if isinstance(value, dict) else ():
        if not key.endswith("_days") or key == "_days":
            raise BadValue(f'has keys of the form CHANNEL_days (got "{key}")', f"{key}_days")
    return value


class ConsentTable(Table):
    """What a recipient without a recorded consent means: implied = may be written to. Other channels by their names."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Consent] = Field(init=False)

    email: Consent = Field("implied", description="implied, explicit or double_opt_in")
    sms: Consent = Field("explicit", description="implied, explicit or double_opt_in")
    push: Consent = Field("explicit", description="implied, explicit or double_opt_in")
    countries: Mapping[Country, Annotated[Mapping[str, Count], BeforeValidator(_day_keys)]] = Field(
        {}, description="[consent.countries.CA] email_days = 730: where implied consent ends; not supported yet"
    )

    @property
    def channels(self) -> Mapping[str, str]:
        """Channel -> its rule; a channel that is not here is explicit."""
        return {"email": self.email, "sms": self.sms, "push": self.push, **(self.__pydantic_extra__ or {})}


class TopicTable(Table):
    """[topics.NAME]: what a person can opt out of. `title` in the default language, `"title.fa"` in others."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Text] = Field(init=False)

    title: Text = Field(description='its title; "title.fa" (in quotes) in another language')

    @property
    def titles(self) -> Mapping[str, str]:
        """Locale -> title; "" is the default one."""
        return {"": self.title} | {key.removeprefix("title."): text for key, text in (self.__pydantic_extra__ or {}).items()}


class WarmUpShare(Table):
    """The ceilings of one group of domains."""

    first_day: Count = Field(description="messages of the first day")
    until: Count = Field(description="the day that would reach this has no ceiling")


class WarmUpTable(Table):
    """[providers.NAME.warm_up]: a new sender's first days, each with a ceiling of messages. What exceeds it waits for the next day."""

    start: Annotated[str, BeforeValidator(values.parse_day)] = Field(description="the first day, of default_zone; before it nothing goes")
    first_day: Count = Field(description="messages of the first day")
    growth: Annotated[float, Strict(), Field(ge=1, le=10, allow_inf_nan=False)] = Field(1.5, description="each day times the one before")
    until: Count = Field(description="the day that would reach this has no ceiling: the warm-up is over")
    domains: Mapping[Destination, WarmUpShare] = Field(
        {}, description='the same by domain or mail hosts: { "*.google.com" = { first_day = 50, until = 20000 } }'
    )  # fmt: skip


class ProviderTable(Table):
    """[providers.NAME]: a configured channel plugin. All other keys are the plugin's own."""

    model_config = ConfigDict(extra="allow")

    plugin: Name = Field(description="name of the plugin: smtp, webhook, .. (docs/channels.md), or one of plugin_dirs")
    rate: RateText | None = Field(None, description='at most so many messages: "100/s", "600/m"; none: no limit')
    domains: Mapping[Destination, RateText] = Field(
        {},
        description='by destination: a domain, all whose mail hosts (MX) lie below a name, each other domain together:'
        ' { "gmail.com" = "20/s", "*.google.com" = "50/s", "*" = "90/s" }',
    )  # fmt: skip
    warm_up: WarmUpTable | None = Field(None, description="ceilings of a new sender's first days; none: no warm-up")
    cost: Number = Field(0, description="what a message costs, in [shop] currency; a plugin with prices has its own")

    @property
    def settings(self) -> Mapping[str, Any]:
        """The plugin's own keys; references to secrets are `plugins.Secret` by now."""
        return self.model_extra or {}


class QueueTable(Table):
    """[queues.NAME]: a line of jobs, normally one per segment."""

    campaign: str = Field("", description="for jobs that name none")
    weight: Positive = Field(1, description="its share of the sending beside the other queues")
    max_recipients: Whole = Field(0, description="a larger job is held; 0: only [intake] max_recipients holds")


class TierTable(Table):
    """Thresholds of a value tier."""

    orders: Whole = Field(0, description="orders")
    value: Number = Field(0, description="money, in [shop] currency")


def _currency(value: Any) -> str:
    code = values.text(value)
    if len(code) != 3 or not code.isascii() or not code.isalpha() or not code.isupper():
        raise BadValue(f'must be a currency of three capital letters (got "{code}")', code.upper() if len(code) == 3 else None)
    return code


class ShopTable(Table):
    """Money and value: for segments and reports."""

    currency: Annotated[str, BeforeValidator(_currency)] = Field("USD", description="what value and revenue are counted in")
    rates: Mapping[Annotated[str, BeforeValidator(_currency)], Positive] = Field({}, description="one unit of another currency")
    cac: Number = Field(0, description="what a new customer costs; `homing plan` measures a campaign by it")
    margin: Share = Field(1, description="share of revenue that is margin")
    budget: Mapping[Name, Share] = Field({}, description="by channel: at most this share of a campaign's cost, or of its `[value] budget`")
    tiers: Mapping[Name, TierTable] = Field(
        {"high": TierTable(orders=3, value=500), "low": TierTable(orders=1, value=100)},
        description="high: at least both; low: at most orders and less than value; medium: the rest",
    )
    bands: Mapping[Name, Whole] = Field(
        {"early": 30, "mid": 60, "late": 90, "deep": 180}, description="days since the last purchase at which each band starts"
    )


class HoldoutTable(Table):
    """People who get nothing, to measure all campaigns by; each campaign may have a holdout of its own beside it."""

    share: Share = Field(0, description="share of all people, the same ones in every campaign with walks")


class Document(Table):
    """The whole file."""

    homing: HomingTable = Field(default_factory=HomingTable)
    http: HttpTable = Field(default_factory=HttpTable)
    spool: SpoolTable = Field(default_factory=SpoolTable)
    intake: IntakeTable = Field(default_factory=IntakeTable)
    window: WindowTable = Field(default_factory=WindowTable)
    cap: tuple[CapTable, ...] = ()
    weights: WeightsTable = Field(default_factory=WeightsTable)
    consent: ConsentTable = Field(default_factory=ConsentTable)
    topics: Mapping[Name, TopicTable] = {}
    providers: Mapping[Name, ProviderTable] = {}
    queues: Mapping[Name, QueueTable] = {}
    shop: ShopTable = Field(default_factory=ShopTable)
    holdout: HoldoutTable = Field(default_factory=HoldoutTable)
    retention: RetentionTable = Field(default_factory=RetentionTable)
    notify: tuple[NotifyTable, ...] = ()


def table_at(path: tuple[str | int, ...]) -> type[Table] | None:
    """The model of the table at a path, if there is one: `("providers", "relay")` is `ProviderTable`."""
    current: Any = Document
    for key in path:
        if get_origin(current) is Annotated:
            current = get_args(current)[0]
        if get_origin(current) is UnionType:
            current = get_args(current)[0]  # a table, or None
        if isinstance(current, type) and issubclass(current, Table):
            field = current.model_fields.get(str(key))
            current = field.annotation if field else None
        elif get_origin(current) is Mapping:
            current = get_args(current)[1]
        elif get_origin(current) is tuple:
            current = get_args(current)[0]
        else:
            return None
    if get_origin(current) is UnionType:
        current = get_args(current)[0]
    return current if isinstance(current, type) and issubclass(current, Table) else None


NOT_YET: Mapping[str, str] = {
    "attribution": "not supported yet: this version attributes no revenue",
}
"""Tables of later versions, refused because to ignore them would mislead."""
