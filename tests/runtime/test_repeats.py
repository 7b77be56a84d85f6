"""Who asks twice in time gets one answer, and one thing is done."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from amibridge.runtime.repeats import Repeats

LONG = timedelta(hours=1)
HERE, THERE = "0123", "0124"


class Over(Exception):
    pass


class MayHaveHappened(Exception):
    pass


class Work:
    """Answers how often it was done; waits for *gate*, raises what it is told."""

    def __init__(self) -> None:
        self.done = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.raises: Exception | None = None

    async def __call__(self) -> int:
        self.done += 1
        done = self.done
        await self.gate.wait()
        if self.raises is not None:
            raise self.raises
        return done


def repeats(remembered: timedelta = LONG, most: int = 10) -> Repeats[int]:
    return Repeats(remembered, most, lambda error: not isinstance(error, MayHaveHappened))


async def test_the_same_is_done_once_and_another_anew() -> None:
    known, work = repeats(), Work()
    assert [await known.once(HERE, key, work) for key in ("a", "a", "b", "a")] == [1, 1, 2, 1]


async def test_a_hundred_at_once_are_one() -> None:
    known, work = repeats(), Work()
    work.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(known.once(HERE, "a", work), name=f"asker {one}") for one in range(100)]
        await asyncio.sleep(0)
        work.gate.set()
    assert {one.result() for one in asked} == {1}


async def test_when_its_time_is_over_it_is_done_anew() -> None:
    known, work = repeats(timedelta(0)), Work()
    assert await known.once(HERE, "a", work) == 1
    await asyncio.sleep(0.001)
    assert await known.once(HERE, "a", work) == 2


async def test_what_failed_may_be_tried_again_at_once() -> None:
    known, work = repeats(), Work()
    work.raises = Over("no")
    for _ in range(2):
        with pytest.raises(Over):
            await known.once(HERE, "a", work)
    work.raises = None
    assert await known.once(HERE, "a", work) == 3


async def test_what_may_have_happened_is_not() -> None:
    known, work = repeats(), Work()
    work.raises = MayHaveHappened("perhaps")
    for _ in range(3):
        with pytest.raises(MayHaveHappened):
            await known.once(HERE, "a", work)
    assert work.done == 1


async def test_who_waited_hears_of_the_failure_too() -> None:
    known, work = repeats(), Work()
    work.gate.clear()
    work.raises = Over("no")
    first, second = (asyncio.create_task(known.once(HERE, "a", work), name=name) for name in ("first", "second"))
    await asyncio.sleep(0)
    work.gate.set()
    assert [*await asyncio.gather(first, second, return_exceptions=True)] == [work.raises] * 2
    assert work.done == 1


async def test_who_leaves_does_not_take_the_others_answer_with_him() -> None:
    known, work = repeats(), Work()
    work.gate.clear()
    first, second, third = (asyncio.create_task(known.once(HERE, "a", work), name=name) for name in "123")
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    work.gate.set()
    assert [*await asyncio.gather(first, third)] == [1, 1]


async def test_where_the_first_leaves_nobody_waits_for_ever() -> None:
    known, work = repeats(), Work()
    work.gate.clear()
    first, second = (asyncio.create_task(known.once(HERE, "a", work), name=name) for name in "12")
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first, second})
    assert second.cancelled()
    work.gate.set()
    assert await known.once(HERE, "a", work) == 2


async def test_no_more_is_remembered_than_it_is_told() -> None:
    known, work = repeats(most=10), Work()
    for key in range(1000):
        await known.once(HERE, key, work)
        assert len(known) <= 10
    assert await known.once(HERE, 999, work) == 1000
    assert await known.once(HERE, 0, work) == 1001


async def test_nobody_makes_us_forget_what_another_asked_for() -> None:
    known, work = repeats(most=10), Work()
    assert await known.once(HERE, "key", work) == 1
    for key in range(1000):
        await known.once(THERE, key, work)
    assert await known.once(HERE, "key", work) == 1
    assert len(known) == 11


async def test_one_key_of_two_is_two() -> None:
    known, work = repeats(), Work()
    assert [await known.once(owner, "key", work) for owner in (HERE, THERE, HERE, THERE)] == [1, 2, 1, 2]
