"""The socket: all that the author of a channel plugin may import. Imports nothing of `daemon` or `channels`.

Light on purpose: an author's `from plugins import ..` costs no HTTP library; that is loaded when a session is opened
(`plugins.http`). The loader (`plugins.loader`) and the conformance kit (`plugins.testing`) are not re-exported.
"""

from plugins.contract import (
    API_VERSION,
    GRANT_SECONDS,
    Accepted,
    Capabilities,
    Channel,
    Clock,
    Context,
    Deferred,
    Dns,
    Log,
    Message,
    NotSent,
    OpenStream,
    Outcome,
    Rejected,
    Scope,
    Secret,
    Session,
    SettingError,
    Stream,
    Unknown,
)
from plugins.feedback import BadSignature, Doubt, Feedback, FeedbackKind, Price, Settled, WebhookRequest
from plugins.grant import Grant
from plugins.hookspecs import hookimpl
from plugins.simple import SimpleChannel

__all__ = [
    "API_VERSION",
    "GRANT_SECONDS",
    "Accepted",
    "BadSignature",
    "Capabilities",
    "Channel",
    "Clock",
    "Context",
    "Deferred",
    "Dns",
    "Doubt",
    "Feedback",
    "FeedbackKind",
    "Grant",
    "Log",
    "Message",
    "NotSent",
    "OpenStream",
    "Outcome",
    "Price",
    "Rejected",
    "Scope",
    "Secret",
    "Session",
    "SettingError",
    "Settled",
    "SimpleChannel",
    "Stream",
    "Unknown",
    "WebhookRequest",
    "hookimpl",
]
