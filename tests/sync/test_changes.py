"""What a page of history comes to."""

from __future__ import annotations

import random
from typing import Any

import pytest

from amibridge.retailcrm.history import CustomerHistoryReply, OrderHistoryReply
from amibridge.sync.changes import Changes, fold


def record(id: int, customer: int, **more: object) -> dict[str, Any]:
    return {"id": id, "source": "user", "field": "first_name", "customer": {"id": customer}} | more


def ours(id: int, customer: int, **more: object) -> dict[str, Any]:
    return record(id, customer, source="api", apiKey={"current": True}, **more)


def gone(id: int, customer: int, into: int | None = None) -> dict[str, Any]:
    return record(id, customer, deleted=True) | ({} if into is None else {"combinedTo": {"id": into}})


def folded(*records: dict[str, Any]) -> Changes:
    return fold(CustomerHistoryReply.of({"history": list(records)}).records)


@pytest.mark.parametrize(
    ("records", "changes"),
    [
        ([], Changes()),
        ([record(1, 5), record(2, 5), record(3, 6)], Changes(touched=(5, 6))),
        ([ours(1, 5)], Changes(echoes=(5,))),
        ([ours(1, 5), record(2, 5)], Changes(touched=(5,))),
        ([record(1, 5), ours(2, 5)], Changes(touched=(5,))),
        ([record(1, 5), gone(2, 5)], Changes(deleted=(5,))),
        ([gone(1, 5), record(2, 5)], Changes(touched=(5,))),
        ([ours(1, 5), gone(2, 5), ours(3, 5)], Changes(echoes=(5,))),
        ([record(1, 5), gone(2, 5, into=6)], Changes(touched=(6,), merged=((5, 6),))),
        ([gone(1, 5, into=6), gone(2, 6, into=7)], Changes(touched=(7,), merged=((5, 6), (6, 7)))),
        ([gone(1, 5, into=6), gone(2, 6, into=5)], Changes(touched=(5,), merged=((5, 6), (6, 5)))),
        ([gone(1, 5, into=6), gone(2, 6)], Changes(deleted=(6,), merged=((5, 6),))),
        ([gone(1, 5, into=5)], Changes(senseless=1)),
        ([record(1, 0), record(2, -3), record(3, 2**63), gone(4, 5, into=0)], Changes(senseless=4)),
    ],
)
def test_records_come_to(records: list[dict[str, Any]], changes: Changes) -> None:
    assert folded(*records) == changes


def test_the_order_in_which_they_come_says_nothing() -> None:
    records = [record(1, 5), ours(2, 6), gone(3, 5), record(4, 7), gone(5, 7, into=6), record(6, 8), ours(7, 8)]
    wanted = folded(*records)
    for seed in range(50):
        random.Random(seed).shuffle(records)
        assert folded(*records) == wanted


def test_what_cannot_be_read_is_counted_and_the_cursor_passes_it() -> None:
    history = [{"id": 7}, {"order": {"id": 1}}, {"id": 9, "order": []}, {"id": "5", "order": {"id": "1"}}, None, "x"]
    reply = OrderHistoryReply.of({"history": history, "pagination": {"totalPageCount": 2}})
    assert [one.id for one in reply.records] == [5]
    assert (reply.last_id, reply.more, reply.unreadable) == (9, True, 3)


@pytest.mark.parametrize("history", [[], {}, [{}], [{"id": 10**40, "order": {"id": 1}}], [{"id": -1}]])
def test_where_nothing_can_be_read_there_is_nowhere_to_go(history: object) -> None:
    reply = OrderHistoryReply.of({"history": history, "pagination": {"totalPageCount": 99}})
    assert (reply.last_id, reply.more) == (None, False)
