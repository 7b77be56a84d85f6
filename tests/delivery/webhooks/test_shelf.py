"""Whose turn it is, and which of memory and table is believed."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from amibridge.calls.notices import NoticeKind
from amibridge.delivery.webhooks.shelf import Shelf
from amibridge.delivery.webhooks.stock import Stock
from amibridge.store.outbox import Delivery
from tests.delivery.rows import NOON, history

SECOND = timedelta(seconds=1)


def event(id: int, call: str) -> Delivery:
    return replace(history(id, call), kind=NoticeKind.WEBHOOK, webhook="erp", seq=100 + id)


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(min_value=0))
def test_a_call_is_told_in_order_whatever_fails(calls: list[str], seed: int) -> None:
    shelf, chance, now = Shelf(), random.Random(seed), NOON
    coming = [event(id, call) for id, call in enumerate(calls, 1)]
    flying: list[Delivery] = []
    told: defaultdict[str, list[int]] = defaultdict(list)
    for _ in range(2_000):
        if not coming and not flying and not shelf.waiting:
            break
        match chance.randrange(4):
            case 0 if coming:
                shelf.add(coming.pop(0))
            case 1 if flying:
                row = flying.pop(chance.randrange(len(flying)))
                if chance.random() < 0.4:
                    shelf.again(row, now + SECOND * chance.randrange(9), tried_at=now)
                else:
                    told[row.call].append(row.id)
                    shelf.done(row)
            case 2:
                now += SECOND
            case 3:
                if (taken := shelf.take(now)) is not None:
                    assert taken.due_at <= now
                    flying.append(taken)
        assert len({row.call for row in flying}) == len(flying) == shelf.in_flight
        wake = shelf.wake_at(now)
        assert wake is None or wake > now
    assert dict(told) == {call: [id for id, one in enumerate(calls, 1) if one == call] for call in set(calls)}


def test_one_call_that_fails_holds_up_no_other() -> None:
    shelf = Shelf()
    for row in (event(1, "a"), event(2, "a"), event(3, "b")):
        shelf.add(row)
    first = shelf.take(NOON)
    assert first is not None
    back = shelf.again(first, NOON + SECOND, tried_at=NOON)
    assert (back.attempts, back.first_tried_at) == (1, NOON)
    other = shelf.take(NOON)
    assert other is not None
    assert other.id == 3
    assert shelf.take(NOON) is None, "what comes after the one that failed waits for it"
    assert shelf.wake_at(NOON) == NOON + SECOND
    shelf.hurry(NOON)
    again = shelf.take(NOON)
    assert again is not None
    assert again.id == 1


def test_what_is_old_is_given_up_all_at_once_but_for_what_is_on_its_way() -> None:
    shelf = Shelf()
    rows = [replace(event(id, "a"), created_at=NOON + SECOND * id) for id in range(1, 6)]
    for row in rows:
        shelf.add(row)
    taken = shelf.take(NOON)
    assert taken == rows[0]
    assert list(shelf.give_up(NOON + 3 * SECOND)) == rows[1:3]
    assert (shelf.waiting, shelf.take(NOON)) == (2, None)
    shelf.done(rows[0])
    assert shelf.take(NOON) == rows[3]


class Table:
    """Rows as they are due in the database. *meanwhile*: happens while a page is on its way."""

    def __init__(self) -> None:
        self.due: dict[int, Delivery] = {}
        self.reads = 0
        self.meanwhile: Callable[[], None] = lambda: None

    async def read(self, after: int, limit: int) -> list[Delivery]:
        self.reads += 1
        page = [self.due[id] for id in sorted(self.due) if id > after][:limit]
        self.meanwhile()
        return page


async def drain(stock: Stock, table: Table) -> list[int]:
    """Tell all there is, reading when it is wanted."""
    told = []
    for _ in range(10_000):
        if stock.wants_reading(NOON):
            await stock.read(NOON)
        row = stock.shelf.take(NOON)
        if row is None:
            break
        told.append(row.id)
        stock.shelf.done(row)
        del table.due[row.id]
        stock.written([row.id])
    return told


async def test_memory_is_bounded_and_no_row_overtakes_an_older_one_of_its_call() -> None:
    table = Table()
    stock = Stock(table.read, (), NOON, held_max=10)
    await stock.read(NOON)
    told: list[int] = []
    for id in range(1, 101):
        row = event(id, f"call {id % 3}")
        table.due[id] = row
        stock.offer([row])
        assert stock.shelf.waiting <= 10
        if id % 20 == 0:  # a little is told while more comes
            for _ in range(7):
                taken = stock.shelf.take(NOON)
                assert taken is not None
                told.append(taken.id)
                stock.shelf.done(taken)
                del table.due[taken.id]
                stock.written([taken.id])
                if stock.wants_reading(NOON):
                    await stock.read(NOON)
    told += await drain(stock, table)
    assert sorted(told) == list(range(1, 101))
    for rest in range(3):
        of_call = [id for id in told if id % 3 == rest]
        assert of_call == sorted(of_call)


async def test_what_is_committed_while_the_table_is_read_is_read_too_and_once() -> None:
    table = Table()
    table.due = {id: event(id, "a") for id in range(1, 4)}
    stock = Stock(table.read, (), NOON)
    late = iter(range(4, 8))

    def commit() -> None:
        if (id := next(late, None)) is not None:
            table.due[id] = event(id, "a")
            stock.offer([table.due[id]])

    table.meanwhile = commit
    assert await drain(stock, table) == list(range(1, 8))
    stock.offer([event(7, "a")])
    assert stock.shelf.waiting == 0, "the recorder tells of it after the table did"


async def test_what_is_done_and_not_written_is_not_taken_again() -> None:
    table = Table()
    table.due = {1: event(1, "a"), 2: event(2, "a")}
    stock = Stock(table.read, {1}, NOON)
    table.meanwhile = lambda: stock.written([1])
    await stock.read(NOON)
    row = stock.shelf.take(NOON)
    assert row is not None
    assert row.id == 2
    assert stock.shelf.waiting == 0
