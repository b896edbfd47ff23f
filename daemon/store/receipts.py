"""Receipts as the contract spells them in JSON: HTTP answers, `x.receipt.json`, the last line of `enqueue --json`."""

from __future__ import annotations

from typing import Any

from daemon.clock import iso
from daemon.model.job import Receipt, RowError
from daemon.store.jobs import JobView


def error_json(error: object) -> dict[str, Any]:
    """One row error: line, recipient, field, code, detail."""
    if not isinstance(error, RowError):
        return {"code": "invalid", "detail": str(error)}
    return {"line": error.line, "recipient": error.recipient, "field": error.field, "code": error.code, "detail": error.detail}


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    """The receipt (contract: jobs)."""
    return {
        "job": receipt.job,
        "queue": receipt.queue,
        "campaign": receipt.campaign,
        "version": receipt.version,
        "source": receipt.source,
        "received_at": iso(receipt.received_at),
        "digest": receipt.digest,
        "state": receipt.state.value,
        "reason": receipt.reason,
        "rows": receipt.rows,
        "expected": receipt.expected,
        "accepted": receipt.accepted,
        "duplicate": receipt.duplicate,
        "rejected": receipt.rejected,
        "errors": [error_json(error) for error in receipt.errors],
        "errors_omitted": receipt.errors_omitted,
    }


def job_json(view: JobView) -> dict[str, Any]:
    """The receipt with how its deliveries stand (`GET /v1/jobs/{id}`)."""
    return {
        **receipt_json(view.receipt),
        "deliveries": dict(sorted(view.deliveries.items())),
        "reasons": dict(sorted(view.reasons.items())),
        "next_due": iso(view.next_due) if view.next_due is not None else None,
        "finished_at": iso(view.finished_at) if view.finished_at is not None else None,
    }
