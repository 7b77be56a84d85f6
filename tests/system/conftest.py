from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.system.bridge import HURRIED, Bridge


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("system")


@pytest.fixture
async def bridge(tmp_path: Path, dsn: str, unused_tcp_port: int) -> AsyncIterator[Bridge]:
    """Not started yet."""
    bridge = Bridge(tmp_path, dsn, unused_tcp_port)
    try:
        yield bridge
    finally:
        await bridge.close()


@pytest.fixture
async def hurried(tmp_path: Path, dsn: str, unused_tcp_port: int) -> AsyncIterator[Bridge]:
    """Not started yet; its clocks run faster."""
    bridge = Bridge(tmp_path, dsn, unused_tcp_port, HURRIED)
    try:
        yield bridge
    finally:
        await bridge.close()
