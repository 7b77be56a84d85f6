"""Names that nobody answers for cost nobody else a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from amibridge.delivery.webhooks.resolver import OwnThreads

MANY = 64
"""More than the loop's own threads on any machine."""


async def test_name_servers_that_do_not_answer_keep_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    answered, ask = threading.Event(), socket.getaddrinfo

    def silent(host: str, *args: Any, **more: Any) -> Any:
        if host.endswith(".silent.test"):
            answered.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return ask(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    resolver = OwnThreads()
    asking = [asyncio.create_task(resolver.resolve(f"{n}.silent.test", 80), name=f"name {n}") for n in range(MANY)]
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        assert await asyncio.get_running_loop().getaddrinfo("localhost", 80), "which takes one of the loop's threads"
        assert [one["host"] for one in await resolver.resolve("localhost", 80)] == ["127.0.0.1"]
    assert not any(one.done() for one in asking)
    asking[0].cancel()
    answered.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(isinstance(one, OSError) for one in found[1:])


async def test_what_is_no_name_is_no_address() -> None:
    with pytest.raises(OSError, match="no name for DNS"):
        await OwnThreads().resolve("a" * 70 + ".test", 80)
