"""Wrong: says that one request carries a hundred messages, asks for as many, then sends one by one."""

from plugins import Capabilities
from tests.unit.plugins.faulty import whole_batch


class Channel(whole_batch.Channel):
    capabilities = Capabilities(concurrency=4, unit=100)
