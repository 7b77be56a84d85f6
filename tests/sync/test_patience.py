"""How rarely a CRM is asked that does not answer, and what is worth saying; the windows of the backfill."""

from __future__ import annotations

import itertools
from datetime import date, timedelta

import pytest

from amibridge.retailcrm import errors
from amibridge.retailcrm.errors import CrmBroken, CrmBusy, CrmError, CrmForbids, CrmLockedOut, CrmUnreachable
from amibridge.retailcrm.limits import RATES
from amibridge.retailcrm.requests import LimitClass
from amibridge.sync.asker import PACE
from amibridge.sync.backfill import REACH, next_window
from amibridge.sync.patience import CONCERNS, Patience


def waits(error: Exception, times: int, jitter: float = 1.0) -> list[float]:
    patience, found = Patience(), []
    for _ in range(times):
        patience.failed(error, 1000.0, jitter)
        found.append(patience.closed_till - 1000.0)
    return found


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CrmUnreachable("away"), [5, 10, 20, 40, 80, 160, 300, 300]),
        (CrmBroken("html"), [5, 10, 20, 40, 80, 160, 300, 300]),
        (OSError("the database"), [5, 10, 20, 40, 80, 160, 300, 300]),
        (CrmBusy("busy", retry_after=timedelta(seconds=33)), [33, 33, 33, 40, 80, 160, 300, 300]),
        (CrmBusy("busy", retry_after=timedelta(hours=1)), [3600] * 8),
        (CrmLockedOut("wrong key"), [60, 120, 240, 480, 900, 900, 900, 900]),
        (CrmForbids("no right"), [60, 120, 240, 480, 900, 900, 900, 900]),
    ],
)
def test_waits_grow(error: Exception, expected: list[float]) -> None:
    assert waits(error, 8) == expected
    assert waits(error, 8, jitter=0.0) >= [0.75 * wait for wait in expected]
    assert waits(error, 5000)[-1] == expected[-1]


def said(patience: Patience) -> str | None:
    return patience.reason


def test_what_passes_is_said_when_it_lasts_and_the_rest_at_once() -> None:
    patience = Patience()
    patience.failed(CrmUnreachable("away"), 0.0, 0.0)
    assert said(patience) is None
    patience.failed(CrmUnreachable("away"), 0.0, 0.0)
    assert said(patience) == "away"
    patience.answered()
    assert (said(patience), patience.closed_till) == (None, 0.0)
    patience.failed(CrmForbids("no right", status=403), 0.0, 0.0)
    assert patience.reason == "no right (HTTP 403)"
    patience.hurry()
    assert (patience.reason, patience.closed_till) == ("no right (HTTP 403)", 0.0), "it is not mended by being hurried"


def test_every_error_concerns_somebody() -> None:
    assert set(CONCERNS) == {
        one for one in vars(errors).values() if isinstance(one, type) and CrmError in one.__bases__
    }


def test_half_of_the_rate_is_left_to_others() -> None:
    rate = RATES[LimitClass.ORDINARY]
    assert PACE * rate.limit == 2 * rate.per


def test_windows_reach_a_month_back_and_overlap() -> None:
    started, covered, windows = date(2026, 3, 10), None, []
    while (window := next_window(started, covered)) is not None:
        windows.append(window)
        covered = window[0]
    assert windows[0] == (date(2026, 3, 3), started)
    assert windows[-1][0] == started - REACH
    assert all(last == first for (first, _), (_, last) in itertools.pairwise(windows))
    assert len(windows) == 5
