"""What systemd and an administrator see of the daemon: readiness, reload, watchdog, and failures that say why."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from tests.databases import new_database
from tests.delivery.waiting import until
from tests.system import bridge as bridge_module
from tests.system.bridge import Bridge


async def test_sighup_reads_the_settings_of_the_log_again(bridge: Bridge) -> None:
    await bridge.start()
    bridge.config.write_text(bridge.config.read_text("utf-8").replace('level = "debug"', 'level = "warning"'), "utf-8")
    bridge.send_signal(signal.SIGHUP)
    await bridge.says("RELOADING=1", 5)
    if "READY=1" not in bridge.told[bridge.told.index("RELOADING=1") :]:
        await bridge.says("READY=1", 5)
    assert any(word.startswith("MONOTONIC_USEC=") for word in bridge.told)
    bridge.config.write_text("[log]\nlevel = 'loud'\n", encoding="utf-8")
    bridge.send_signal(signal.SIGHUP)
    await until(lambda: bridge.log("settings_not_reloaded"), 5)
    bridge.send_signal(signal.SIGTERM)
    assert await bridge.ended() == 0
    assert bridge.log("stopped") == [], "the level is warning by now"


async def test_what_is_signalled_while_a_database_is_awaited(tmp_path: Path, unused_tcp_port: int) -> None:
    """A reload does not make it ready, and a stop does not wait for the database."""
    bridge = Bridge(tmp_path, "postgresql://amibridge@127.0.0.1:1/amibridge", unused_tcp_port)
    starting = asyncio.create_task(bridge.start(), name="a start that never ends")
    try:
        await until(lambda: bridge.log_file.exists() and bridge.log("database_awaited"))
        bridge.send_signal(signal.SIGHUP)
        await until(lambda: bridge.log("settings_reloaded"))
        bridge.send_signal(signal.SIGTERM)
        assert await bridge.ended() == 0
        assert bridge.log("stopped")
        assert {"READY=1", "RELOADING=1"}.isdisjoint(bridge.told)
    finally:
        starting.cancel()
        await bridge.close()


async def test_while_tables_are_brought_up_to_date_it_asks_for_time(
    tmp_path: Path, server: str, unused_tcp_port: int
) -> None:
    """An index of a big old database takes longer than `TimeoutStartSec`: killed then, it would begin anew for ever."""
    async with new_database(server) as dsn:
        other = await asyncpg.connect(dsn)
        await other.execute("SELECT pg_advisory_lock(hashtextextended('amibridge migrations', 0))")
        bridge = Bridge(tmp_path, dsn, unused_tcp_port)
        starting = asyncio.create_task(bridge.start(), name="a start that takes long")
        try:
            await until(lambda: "EXTEND_TIMEOUT_USEC=60000000" in bridge.told)
            assert "READY=1" not in bridge.told
            await other.close()
            await starting
            assert bridge.log("schema_upgraded")
        finally:
            starting.cancel()
            await other.close()
            await bridge.close()


async def test_a_daemon_whose_streams_are_closed_serves_and_stops(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = ("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *bridge_module.COMMAND)
    monkeypatch.setattr(bridge_module, "COMMAND", closed)
    await bridge.start()
    bridge.send_signal(signal.SIGTERM)
    assert await bridge.ended() == 0


async def test_two_signals_end_it_at_once(bridge: Bridge) -> None:
    await bridge.start()
    bridge.send_signal(signal.SIGTERM)
    bridge.send_signal(signal.SIGINT)
    assert await bridge.ended(5) in (0, 1)


async def test_every_line_of_the_log_is_json_when_nobody_looks(bridge: Bridge) -> None:
    await bridge.start()
    bridge.send_signal(signal.SIGTERM)
    assert await bridge.ended() == 0
    assert {"timestamp", "level", "event"} <= bridge.log()[0].keys()
    said = ("web_listening", "started", "stopping", "stopped")
    assert tuple(line["event"] for line in bridge.log() if line["event"] in said) == said
    [started] = bridge.log("started")
    assert started["data_dir"] == str(bridge.folder / "state")
    assert started["database"].startswith("amibridge_test_")


async def test_ready_means_that_questions_are_answered(bridge: Bridge) -> None:
    await bridge.start()
    async with aiohttp.ClientSession() as client, client.get(f"{bridge.url}/health/live") as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("config", "code", "says"),
    [
        ("[databas]\n", 2, "line 2: databas: unknown key; did you mean 'database'?"),
        ('[web]\nlisten = "nowhere"\n', 2, "web.listen: must be an address and a port"),
        ('[database]\ndsn = "postgresql://nobody:hush@/x?host=/dev/null&port=1&sslmode=maybe"\n', 1, "the database"),
    ],
)
async def test_a_start_that_cannot_be_says_why(
    bridge: Bridge, tmp_path: Path, config: str, code: int, says: str
) -> None:
    bridge.config.write_text(f'data_dir = "{tmp_path / "state"}"\n{config}', encoding="utf-8")
    returned, out, err = await bridge.command("run", "--config", str(bridge.config))
    assert (returned, out) == (code, "")
    assert says in err
    assert "Traceback" not in err
    assert "hush" not in err
