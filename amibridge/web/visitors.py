"""Who asks: the nearest address on his way that is not one of our proxies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeAlias

from aiohttp import web

AddressOf: TypeAlias = Callable[[web.Request], str]


def address_of(trusted_proxies: Sequence[str]) -> AddressOf:
    """*trusted_proxies*: addresses or networks whose X-Forwarded-For is believed; anybody else's is not looked at."""
    networks = [ip_network(one, strict=False) for one in trusted_proxies]

    def trusted(address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in networks)

    def address(request: web.Request) -> str:
        nearest = request.remote or ""
        way = ",".join(request.headers.getall("X-Forwarded-For", ()))
        for said in reversed(way.split(",")):
            told = _address(nearest)
            if told is None or not trusted(told) or _address(said) is None:
                break
            nearest = str(_address(said))
        return nearest

    return address


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
