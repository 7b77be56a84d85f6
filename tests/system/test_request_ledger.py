"""What the CRM was asked by a running bridge, and by a command beside it, is in the ledger, each request once."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import asyncpg

from amibridge.sandbox.crm_faults import BadGateway, Busy
from amibridge.sandbox.retailcrm import SandboxCrm
from tests.corpus import TRACES
from tests.delivery.waiting import until
from tests.system.bridge import Bridge, enterprise_file
from tests.system.history import wanted_of
from tests.system.test_straight_line import KEY, USERS, account, pbx_of

PHONE = re.compile(r"\+?\d{9,}")
UNIQUEID = re.compile(r"\d{10}\.\d+")


async def listed(bridge: Bridge, *words: str) -> list[dict[str, Any]]:
    code, out, err = await bridge.command("deliveries", "0123", *words, "--config", str(bridge.config))
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


async def settled(pool: asyncpg.Pool) -> None:
    async with asyncio.timeout(60):
        while await pool.fetchval("SELECT count(*) FROM deliveries WHERE status = 'due'"):
            await asyncio.sleep(0.05)


async def all_written(crm: SandboxCrm, pool: asyncpg.Pool) -> Counter[str]:
    """Wait until what the CRM was asked and what is written agree, but for the polls that brought nothing."""
    asked, written = Counter[str](), Counter({"": 1})
    try:
        async with asyncio.timeout(60):
            while asked != written:
                await asyncio.sleep(0.1)
                asked = Counter(seen.path for seen in crm.requests if not seen.path.endswith("/history"))
                rows = await pool.fetch("SELECT address FROM crm_requests WHERE address NOT LIKE '%/history?%'")
                written = Counter(row["address"].partition("?")[0] for row in rows)
    except TimeoutError:
        assert written == asked
    return asked


async def test_every_request_is_there_once_and_every_call_can_be_told(bridge: Bridge, pool: asyncpg.Pool) -> None:
    traces = [trace for trace in TRACES if trace.stack == "asterisk22" and trace.kind.partition("_")[0] in "abc"]
    wanted, crm = wanted_of(traces), SandboxCrm([account()])
    crm.faults.give(Busy(), path="/api/v5/telephony/calls/upload")
    crm.faults.give(BadGateway(), path="/api/v5/telephony/calls/upload")
    history = crm.account(KEY)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(crm.serve())
        host = await stack.enter_async_context(pbx_of(traces).serve())
        await bridge.start()
        file = enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"asterisk22": host}, operators=USERS)
        await bridge.apply(file)
        await until(lambda: len(history.calls) >= len(wanted), 60)
        await settled(pool)
        bridge_asked = await all_written(crm, pool)
        code, _, err = await bridge.command("retailcrm", "users", "0123", "--config", str(bridge.config))
        assert code in (0, 1), err
        assert bridge_asked["/api/v5/telephony/calls/upload"] > 2
        assert (await all_written(crm, pool)).total() > bridge_asked.total()
        bridge.send_signal(15)
        assert await bridge.ended() == 0
    rows = await pool.fetch("SELECT * FROM crm_requests WHERE enterprise_id = '0123' ORDER BY id")
    assert KEY not in "".join(f"{row['request']}{row['answer']}{row['address']}{row['failure']}" for row in rows)
    for row in rows:
        texts = UNIQUEID.sub("", " ".join((row["request"], row["answer"], row["address"])))
        assert PHONE.findall(texts) == [], row["address"]

    for call in history.calls:
        story = await listed(bridge, "--call", call.external_id)
        [told] = [one for one in story if one["kind"] == "history"]
        assert told["status"] == "sent"
        assert told["requests"][-1]["verdict"].endswith("sent")
        assert [one["attempt"] for one in told["requests"]] == sorted(one["attempt"] for one in told["requests"])
    failed = [row for row in rows if row["http_status"] in (502, 503)]
    assert [(row["verdict"], row["next_attempt_at"] is not None) for row in failed] == [("due", True)] * 2
