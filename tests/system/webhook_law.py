"""What must hold of a webhook when all is over, whatever happened meanwhile: the whole law.

Each fact of the enterprise was told at least once, signed, and nothing of anybody else; a call's events in their order;
what was told again had the id and the words that it had before.
"""

from __future__ import annotations

from collections import defaultdict

import asyncpg

from tests.delivery.webhooks.receiver import Receiver
from tests.system.bridge import Bridge
from tests.system.law import nothing_is_due


async def assert_webhook_law(
    bridge: Bridge,
    database: asyncpg.Connection,
    receiver: Receiver,
    *,
    enterprise: str,
    webhook: str = "erp",
    seconds: float = 90.0,
) -> None:
    """Once the bridge has nothing left to tell it."""
    await nothing_is_due(bridge, enterprise, seconds, webhook=webhook)
    facts = await database.fetch(
        "SELECT seq, call_id, kind FROM facts WHERE enterprise_id = $1 ORDER BY seq", enterprise
    )
    assert facts, "nothing was said at all"
    assert receiver.forged == []
    assert set(receiver.ids()) == {fact["seq"] for fact in facts}
    assert {one.event["enterprise"] for one in receiver.told} == {enterprise}
    assert receiver.overlaps == []
    said: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for fact in facts:
        said[fact["call_id"]].append((fact["seq"], fact["kind"]))
    heard: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for one in receiver.taken:
        first = heard[one.event["call_id"]].setdefault(int(one.id), one.event["event"])
        assert first == one.event["event"]
    assert {call: list(events.items()) for call, events in heard.items()} == said
    settled = await database.fetch(
        "SELECT status::text, count(*) FROM deliveries WHERE enterprise_id = $1 AND webhook = $2 GROUP BY status",
        enterprise,
        webhook,
    )
    assert dict(map(tuple, settled)) == {"sent": len(facts)}
