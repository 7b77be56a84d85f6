"""Who asks: the nearest address on his way that is not one of our proxies. The one place that says so, for the log, for
limits and for the audit.

Law: X-Forwarded-For is read from the right, and only as far as those who wrote it are trusted; anybody else's is not
looked at. What is no address ends it: whoever is known so far stands for him.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_network
from typing import TypeAlias

from aiohttp import web

from amibridge.neighbours import read_address

AddressOf: TypeAlias = Callable[[web.Request], str]

ADDRESS_OF: web.AppKey[AddressOf] = web.AppKey("address_of")

FORWARDED_FOR = "X-Forwarded-For"


def address(request: web.Request) -> str:
    """Whose address *request* comes from; empty if that cannot be told."""
    return request.app[ADDRESS_OF](request)


def address_of(trusted_proxies: Sequence[str]) -> AddressOf:
    """*trusted_proxies*: addresses or networks whose X-Forwarded-For is believed."""
    networks = [ip_network(one, strict=False) for one in trusted_proxies]

    def found(request: web.Request) -> str:
        nearest = read_address(request.remote or "")
        way = ",".join(request.headers.getall(FORWARDED_FOR, ()))
        for said in reversed(way.split(",")):
            if nearest is None or not any(nearest in network for network in networks):
                break
            if (next_one := read_address(said)) is None:
                break
            nearest = next_one
        return "" if nearest is None else str(nearest)

    return found
