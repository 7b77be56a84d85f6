"""What is said of histories: when each was last read, and why it is not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from amibridge.enterprises import HistoryStanding
from amibridge.sandbox.crm_faults import WrongKey
from amibridge.sync import patience
from amibridge.sync.worker import Watchers
from tests.delivery.waiting import until
from tests.sync.following import NUMBER, Office, enterprise

pytestmark = pytest.mark.postgres


def of(watchers: Watchers, history: str) -> HistoryStanding:
    [found] = [one for one in watchers.standings() if one.history == history]
    return found


def both(watchers: Watchers, holds: Callable[[HistoryStanding], object]) -> bool:
    standings = watchers.standings()
    return len(standings) == 2 and all(holds(one) for one in standings)


async def test_each_history_tells_when_it_was_read(office: Office) -> None:
    begun = datetime.now(UTC)
    async with office.followed() as watchers:
        await office.begun()
        for history in ("customers", "orders"):
            await until(lambda history=history: of(watchers, history).read_at is not None)  # type: ignore[misc]
            read_at = of(watchers, history).read_at
            assert read_at is not None
            assert begun <= read_at <= datetime.now(UTC)
            # Without a change it is read all the same.
            await until(lambda history=history, at=read_at: of(watchers, history).read_at != at)  # type: ignore[misc]
        assert {(one.enterprise, one.reason) for one in watchers.standings()} == {(NUMBER, None)}
        watchers.enterprises([])
        await until(lambda: watchers.standings() == [])


async def test_one_that_cannot_be_read_says_why_and_when_it_could(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LASTING", (0.02, 0.05))
    with capture_logs():
        async with office.followed() as watchers:
            await until(lambda: both(watchers, lambda one: one.read_at))
            office.sandbox.faults.give(WrongKey(), times=None)
            await until(lambda: both(watchers, lambda one: one.reason))
            read_at = of(watchers, "orders").read_at
            assert read_at is not None
            asked = len(office.sandbox.requests)
            await until(lambda: len(office.sandbox.requests) > asked + 3)
            assert of(watchers, "orders").read_at == read_at
            office.sandbox.faults.clear()
            await until(lambda: both(watchers, lambda one: one.reason is None))
            await until(lambda: of(watchers, "orders").read_at != read_at)


async def test_another_account_was_never_read(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LASTING", (0.02, 0.05))
    with capture_logs():
        async with office.followed() as watchers:
            await until(lambda: both(watchers, lambda one: one.read_at))
            watchers.enterprises([enterprise(office.url.replace("127.0.0.1", "localhost"), key="wrong-key")])
            await until(lambda: both(watchers, lambda one: one.reason))
            assert [one.read_at for one in watchers.standings()] == [None, None]
