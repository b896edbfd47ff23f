"""Channels by their usual names, for plugins that stand in for whichever the operator says, and for the daemon where no provider is left.

Which kind of address a channel of that name needs; one that is not here needs none: the recipient's id will do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from plugins.contract import SettingError

ADDRESS_OF: Mapping[str, str] = {"email": "email", "sms": "phone", "call": "phone", "whatsapp": "phone", "push": "push"}
"""Channel -> kind of address."""
WORD = re.compile(r"[a-z][a-z0-9_]*\Z")


def address_of(channel: str) -> str:
    """The kind of address that a channel of this name needs."""
    return ADDRESS_OF.get(channel, "recipient")


def fault_of_channel(channel: str, examples: str) -> SettingError | None:
    """What is wrong with a setting `channel`; None: it is a name. `examples`: "letter or call"."""
    return None if WORD.match(channel) else SettingError("channel", f'"{channel}" is no channel: a lower-case word such as {examples}')
