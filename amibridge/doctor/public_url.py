"""Whether RetailCRM, and whoever plays a recording there, finds the way to this bridge."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

import aiohttp

from amibridge.config import WebSettings
from amibridge.doctor.bridge import TIMEOUT, Health
from amibridge.doctor.findings import Finding, ok, warn
from amibridge.doctor.over_http import why
from amibridge.retailcrm.account_url import is_loopback
from amibridge.web.answers import REQUEST_ID

ABOUT = "public_url"

NO_RECORDING = "/recordings/doctor"
"""Whoever answers that there is none, with an id for the question, is a bridge."""


async def public_url(settings: WebSettings, health: Health) -> AsyncGenerator[Finding]:
    url = settings.public_url
    unfit = list(_unfit(url))
    for finding in unfit:
        yield finding
    if unfit and is_loopback(urlsplit(url).hostname or ""):
        return
    if health.unasked is not None:
        if not unfit:
            yield ok(ABOUT, f"{url}; whether it leads here shows when the bridge runs")
        return
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as session,
            session.get(url + NO_RECORDING, allow_redirects=False) as response,
        ):
            ours = response.status == 404 and REQUEST_ID in response.headers
            status = response.status
    except (aiohttp.ClientError, OSError, ValueError) as error:
        found, advice = why(error)
        yield warn(ABOUT, f"{url}, asked from here: {found}", advice)
        return
    if ours:
        yield ok(ABOUT, f"{url} leads to the bridge")
    else:
        found = f"{url} leads elsewhere: its /recordings/ answers {status}, and not as a bridge does"
        yield warn(ABOUT, found, "let the proxy there pass /recordings/ on to web.listen, with its answers as they are")


def _unfit(url: str) -> Iterator[Finding]:
    """What can be seen without asking."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    advice = "put a proxy with TLS in front, and its https:// address into web.public_url"
    if is_loopback(host) or _is_everywhere(host):
        yield warn(ABOUT, f"{url} means this machine itself: nobody else can play a recording", advice)
    elif _is_private(host):
        yield warn(ABOUT, f"{url} is an address of a private network: only there recordings can be played", advice)
    elif parts.scheme == "http":
        yield warn(ABOUT, f"{url}: recordings go over the network in the clear, and browsers refuse them", advice)


def _is_everywhere(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _is_private(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host
