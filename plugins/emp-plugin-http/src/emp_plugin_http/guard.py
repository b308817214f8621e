"""Connect only to addresses that may be connected to, whatever a name resolves to at that moment.

A check before the request would look a name up once and the connection again: an attacker's name server answers the
first with a public address and the second with 127.0.0.1 (DNS rebinding). Here what is checked is what is used.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

import httpcore2

from emp_plugin_http.settings import PREFIX, Network
from emp_worker import JobError

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052


def is_allowed(address: Address, networks: Iterable[Network]) -> bool:
    """Tell whether an address is public, or in a network that is allowed; one inside another must be so, too."""
    inner = _inside(address)
    if inner is not None:
        return is_allowed(inner, networks)
    if any(address.version == network.version and address in network for network in networks):
        return True
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
