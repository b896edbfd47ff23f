"""The words that Homing and an advertising platform's plugin share: audiences as state, not messages.

An audience is a set of people at a platform. The daemon keeps what it should hold and what the platform acknowledged, and asks the
plugin only for differences, at most `AudienceCapabilities.batch` members at a time; what was cut off (a crash, no answer) is asked for
again, so a plugin's `sync` must be safe to repeat. Addresses are hashed by the plugin, as its platform wants them, and go nowhere else:
no log, no URL. Re-exported by `plugins`; imports nothing of `daemon`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from plugins.contract import Context, Deferred, Rejected, Unknown

MAX_HANDLE = 96
"""Bytes of a handle at most."""

ConsentWord = Literal["granted", "denied", "unknown"]


class Member(NamedTuple):
    """One person. To be added: the plain values that are known, None where nothing is. To be removed: `key` and `handle` alone.

    phone: E.164 with "+" · country: two letters · ad_user_data, ad_personalization: what the person said to the use of the data for
    advertising ("unknown": nothing was recorded, and the operator's config allows it so).
    """

    key: str
    """The recipient's id. Only for reports: it is not sent."""
    email: str | None = None
    phone: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    country: str | None = None
    city: str | None = None
    state: str | None = None
    postal: str | None = None
    ad_user_data: ConsentWord = "unknown"
    ad_personalization: ConsentWord = "unknown"
    handle: bytes = b""
    """What `AudienceChannel.handles` made of this member when it was added: by it alone it can be removed, even after its address
    has changed or was erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """A set at the platform. `remote_id` is the platform's own id, None until `ensure` has told it.

    session, sequence, last, total: the series of batches that this one belongs to, for platforms that count them. `session` is unique in
    the installation (63 bits), `sequence` counts from 1, `total` is how many members the series will have, as far as is known now. A
    batch that is asked for again keeps its place.
    """

    name: str
    remote_id: str | None = None
    description: str = ""
    session: int = 0
    sequence: int = 1
    last: bool = True
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceCapabilities:
    """batch: members that one `sync` gets at most · removes: the platform takes members out again · asynchronous: it answers later, to
    `poll` · poll_seconds: how long to wait before asking."""

    batch: int = 10_000
    removes: bool = True
    asynchronous: bool = False
    poll_seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """The platform took the batch. `received`, `invalid`: rows by its own count; None = it does not say. `request`: it will answer later,
    when `poll` asks for this id."""

    received: int | None = None
    invalid: int = 0
    request: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRefused:
    """The platform never takes this one (or there is nothing to match it by): it is left out and listed under `reason`, a short word."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLost:
    """The platform no longer knows the series of this batch, or holds it for finished: it is sent anew as the first of a new one."""

    code: str
    detail: str | None = None


SyncOutcome = Synced | RowRefused | SessionLost | Deferred | Rejected | Unknown
"""What a plugin reports of a batch: rows that are refused, as many as there are, and one of the others, once.

`Deferred`: nothing was changed, try again (`scope` "provider": leave the platform alone for `after`; "operator": until an operator has
mended it; "message": this batch alone) · `Rejected`: this audience is not taken any more (blocked, against a policy), or this batch never
will be · `Unknown`: it may have been taken; it is sent again."""

Report = Callable[[SyncOutcome], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """What became of a request that the platform took. `failed`: rows by reason · unknown: the platform does not know the request."""

    request: str
    state: Literal["processing", "success", "partial", "failed", "unknown"]
    received: int | None = None
    failed: Mapping[str, int] = field(default_factory=dict)
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many people the platform says that an audience has: between `least` and `most`."""

    least: int
    most: int


class AudienceChannel(Protocol):
    """A plugin for an advertising platform (hook `register_audiences`). Its provider tables are never sending lines.

    It may also have `async poll(requests: Sequence[str]) -> Sequence[Polled]` (needed where `asynchronous`) and
    `async size(audience: Audience) -> Size | None`, which the drift report shows. Either may raise; the daemon asks again later.
    """

    @property
    def name(self) -> str:
        """What `plugin = ".."` in a `[providers.NAME]` table names. This and the next are attributes of the class."""
        ...

    @property
    def settings_type(self) -> type[Any]:
        """A frozen dataclass; the loader checks the provider's keys against it."""
        ...

    @property
    def capabilities(self) -> AudienceCapabilities:
        """Read after `start`."""
        ...

    async def start(self, context: Context[Any]) -> None: ...
    async def stop(self) -> None: ...

    def handles(self, members: Sequence[Member]) -> Sequence[bytes]:
        """By what each of these members could be removed again: at most MAX_HANDLE bytes, no plain address, the same for the same address
        always; empty = there is nothing that the platform could match. Quick and without I/O: called for some hundreds at a time."""
        ...

    async def ensure(self, audience: Audience) -> str | Deferred | Rejected | Unknown:
        """The platform's id of an audience that has none yet; make it there if it is missing. Asked again after a crash, so look for one
        of this name first where the platform can be asked."""
        ...

    async def sync(self, audience: Audience, add: Sequence[Member], remove: Sequence[Member], report: Report) -> None:
        """Put these in and take those out; `audience.remote_id` is set. At most `capabilities.batch` in all, normally all of one kind.
        Report what became of it before returning; nothing reported, or raised, counts as `Unknown`."""
        ...
