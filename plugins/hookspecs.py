"""The hooks that a plugin may implement: few, all `register_*`, plain functions that return classes.

pluggy calls them; whatever is asynchronous lives on the objects they return (pluggy would hand back an unawaited coroutine).
The daemon calls each plugin's implementation by itself, so that one that raises cannot stop the others (`loader`).
`docs/hooks.md` is drawn from the docstrings here (`hookdocs`).
"""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from plugins.audience import AudienceChannel
from plugins.contract import Channel

PROJECT = "homing"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook of the same name."""


@hookspec
def register_channels() -> Sequence[type[Channel]]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return the channel classes that this plugin brings.

    Called once when the plugin is loaded, which happens only if a `[providers.NAME]` table of the config names it
    (`plugin = "dialler"`). Return classes, not instances: the daemon makes one instance for each provider table, with the
    settings of that table. A class must have `name`, `channel`, `address`, `settings_type`, `capabilities` and the coroutine
    methods `start`, `send` and `stop`; `SimpleChannel` brings the last three. Only the class whose `name` is the one that
    the config asks for is used. Keep it quick and free of side effects: no network, no threads.
    """


@hookspec
def register_audiences() -> Sequence[type[AudienceChannel]]:  # type: ignore[empty-body]
    """Return the classes for advertising platforms that this plugin brings: retargeting audiences, kept as state.

    Called as `register_channels` is, under the same conditions. A class must have `name`, `settings_type`, `capabilities`, the plain
    method `handles` and the coroutine methods `start`, `ensure`, `sync` and `stop`; `poll` and `size` are optional. The daemon makes one
    instance for each provider table; such a provider is never a line that messages are sent over.
    """
