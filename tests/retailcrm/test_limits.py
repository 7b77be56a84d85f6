from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.retailcrm.limits import BESIDE, RATES, Rate, RateWindow
from amibridge.retailcrm.requests import LimitClass

PROMISED = {LimitClass.TELEPHONY: 40, LimitClass.ORDINARY: 10}
TENTH_MS = 1e-4


def starts(window: RateWindow, arrivals: list[int]) -> list[float]:
    """When requests that come at *arrivals* (gaps in tenths of a millisecond) start, each waiting its turn."""
    clock, taken = 0.0, []
    for gap in arrivals:
        clock += gap * TENTH_MS
        clock += window.wait(clock)
        while (rest := window.wait(clock)) > 0:  # floating point leaves a hair now and then
            clock += max(rest, 1e-9)
        window.take(clock)
        taken.append(clock)
    return taken


def most_within(times: list[float], span: float) -> int:
    """The fullest half-open window of *span* that begins at one of *times*, less a hair for floating point."""
    return max(sum(1 for t in times if begin <= t < begin + span - 1e-6) for begin in times)


@given(
    st.integers(1, 12),
    st.floats(0.01, 2.0),
    st.lists(st.one_of(st.just(0), st.integers(0, 3000)), min_size=1, max_size=120),
)
def test_no_window_ever_holds_more_than_the_limit(limit: int, per: float, arrivals: list[int]) -> None:
    assert most_within(starts(RateWindow(limit, per), arrivals), per) <= limit


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(LimitClass))
@given(arrivals=st.lists(st.one_of(st.just(0), st.integers(0, 5000)), min_size=1, max_size=200), seed=st.randoms())
def test_what_the_crm_promised_holds_although_requests_catch_up_on_the_way(
    kind: LimitClass, arrivals: list[int], seed: Random
) -> None:
    rate = RATES[kind]
    times = starts(RateWindow(rate.limit, rate.per.total_seconds()), arrivals)
    late = [t + seed.uniform(0, 0.25) for t in times]
    assert most_within(late, 1.0) <= PROMISED[kind]


@pytest.mark.parametrize("kind", list(LimitClass))
@given(delays=st.lists(st.one_of(st.just(0.0), st.floats(0, 5)), min_size=1, max_size=200))
def test_no_delay_on_the_way_brings_more_than_promised_into_a_second(kind: LimitClass, delays: list[float]) -> None:
    """A request starts only while few are unanswered; the slowest may arrive whenever they like."""
    rate, clock = RATES[kind], 0.0
    window = RateWindow(rate.limit, rate.per.total_seconds())
    on_their_way: list[float] = []
    arrived: list[float] = []
    for delay in delays:
        if len(on_their_way) == rate.unanswered:
            clock = max(clock, min(on_their_way))
        on_their_way = [at for at in on_their_way if at > clock]
        while (rest := window.wait(clock)) > 0:
            clock += max(rest, 1e-9)
        window.take(clock)
        on_their_way.append(clock + delay)
        arrived.append(clock + delay)
    assert most_within(arrived, 1.0) <= PROMISED[kind]


def most_arriving(rate: Rate) -> int:
    """In any second, however much waits and whatever the way does to it."""
    return most_within(starts(RateWindow(rate.limit, rate.per.total_seconds()), [0] * 200), 1.0) + rate.unanswered


def test_the_worst_ways_still_keep_the_promise_and_leave_room_for_a_command_beside() -> None:
    assert most_arriving(RATES[LimitClass.TELEPHONY]) == PROMISED[LimitClass.TELEPHONY]
    beside = most_arriving(BESIDE[LimitClass.ORDINARY])
    assert most_arriving(RATES[LimitClass.ORDINARY]) + beside == PROMISED[LimitClass.ORDINARY]


def test_nothing_waits_while_there_is_room() -> None:
    window = RateWindow(3, 1.0)
    assert starts(window, [0, 0, 0, 10_000]) == [0.0, 0.0, 0.0, 1.0]


def test_a_start_before_its_time_is_a_mistake_of_the_caller() -> None:
    window = RateWindow(1, timedelta(seconds=1).total_seconds())
    window.take(5.0)
    assert window.wait(5.25) == 0.75
    with pytest.raises(RuntimeError):
        window.take(5.25)
    window.take(6.0)


@pytest.mark.parametrize(("limit", "per"), [(0, 1.0), (-1, 1.0), (1, 0.0), (1, -1.0)])
def test_a_rate_must_let_something_through(limit: int, per: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        RateWindow(limit, per)
