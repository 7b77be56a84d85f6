"""So many at once, then so many a second, for each who asks, in bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amibridge.limits import Guesses, Limit


def test_so_many_at_once_then_so_many_a_second() -> None:
    limit = Limit(per_second=2, at_once=3)
    assert [limit.take("a", 100.0) for _ in range(5)] == [0, 0, 0, 0.5, 0.5]
    assert limit.take("a", 100.5) == 0
    assert limit.take("a", 100.5) == 0.5
    assert [limit.take("a", 200.0) for _ in range(4)] == [0, 0, 0, 0.5]


def test_each_has_his_own() -> None:
    limit = Limit(per_second=1, at_once=1)
    assert (limit.take("a", 0.0), limit.take("b", 0.0), limit.take("a", 0.0)) == (0, 0, 1)


def test_looking_takes_nothing() -> None:
    limit = Limit(per_second=1, at_once=1)
    assert [limit.wait("a", 0.0) for _ in range(9)] == [0] * 9
    limit.take("a", 0.0)
    assert limit.wait("a", 0.0) == 1


def test_memory_is_bounded_and_the_silent_go_first() -> None:
    limit = Limit(per_second=1, at_once=1, most=100)
    for number in range(10_000):
        limit.take("busy", float(number))
        limit.take(number, float(number))
    assert len(limit) == 100
    assert limit.wait("busy", 9_999.0) == 1
    assert limit.wait(0, 0.0) == 0


@given(st.lists(st.floats(0, 5), max_size=200), st.integers(1, 20), st.integers(1, 50))
def test_never_more_than_was_promised_in_any_stretch(pauses: list[float], at_once: int, per_second: int) -> None:
    limit, now, taken = Limit(per_second=per_second, at_once=at_once), 0.0, list[float]()
    for pause in pauses:
        now += pause
        if limit.take("a", now) == 0:
            taken.append(now)
    for first, begin in enumerate(taken):
        for last, end in enumerate(taken[first:], 1):
            assert last <= at_once + (end - begin) * per_second + 0.001


def test_who_guesses_is_kept_waiting_and_nobody_else() -> None:
    guesses = Guesses()
    for number in range(20):
        assert guesses.wait("a", 0.0) == 0
        guesses.note("a", str(number), 0.0)
    assert guesses.wait("a", 0.0) > 0
    assert guesses.wait("b", 0.0) == 0
    assert guesses.wait("a", 60.0) == 0


def test_the_same_again_is_no_guess() -> None:
    guesses = Guesses()
    for second in range(1000):
        guesses.note("a", "of last year", float(second))
        assert guesses.wait("a", float(second)) == 0
