"""`/metrics`: who may have it, and how it is told without being felt.

Laws: without a token only this machine is told, and nobody for whom a proxy asks; with one, whoever has it. However
many ask, it is made once in `FRESH`, the database is asked once and not waited for, and between two metrics the loop
goes on with what matters.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address

from aiohttp import hdrs, web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from amibridge.redact import Secret
from amibridge.store.outbox import Outbox
from amibridge.web.answers import Handler, refusal
from amibridge.web.health import Sources, backlogs_of
from amibridge.web.metrics import metrics

FRESH = 2.0
"""Seconds: less than anybody's scrape interval."""

BY_A_PROXY = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")
"""Headers that no scraper sends, and nearly every proxy."""

OURSELVES = ("localhost", "127.0.0.1", "::1")


def expose(sources: Sources, outbox: Outbox, token: Secret | None) -> Handler:
    page = _Page(sources, outbox)

    async def respond(request: web.Request) -> web.StreamResponse:
        if token is None and not _is_of_this_machine(request):
            detail = "Metrics are told to this machine only: ask at its own address, or set web.metrics_token."
            return refusal(403, "metrics_are_local", detail)
        if token is not None and not _presents(request, token):
            detail = "Metrics are told to who presents web.metrics_token as a bearer token."
            return refusal(401, "wrong_token", detail, {hdrs.WWW_AUTHENTICATE: "Bearer"})
        headers = {hdrs.CONTENT_TYPE: CONTENT_TYPE_PLAIN_0_0_4}
        response = web.Response(body=await page.text(), headers=headers, zlib_executor_size=1)
        response.enable_compression()
        return response

    return respond


class _Page:
    """The text of all metrics, as young as it has to be."""

    def __init__(self, sources: Sources, outbox: Outbox) -> None:
        self._sources = sources
        self._outbox = outbox
        self._made_at = float("-inf")
        self._text = b""
        self._making = asyncio.Lock()

    async def text(self) -> bytes:
        clock = asyncio.get_running_loop().time
        async with self._making:
            if clock() - self._made_at >= FRESH:
                backlogs, reason = await backlogs_of(self._outbox)
                parts: list[bytes] = []
                for metric in metrics(self._sources, backlogs if reason is None else None):
                    parts.append(generate_latest(_One(metric)))
                    await asyncio.sleep(0)
                self._text, self._made_at = b"".join(parts), clock()
            return self._text


class _One(Collector):
    """A registry of one metric."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        yield self._metric


def is_loopback(peer: str | None) -> bool:
    """Whether that is an address of this machine for itself; *peer* None: nobody knows."""
    try:
        address = ip_address(peer or "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _presents(request: web.Request, token: Secret) -> bool:
    scheme, _, presented = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    right = hmac.compare_digest(presented.strip().encode("utf-8", "surrogateescape"), token.encode())
    return right and scheme.lower() == "bearer"


def _is_of_this_machine(request: web.Request) -> bool:
    """A proxy on this machine asks from here, too: it is known by what it adds, by the name that it was asked for, or
    by HTTP/1.0, in which nginx asks where nobody told it otherwise."""
    asked_for = request.headers.get(hdrs.HOST, "")
    name = asked_for.partition("]")[0].lstrip("[") if asked_for.startswith("[") else asked_for.partition(":")[0]
    return (
        is_loopback(request.remote)
        and request.version >= (1, 1)
        and name.lower() in OURSELVES
        and not any(header in request.headers for header in BY_A_PROXY)
    )
