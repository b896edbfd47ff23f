"""The tables of walks (ADR 0010), a part of `store.schema`."""

from __future__ import annotations

from sqlalchemy import Index, UniqueConstraint, text

from daemon.store.columns import int_column as _int
from daemon.store.columns import table as _table
from daemon.store.columns import text_column as _text

walk = _table(
    "walk",
    _int("id", key=True),
    _int("campaign"),
    _int("person"),
    _int("occurrence"),
    _int("version"),
    _text("state"),
    _int("entered_at"),
    _int("since_at"),
    _int("anchor_at"),
    _int("shift", default=0),
    _text("event", null=True),
    _text("vars", null=True),
    _int("held_out", default=0),
    _text("arms", null=True),
    _text("step", null=True),
    _int("step_at", null=True),
    _int("next_at", null=True),
    _int("first_touch_at", null=True),
    _int("touched_at", null=True),
    _int("goal_at", null=True),
    _int("ended_at", null=True),
    _text("end_reason", null=True),
    _int("watched", default=1),
    _int("job", null=True),
    _text("asked", null=True),
    _int("settled", default=0),
    UniqueConstraint("campaign", "person", "occurrence"),
    Index("walk_next", "state", "campaign", "next_at", sqlite_where=text("next_at IS NOT NULL")),
    Index("walk_watched", "person", sqlite_where=text("watched = 1")),
)
"""One person's way through a campaign. `state`: a `WalkState`. `since_at`: events after it may end the walk; `anchor_at` + `shift`: what
the days of steps count from; `event`: JSON of what triggered it, `vars`: JSON of the job's row that enrolled it (`job`). `arms`: JSON,
step -> variant. `step`: the last one that was planned or passed over, at `step_at`. `next_at`: when to look at it again, also after its
end, null = never. `touched_at`: the last acceptance (or ghost). `end_reason`: the event or what else ended it, at `ended_at`. `watched` 1:
events may still concern it: it is open, or its end is younger than the horizon. `asked`: the step whose missing reaction was told to who
awaits one. `settled` 1: what follows from its end is done."""

campaign_event = _table(
    "campaign_event",
    _text("event", key=True),
    _text("kind", key=True),
    _int("campaign", key=True),
    _text("filter", null=True),
    clustered=True,
)
"""What the newest version of a campaign makes of an event: `kind` exit | goal | trigger; `filter`: only with such properties. Written when
campaigns are loaded."""

trigger_event = _table(
    "trigger_event",
    _int("id", key=True),
    _int("campaign"),
    _int("person"),
    _int("at"),
    _int("due_at"),
    _text("event"),
    _text("properties", null=True),
    Index("trigger_event_due", "campaign", "due_at"),
)
"""What may enrol somebody and was not looked at yet: written with the event, gone with the walk. `due_at`: not before."""

pause = _table("pause", _text("kind", key=True), _text("name", key=True), _int("since", key=True), _int("until", null=True), clustered=True)
"""When something was paused. `kind`: campaign | queue | job, `name` its name or key; `until` null: it still is."""
