from __future__ import annotations

from datetime import timedelta

from amibridge.delivery.standing import PROBE_EVERY, Mood, Room, Standing
from tests.delivery.rows import NOON

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

NOBODY, ONE, ALL = Room(0, False, False), Room(1, True, True), Room(6, True, True)


def room(
    standing: Standing,
    after: timedelta = timedelta(),
    *,
    popups: int = 0,
    history: bool = False,
    errand: bool = False,
) -> Room:
    return standing.room(
        NOON + after, popups_in_flight=popups, popups_max=6, history_in_flight=history, errand_in_flight=errand
    )


def test_a_well_crm_has_room_for_popups_and_one_upload() -> None:
    standing = Standing()
    assert room(standing) == ALL
    assert room(standing, popups=4, history=True) == Room(2, False, True)
    assert room(standing, errand=True) == Room(6, True, False)
    assert standing.wake_at(NOON) is None


def test_one_lost_request_is_nobodys_news() -> None:
    standing = Standing()
    assert standing.failed(NOON, retry_after=None, history_from=None) is None
    assert standing.answered(NOON) is None


def test_trouble_is_announced_once_and_so_is_its_end() -> None:
    standing = Standing()
    moods = [standing.failed(NOON, retry_after=None, history_from=None) for _ in range(5)]
    assert moods == [None, Mood.TROUBLED, None, None, None]
    assert standing.answered(NOON) is Mood.WELL
    assert standing.answered(NOON) is None


def test_trouble_holds_history_and_no_popup() -> None:
    standing = Standing()
    standing.failed(NOON, retry_after=None, history_from=NOON + 5 * SECOND)
    assert room(standing, 4 * SECOND) == Room(6, False, False)
    assert standing.wake_at(NOON) == NOON + 5 * SECOND
    assert room(standing, 5 * SECOND) == ALL


def test_history_asks_an_ailing_crm_every_minute() -> None:
    standing = Standing()
    standing.failed(NOON, retry_after=None, history_from=NOON + 10 * MINUTE)
    assert standing.wake_at(NOON) == NOON + PROBE_EVERY


def test_a_crm_that_asks_for_silence_gets_it() -> None:
    standing = Standing()
    standing.failed(NOON, retry_after=3 * SECOND, history_from=None)
    assert room(standing, 2 * SECOND) == NOBODY
    assert room(standing, 3 * SECOND) == ALL


def test_but_not_for_longer_than_ten_minutes() -> None:
    standing = Standing()
    standing.failed(NOON, retry_after=timedelta(days=1), history_from=None)
    assert room(standing, 10 * MINUTE) == ALL


def test_a_pause_ends_with_one_careful_try() -> None:
    standing = Standing()
    assert standing.pause(NOON, NOON + MINUTE) is Mood.PAUSED
    assert room(standing, 59 * SECOND) == NOBODY
    assert standing.wake_at(NOON) == NOON + MINUTE
    assert room(standing, MINUTE) == ONE
    assert room(standing, MINUTE, popups=1) == NOBODY
    assert standing.answered(NOON + MINUTE) is Mood.WELL
    assert room(standing, MINUTE) == ALL


def test_an_answer_to_what_was_asked_before_a_pause_does_not_end_it() -> None:
    """The shop's customers may be told while its telephony is off."""
    standing = Standing()
    standing.pause(NOON, NOON + MINUTE)
    assert standing.answered(NOON + 59 * SECOND) is None
    assert standing.mood is Mood.PAUSED
    assert room(standing, 59 * SECOND) == NOBODY


def test_requests_that_were_in_flight_together_make_one_pause() -> None:
    standing = Standing()
    standing.pause(NOON, NOON + MINUTE)
    assert standing.pause(NOON + SECOND, NOON + 2 * MINUTE) is None
    assert standing.pauses == 1
    assert standing.wake_at(NOON) == NOON + MINUTE
    standing.pause(NOON + MINUTE, NOON + 3 * MINUTE)
    assert standing.pauses == 2


def test_the_days_of_a_pause_are_no_days_of_tries() -> None:
    standing = Standing()
    assert standing.tried_since(NOON, NOON + MINUTE) == NOON
    standing.pause(NOON, NOON + MINUTE)
    assert standing.tried_since(NOON, NOON + 9 * MINUTE) == NOON + 9 * MINUTE
    standing.pause(NOON + 9 * MINUTE, NOON + 11 * MINUTE)
    standing.answered(NOON + 11 * MINUTE)
    assert standing.tried_since(NOON, NOON + 12 * MINUTE) == NOON + 11 * MINUTE
    assert standing.tried_since(NOON + 20 * MINUTE, NOON + 30 * MINUTE) == NOON + 20 * MINUTE


def test_a_pause_is_not_ended_by_a_network_failure() -> None:
    standing = Standing()
    standing.pause(NOON, NOON + MINUTE)
    assert standing.failed(NOON + MINUTE, retry_after=None, history_from=None) is None
    assert room(standing, MINUTE) == NOBODY
    assert room(standing, 2 * MINUTE) == ONE
