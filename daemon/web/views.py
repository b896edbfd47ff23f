"""Web: rows of the store as the JSON that goes out: deliveries, tokens, the state of everything. (Jobs: `store.receipts`.)"""

from __future__ import annotations

from typing import Any

from daemon.clock import iso
from daemon.ids import encode_id
from daemon.model.delivery import Instant
from daemon.store.read import DeliveryRow, Overview
from daemon.store.tokens import TokenRow


def time(at: Instant | None) -> str | None:
    return None if at is None else iso(at)


def delivery_json(row: DeliveryRow) -> dict[str, Any]:
    return {
        "id": encode_id(row.id),
        "job": row.job,
        "queue": row.queue,
        "campaign": row.campaign,
        "version": row.version,
        "step": row.step,
        "occurrence": row.occurrence,
        "channel": row.channel,
        "provider": row.provider,
        "state": row.state.value,
        "reason": row.reason,
        "not_before": time(row.not_before),
        "expires_at": time(row.expires_at),
        "attempts": row.attempts,
        "provider_id": row.provider_id,
        "handed_over_at": time(row.handed_over_at),
        "ended_at": time(row.ended_at),
    }


def overview_json(found: Overview, now: Instant) -> dict[str, Any]:
    return {
        "at": time(now),
        "deliveries": dict(found.deliveries),
        "held": dict(found.held),
        "doubts": found.doubts,
        "in_flight": found.in_flight,
        "jobs": dict(found.jobs),
        "oldest_due": time(found.oldest_due),
        "oldest_due_seconds": 0 if found.oldest_due is None else (now - found.oldest_due) // 1_000_000,
        "next_due": time(found.next_due),
        "paused_queues": list(found.paused_queues),
        "paused_campaigns": list(found.paused_campaigns),
        "heartbeat_at": time(found.heartbeat_at),
        "audit": {"audited_to": time(found.audit.at), "findings": found.audit.open},
    }


def token_json(row: TokenRow) -> dict[str, Any]:
    return {"name": row.name, "scopes": sorted(row.scopes), "created_at": time(row.created_at), "revoked_at": time(row.revoked_at)}
