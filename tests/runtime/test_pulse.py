"""The heartbeat on a real loop, before a socket that listens as systemd does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from amibridge.runtime import pulse as module
from amibridge.runtime.pulse import Pulse
from tests.delivery.waiting import until


@contextlib.asynccontextmanager
async def beating(pulse: Pulse) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(pulse.beat(), name="pulse under test")
        await asyncio.sleep(0)
        yield
        task.cancel()


def block(seconds: float) -> None:
    """The loop stands still, as it does under a query or a lock that somebody forgot to await."""
    time.sleep(seconds)


async def test_a_loop_that_stood_still_is_measured_and_said() -> None:
    pulse = Pulse()
    assert pulse.longest_stall == timedelta(0)
    with capture_logs() as lines:
        async with beating(pulse):
            block(0.4)
            await until(lambda: pulse.longest_stall)
    assert timedelta(seconds=0.35) < pulse.longest_stall < timedelta(seconds=5)
    [line, *_] = [line for line in lines if line["event"] == "loop_stalled"]
    assert line["log_level"] == "warning"
    assert line["seconds"] == pytest.approx(pulse.longest_stall.total_seconds(), abs=0.001)


async def test_a_short_stall_is_measured_and_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONG", timedelta(minutes=1))
    pulse = Pulse()
    with capture_logs() as lines:
        async with beating(pulse):
            block(0.1)
            await until(lambda: pulse.longest_stall > timedelta(milliseconds=70))
    assert lines == []


async def test_the_longest_stall_counts_and_is_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pulse = Pulse()
    async with beating(pulse):
        block(0.6)
        await until(lambda: pulse.longest_stall > timedelta(seconds=0.5))
        block(0.1)
        await asyncio.sleep(5 * module.EVERY)
        assert pulse.longest_stall > timedelta(seconds=0.5)
        monkeypatch.setattr(module, "REMEMBERED", timedelta(milliseconds=50))
        await until(lambda: pulse.longest_stall < timedelta(seconds=0.5))


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        address = tmp_path / "notify"
        listener.bind(str(address))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        yield listener


async def test_the_watchdog_is_fed_twice_in_its_interval_and_no_oftener(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    interval = 0.2
    monkeypatch.setenv("WATCHDOG_USEC", str(int(interval * 1_000_000)))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with beating(Pulse()):
        async with asyncio.timeout(20):
            meals = [await loop.sock_recv(systemd, 4096) for _ in range(4)]
    assert meals == [b"WATCHDOG=1"] * 4
    assert loop.time() - begun >= 4 * interval / 2


async def test_a_loop_that_stands_still_does_not_feed_the_watchdog(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    async with beating(Pulse()):
        block(0.3)
        with pytest.raises(BlockingIOError):
            systemd.recv(4096)


async def test_where_nobody_watches_nobody_is_told(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    pulse = Pulse()
    async with beating(pulse):
        for _ in range(3):
            block(0.1)
            await until(lambda: pulse.longest_stall)
        with pytest.raises(BlockingIOError):
            systemd.recv(4096)
