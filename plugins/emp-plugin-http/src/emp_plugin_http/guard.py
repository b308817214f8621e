"""Connect only to addresses that may be connected to, whatever a name resolves to at that moment.

A check before the request would look a name up once and the connection again: an attacker's name server answers the
first with a public address and the second with 127.0.0.1 (DNS rebinding). Here what is checked is what is used.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import httpcore2

from emp_plugin_http.settings import PREFIX, Network
from emp_worker import JobError

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052
_NOT_PUBLIC: Final = tuple(
    ip_network(network)
    for network in (
        # The IANA registries of special-purpose addresses, as of 2026-11. Which of them `is_global` knows depends on
        # the version of Python (CVE-2024-4032).
        "0.0.0.0/8",  # RFC 791, this network
        "10.0.0.0/8",  # RFC 1918, private
        "100.64.0.0/10",  # RFC 6598, shared by carriers
        "127.0.0.0/8",  # RFC 1122, loopback
        "169.254.0.0/16",  # RFC 3927, link-local: metadata services
        "172.16.0.0/12",  # RFC 1918, private
        "192.0.0.0/24",  # RFC 6890, protocol assignments: Oracle's metadata service
        "192.0.2.0/24",  # RFC 5737, documentation
        "192.88.99.0/24",  # RFC 7526, 6to4 relays, deprecated
        "192.168.0.0/16",  # RFC 1918, private
        "198.18.0.0/15",  # RFC 2544, benchmarking
        "198.51.100.0/24",  # RFC 5737, documentation
        "203.0.113.0/24",  # RFC 5737, documentation
        "224.0.0.0/4",  # RFC 5771, multicast
        "240.0.0.0/4",  # RFC 1112, reserved, and broadcast
        "::/128",  # RFC 4291, unspecified
        "::1/128",  # RFC 4291, loopback
        "64:ff9b:1::/48",  # RFC 8215, local translation
        "100::/64",  # RFC 6666, discard only
        "2001::/23",  # RFC 2928, protocol assignments
        "2001:db8::/32",  # RFC 3849, documentation
        "3fff::/20",  # RFC 9637, documentation
        "5f00::/16",  # RFC 9602, segment routing
        "fc00::/7",  # RFC 4193, unique local
        "fe80::/10",  # RFC 4291, link-local
        "fec0::/10",  # RFC 3879, site-local, deprecated
        "ff00::/8",  # RFC 4291, multicast
        # Public by the registries, and yet the host of the machine.
        "168.63.129.16/32",  # Azure's host
    )
)


def is_allowed(address: Address, networks: Iterable[Network]) -> bool:
    """Tell whether an address is public, or in a network that is allowed; one inside another must be so, too."""
    inner = _inside(address)
    if inner is not None:
        return is_allowed(inner, networks)
    if any(address.version == network.version and address in network for network in networks):
        return True
    if any(address.version == network.version and address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inside(address: Address) -> IPv4Address | None:
    """Give the IPv4 address to which an IPv6 address leads: mapped, 6to4, Teredo, or through a NAT64."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


async def resolve(host: str, port: int) -> Sequence[str]:
    """Give the addresses of a host, those to try first before the others."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]).partition("%")[0] for info in found))


class GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """The network, without the addresses that are neither public nor allowed."""

    def __init__(self, networks: Sequence[Network], look_up: Resolve = resolve) -> None:
        self._networks = networks
        self._look_up = look_up
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address of a host that answers.

        Raises:
            JobError: `address_not_allowed`: it has only private ones.
            ConnectError, ConnectTimeout: none answers, or the host has none.
        """
        try:
            async with asyncio.timeout(timeout):
                addresses = [ip_address(each) for each in await self._look_up(host, port)]
        except TimeoutError:
            raise httpcore2.ConnectTimeout(f"{host} could not be looked up in time") from None
        except OSError as error:
            raise httpcore2.ConnectError(f"{host} could not be looked up: {error}") from error
        allowed = [address for address in addresses if is_allowed(address, self._networks)]
        if not allowed:
            told = f"{host} is at {', '.join(map(str, addresses)) or 'no address'}, which is no public address"
            raise JobError(
                f"{told}; the worker's operator can allow it in {PREFIX}ALLOW_NETWORKS",
                retryable=False,
                code="address_not_allowed",
            )
        failure: Exception = httpcore2.ConnectError(f"{host} did not answer")
        for address in allowed:
            try:
                return await self._network.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure
