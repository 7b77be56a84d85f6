"""What must hold when all is over, whatever happened meanwhile: the whole law, asserted by every test of a fault.

Every external call is in the CRM exactly once and right; nobody was shown a call late; each number is one customer.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

import aiohttp

from amibridge.calls.notices import RING_NEWS
from amibridge.sandbox.crm_account import CrmAccount
from amibridge.sandbox.crm_witness import LIMITS, LimitClass, SeenRequest
from amibridge.sandbox.retailcrm import SandboxCrm
from tests.delivery.waiting import until
from tests.system.bridge import Bridge
from tests.system.history import Wanted, assert_history

EVENT = "/api/v5/telephony/call/event"
UPLOAD = "/api/v5/telephony/calls/upload"

ON_THE_WAY = timedelta(seconds=2)
"""Between a line of the log and the arrival of a request that was decided on then, on the busiest of machines."""


async def assert_law(
    bridge: Bridge,
    crm: SandboxCrm,
    account: CrmAccount,
    wanted: Sequence[Wanted],
    *,
    enterprise: str = "0123",
    news: timedelta = RING_NEWS,
    seconds: float = 60.0,
) -> None:
    """Once the bridge has nothing left to tell. *news*: for how long it is news that a phone rings."""
    await until(lambda: len(account.calls) >= len(wanted), seconds)
    await nothing_is_due(bridge, enterprise, seconds)
    assert_history(account, wanted)
    assert len({call.external_id for call in account.calls}) == len(account.calls)
    assert bridge.log("call_parked", enterprise=enterprise) == []
    assert bridge.log("customer_parked", enterprise=enterprise) == []
    assert_one_customer_per_number(account, wanted)
    assert late_popups(bridge, crm, account, enterprise, news) == []
    assert account.open_popups() == []
    assert_rates(crm, account)


async def nothing_is_due(
    bridge: Bridge, enterprise: str = "0123", seconds: float = 60.0, *, webhook: str | None = None
) -> None:
    """Wait for that: nothing for the CRM, or for that *webhook*."""
    async with asyncio.timeout(seconds), aiohttp.ClientSession() as client:
        while True:
            async with client.get(f"{bridge.url}/health/ready") as answer:
                told = await answer.json()
            ours = (enterprise, webhook, "due")
            due = [one for one in told["deliveries"] if (one["enterprise"], one["webhook"], one["status"]) == ours]
            if answer.status == 200 and not due:
                return
            await asyncio.sleep(0.05)


def assert_one_customer_per_number(account: CrmAccount, wanted: Iterable[Wanted]) -> None:
    """Nobody else was made, either."""
    numbers = {one.phone for one in wanted if one.phone.startswith("+")}
    held = Counter(phone["number"] for one in account.customers.by_id.values() for phone in one["phones"])
    assert held == Counter(numbers)


@dataclass(frozen=True)
class _Asked:
    """A request to open or close popups, whatever the CRM made of it."""

    at: datetime
    event: Mapping[str, Any]


def asked_events(crm: SandboxCrm, account: CrmAccount) -> list[_Asked]:
    seen = [one for one in crm.requests if one.path == EVENT and one.account == account.account.name]
    return [_Asked(one.at, json.loads(one.excerpt.removeprefix("event="))) for one in seen]


def late_popups(
    bridge: Bridge, crm: SandboxCrm, account: CrmAccount, enterprise: str, news: timedelta
) -> list[tuple[str, _Asked]]:
    """Popups that were asked for when it was no news that the phone rings, or when it did so no more."""
    lines = [
        (datetime.fromisoformat(line["timestamp"]), line)
        for line in bridge.log(enterprise=enterprise)
        if "call" in line
    ]
    found = []
    for asked in asked_events(crm, account):
        call, kind = asked.event["callExternalId"], asked.event["type"]
        codes = asked.event.get("codes", [])
        if kind == "hangup":
            continue
        about = [(at, line) for at, line in lines if line["call"] == call and at <= asked.at]
        rings = [at for at, line in about if _rings(line, kind, codes)]
        quiet = [at for at, line in about if _silences(line, codes) and rings and at > rings[-1]]
        if not rings:
            found.append(("it did not ring", asked))
        elif asked.at - rings[-1] > news + ON_THE_WAY:
            found.append((f"it rings since {rings[-1]}", asked))
        elif quiet and asked.at - quiet[0] > ON_THE_WAY:
            found.append((f"it is quiet since {quiet[0]}", asked))
    return found


def _rings(line: Mapping[str, Any], kind: str, codes: Sequence[str]) -> bool:
    if kind == "out":
        return bool(line["event"] == "call_outgoing")
    return line["event"] == "operator_rang" and line["operator"] in codes


def _silences(line: Mapping[str, Any], codes: Sequence[str]) -> bool:
    stops = line["event"] == "operator_stopped" and codes == [line["operator"]]
    return stops or line["event"] == "call_ended"


def assert_rates(crm: SandboxCrm, account: CrmAccount) -> None:
    """In every second, wherever it begins, and also by the CRM's own count."""
    assert [one for one in crm.violations if one.account == account.account.name] == []
    seen = [one for one in crm.requests if one.account == account.account.name]
    for limit, most in LIMITS.items():
        assert busiest_second(seen, limit) <= most, limit


def busiest_second(seen: Iterable[SeenRequest], limit: LimitClass) -> int:
    """The most requests of one kind in any one second."""
    telephony = limit is LimitClass.TELEPHONY
    times = sorted(one.arrived for one in seen if ("/telephony" in one.path) is telephony)
    return max(chain([0], (sum(1 for at in times[i:] if at < begun + 1.0) for i, begun in enumerate(times))))
