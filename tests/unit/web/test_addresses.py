"""Whose request is this: the peer, or what a trusted proxy says; and how often it may be wrong."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from aiohttp.test_utils import make_mocked_request

from daemon.clock import SystemClock
from daemon.web.addresses import Strikes, client_of, household, in_networks, is_loopback

PROXIES = (ip_network("10.0.0.0/8"), ip_network("::1/128"))


class Watch(SystemClock):
    """Stands until it is moved."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.mark.promise("B57")
@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
    ],
)
def test_only_a_trusted_proxy_is_believed(peer: str, forwarded: str, client: str) -> None:
    """B57: read from the right; the first that is no proxy of ours is the client; a spoofed head of the list is ignored."""
    request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": forwarded} if forwarded else {}).clone(remote=peer)
    assert client_of(request, PROXIES) == client
    assert client_of(request, ()) == peer


@pytest.mark.promise("B57")
def test_loopback_is_not_what_a_proxy_on_this_machine_brings() -> None:
    """A request with X-Forwarded-For comes from elsewhere, even over 127.0.0.1."""
    assert is_loopback(make_mocked_request("GET", "/").clone(remote="127.0.0.1"))
    assert is_loopback(make_mocked_request("GET", "/").clone(remote="::ffff:127.0.0.1"))
    assert not is_loopback(make_mocked_request("GET", "/", headers={"X-Forwarded-For": "1.2.3.4"}).clone(remote="127.0.0.1"))
    assert not is_loopback(make_mocked_request("GET", "/").clone(remote="192.0.2.1"))
    assert not in_networks("no address", PROXIES)


def test_strikes_are_free_up_to_the_limit_and_refill_evenly() -> None:
    """Five a minute: the sixth waits; after twelve seconds one more is free."""
    watch = Watch()
    strikes = Strikes(watch, 5)
    assert [strikes.strike("192.0.2.1") for _ in range(5)] == [0.0] * 5
    assert strikes.strike("192.0.2.1") >= 1
    assert strikes.strike("192.0.2.2") == 0
    watch.seconds += 25
    assert strikes.strike("192.0.2.1") == 0


def test_an_ipv6_client_is_its_network() -> None:
    """Whoever has a /64 cannot start anew with each of its addresses."""
    strikes = Strikes(Watch(), 2)
    assert [strikes.strike(f"2001:db8::{n}") > 0 for n in range(1, 5)] == [False, False, True, True]
    assert strikes.strike("2001:db8:0:1::1") == 0


@pytest.mark.promise("B37", "B50")
def test_one_household_counts_as_one_peer() -> None:
    """For connections and for wrong links alike; an IPv4 address in IPv6 clothes is itself."""
    assert household("2001:db8::1%eth0") == household("2001:db8::ffff:1") != household("2001:db8:0:1::1")
    assert household("::ffff:192.0.2.1") == household("192.0.2.1") != household("192.0.2.2")
    assert household("?") == "?"
