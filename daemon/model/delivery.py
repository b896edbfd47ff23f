"""A delivery's states, the decisions taken about it, and the closed list of reasons.

The tables here are the law for store, policy, CLI and docs: `docs/architecture.md` draws the states from `TRANSITIONS`,
`docs/reasons.md` prints `REASONS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

Instant = int
"""Microseconds of UTC since 1970-01-01."""

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class State(StrEnum):
    """Where a delivery is (design: the life of a delivery)."""

    PLANNED = "planned"
    DUE = "due"
    CLAIMED = "claimed"
    HANDED_OVER = "handed_over"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    IN_DOUBT = "in_doubt"
    DROPPED = "dropped"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    HELD_OUT = "held_out"
    HELD = "held"


FINAL = frozenset({State.ACCEPTED, State.REJECTED, State.DROPPED, State.EXPIRED, State.CANCELLED, State.HELD_OUT})

TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.PLANNED: frozenset({State.DUE, State.HELD, State.DROPPED, State.EXPIRED, State.CANCELLED, State.HELD_OUT, State.IN_DOUBT}),
    State.DUE: frozenset({
        State.CLAIMED, State.HELD, State.DROPPED, State.EXPIRED, State.CANCELLED, State.HELD_OUT, State.IN_DOUBT,
        State.ACCEPTED,
    }),
    State.CLAIMED: frozenset({
        State.HANDED_OVER, State.DUE, State.HELD, State.DROPPED, State.EXPIRED, State.CANCELLED, State.ACCEPTED, State.REJECTED, State.IN_DOUBT,
    }),
    State.HANDED_OVER: frozenset({State.ACCEPTED, State.REJECTED, State.IN_DOUBT, State.DUE, State.EXPIRED}),
    State.IN_DOUBT: frozenset({State.ACCEPTED, State.REJECTED, State.DUE}),
    State.HELD: frozenset({State.DUE, State.DROPPED, State.EXPIRED, State.CANCELLED, State.IN_DOUBT, State.ACCEPTED}),
    State.ACCEPTED: frozenset(),
    State.REJECTED: frozenset({State.ACCEPTED}),
    State.DROPPED: frozenset(),
    State.EXPIRED: frozenset(),
    State.CANCELLED: frozenset(),
    State.HELD_OUT: frozenset(),
}
"""`claimed -> rejected`: refused before anything irreversible (at MAIL or RCPT). `handed_over -> due`: a sure failure, or an
unused grant given back. `in_doubt -> due`: an operator says that it was not sent. `planned|due|held -> in_doubt`: the send journal
knows it, or a second copy will not go and the first one's fate is unknown. `claimed -> accepted|in_doubt`: a plugin sent without leave. `due|held -> accepted`: the provider reports that it has it after
all. `rejected -> accepted`: as before, where a report had made it rejected."""


class Verdict(StrEnum):
    SEND = "send"
    DEFER = "defer"
    HOLD = "hold"
    DROP = "drop"


class Reason(StrEnum):
    """Why a delivery is not (yet) sent. Closed: a new one needs a row in `REASONS`."""

    SUPPRESSED = "suppressed"
    NO_CONSENT = "no_consent"
    TOPIC_OFF = "topic_off"
    PAUSED_BY_RECIPIENT = "paused_by_recipient"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    ERASED = "erased"
    MERGED = "merged"
    BELOW_COST = "below_cost"
    OVER_BUDGET = "over_budget"
    NO_ADDRESS = "no_address"
    INVALID_ADDRESS = "invalid_address"
    EXITED = "exited"
    LEFT_SEGMENT = "left_segment"
    CONVERTED = "converted"
    ALREADY_ENROLLED = "already_enrolled"
    NOT_NEEDED = "not_needed"
    CAMPAIGN_PAUSED = "campaign_paused"
    CAMPAIGN_NOT_STARTED = "campaign_not_started"
    CAMPAIGN_ENDED = "campaign_ended"
    LATE = "late"
    WINDOW_CLOSED = "window_closed"
    QUIET_HOURS = "quiet_hours"
    HOLIDAY = "holiday"
    COUNTRY_BLOCKED = "country_blocked"
    ZONE_UNKNOWN = "zone_unknown"
    WINDOW_NEVER_OPENS = "window_never_opens"
    CAP_REACHED = "cap_reached"
    YIELDED_TO_PRIORITY = "yielded_to_priority"
    RATE_LIMITED = "rate_limited"
    BREAKER_OPEN = "breaker_open"
    CHANNEL_UNAVAILABLE = "channel_unavailable"
    HELD_OUT = "held_out"
    VARIANT_PENDING = "variant_pending"
    OFFER_EXPIRED = "offer_expired"
    NO_CODE = "no_code"
    SPEND_LIMIT = "spend_limit"
    DUPLICATE = "duplicate"
    RENDER_ERROR = "render_error"
    TOO_LARGE = "too_large"
    CONTENT_BLOCKED = "content_blocked"
    CEILING_EXCEEDED = "ceiling_exceeded"
    COUNT_MISMATCH = "count_mismatch"
    APPROVAL_WAIT = "approval_wait"
    CANARY_WAIT = "canary_wait"
    CANARY_FAILED = "canary_failed"
    KILL_SWITCH = "kill_switch"
    CLOCK_UNTRUSTED = "clock_untrusted"
    RESTORED = "restored"
    STORE_DAMAGED = "store_damaged"
    REJECTED_BY_PROVIDER = "rejected_by_provider"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    SUNSET = "sunset"
    TEST_MODE = "test_mode"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class ReasonRule:
    """What a reason does to a delivery and what ends it."""

    verdict: Verdict
    state: State
    remedy: str


_D, _H, _X = Verdict.DEFER, Verdict.HOLD, Verdict.DROP

REASONS: Mapping[Reason, ReasonRule] = {
    Reason.SUPPRESSED: ReasonRule(_X, State.DROPPED, "the address asked not to be contacted; `homing suppressions remove` only with its new consent"),
    Reason.NO_CONSENT: ReasonRule(_X, State.DROPPED, "record consent with source and time, or set [consent] for the channel"),
    Reason.TOPIC_OFF: ReasonRule(_X, State.DROPPED, "the recipient opted out of this topic"),
    Reason.PAUSED_BY_RECIPIENT: ReasonRule(_D, State.DUE, "ends by itself when the recipient's pause ends"),
    Reason.BOUNCED: ReasonRule(_X, State.DROPPED, "the address bounced; bring a new one"),
    Reason.COMPLAINED: ReasonRule(_X, State.DROPPED, "the recipient complained; never contact again"),
    Reason.ERASED: ReasonRule(_X, State.DROPPED, "the recipient was erased"),
    Reason.BELOW_COST: ReasonRule(_X, State.DROPPED, "the recipient is expected to bring less than the message costs: `[value]` of the campaign"),
    Reason.OVER_BUDGET: ReasonRule(_H, State.HELD, "raise `budget` in the campaign's `[value]`, or the channel's share in `[shop] budget`; then `homing held release`"),
    Reason.MERGED: ReasonRule(_X, State.DROPPED, "the recipient was merged into another, whose own messages go on"),
    Reason.NO_ADDRESS: ReasonRule(_X, State.DROPPED, "the recipient has no address for this channel"),
    Reason.INVALID_ADDRESS: ReasonRule(_X, State.DROPPED, "correct the address in the source and drop a new job"),
    Reason.EXITED: ReasonRule(_X, State.DROPPED, "an exit event ended the walk"),
    Reason.LEFT_SEGMENT: ReasonRule(_X, State.DROPPED, "the recipient left the segment"),
    Reason.CONVERTED: ReasonRule(_X, State.DROPPED, "the recipient did what the campaign wants"),
    Reason.ALREADY_ENROLLED: ReasonRule(_X, State.DROPPED, "the recipient already walks, or lately walked, through this campaign (`again`)"),
    Reason.NOT_NEEDED: ReasonRule(_X, State.DROPPED, "the recipient reacted to what was sent over an earlier channel, or what follows is not for him (`where`)"),
    Reason.CAMPAIGN_PAUSED: ReasonRule(_D, State.DUE, "`homing campaigns resume`, `homing queue resume` or resume the job"),
    Reason.CAMPAIGN_NOT_STARTED: ReasonRule(_D, State.DUE, "waits for `starts`, or for `homing campaigns start`"),
    Reason.CAMPAIGN_ENDED: ReasonRule(_X, State.EXPIRED, "the campaign's `ends` has passed"),
    Reason.LATE: ReasonRule(_X, State.EXPIRED, "it was not sent before its `expires_at`"),
    Reason.WINDOW_CLOSED: ReasonRule(_D, State.DUE, "ends by itself when the recipient's window opens"),
    Reason.QUIET_HOURS: ReasonRule(_D, State.DUE, "ends by itself after the recipient's own quiet hours"),
    Reason.HOLIDAY: ReasonRule(_D, State.DUE, "ends by itself after the closed day"),
    Reason.COUNTRY_BLOCKED: ReasonRule(_X, State.DROPPED, "the country is not allowed for this channel"),
    Reason.ZONE_UNKNOWN: ReasonRule(_H, State.HELD, "give the recipient a zone, phone number or country; or set home_countries or unknown_zone in [homing]"),
    Reason.WINDOW_NEVER_OPENS: ReasonRule(_X, State.EXPIRED, "no instant before `expires_at` is inside all windows; widen the window or the life"),
    Reason.CAP_REACHED: ReasonRule(_D, State.DUE, "ends by itself when the oldest counted touch ages out"),
    Reason.YIELDED_TO_PRIORITY: ReasonRule(_D, State.DUE, "a delivery of higher priority took the slot; ends by itself when a slot frees"),
    Reason.RATE_LIMITED: ReasonRule(_D, State.DUE, "ends by itself; raise `rate` of the provider if it allows more"),
    Reason.BREAKER_OPEN: ReasonRule(_D, State.DUE, "the provider fails; ends by itself when it answers again"),
    Reason.CHANNEL_UNAVAILABLE: ReasonRule(_H, State.HELD, "configure a provider for the channel, or mend the one that stopped; then `homing held release`"),
    Reason.HELD_OUT: ReasonRule(_X, State.HELD_OUT, "the recipient is in the holdout"),
    Reason.VARIANT_PENDING: ReasonRule(_D, State.DUE, "waits for the experiment's decision"),
    Reason.OFFER_EXPIRED: ReasonRule(_X, State.EXPIRED, "the offer has ended or has less than `min_left` to go"),
    Reason.NO_CODE: ReasonRule(_H, State.HELD, "import codes into the pool; then `homing held release`"),
    Reason.SPEND_LIMIT: ReasonRule(_D, State.DUE, "the daily spend is used; ends by itself tomorrow"),
    Reason.DUPLICATE: ReasonRule(_X, State.DROPPED, "the recipient already has this delivery"),
    Reason.RENDER_ERROR: ReasonRule(_H, State.HELD, "give the variable, or mend the template and reload; then `homing held release`"),
    Reason.TOO_LARGE: ReasonRule(_H, State.HELD, "the message exceeds the provider's limit; shorten it, then `homing held release`"),
    Reason.CONTENT_BLOCKED: ReasonRule(_H, State.HELD, "the content failed a check; mend the template, then `homing held release`"),
    Reason.CEILING_EXCEEDED: ReasonRule(_H, State.HELD, "the job is larger than declared or allowed; check it, then `homing held release --expect N`"),
    Reason.COUNT_MISMATCH: ReasonRule(_H, State.HELD, "the rows differ from expected_count; check the export, then `homing held release --expect N`"),
    Reason.APPROVAL_WAIT: ReasonRule(_H, State.HELD, "waits for an operator's approval"),
    Reason.CANARY_WAIT: ReasonRule(_D, State.DUE, "waits for the canary's result"),
    Reason.CANARY_FAILED: ReasonRule(_H, State.HELD, "the canary failed; look at `homing held list`"),
    Reason.KILL_SWITCH: ReasonRule(_D, State.DUE, "`homing start --all --expect N`"),
    Reason.CLOCK_UNTRUSTED: ReasonRule(_H, State.HELD, "synchronise the clock, or `homing start --all --accept-clock`"),
    Reason.RESTORED: ReasonRule(_H, State.HELD, "the store is a copy or older than the journal; see docs/operations.md, `homing start --all --accept-restore`"),
    Reason.STORE_DAMAGED: ReasonRule(_H, State.HELD, "the store's file is damaged; put a backup back, see docs/operations.md"),
    Reason.REJECTED_BY_PROVIDER: ReasonRule(_X, State.REJECTED, "it was refused for good; by whom, and in which words, is in `homing explain`"),
    Reason.ATTEMPTS_EXHAUSTED: ReasonRule(_X, State.REJECTED, "each attempt surely failed; the answers are in `homing explain`"),
    Reason.SUNSET: ReasonRule(_X, State.DROPPED, "the recipient reacted to nothing; marketing is suppressed"),
    Reason.TEST_MODE: ReasonRule(_X, State.DROPPED, "test sends go to [homing] test_addresses only"),
    Reason.OPERATOR: ReasonRule(_X, State.CANCELLED, "an operator cancelled it"),
}


class Decision(NamedTuple):
    """What the rules say about one delivery at one instant.

    until: for `defer`, the instant at which to ask again · closes: for `send`, the instant from which it may no longer
    start (the nearer of window close and `expires_at`) · key: for `hold`, what frees it (`recipient:ID`, `operator`..) ·
    checks: (name, "pass" | verdict) in the fixed order · rule: name and version of the deciding rule · facts: the
    numbers from which the verdict can be computed again.
    """

    verdict: Verdict
    reason: Reason | None = None
    until: Instant | None = None
    closes: Instant | None = None
    key: str | None = None
    rule: tuple[str, str] | None = None
    facts: Mapping[str, Any] = MappingProxyType({})
    checks: tuple[tuple[str, str], ...] = ()
