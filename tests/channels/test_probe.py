"""`homing check --probe`: each channel asks its provider whether it would take us, and nobody gets anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from channels.audience_google import GoogleAudiences
from channels.audience_meta import MetaAudiences
from channels.smtp.session import CannotOpen
from plugins import NotSent, ProbeFailed, Secret
from plugins.feedback import Probes
from tests.channels.ads import opened
from tests.channels.sms_twilio.stage import staged
from tests.channels.smtp.line import channel as smtp
from tests.channels.smtp.servers import Peer
from tests.channels.webpush.line import channel as webpush
from tests.channels.webpush.line import service


async def test_smtp_goes_as_far_as_the_login() -> None:
    """EHLO and AUTH, then goodbye; no envelope is begun."""
    async with Peer(script={"auth": "235 2.7.0 ok"}) as peer, smtp(port=peer.port, username="homing", password=Secret("right")) as sender:
        assert isinstance(sender, Probes)
        assert await sender.probe() == f"signed in at 127.0.0.1:{peer.port}"
        assert not peer.complete
    async with Peer() as peer, smtp(port=peer.port) as sender:
        assert await sender.probe() == f"taken by 127.0.0.1:{peer.port}"


async def test_smtp_says_what_the_relay_says() -> None:
    """A wrong password is found before the first mail."""
    async with Peer(script={"auth": "535 5.7.8 wrong"}) as peer, smtp(port=peer.port, username="homing", password=Secret("x")) as sender:
        with pytest.raises(CannotOpen, match=r"535 5\.7\.8 wrong"):
            await sender.probe()


async def test_twilio_is_asked_for_a_list(tmp_path: Path) -> None:
    """A key that may send may read; nothing is sent."""
    async with staged(tmp_path) as stage:
        assert "takes the account" in await stage.channel.probe()
    async with staged(tmp_path, auth_token=Secret("0" * 32)) as stage:
        with pytest.raises(ProbeFailed, match="20003"):
            await stage.channel.probe()


async def test_push_services_answer() -> None:
    """Any answer will do; one that cannot be reached is named."""
    async with service() as running, webpush(running, allow_hosts=(running.origin, "*.push.example.com")) as sender:
        assert (await sender.probe()).startswith(f"answered by {running.origin};")
    async with webpush(running) as sender:
        with pytest.raises(NotSent):
            await sender.probe()


@pytest.mark.parametrize(("kind", "network"), [(MetaAudiences, "meta"), (GoogleAudiences, "google")])
async def test_platforms_take_the_account(kind: type[MetaAudiences | GoogleAudiences], network: str) -> None:
    """And make no audience of it."""
    async with opened(kind, network) as it:
        assert isinstance(it.channel, Probes)
        assert "for the account" in await it.channel.probe()
        assert it.ads.names(network) == []
