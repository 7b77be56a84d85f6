"""What a webhook is told: the fact as all software hears of it, whose it is, and where the call can be heard. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from amibridge.calls.announcement import announced
from amibridge.calls.facts import CallEnded
from amibridge.calls.record import CallRecord
from amibridge.enterprises import Enterprise, EnterpriseId
from amibridge.store.outbox import Delivery

PING = "ping"
"""The event that says nothing: asked by `amibridge doctor`."""


def body_of(row: Delivery, enterprise: Enterprise, record_url: Callable[[Enterprise, CallRecord], str | None]) -> bytes:
    url = record_url(enterprise, row.fact.record) if isinstance(row.fact, CallEnded) else None
    return _written({**announced(row.seq, row.fact), "enterprise": row.enterprise, "record_url": url})


def ping_body(enterprise: EnterpriseId, at: datetime) -> bytes:
    return _written({"event": PING, "at": at.isoformat(timespec="microseconds"), "enterprise": enterprise})


def _written(told: dict[str, Any]) -> bytes:
    # ASCII: a PBX may say what is no text in any encoding, and JSON has an escape for it.
    return json.dumps(told, separators=(",", ":")).encode("ascii")
