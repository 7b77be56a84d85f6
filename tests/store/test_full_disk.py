"""A disk that is really full, where root can make a small one; `test_recorder` tells the rules of it everywhere."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from amibridge.store.db import open_pool
from amibridge.store.ledger import Ledger
from amibridge.store.outbox import Delivery, Outbox
from amibridge.store.recorder import FactQueue, StoreHopeless, record
from tests.delivery.rows import ended
from tests.delivery.rows import record as verdict
from tests.delivery.waiting import until
from tests.store.catalog import make_as_read
from tests.store.owner import owner
from tests.store.said import heard
from tests.store.worlds import has_namespaces

pytestmark = pytest.mark.postgres

MANY = 1_500
"""Facts that need many a new page in every table."""


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Not a byte is left on its disk."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    try:
        yield
    finally:
        filler.unlink()


if os.geteuid() == 0 and has_namespaces():

    async def test_a_full_disk_stops_us_loudly_and_a_cleared_one_loses_nothing(tmp_path: Path) -> None:
        folder = tmp_path / ("disk" * 25)  # too long a path for a socket, which would lie on that disk
        folder.mkdir()
        facts = heard(*(ended(verdict(f"pbx:{number}")) for number in range(MANY)))
        queue = FactQueue()
        handed: list[Delivery] = []
        async with owner(folder, (sys.executable, "-m", "tests.store.worlds", "small", str(folder))) as one:
            assert one.refused == ""
            await make_as_read(one.dsn)
            async with open_pool(one.dsn) as pool:
                ledger = Ledger(pool)
                for fact in facts:
                    queue.put(fact)
                with full(Path(f"/proc/{one.pid}/root{folder}")), capture_logs() as logs:
                    with pytest.raises(StoreHopeless, match="the disk of the database is full"):
                        await record(queue, ledger, handed.extend, patience=timedelta(seconds=0.1))
                    assert len(queue) > 0
                    assert [line["event"] for line in logs if line["log_level"] == "critical"] == ["database_disk_full"]
                    assert "No space left on device" in logs[-1]["reason"]
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(record(queue, ledger, handed.extend), name="recorder")
                        seen = len(logs)
                        await until(lambda: len(logs) > seen)
                        os.truncate(f"/proc/{one.pid}/root{folder}/filler", 0)
                        queue.close()
                assert handed == await Outbox(pool).load_due(facts[0].enterprise)
                assert len(handed) == 3 * MANY, "a popup, its history, and an errand"
                assert await pool.fetchval("SELECT count(*) FROM calls") == MANY
                assert await pool.fetchval("SELECT count(*) FROM rejected_facts") == 0
