"""The event stream of the running daemon: what the core says of recorded calls, each once, through kills and stops."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from amibridge.sandbox.retailcrm import SandboxCrm
from tests.corpus import TRACES
from tests.delivery.waiting import until
from tests.system.bridge import Bridge, enterprise_file
from tests.system.test_kill import CALLS, LIFE
from tests.system.test_straight_line import KEY, account, pbx_of
from tests.web.listening import EventSource, listening

KINDS = ("a_inbound", "c_inbound", "h_ringgroup", "k_", "m_internal", "o1_attended", "n_blind")
TOLD = [trace for trace in TRACES if trace.stack == "asterisk22" and trace.kind.startswith(KINDS)]
PATIENT = """
import sys
from datetime import timedelta
from amibridge import cli
from amibridge.web import streams, tail
streams.LOOK = tail.LOOK = timedelta(hours=1)
sys.exit(cli.main())
"""
BRIEF = ("direction", "phone", "external_number", "caller_name", "line", "caller")


async def new_token(bridge: Bridge) -> str:
    code, out, err = await bridge.command("token", "add", "--config", str(bridge.config), "0123", "--scope", "read")
    assert code == 0, err
    return str(json.loads(out)["token"])


@contextlib.asynccontextmanager
async def following(source: EventSource) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(source.follow(), name="event source")
        try:
            yield
        finally:
            work.cancel()


async def replayed(bridge: Bridge, *words: str) -> list[dict[str, Any]]:
    traces = [str(trace.path) for trace in TOLD]
    code, out, err = await bridge.command("replay", "--host", "pbx1", *words, *traces)
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
async def patient(tmp_path: Path, dsn: str, unused_tcp_port: int) -> AsyncIterator[Bridge]:
    """Whose streams never look by themselves for what is new."""
    bridge = Bridge(tmp_path, dsn, unused_tcp_port, (sys.executable, "-c", PATIENT))
    try:
        yield bridge
    finally:
        await bridge.close()


async def test_what_is_streamed_is_what_the_core_says_of_the_same_bytes(patient: Bridge) -> None:
    """At once: it is still being played when somebody begins to listen."""
    assert len(TOLD) >= 6
    bridge, pbx, crm = patient, pbx_of(TOLD, lost=False, speed=10), SandboxCrm([account()])
    wanted = await replayed(bridge, "--facts")
    records = {one["call_id"]: one for one in await replayed(bridge)}
    async with crm.serve() as url, pbx.serve() as address:
        await bridge.apply(enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"pbx1": address}))
        token = await new_token(bridge)
        await bridge.start()
        await until(lambda: bridge.log("host_connected"), 30)
        async with listening(bridge.url, token, after=0) as listener:
            await until(lambda: len(listener.events) >= len(wanted), 60)
            bridge.send_signal(signal.SIGTERM)
            assert await bridge.ended() == 0
            await until(lambda: listener.over)
    assert listener.ids == sorted(set(listener.ids))
    told = [said for _, _, said in listener.events]
    assert [(one["event"], one["call_id"], one["at"]) for one in told] == [
        (fact["kind"], fact["call"], fact["at"]) for fact in wanted
    ]
    for one, fact in zip(told, wanted, strict=True):
        assert {name: one[name] for name in BRIEF} == fact["brief"]
        assert all(one[name] == fact.get(name) for name in ("extension", "cause", "into"))
        assert one["call"] == (records[fact["call"]] if one["event"] in ("call.finished", "call.missed") else None)


async def test_killed_in_the_middle_of_a_stream_its_client_has_each_fact_once_in_order(
    bridge: Bridge, pool: asyncpg.Pool
) -> None:
    crm = SandboxCrm([account()])
    pbx = pbx_of(CALLS, speed=6.0, shift=False, lost=False)
    async with crm.serve() as url, pbx.serve() as address:
        await bridge.apply(enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"pbx1": address}))
        source = EventSource(bridge.url, await new_token(bridge), last="0")
        await bridge.start()
        async with following(source):
            for _ in range(3):
                events = len(source.events)
                await until(lambda events=events: len(source.events) > events, 30)  # type: ignore[misc]
                await bridge.kill()
                await bridge.start()
                await until(lambda: bridge.log("host_connected"), 30)
                await asyncio.sleep(LIFE)
            await asyncio.wait_for(pbx.played(), 60)
            await until(lambda: len(crm.account(KEY).calls) >= len(CALLS) - 1, 60)
            newest = await pool.fetchval("SELECT max(seq) FROM facts")
            await until(lambda: source.ids and source.ids[-1] >= newest, 60)
    await bridge.kill()
    rows = await pool.fetch("SELECT seq, kind, call_id FROM facts WHERE enterprise_id = '0123' ORDER BY seq")
    assert [(number, word, told["call_id"]) for number, word, told in source.events] == [tuple(row) for row in rows]
    assert source.connections >= 4
    opened = await pool.fetch("SELECT outcome FROM audit WHERE action = 'events.listen'")
    assert {row["outcome"] for row in opened} == {"done"}
