"""The due queue's rows: one statement to put a delivery in, one to take it out. Used by every act that moves one."""

from __future__ import annotations

from sqlalchemy import and_, bindparam, delete, insert

from daemon.store import schema as s

_DUE_KEY = and_(s.due.c.lane == bindparam("b_lane"), s.due.c.not_before == bindparam("b_not_before"), s.due.c.delivery == bindparam("b_id"))
DELETE_DUE = delete(s.due).where(_DUE_KEY)
DUE_KEY_NAMES = ("b_lane", "b_not_before", "b_id")
INSERT_DUE = insert(s.due)
DUE_NAMES = ("lane", "not_before", "delivery")
