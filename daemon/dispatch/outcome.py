"""Maps what a plugin reports to what the store records: attempts, back-off, the one second copy a campaign may allow.

Pure: the clock's reading and the jitter come in. The closed set `Accepted | Rejected | Deferred | Unknown` leaves no way
out: anything else a plugin says is `Unknown`.
"""

from __future__ import annotations

import random

from daemon.clock import to_datetime
from daemon.dispatch.channels import after_acceptance, after_failure
from daemon.dispatch.work import Envelope
from daemon.model.campaign import Purpose
from daemon.model.delivery import SECOND, Decision, Instant, Reason, Verdict
from daemon.model.words import cut
from daemon.pacing.backoff import Backoff
from daemon.store.claim import decision_json
from daemon.store.flight import Kind, Result
from plugins import http
from plugins.contract import Accepted, Deferred, Rejected, Unknown

BACKOFF = Backoff()
THROTTLED_WAIT = 30 * SECOND


def retry_after(value: str | float | None, now: Instant) -> int | None:
    """Microseconds from a `Retry-After` value (seconds, or an HTTP date), at most a day; None if there is none to read."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        until = http.retry_after(value, to_datetime(now))
        if until is None:
            return None
        seconds = until
    if not seconds >= 0:
        return 0
    return int(min(seconds, 86_400.0) * SECOND)


def to_result(envelope: Envelope, outcome: object, now: Instant, rng: random.Random) -> Result:
    """The row to be recorded for one reported outcome."""
    row, epoch = envelope.claimed.row, envelope.claimed.epoch
    match outcome:
        case Accepted():
            return Result(
                delivery=row.delivery, epoch=epoch, kind=Kind.ACCEPTED, provider_id=cut(outcome.provider_id), detail=cut(outcome.detail),
                gone=_gone(envelope, outcome),
                then=after_acceptance(envelope, now) if envelope.plan.several else None,
            )  # fmt: skip
        case Rejected():
            return Result(
                delivery=row.delivery,
                epoch=epoch,
                kind=Kind.REJECTED,
                scope=outcome.scope,
                code=cut(outcome.code),
                detail=cut(outcome.detail),
                gone=_gone(envelope, outcome),
                then=after_failure(envelope, now) if outcome.scope == "address" else None,
            )
        case Deferred():
            return _deferred(envelope, outcome, now, rng)
        case Unknown():
            code, detail = outcome.code, outcome.detail
        case _:
            code, detail = "plugin", f"the plugin reported {type(outcome).__name__}, which is no outcome"
    campaign = envelope.plan.campaign
    again = campaign.purpose is Purpose.TRANSACTIONAL and campaign.on_doubt == "resend_once" and not row.doubted
    return Result(
        delivery=row.delivery, epoch=epoch, kind=Kind.UNKNOWN, code=cut(code), detail=cut(detail), resend=again,
        gone=_gone(envelope, outcome),
    )  # fmt: skip


def _gone(envelope: Envelope, outcome: object) -> list[bytes]:
    """The subscriptions that the outcome says are dead: of those that the delivery was sent to, no others."""
    gone = getattr(outcome, "gone", ())
    if not gone or not isinstance(gone, tuple | list | set | frozenset):
        return []
    return [address.hash for address in envelope.claimed.push if address.text in gone]


def _deferred(envelope: Envelope, outcome: Deferred, now: Instant, rng: random.Random) -> Result:
    """A throttle answer, an unused grant and a failing provider use up no attempt; the rest does."""
    row = envelope.claimed.row
    burnt = not (outcome.throttled or outcome.nothing_sent or outcome.scope in ("provider", "operator"))
    wait = retry_after(outcome.after, now)
    if wait is None:
        if outcome.throttled or outcome.scope == "provider":
            wait = THROTTLED_WAIT // 2 + int(rng.random() * THROTTLED_WAIT)
        elif outcome.nothing_sent or outcome.scope == "operator":
            wait = 0
        else:
            wait = BACKOFF.delay(row.attempts + 1, rng.random())
    exhausted = burnt and row.attempts + 1 >= BACKOFF.attempts
    return Result(
        delivery=row.delivery, epoch=envelope.claimed.epoch, kind=Kind.DEFERRED, scope=outcome.scope, code=cut(outcome.code),
        detail=cut(outcome.detail), again_at=now + wait, burnt=burnt, exhausted=exhausted,
        gone=_gone(envelope, outcome),
        then=after_failure(envelope, now) if exhausted and outcome.scope == "address" else None,
    )  # fmt: skip


def given_back(envelope: Envelope, now: Instant, turn: Decision | None = None) -> Result:
    """Claimed and not begun: due again, and decided anew; now, or when its turn comes."""
    row, epoch = envelope.claimed.row, envelope.claimed.epoch
    if turn is None:
        return Result(delivery=row.delivery, epoch=epoch, kind=Kind.DEFERRED, again_at=now, burnt=False)
    return Result(
        delivery=row.delivery, epoch=epoch, kind=Kind.DEFERRED, reason=turn.reason, again_at=turn.until, burnt=False,
        decision=decision_json(turn),
    )  # fmt: skip


def held_back(envelope: Envelope, reason: Reason, what: str) -> Result:
    """It cannot be made into a message: an operator has to see to it."""
    claimed = envelope.claimed
    decision = Decision(verdict=Verdict.HOLD, reason=reason, key=f"campaign:{claimed.row.campaign_name}", facts={"what": what})
    return Result(
        delivery=claimed.row.delivery, epoch=claimed.epoch, kind=Kind.HELD, reason=reason, burnt=False, decision=decision_json(decision)
    )
