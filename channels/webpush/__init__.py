"""The web push channel: RFC 8030 to the browsers' push services, RFC 8291 and 8188 for the words, RFC 8292 for who we are.

    settings (hosts) -> what config.toml says             channel -> the plugin: start, send, stop, and the subscriptions' door
    subscription -> what a browser gave the shop          payload -> a Message becomes what the service worker shows
    encrypt, vapid -> the body and its proof              verdicts -> what a push service's answer means
    house -> one push service: its pause, its proof, how long it keeps us waiting

Imports `plugins` only. A recipient's subscriptions are one delivery: one handover, one touch, accepted if one push service accepts.
"""

from channels.webpush.channel import WebPush
from channels.webpush.settings import Settings
from plugins import hookimpl

__all__ = ["Settings", "WebPush", "register_channels"]


@hookimpl
def register_channels() -> list[type[WebPush]]:
    return [WebPush]
