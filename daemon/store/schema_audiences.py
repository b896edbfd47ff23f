"""The tables of retargeting audiences (ADR 0008), a part of `store.schema`."""

from __future__ import annotations

from sqlalchemy import BLOB, Column, Index, UniqueConstraint, text

from daemon.store.columns import int_column as _int
from daemon.store.columns import table as _table
from daemon.store.columns import text_column as _text

audience = _table(
    "audience",
    _int("id", key=True),
    _int("campaign"),
    _text("provider"),
    _text("name"),
    _text("origin"),
    _text("description"),
    _text("remote_id", null=True),
    _int("made_at"),
    _int("synced_at", null=True),
    _int("next_at", default=0),
    _int("failures", default=0),
    _text("blocked", null=True),
    _text("trouble", null=True),
    _int("least", null=True),
    _int("most", null=True),
    _int("sized_at", null=True),
    _int("received", default=0),
    _int("removals_at", default=0),
    UniqueConstraint("campaign", "provider", "name"),
)
"""A set of people at an advertising platform (ADR 0008). `origin`: walk (an `[[audience]]` of the campaign) | door (deliveries over the
channel audience). `blocked`: why the platform takes nobody into it, until an operator asks again; `trouble`: what went wrong last;
`next_at`, `removals_at`: nobody is added, or removed, before. `least`/`most`: the platform's own count; `received`: rows that it says it
got in its finished series and requests."""

audience_member = _table(
    "audience_member",
    _int("audience", key=True),
    _int("person", key=True),
    _int("want"),
    _int("state"),
    _int("until", null=True),
    _int("since"),
    _int("left_at", null=True),
    _int("changed_at"),
    _int("batch", null=True),
    _int("guard"),
    Column("address", BLOB, nullable=True),
    Column("handle", BLOB, nullable=True),
    _text("reason", null=True),
    _int("job", null=True),
    Index("audience_member_pending", "audience", "state", "person", sqlite_where=text("state IN (2, 3)")),
    Index("audience_member_batch", "batch", "person", sqlite_where=text("batch IS NOT NULL")),
    Index("audience_member_person", "person"),
    clustered=True,
)
"""`want`: should be in · `state`: a `MemberState` · `until`: leaves by itself then · `guard`: of the person when it was last judged ·
`address`, `handle`: what was sent (our own hashes, the platform's), by which it is removed even after an erasure · `batch`: the one that
it travels in, or whose result is not known yet · `reason`: why it was refused or left · `job`: the last one whose delivery put it in."""

audience_batch = _table(
    "audience_batch",
    _int("id", key=True),
    _int("audience"),
    _int("adds"),
    _text("state"),
    _int("session"),
    _int("sequence"),
    _int("last", default=0),
    _int("total", default=0),
    _int("members", default=0),
    _int("began_at"),
    _int("made_at"),
    _int("sent_at", null=True),
    _int("next_at", default=0),
    _int("tries", default=0),
    _text("request", null=True),
    _int("received", null=True),
    _int("invalid", default=0),
    _text("detail", null=True),
    Index("audience_batch_open", "audience", sqlite_where=text("state <> 'done'")),
)
"""Differences on their way: `state` see `audience_batches`. `session`, `sequence`: its place in a series, `began_at` the series' start."""

audience_failure = _table(
    "audience_failure",
    _int("audience", key=True),
    _text("reason", key=True),
    _int("n"),
    _int("last_at"),
    clustered=True,
)
"""Rows that the platform did not take and does not name, by reason."""
