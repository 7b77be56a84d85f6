"""The running bridge: what it says of itself, and whether RetailCRM's way to it leads here."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from amibridge.config import WebSettings
from amibridge.doctor.findings import Finding, fail, ok, warn
from amibridge.doctor.over_http import why
from amibridge.enterprises import EnterpriseId
from amibridge.web.answers import REQUEST_ID

TIMEOUT = aiohttp.ClientTimeout(total=6, connect=3)

LONGEST_ANSWER = 4 * 1024 * 1024
"""Bytes. Thousands of hosts fit."""

MANY_FACTS = 1_000
"""That wait to be written: the recorder takes thousands in a second."""

LONG_STALL = 1_000
"""Milliseconds. Asterisk drops who does not read for as long as its `writetimeout`, 100 ms, with a full buffer."""


@dataclass(frozen=True, slots=True)
class Health:
    """What `/health/ready` answered. *unasked*: why it could not be asked, and what to do; then the rest is empty."""

    body: Mapping[str, Any] = field(default_factory=dict)
    unasked: tuple[str, str] | None = None

    def about(self, kind: str, number: EnterpriseId) -> Sequence[Mapping[str, Any]]:
        """What it says in its list *kind* of one enterprise."""
        said = self.body.get(kind)
        listed = said if isinstance(said, list) else []
        return [one for one in listed if isinstance(one, dict) and one.get("enterprise") == number]


async def health_of(settings: WebSettings) -> Health:
    """Of the bridge that listens where we were told to, if one does."""
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as session,
            session.get(f"http://{address(settings)}/health/ready", allow_redirects=False) as response,
        ):
            body = json.loads(await _read(response)) if REQUEST_ID in response.headers else None
    except (aiohttp.ClientConnectorError, ConnectionError):
        return Health(
            unasked=(
                "nobody answers",
                "start it: systemctl start amibridge, or amibridge run; its log says why it ended",
            )
        )
    except (aiohttp.ClientError, TimeoutError) as error:
        return Health(unasked=why(error))
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or "database" not in body:
        return Health(unasked=("what answers there is no amibridge", "stop it, or choose another web.listen"))
    return Health(body)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    read = bytearray()
    async for chunk in response.content.iter_any():
        read += chunk
        if len(read) > LONGEST_ANSWER:
            raise ValueError("no health is as long as that")
    return bytes(read)


def address(settings: WebSettings) -> str:
    """Where to ask; who listens on every address can be asked at this machine's own."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.listen_host, settings.listen_host)
    return f"[{host}]:{settings.listen_port}" if ":" in host else f"{host}:{settings.listen_port}"


async def running(health: Health, settings: WebSettings) -> AsyncGenerator[Finding]:
    about, where = "bridge", address(settings)
    if health.unasked is not None:
        found, advice = health.unasked
        yield warn(about, f"{where}: {found}", advice)
        return
    body = health.body
    database, facts, stall = body.get("database"), body.get("facts_waiting"), body.get("longest_stall_ms")
    if not isinstance(database, dict) or database.get("state") != "up":
        reason = database.get("reason") if isinstance(database, dict) else None
        found = f"it has lost its database: {reason or 'no reason said'}"
        yield fail(about, found, "mend the database: the bridge comes back by itself")
    if isinstance(facts, int) and facts > MANY_FACTS:
        yield warn(about, f"{facts} facts wait to be written", "look at the database's load and disk")
    if isinstance(stall, int | float) and stall > LONG_STALL:
        yield warn(about, f"it stood still for {stall:.0f} ms, once or more", "look at this machine's load and memory")
    yield ok(about, f"it runs, and answers at {where}")


async def following(health: Health, number: EnterpriseId) -> AsyncGenerator[Finding]:
    """How the running bridge stands with an enterprise's hosts and CRM."""
    if health.unasked is not None:
        return
    hosts, crms = health.about("hosts", number), health.about("enterprises", number)
    for host in hosts:
        name, state = host.get("host"), host.get("state")
        if state == "up":
            yield ok(f"{name} followed", f"since {host.get('since')}, {host.get('events')} events")
        else:
            found = f"{state} since {host.get('since')}: {host.get('reason') or 'no reason yet'}"
            yield fail(f"{name} followed", found, "see what is found at its login; the bridge tries again by itself")
    for crm in crms:
        said = crm.get("crm")
        yield _told(said if isinstance(said, dict) else {})
    for history in health.about("histories", number):
        yield _followed(history)
    if not hosts and not crms:
        advice = "ask again in half a minute, if it was just applied; else look for enterprise_unreadable in the log"
        yield fail("bridge", "it runs, and does not serve this enterprise", advice)


def _followed(history: Mapping[str, Any]) -> Finding:
    about, read_at = f"CRM {history.get('history')}", history.get("read_at")
    if history.get("reason") is not None:
        found = f"cannot be read: {history['reason']}; " + (
            f"last read {read_at}" if read_at else "not read since the bridge took it up"
        )
        return warn(about, found, "see what is found of the key and its rights; the bridge tries again by itself")
    return ok(about, f"last read {read_at}" if read_at else "not read yet")


def _told(crm: Mapping[str, Any]) -> Finding:
    about, state = "CRM told", crm.get("state")
    if state == "well":
        return ok(about, "the bridge gets proper answers, or had nothing to tell yet")
    found = f"{state} since {crm.get('since')}: {crm.get('reason') or 'no reason said'}"
    if state == "troubled":
        return warn(about, found, "history waits meanwhile; look at the CRM, if it lasts")
    advice = "mend the reason; then a new key that is applied, or `amibridge retailcrm register`, ends the pause"
    return fail(about, found, advice)
