"""When the clocks change: dates are those of the account's clock, and what a call lasted is what passed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amibridge.ami.events import ChannelState
from amibridge.calls.record import CallId, CallRecord
from amibridge.retailcrm.render import history
from amibridge.retailcrm.tolerant import TIME_FORMAT, moment, time
from amibridge.store.codec import decode_fact, encode_fact
from tests.calls.tape import Tape
from tests.delivery.rows import ended
from tests.retailcrm.samples import enterprise, record

KYIV, MOSCOW, ALMATY = "Europe/Kyiv", "Europe/Moscow", "Asia/Almaty"
ZONES = (KYIV, MOSCOW, ALMATY, "Europe/Minsk", "Europe/Madrid", "America/Mexico_City", "Asia/Kathmandu")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def uploaded(records: Sequence[CallRecord], zone: str) -> list[Any]:
    """As it goes over the wire."""
    request = history(records, enterprise(), ZoneInfo(zone), lambda _: None)
    return list(json.loads(json.dumps(request.form["calls"])))


def call(began: datetime, *, waits: timedelta, talks: timedelta) -> CallRecord:
    """Made of events, as any call."""
    tape = Tape()
    tape.now = began - timedelta(milliseconds=200)
    customer = tape.customer()
    phone = tape.dials(customer, "PJSIP/101")
    tape.passes(waits)
    tape.state(phone, ChannelState.UP)
    tape.dial_ends(customer, phone, "ANSWER")
    tape.meet(phone, customer)
    tape.passes(talks)
    tape.hangs_up(customer, phone)
    [record] = tape.records()
    return record


AUTUMN, SPRING = at("2026-10-25 01:00"), at("2026-03-29 01:00")
"""In Kyiv: 04:00 becomes 03:00, and 03:00 becomes 04:00."""

ALMATYS = at("2024-02-29 18:00")
"""Midnight becomes 23:00 of the same day, for good."""


@pytest.mark.parametrize(
    ("began", "zone", "date"),
    [
        ("2026-10-25 00:59:59", KYIV, "2026-10-25 03:59:59"),
        ("2026-10-25 01:00:00", KYIV, "2026-10-25 03:00:00"),
        ("2026-10-25 01:59:59", KYIV, "2026-10-25 03:59:59"),
        ("2026-10-25 02:00:00", KYIV, "2026-10-25 04:00:00"),
        ("2026-03-29 00:59:59", KYIV, "2026-03-29 02:59:59"),
        ("2026-03-29 01:00:00", KYIV, "2026-03-29 04:00:00"),
        ("2026-10-25 00:59:59", MOSCOW, "2026-10-25 03:59:59"),
        ("2026-10-25 01:00:00", MOSCOW, "2026-10-25 04:00:00"),
        ("2026-03-29 01:00:00", MOSCOW, "2026-03-29 04:00:00"),
        ("2024-02-29 17:59:59", ALMATY, "2024-02-29 23:59:59"),
        ("2024-02-29 18:00:00", ALMATY, "2024-02-29 23:00:00"),
        ("2024-02-29 19:00:00", ALMATY, "2024-03-01 00:00:00"),
        # Today midnight in Almaty is an hour later than it was before 2024.
        ("2026-11-24 18:59:59", ALMATY, "2026-11-24 23:59:59"),
        ("2026-11-24 19:00:00", ALMATY, "2026-11-25 00:00:00"),
        ("2023-11-24 18:00:00", ALMATY, "2023-11-25 00:00:00"),
    ],
)
def test_the_date_is_what_the_accounts_clock_showed(began: str, zone: str, date: str) -> None:
    assert uploaded([record(started_at=at(began))], zone)[0]["date"] == date


@given(st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)), st.sampled_from(ZONES))
@example(datetime(2026, 10, 25, 0, 59, 59, 500_000), KYIV)
@example(datetime(2026, 3, 29, 0, 59, 59, 500_000), KYIV)
@example(datetime(2024, 2, 29, 18, 30), ALMATY)
def test_it_is_a_time_that_clock_really_shows_and_half_a_second_from_the_call_at_most(
    began: datetime, zone: str
) -> None:
    began = began.replace(tzinfo=UTC)
    date = datetime.strptime(uploaded([record(started_at=began)], zone)[0]["date"], TIME_FORMAT)
    meant = {date.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)}
    assert min(abs(one - began) for one in meant) <= timedelta(milliseconds=500)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("change", [AUTUMN, SPRING, ALMATYS, at("2026-11-24 21:00")], ids=str)
def test_what_a_call_lasted_is_what_passed_whatever_the_clock_does_meanwhile(change: datetime, zone: str) -> None:
    """It begins, is answered and ends on either side of a change or of midnight."""
    waits, talks = timedelta(seconds=40), timedelta(minutes=20)
    for began in (change - talks - waits * 2, change - talks / 2, change - waits / 2, change):
        made = call(began, waits=waits, talks=talks)
        fact = ended(made)
        kept = decode_fact(fact.word, encode_fact(fact))
        assert kept == fact
        [said] = uploaded([made], zone)
        assert (said["durationWaiting"], said["duration"]) == (41, 1200)
        assert said["date"] == f"{began.astimezone(ZoneInfo(zone)):{TIME_FORMAT}}"


def test_a_call_across_midnight_is_of_the_day_on_which_it_began() -> None:
    [said] = uploaded([call(at("2026-11-24 20:59:30"), waits=timedelta(seconds=20), talks=timedelta(hours=2))], MOSCOW)
    assert (said["date"], said["duration"]) == ("2026-11-24 23:59:30", 7200)


def test_two_calls_of_an_hour_that_comes_twice_have_one_date_and_are_two() -> None:
    """A date has no offset, so the CRM cannot tell them apart by it; by their externalIds it can."""
    first = record(started_at=AUTUMN - timedelta(minutes=30), call_id=CallId("pbx1:1"))
    second = record(started_at=AUTUMN + timedelta(minutes=30), call_id=CallId("pbx1:2"))
    said = uploaded([first, second], KYIV)
    assert [one["date"] for one in said] == ["2026-10-25 03:30:00"] * 2
    assert [one["externalId"] for one in said] == ["pbx1:1", "pbx1:2"]


def test_what_the_crm_dates_into_that_hour_is_read_as_the_first_of_the_two() -> None:
    told = time("2026-10-25 03:30:00")
    assert told is not None
    assert moment(told, ZoneInfo(KYIV)).astimezone(UTC) == AUTUMN - timedelta(minutes=30)
