"""The words that Homing and a channel plugin share: what goes in (`Message`, `Context`, `Session`), what comes out (`Outcome`).

Everything a plugin author may rely on is here and re-exported by `plugins`. Nothing here imports `daemon`: the daemon
satisfies `Context` and `Session` by shape. Instants are timezone-aware UTC `datetime`; durations are seconds as float.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    import random

    import aiohttp

API_VERSION = 1
"""Raised when a plugin written for the older socket can no longer work. A plugin names the one it was written for."""

GRANT_SECONDS = 10.0
"""A grant is good for this long on the monotonic clock; past it the bytes must not start."""

Scope = Literal["message", "address", "domain", "provider", "operator"]
"""Whom an outcome concerns: this message · its address (suppress it) · its domain (slow it) · the provider (throttle or
breaker) · the operator (the provider stops, no attempt is burnt, an alert is raised)."""


UNSUBSCRIBED = "unsubscribed"
"""The code of a `Rejected` of the scope `address` by which the provider says that the person opted out with it."""


class Secret:
    """A value that never shows itself in a log, a repr or a traceback; `reveal()` is the only way to read it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not to be pickled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One delivery, rendered, for one recipient over one channel.

    `text` and `html` are strings; `text_pieces` and `html_pieces` are the same bodies in pieces, where the template's
    own text is the *same* `str` object in every message of a template, so that a channel may encode it once.
    `addresses`: all of the recipient's addresses that the channel may use for this one delivery, `address` the first: one e-mail address or
    phone; each push subscription, as JSON text.
    `head` has the template's head lines beyond the subject (`preheader`, `title`, `icon`..) plus `from`, `from_name`,
    `reply_to` where the campaign sets them.
    """

    id: str
    address: str
    addresses: tuple[str, ...] = ()
    channel: str
    recipient: str
    locale: str | None = None
    campaign: str
    step: str
    variant: str | None = None
    subject: str = ""
    text_pieces: tuple[str, ...] = ()
    html_pieces: tuple[str, ...] = ()
    head: Mapping[str, str] = field(default_factory=dict)
    unsubscribe_url: str | None = None
    created_at: datetime
    expires_at: datetime
    ttl: float
    attempt: int = 1
    token: str | None = None
    """Proof of this delivery for what comes back from the recipient's own device (a push that was clicked): `POST /push/clicks`."""
    copy: bool = False
    """A second copy after a doubt (`on_doubt = "resend_once"`): mark it where the channel can."""
    test: bool = False

    @property
    def text(self) -> str:
        return "".join(self.text_pieces)

    @property
    def html(self) -> str:
        return "".join(self.html_pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The provider took the message and answers for it from here on.

    `gone`, as in each outcome: those of `Message.addresses` that the provider says are dead for good. They are removed with the outcome,
    in one transaction, whatever became of the message. Only for addresses of which a recipient has several (push).
    """

    provider_id: str | None = None
    detail: str | None = None
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The provider surely did not take it and never will.

    Of the scope `address` it is dead, but with the code `UNSUBSCRIBED`: the person told the provider to stop. Then it is closed for
    marketing until the person says START there.
    """

    scope: Scope = "message"
    code: str | None = None
    detail: str | None = None
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """The provider surely did not take it; a later try may succeed.

    `after` is a `Retry-After` header value (seconds or an HTTP date) or seconds. `nothing_sent=True` gives an unused
    grant back: no byte that could be acted upon left this process. `throttled=True` says that the answer was about
    rate (421, 450 4.7.x, 429): it lowers the rate and uses up no attempt.
    """

    scope: Scope = "message"
    after: str | float | None = None
    code: str | None = None
    detail: str | None = None
    nothing_sent: bool = False
    throttled: bool = False
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """The provider may have taken it: never sent again by the machine, listed as in doubt with this evidence."""

    code: str | None = None
    detail: str | None = None
    gone: tuple[str, ...] = ()


Outcome = Accepted | Rejected | Deferred | Unknown


class NotSent(Exception):
    """Raise it in `send_one` when surely nothing left this process; any other exception there is `Unknown`."""


class SettingError(ValueError):
    """Raise it in a settings dataclass's `__post_init__`: the operator is told the file, line and key it concerns.

    `key` as it is written in the config (`from`, not `from_`); empty if it is about several. Several problems at once:
    raise an `ExceptionGroup` of them.
    """

    def __init__(self, key: str, what: str) -> None:
        super().__init__(f"{key}: {what}" if key else what)
        self.key = key
        self.what = what


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a channel can do; the daemon plans by it.

    concurrency: how many `send()` calls may run at once (for SMTP: connections) · spare: so many more, only while others of them wait
    for an answer much longer than is usual · batch: messages a `send()` gets ·
    unit: messages that one irreversible act carries (1 for SMTP, SMS, push; n for a bulk API) · max_text: characters
    of text accepted, None = no limit · idempotent: seconds for which the provider honours `Message.id` as a key, 0 = not:
    `SimpleChannel` then asks again after an `Unknown` while the grant lasts, under the same id ·
    daily_spend: the most that may be spent in a day, in the currency of the channel's `price`, None = no limit.
    """

    concurrency: int = 8
    batch: int = 50
    unit: int = 1
    max_text: int | None = None
    idempotent: float = 0.0
    spare: int = 0
    daily_spend: float | None = None


class Clock(Protocol):
    """Time as the daemon sees it; simulated in rehearsals."""

    def now(self) -> datetime: ...
    def monotonic(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


class Dns(Protocol):
    """Bounded, cached, coalescing resolver."""

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]: ...


class Stream(Protocol):
    """One open byte stream, as `Context.open_stream` gives it."""

    async def read(self, limit: int) -> bytes: ...
    def write(self, data: bytes) -> None: ...
    async def drain(self) -> None: ...
    def close(self) -> None: ...


class OpenStream(Protocol):
    async def __call__(self, host: str, port: int, *, tls: bool = False, timeout: float = 30.0) -> Stream: ...


class Log(Protocol):
    """structlog-shaped; recipients' addresses and names are hashed by a processor when bound as such."""

    def bind(self, **fields: Any) -> Log: ...
    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...


S = TypeVar("S")


@dataclass(frozen=True, kw_only=True)
class Context(Generic[S]):
    """All that a plugin gets from the world. A plugin that uses nothing else can be simulated.

    `hook_url`: the public address of this provider's `/hooks/NAME`, None if the config has no public address · `sign`: a
    delivery id as a token; a request to `hook_url?t=TOKEN` arrives with `WebhookRequest.delivery` set.
    """

    provider: str
    settings: S
    clock: Clock
    rng: random.Random
    dns: Dns
    open_stream: OpenStream
    http: aiohttp.ClientSession
    log: Log
    hook_url: str | None = None
    sign: Callable[[str], str] = str


class Session(Protocol):
    """One `send()` call's line to the daemon."""

    async def handover(self, ids: Sequence[str]) -> frozenset[str]:
        """Ask leave, right before the bytes that may be acted upon, for no more ids than go out in that write or request.

        Returns the granted ids: durably recorded as handed over, good for `GRANT_SECONDS`. What is not granted must
        not be sent and needs no report. Commits all outcomes reported before it in the same transaction; with no ids, just that: worth
        asking for before a long wait.
        """
        ...

    def report(self, id: str, outcome: Outcome) -> None:
        """Say what became of a message, once each, as soon as it is known. Not reported when `send` returns or raises:
        handed over = `Unknown`, else back to due."""
        ...

    @property
    def closing(self) -> bool:
        """True when the daemon drains: finish what is handed over, start nothing new, return."""
        ...


class Channel(Protocol):
    """The full form of a channel plugin. `SimpleChannel` is the short one."""

    @property
    def name(self) -> str:
        """What `plugin = ".."` in a `[providers.NAME]` table names. This and the next three are attributes of the class."""
        ...

    @property
    def channel(self) -> str:
        """What the recipient perceives: email, sms, push, call.."""
        ...

    @property
    def address(self) -> str:
        """Which address it needs: `email`, `phone`, `push`, or `recipient` (none: the id itself)."""
        ...

    @property
    def settings_type(self) -> type[Any]:
        """A frozen dataclass; the loader checks the provider's keys against it."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """Read after `start`, so that it may follow the settings."""
        ...

    async def start(self, context: Context[Any]) -> None: ...
    async def send(self, batch: Sequence[Message], session: Session) -> None: ...
    async def stop(self) -> None: ...
