"""One suite for every built-in channel: each is loaded through the same door as a stranger's and passes the conformance kit."""

from __future__ import annotations

import base64
import hmac
import importlib.metadata
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from plugins import Context, Secret, WebhookRequest
from plugins.discovery import GROUP
from plugins.loader import ProviderTable, load_channels, load_plugin
from plugins.testing import Verdict, check_channel, hook_request, with_header
from plugins.testing.push_peer import VAPID_KEY

PLATFORMS = ("audience_google", "audience_meta")
"""No channels: tests/channels/audience_* hold them to a kit of their own."""
OURS = sorted(point.name for point in importlib.metadata.entry_points(group=GROUP) if point.value.startswith("channels."))
BUILT_IN = [name for name in OURS if name not in PLATFORMS]
SMALLEST: Mapping[str, Mapping[str, Any]] = {
    "smtp": {"host": "127.0.0.1", "port": 1025, "tls": "none", "from": "Kedai <hello@mail.example.com>"},
    "console": {},
    "webhook": {"url": "https://letters.example.com/homing", "secret": "kit-secret-7f3a91c0"},
    "export": {"folder": "lists"},
    "webpush": {"vapid_private_key": VAPID_KEY, "subject": "mailto:ops@shop.example.com"},
    "sms_twilio": {"account_sid": "AC" + "0" * 32, "auth_token": "kit-secret-7f3a91c0", "from": "+15005550006"},
}
SECRETS = ("secret", "vapid_private_key", "auth_token")
STANDS_FOR = {"webpush": "push", "sms_twilio": "sms", "smtp": "email", "console": "email", "webhook": "webhook", "export": "export"}
FOLDER = {"doubt", "refusal", "gives_back"}
UNCHECKED: Mapping[str, set[str]] = {"console": FOLDER, "export": FOLDER | {"parallel"}}
"""Rules that the kit cannot try on a channel: a folder does not refuse, and lists are written one after the other."""


def twilio_request(context: Context[Any]) -> WebhookRequest:
    """A status callback as Twilio signs it: HMAC-SHA1 over the address and the sorted fields."""
    fields = {"AccountSid": "AC" + "0" * 32, "MessageSid": "SM" + "1" * 32, "MessageStatus": "delivered", "To": "+15550100001"}
    request = hook_request(url=context.hook_url, form=fields, delivery="0K1T000000001")
    text = request.url + "".join(name + value for name, value in sorted(fields.items()))
    signature = base64.b64encode(hmac.digest(context.settings.auth_token.reveal().encode(), text.encode(), "sha1")).decode()
    return with_header(request, "X-Twilio-Signature", signature)


HOOKS: Mapping[str, Callable[[Context[Any]], WebhookRequest]] = {"sms_twilio": twilio_request}
"""A genuine request of each provider that reports."""


def test_every_built_in_channel_is_held_to_the_suite() -> None:
    """A new channel brings its smallest settings to this file."""
    assert SMALLEST.keys() == set(BUILT_IN)
    assert {type(load_plugin(name)) for name in PLATFORMS} == {type}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_channel_conforms(name: str) -> None:
    """All rules that can be tried on it, and its provider's usual answer is taken as accepted."""
    report = check_channel(load_plugin(name), SMALLEST[name], hook=HOOKS.get(name))
    assert report.passed, report.text()
    assert {finding.rule.value for finding in report.findings if finding.verdict is Verdict.NOT_CHECKED} == UNCHECKED.get(name, set())
    assert report.notes == ()


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_channel_is_loaded_by_its_smallest_settings(name: str) -> None:
    """The loader takes it from its entry point and makes an instance."""
    given = {key: Secret(value) if key in SECRETS else value for key, value in SMALLEST[name].items()}
    loading = load_channels([ProviderTable(name="one", plugin=name, settings=given)])
    assert loading.problems == ()
    assert loading.channels[0].make() is not None
    assert loading.channels[0].channel == STANDS_FOR[name]


@pytest.mark.parametrize("name", OURS)
def test_importing_a_channel_imports_neither_the_daemon_nor_an_http_library(name: str) -> None:
    """What a channel needs beyond the socket is loaded when it is started."""
    module = next(point.value for point in importlib.metadata.entry_points(group=GROUP) if point.name == name)
    program = f"import sys, {module}; print([m for m in sys.modules if m.split('.')[0] in ('daemon', 'aiohttp', 'aiosmtpd', 'twilio', 'phonenumbers')])"
    done = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
