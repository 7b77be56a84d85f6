"""Lag is what an event took beyond the quickest of late, whatever the clocks say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from amibridge.runtime.lag import CLOCK_STANDS, REMEMBERED, Lag

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def heard(lag: Lag, at: datetime, *, took: timedelta, ahead: timedelta = timedelta(0)) -> None:
    """One event that happened at *at* by our clock, and *took* so long to us."""
    lag.heard(at + ahead, at + ahead, at + took)


@given(
    st.timedeltas(timedelta(-400), timedelta(400)),
    st.lists(st.timedeltas(timedelta(0), timedelta(seconds=9)), min_size=1, max_size=20),
)
def test_what_the_clocks_differ_by_is_no_lag(ahead: timedelta, took: list[timedelta]) -> None:
    lag, now = Lag(), NOON
    heard(lag, now, took=timedelta(0), ahead=ahead)
    for one in took:
        now += SECOND
        heard(lag, now, took=one, ahead=ahead)
    assert lag.ahead(now) == ahead
    assert lag.longest(now) == max(took)


def test_the_oldest_event_of_a_batch_came_latest() -> None:
    lag = Lag()
    heard(lag, NOON, took=timedelta(0))
    lag.heard(NOON + SECOND, NOON + 4 * SECOND, NOON + 4 * SECOND)
    assert lag.longest(NOON + 4 * SECOND) == 3 * SECOND


def test_it_is_known_for_a_minute_and_forgotten_after_two() -> None:
    lag = Lag()
    heard(lag, NOON, took=timedelta(0))
    heard(lag, NOON, took=3 * SECOND)
    assert lag.longest(NOON + REMEMBERED) == 3 * SECOND
    assert lag.longest(NOON + 2 * REMEMBERED + 4 * SECOND) == timedelta(0)


def test_what_came_meanwhile_hides_nothing() -> None:
    lag, later = Lag(), NOON + REMEMBERED + 4 * SECOND
    heard(lag, NOON, took=timedelta(0))
    heard(lag, NOON, took=3 * SECOND)
    heard(lag, later, took=timedelta(0))
    assert lag.longest(later) == 3 * SECOND
    assert lag.longest(later + REMEMBERED + SECOND) == timedelta(0)


def test_a_clock_that_is_set_back_looks_like_lag_for_some_minutes() -> None:
    lag, now = Lag(), NOON
    heard(lag, now, took=timedelta(0))
    seen: list[timedelta] = []
    while now < NOON + 2 * CLOCK_STANDS + 2 * REMEMBERED + timedelta(minutes=1):
        now += 10 * SECOND
        heard(lag, now, took=timedelta(0), ahead=-5 * SECOND)
        seen.append(lag.longest(now))
    assert (seen[0], seen[-1]) == (5 * SECOND, timedelta(0))
    assert lag.ahead(now) == -5 * SECOND


def test_a_clock_that_is_set_forward_does_not() -> None:
    lag = Lag()
    heard(lag, NOON, took=timedelta(0))
    heard(lag, NOON + SECOND, took=timedelta(0), ahead=3600 * SECOND)
    assert lag.longest(NOON + SECOND) == timedelta(0)
    assert lag.ahead(NOON + SECOND) == 3600 * SECOND


def test_of_a_silent_pbx_nothing_is_known() -> None:
    lag = Lag()
    assert (lag.longest(NOON), lag.ahead(NOON)) == (timedelta(0), None)
    heard(lag, NOON, took=timedelta(0))
    assert lag.ahead(NOON + 3 * CLOCK_STANDS) is None
