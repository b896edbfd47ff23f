"""Web: whose request is this? The peer's address, or what a trusted proxy says of it; and counting what one address does wrong.

`X-Forwarded-For` is believed only from `[http] trusted_proxies`, read from the right: the first address that is no proxy of
ours is the client. Whatever else a request says about where it comes from or goes to (Host, Forwarded) is ignored (B57).
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from aiohttp import web

from daemon.clock import Clock

Networks = tuple[IPv4Network | IPv6Network, ...]

PER_MINUTE = 60.0
MOST_ADDRESSES = 10_000


@lru_cache(maxsize=1024)
def parse(text: str) -> IPv4Address | IPv6Address | None:
    """The address, IPv4 in IPv6 clothes as IPv4; None if it is none."""
    try:
        address = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def in_networks(text: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    address = parse(text)
    return address is not None and any(address.version == network.version and address in network for network in networks)


def client_of(request: web.BaseRequest, trusted: Networks) -> str:
    """The client's address; "local" on the control socket."""
    peer = request.remote or "local"
    if not trusted or not in_networks(peer, trusted):
        return peer
    hops = [hop for header in request.headers.getall("X-Forwarded-For", []) for hop in header.split(",")]
    for hop in reversed(hops):
        address = parse(hop)
        if address is None:
            break  # nothing to the left of it can be believed
        if not in_networks(str(address), trusted):
            return str(address)
        peer = str(address)
    return peer


def is_loopback(request: web.BaseRequest) -> bool:
    """Straight from this machine: no proxy stands between (one would say so)."""
    address = parse(request.remote or "")
    forwarded = "X-Forwarded-For" in request.headers or "Forwarded" in request.headers
    return address is not None and address.is_loopback and not forwarded


def household(text: str) -> str:
    """Who is counted as one: an IPv4 address, an IPv6 network of 64 bits (its holder has all addresses in it)."""
    address = parse(text)
    if isinstance(address, IPv6Address):
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address or text)


class Strikes:
    """How often each client did something wrong: `limit` a minute are free, refilled evenly. An IPv6 client is its /64."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self._clock, self._limit = clock, limit
        self._level: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def strike(self, client: str) -> float:
        """Count one. Returns the seconds to wait until the next is free again: 0 within the limit."""
        key = household(client)
        now = self._clock.monotonic()
        level, at = self._level.pop(key, (0.0, now))
        level = max(level - (now - at) * self._limit / PER_MINUTE, 0.0) + 1
        over = level > self._limit
        self._level[key] = (min(level, self._limit + 1.0), now)
        while len(self._level) > MOST_ADDRESSES:
            self._level.popitem(last=False)
        return max((level - self._limit) * PER_MINUTE / self._limit, 1.0) if over else 0.0
