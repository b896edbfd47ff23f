"""The SMS channel over Twilio: the official SDK on the guarded HTTP session, each outcome by what Twilio surely did.

    settings -> what config.toml says            channel -> the plugin: start, send, stop, price
    numbers                                      country and kind of a phone number: what is never sent to
    client -> the SDK, loaded at the start       verdicts: what a code of Twilio's means for a message
    callbacks, words                             signed callbacks and replies as feedback
    lookup                                       what became of a message in doubt

Imports `plugins` only. Facts: Twilio's OpenAPI description of api v2010, its error pages, the SDK 9.13.
"""

from channels.sms_twilio.channel import TwilioChannel
from channels.sms_twilio.settings import Settings
from plugins import hookimpl

__all__ = ["Settings", "TwilioChannel", "register_channels"]


@hookimpl
def register_channels() -> list[type[TwilioChannel]]:
    return [TwilioChannel]
