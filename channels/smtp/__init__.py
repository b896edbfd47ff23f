"""The SMTP channel: aiosmtplib opens the session, our own pipelining exchange carries the messages, each outcome by its phase.

    settings -> what config.toml says          channel -> the plugin: start, send, stop
    mime (headers, quoted, address)            a Message becomes the finished bytes of a mail
    pool -> session -> exchange (replies)      connections: lent, opened, spoken over
    courier (verdicts)                         one batch over one connection, and what became of each message

Imports `plugins` only. Facts and measurements behind it: facts/spikes.md §1, facts/reliability.md §6 and §8, facts/performance.md §1.
"""

from channels.smtp.channel import SmtpChannel
from channels.smtp.settings import Settings
from plugins import hookimpl

__all__ = ["Settings", "SmtpChannel", "register_channels"]


@hookimpl
def register_channels() -> list[type[SmtpChannel]]:
    return [SmtpChannel]
