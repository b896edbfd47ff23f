"""Who receives in a rehearsal: nobody, unless a crowd is given that buys, visits, opens and unsubscribes of its own accord.

The sample shop is such a crowd (`daemon/sandbox/shop`); the command line brings the two together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from daemon.model.delivery import Instant
from daemon.simulate.rehearsal.channels import Sent

Feedback = tuple[str, str, Instant]
"""What a message brought, other than events: (one of `plugins.feedback.FeedbackKind`, the delivery's public id, when)."""


class Crowd(Protocol):
    """`received`: a message arrived. `events` and `feedback` give what has happened up to `now` and was not given before, in order of time;
    `next_at` says when the first of what they have not given happens, None: nothing will by itself."""

    def received(self, sent: Sent) -> None: ...

    def events(self, now: Instant) -> Sequence[Mapping[str, Any]]:
        """Messages in the format of Segment (`type`, `userId`, `event`, `timestamp`, ..)."""
        ...

    def feedback(self, now: Instant) -> Sequence[Feedback]: ...

    def next_at(self) -> Instant | None: ...
