"""What each answer means, and for how long an event is tried."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from amibridge.delivery.policy import Done, Park, Retry
from amibridge.delivery.standing import Mood
from amibridge.delivery.webhooks.policy import GONE_AGAIN, Meaning, decide, meaning
from amibridge.delivery.webhooks.post import Heard
from amibridge.delivery.webhooks.standing import AT_ONCE, Standing
from tests.delivery.rows import NOON

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("statuses", "means"),
    [
        ((200, 201, 202, 204, 299), Meaning.TAKEN),
        ((None, 408, 425, 429, 500, 502, 503, 504, 599), Meaning.TRY_AGAIN),
        ((300, 301, 302, 307, 308, 400, 401, 403, 404, 405, 409, 413, 422, 451), Meaning.REFUSED),
        ((410,), Meaning.GONE),
    ],
)
def test_every_answer_means_something(statuses: tuple[int | None, ...], means: Meaning) -> None:
    assert {meaning(Heard(status, "")) for status in statuses} == {means}


def after(
    status: int | None,
    span: timedelta,
    *,
    attempts: int = 3,
    asked: timedelta | None = None,
    jitter: float = 1.0,
) -> Done | Retry | Park:
    return decide(Heard(status, "why", asked), attempts=attempts, since=NOON, now=NOON + span, jitter=jitter)


def again(*args: Any, **more: Any) -> datetime:
    verdict = after(*args, **more)
    assert isinstance(verdict, Retry)
    return verdict.at


def test_a_failure_is_tried_for_five_days_and_a_refusal_for_an_hour() -> None:
    assert after(204, 9 * DAY) == Done()
    assert isinstance(after(503, 5 * DAY - SECOND), Retry)
    assert after(None, 5 * DAY) == Park("given up after 5 days: why")
    assert isinstance(after(404, HOUR - SECOND), Retry)
    assert after(404, HOUR) == Park("given up after an hour: why")
    assert after(410, HOUR) == Retry(NOON + HOUR + GONE_AGAIN)
    assert after(410, 5 * DAY) == Park("given up after 5 days: why")


def test_waits_grow_by_chance_up_to_ten_minutes_and_as_long_as_was_asked() -> None:
    assert [again(500, SECOND, attempts=n) - NOON - SECOND for n in (1, 2, 3, 40)] == [
        SECOND,
        2 * SECOND,
        4 * SECOND,
        timedelta(minutes=10),
    ]
    assert again(500, SECOND, attempts=40, jitter=0.0) - NOON == timedelta(seconds=1.2)
    assert again(429, SECOND, asked=timedelta(minutes=30)) == NOON + SECOND + timedelta(minutes=30)


def test_a_receiver_that_fails_is_told_one_thing_at_a_time_and_ever_more_rarely() -> None:
    standing, now = Standing(), NOON
    assert standing.room(now, in_flight=0) == AT_ONCE

    def fail(at: datetime) -> Mood | None:
        return standing.failed(at, tried_since=NOON, retry_after=None, jitter=1.0)

    assert fail(now) is None
    assert standing.room(now, in_flight=0) == AT_ONCE, "one failure may be the event's"
    assert fail(now) is Mood.TROUBLED
    silences = []
    for _ in range(12):
        assert standing.room(now, in_flight=0) == 0
        wake = standing.wake_at(now)
        assert wake is not None
        silences.append(wake - now)
        assert fail(now + (wake - now) / 2) is None, "what was on its way says nothing new"
        now = wake
        assert (standing.room(now, in_flight=0), standing.room(now, in_flight=1)) == (1, 0)
        assert fail(now) is None
    assert silences == sorted(silences)
    assert silences[-1] == timedelta(minutes=10)
    assert standing.failing_since == NOON
    assert standing.taken() is Mood.WELL
    assert standing.room(now, in_flight=1) == AT_ONCE - 1
    assert standing.wake_at(now) is None


def test_one_that_is_gone_is_left_alone_for_an_hour() -> None:
    standing = Standing()
    assert standing.gone(NOON, tried_since=NOON) is Mood.PAUSED
    assert standing.room(NOON + HOUR - SECOND, in_flight=0) == 0
    assert standing.room(NOON + HOUR, in_flight=0) == 1
    assert standing.gone(NOON + HOUR, tried_since=NOON) is None
    assert standing.failed(NOON + 3 * HOUR, tried_since=NOON, retry_after=None, jitter=0.0) is None, "still paused"
    assert standing.taken() is Mood.WELL


def test_a_silence_that_was_asked_for_is_kept_by_all_events() -> None:
    standing = Standing()
    standing.failed(NOON, tried_since=NOON, retry_after=timedelta(minutes=7), jitter=0.0)
    assert standing.wake_at(NOON) == NOON + timedelta(minutes=7)
    assert standing.room(NOON + timedelta(minutes=6), in_flight=0) == 0
