"""FLOOR 5, web: what the API asks of the rest of the daemon for the operators, as one Protocol.

The composition root hands in an object that fulfils it (acts of `daemon/store/operate.py`, the gate, the catalogue); the
command line uses the same object when no daemon runs. Answers are JSON-ready mappings (instants as RFC 3339 text through
`daemon.clock.iso`, deliveries as `encode_id` text) and go out as they are. What cannot be done is raised:
`NotFoundError` (404), `GuardRefusedError` (409, its text names the number or command that would allow it), `UsageError` (422).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Json = Mapping[str, Any]
"""A JSON object, ready to be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some items of a list. `next`: the position to go on from (JSON scalars, in the list's own order), None at the end."""

    items: Sequence[Json]
    next: Sequence[str | int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which held things are meant: all of those that fit every field that is given. All None = everything held."""

    reason: str | None = None
    campaign: str | None = None
    queue: str | None = None
    job: str | None = None
    delivery: int | None = None


class Operations(Protocol):
    """The operators' words, one method each. `expect` = how many the operator means to touch; a different count is refused."""

    async def list_queues(self) -> Sequence[Json]:
        """`{"queue", "paused", "campaign", "weight", "jobs" (open), "deliveries" {state: n}, "oldest_due" | null, "next_due" | null}`."""
        ...

    async def pause_queue(self, name: str) -> Json:
        """-> the queue as in `list_queues`. Nothing of it is sent until it is resumed; what is in flight may still go."""
        ...

    async def resume_queue(self, name: str) -> Json: ...

    async def cancel_queue(self, name: str, *, expect: int | None) -> Json:
        """Cancel its open jobs. -> `{"queue", "cancelled": jobs, "deliveries": n}`; `expect` counts deliveries not yet ended."""
        ...

    async def list_campaigns(self) -> Sequence[Json]:
        """`{"campaign", "status", "version", "digest", "purpose", "topic", "starts", "ends", "jobs" (open), "deliveries" {state: n}}`."""
        ...

    async def show_campaign(self, name: str) -> Json:
        """The same, and `steps`, `locales`, `window`, `files`, `enrols`, `goal`, `exits`, `holdout`."""
        ...

    async def start_campaign(self, name: str) -> Json:
        """draft | paused -> active. -> the campaign as in `list_campaigns`."""
        ...

    async def pause_campaign(self, name: str) -> Json: ...

    async def resume_campaign(self, name: str) -> Json: ...

    async def move_campaign(self, name: str, *, dry_run: bool) -> Json:
        """Open walks go on by the newest version. -> `{"campaign", "to": version, "from": [{"version", "walks", "changes": [text]}],
        "moved": walks}`; a dry run moves none."""
        ...

    async def archive_campaign(self, name: str) -> Json:
        """draft | paused -> archived. -> the campaign as in `list_campaigns`."""
        ...

    async def test_campaign(self, name: str, *, to: Sequence[str], locale: str | None, recipient: str | None) -> Json:
        """Send each step once to addresses that `[homing] test_addresses` names. -> `{"campaign", "job", "sent": [..]}`."""
        ...

    async def list_held(self, selection: Selection, *, after: Sequence[str | int] | None, limit: int) -> Page:
        """Groups of held jobs and deliveries: `{"kind": "job" | "deliveries", "reason", "campaign", "queue", "job", "count",
        "since", "key", "remedy", "example" {"delivery", "recipient", "detail"} | null}`."""
        ...

    async def release_held(self, selection: Selection, *, expect: int | None) -> Json:
        """-> `{"released": n}`: due again now, decided anew; held jobs go on."""
        ...

    async def cancel_held(self, selection: Selection, *, expect: int | None) -> Json:
        """-> `{"cancelled": n}`."""
        ...

    async def list_doubts(self, *, after: Sequence[str | int] | None, limit: int) -> Page:
        """`{"delivery", "recipient", "campaign", "step", "channel", "provider", "job", "handed_over_at", "attempts": [{"n", "at",
        "outcome", "code", "detail"}]}`, oldest first."""
        ...

    async def resolve_doubt(self, delivery: int, *, sent: bool) -> Json:
        """`sent`: accepted, the touch stays. Not sent: due again, the touch is given back. -> `{"delivery", "state"}`."""
        ...

    async def gate(self) -> Json:
        """`{"open": bool, "holds": {reason: detail}, "backlog": n}`: what holds all sending; `backlog` = what `start_all` expects."""
        ...

    async def stop_all(self, *, detail: str) -> Json:
        """The kill switch: row and file. -> `gate()`."""
        ...

    async def start_all(self, *, expect: int, accept_clock: bool, accept_restore: bool) -> Json:
        """Lift it. Refused when `expect` differs from the backlog, or a hold stays that was not accepted. -> `gate()`."""
        ...

    async def audiences(self, *, provider: str | None) -> Json:
        """`{"providers": [{"provider", "state", "detail", "rests_seconds"}], "audiences": [{"campaign", "provider", "name", "remote_id",
        "origin", "wanted", "acknowledged", "unproved", "pending" {add, remove, since}, "failed" {reason: n}, "batches", "last_sync",
        "platform" {received, size, asked_at, drift}, "blocked", "trouble"}]}`."""
        ...

    async def sync_audiences(self, *, provider: str | None) -> Json:
        """Bring them up to date now: pauses, blocks and refusals end, sizes are asked for anew. -> `audiences()` as it begins."""
        ...

    async def audit(self) -> Json:
        """`{"audited_to" | null, "judged", "unjudged", "found", "open", "findings": [{"kind", "rule", "delivery", "at", "facts"}]}`: what
        the audit found and no operator has accepted."""
        ...

    async def accept_findings(self, *, expect: int) -> Json:
        """They were seen. Refused when `expect` is not their number. -> `audit()`."""
        ...

    async def providers(self) -> Sequence[Json]:
        """`{"provider", "channel" | null, "breaker": "closed" | "open" | "half_open" | "stopped", "detail" | null, "retry_at" | null,
        "in_hand", "rate" | null}`; `detail`: what it last failed with, until it answers again. Empty when no daemon runs."""
        ...

    async def notices(self) -> Sequence[Json]:
        """The targets of [[notify]]: `{"target", "waiting", "lag_seconds", "told", "lost", "error" | null, "failing_since" | null,
        "again_at" | null}`. Empty when no daemon runs."""
        ...

    async def reload(self) -> Json:
        """Read config and campaigns again, as SIGHUP does. -> `{"reloaded": true}`; ConfigError keeps the old ones (422)."""
        ...
