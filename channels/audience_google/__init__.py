"""Google Customer Match through the Data Manager API v1: hashed identifiers, results that come later.

    settings -> what config.toml says          channel -> the plugin: ensure, sync, poll, size
    rows -> normalised, hashed, JSON texts     replies -> what an answer means, and what became of a request
    tokens -> OAuth for a service account

Imports `plugins` only. Facts behind it: docs/audiences.md, tests/channels/audience_google/vectors.json.
"""

from channels.audience_google.channel import GoogleAudiences
from channels.audience_google.settings import Settings
from plugins import hookimpl

__all__ = ["GoogleAudiences", "Settings", "register_audiences"]


@hookimpl
def register_audiences() -> list[type[GoogleAudiences]]:
    return [GoogleAudiences]
