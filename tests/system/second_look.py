"""The audit over what a daemon of a test has sent: run when the daemon is gone, over its store and its send journal."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from daemon.audit.rulebook import open_book
from daemon.audit.service import Audit
from daemon.clock import SystemClock
from daemon.dispatch.journal import Journal
from daemon.executor import ThreadExecutor
from daemon.log import get_log
from daemon.metrics import Metrics
from daemon.store import audit as kept
from daemon.store.writer import Store


def findings_of(state: Path) -> list[tuple[str, str, object]]:
    """(kind, rule, facts) of all that the audit finds, from where the daemon's own had come."""
    return asyncio.run(_look(state)) if _has_rules(state / "homing.db") else []


def _has_rules(database: Path) -> bool:
    if not database.exists():
        return False
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as conn:
        if not conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            return False
        return conn.execute("SELECT 1 FROM meta WHERE key = 'audit.rules'").fetchone() is not None


async def _look(state: Path) -> list[tuple[str, str, object]]:
    clock = SystemClock()
    store, executor = Store.open(state / "homing.db"), ThreadExecutor(threads=1, name="audit")
    try:
        audit = Audit(
            store=store, sent=Journal(state / "journal"), clock=clock, executor=executor, log=get_log(), metrics=Metrics(clock), config=None,  # type: ignore[arg-type]
        )  # fmt: skip
        audit._book = open_book(await store.read(kept.read_rules))
        audit._at = (await store.read(kept.read_progress)).at or 0
        while await audit.turn():
            pass
        _, findings = await store.read(kept.open_findings)
        return [(finding["kind"], finding["rule"], finding["facts"]) for finding in findings]
    finally:
        await store.close()
        executor.close()
