"""Wrong: no channel at all."""

from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    send = None  # type: ignore[assignment]
