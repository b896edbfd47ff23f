"""Meta Custom Audiences: members as hashed rows, in numbered sessions of batches.

    settings -> what config.toml says          channel -> the plugin: ensure, sync, size
    rows -> normalised, hashed, one JSON text  replies -> what an answer of the Graph API means

Imports `plugins` only. Facts behind it: docs/audiences.md, tests/channels/audience_meta/vectors.json.
"""

from channels.audience_meta.channel import MetaAudiences
from channels.audience_meta.settings import Settings
from plugins import hookimpl

__all__ = ["MetaAudiences", "Settings", "register_audiences"]


@hookimpl
def register_audiences() -> list[type[MetaAudiences]]:
    return [MetaAudiences]
