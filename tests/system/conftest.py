from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.system.bridge import Bridge


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
