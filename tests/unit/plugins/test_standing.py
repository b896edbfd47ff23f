"""Channels by their usual names, in one table."""

from __future__ import annotations

import pytest

from channels.console import Settings as Console
from channels.export import Settings as Export
from channels.webhook import Settings as Webhook
from plugins import Secret, SettingError
from plugins.loader import ADDRESSES
from plugins.standing import ADDRESS_OF, address_of, fault_of_channel


def test_each_address_is_one_that_channels_may_have() -> None:
    """And what has no usual name needs none."""
    assert set(ADDRESS_OF.values()) <= set(ADDRESSES)
    assert (address_of("whatsapp"), address_of("letter"), address_of("webhook")) == ("phone", "recipient", "recipient")


@pytest.mark.parametrize("make", [lambda channel: Console(channel=channel), lambda channel: Export(folder="x", channel=channel),
                                  lambda channel: Webhook(url="https://x.example/", secret=Secret("0123456789abcdef"), channel=channel)])  # fmt: skip
def test_whoever_stands_in_refuses_what_is_no_name(make: object) -> None:
    """With the key that it concerns."""
    assert callable(make)
    make("letter")
    for name in ("Letter", "a-b", "", "x y"):
        assert fault_of_channel(name, "letter") is not None
        with pytest.raises((SettingError, ExceptionGroup), match=r"channel|webhook"):
            make(name)
