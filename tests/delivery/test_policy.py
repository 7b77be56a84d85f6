from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.delivery.policy import ANSWERS, Done, Drop, Park, PauseEnterprise, Retry, Verdict, decide
from amibridge.retailcrm.errors import (
    CrmBroken,
    CrmBusy,
    CrmError,
    CrmLockedOut,
    CrmNotEnabled,
    CrmRefused,
    CrmUnreachable,
)

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
FRESH = NOW + timedelta(seconds=20)

PASSING: list[CrmError] = [CrmBusy("busy", status=503), CrmUnreachable("nobody"), CrmBroken("html", status=502)]
WRONG = CrmRefused("Validation error", status=400, errors={"phone": "bad"})
STOPPING: list[CrmError] = [CrmLockedOut("Wrong key", status=403), CrmNotEnabled("Telephony not enabled", status=400)]


def verdict(
    error: CrmError | None,
    *,
    fresh: datetime | None = None,
    attempts: int = 1,
    since: timedelta = timedelta(),
    jitter: float = 0.5,
) -> Verdict:
    return decide(error, perishable_until=fresh, attempts=attempts, first_tried=NOW - since, now=NOW, jitter=jitter)


def seconds(outcome: Verdict) -> float:
    assert isinstance(outcome, Retry)
    return (outcome.at - NOW).total_seconds()


def test_every_error_calls_for_something() -> None:
    assert ANSWERS.keys() == set(CrmError.__subclasses__())


@pytest.mark.parametrize("fresh", [None, FRESH, NOW - timedelta(seconds=1)])
def test_what_was_delivered_is_done_however_late(fresh: datetime | None) -> None:
    assert verdict(None, fresh=fresh, attempts=9, since=timedelta(days=9)) == Done()


def test_a_refused_popup_is_dropped_and_a_refused_history_parked() -> None:
    why = "Validation error: phone: bad (HTTP 400)"
    assert verdict(WRONG, fresh=FRESH) == Drop(why)
    assert verdict(WRONG) == Park(why)


@pytest.mark.parametrize("error", PASSING)
@pytest.mark.parametrize(
    ("attempts", "least", "most"), [(1, 0.2, 0.2), (2, 0.2, 0.4), (3, 0.4, 0.8), (4, 0.8, 1.6), (9, 2.5, 5.0)]
)
def test_a_popup_is_tried_again_quickly(error: CrmError, attempts: int, least: float, most: float) -> None:
    assert seconds(verdict(error, fresh=FRESH, attempts=attempts, jitter=0.0)) == pytest.approx(least)
    assert seconds(verdict(error, fresh=FRESH, attempts=attempts, jitter=1.0)) == pytest.approx(most)


@pytest.mark.parametrize("error", PASSING)
def test_a_popup_is_dropped_rather_than_sent_late(error: CrmError) -> None:
    assert verdict(error, fresh=NOW + timedelta(seconds=0.2), attempts=1) == Drop(f"stale: {error}")
    assert verdict(error, fresh=NOW - timedelta(seconds=5), attempts=1) == Drop(f"stale: {error}")
    assert isinstance(verdict(error, fresh=NOW + timedelta(seconds=0.3), attempts=1), Retry)


@pytest.mark.parametrize("error", PASSING)
@pytest.mark.parametrize(
    ("attempts", "jitter", "wait"),
    [(1, 1.0, 1.0), (2, 1.0, 2.0), (5, 1.0, 16.0), (5, 0.25, 4.0), (11, 1.0, 600.0), (100_000, 0.5, 300.0),
     (0, 1.0, 1.0), (50, 0.0, 0.2)],
)  # fmt: skip
def test_history_backs_off_with_full_jitter(error: CrmError, attempts: int, jitter: float, wait: float) -> None:
    assert seconds(verdict(error, attempts=attempts, jitter=jitter)) == pytest.approx(wait)


def test_retry_after_is_a_lower_bound() -> None:
    asked = CrmBusy("busy", status=503, retry_after=timedelta(seconds=7))
    assert seconds(verdict(asked, jitter=0.0)) == 7.0
    assert seconds(verdict(asked, attempts=5, jitter=1.0)) == 16.0
    assert seconds(verdict(asked, fresh=FRESH)) == 7.0
    assert isinstance(verdict(asked, fresh=NOW + timedelta(seconds=7)), Drop)
    assert seconds(verdict(CrmBusy("busy", retry_after=timedelta()), jitter=0.0)) == 0.2


@pytest.mark.parametrize("error", PASSING)
def test_history_is_parked_after_five_days(error: CrmError) -> None:
    assert isinstance(verdict(error, attempts=800, since=timedelta(days=5, seconds=-1)), Retry)
    assert verdict(error, attempts=800, since=timedelta(days=5)) == Park(f"given up after 5 days: {error}")


@pytest.mark.parametrize("error", STOPPING)
@pytest.mark.parametrize("fresh", [None, FRESH, NOW])
@pytest.mark.parametrize(("attempts", "minutes"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 15), (500, 15)])
def test_a_wrong_key_pauses_the_enterprise_and_settles_nothing(
    error: CrmError, fresh: datetime | None, attempts: int, minutes: int
) -> None:
    for jitter in (0.0, 0.9):
        outcome = verdict(error, fresh=fresh, attempts=attempts, since=timedelta(days=30), jitter=jitter)
        assert outcome == PauseEnterprise(NOW + timedelta(minutes=minutes), str(error))


@given(
    st.sampled_from([None, *PASSING, WRONG, *STOPPING]),
    st.none() | st.integers(-100, 100),
    st.integers(0, 10**6),
    st.integers(0, 10 * 86_400),
    st.floats(0, 1, exclude_max=True),
)
def test_no_try_is_too_early_too_late_or_too_far(
    error: CrmError | None, fresh: int | None, attempts: int, since: int, jitter: float
) -> None:
    until = None if fresh is None else NOW + timedelta(seconds=fresh)
    outcome = verdict(error, fresh=until, attempts=attempts, since=timedelta(seconds=since), jitter=jitter)
    if isinstance(outcome, Retry):
        assert timedelta(seconds=0.2) <= outcome.at - NOW <= timedelta(minutes=10)
        assert until is None or outcome.at < until
    assert not (until is None and isinstance(outcome, Drop))
    assert not (until is not None and isinstance(outcome, Park))
