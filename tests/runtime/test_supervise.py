from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from amibridge.runtime.supervise import Hopeless, Limits, spawn, supervise

QUICK = Limits(first_pause=timedelta(milliseconds=1), longest_pause=timedelta(milliseconds=2))


class Work:
    """Fails as often as told, then returns."""

    def __init__(self, failures: int, error: BaseException | None = None) -> None:
        self.starts = 0
        self._failures = failures
        self._error = error or RuntimeError("the database went away")

    async def __call__(self) -> None:
        self.starts += 1
        if self.starts <= self._failures:
            raise self._error


async def test_work_that_returns_is_not_started_again() -> None:
    work = Work(failures=0)
    with capture_logs() as lines:
        await supervise("recorder", work, limits=QUICK)
    assert work.starts == 1
    assert lines == []


async def test_each_failure_costs_one_line_with_its_traceback_and_a_new_start() -> None:
    work = Work(failures=5)
    with capture_logs() as lines:
        await supervise("recorder", work, limits=QUICK)
    assert work.starts == 6
    assert [(line["event"], line["task"], line["failures"]) for line in lines] == [
        ("task_failed", "recorder", failures) for failures in range(1, 6)
    ]
    assert all(isinstance(line["exc_info"], RuntimeError) for line in lines)


async def test_the_sixth_failure_in_the_window_is_hopeless_and_says_why() -> None:
    work = Work(failures=100)
    with capture_logs() as lines, pytest.raises(Hopeless, match="recorder failed 6 times") as caught:
        await supervise("recorder", work, limits=QUICK)
    assert work.starts == 6
    assert str(caught.value.__cause__) == "the database went away"
    assert [line["event"] for line in lines] == ["task_failed"] * 5 + ["task_hopeless"]


async def test_failures_that_lie_further_apart_than_the_window_are_never_hopeless() -> None:
    limits = Limits(
        failures=1,
        within=timedelta(milliseconds=10),
        first_pause=timedelta(milliseconds=40),
        longest_pause=timedelta(milliseconds=40),
    )
    work = Work(failures=4)
    await supervise("recorder", work, limits=limits)
    assert work.starts == 5


async def test_pauses_grow_up_to_the_longest_and_never_shrink_below_half() -> None:
    limits = Limits(first_pause=timedelta(milliseconds=4), longest_pause=timedelta(milliseconds=10))
    with capture_logs() as lines:
        await supervise("recorder", Work(failures=5), limits=limits)
    full = [0.004, 0.008, 0.010, 0.010, 0.010]
    assert all(whole / 2 <= line["again_in"] <= whole for whole, line in zip(full, lines, strict=True))


async def test_a_long_life_of_failures_does_not_overflow_the_pause() -> None:
    limits = Limits(failures=2000, first_pause=timedelta(0), longest_pause=timedelta(0))
    work = Work(failures=1500)
    with capture_logs():
        await supervise("recorder", work, limits=limits)
    assert work.starts == 1501


async def test_cancellation_passes_while_working() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        task = spawn(tasks, "follower pbx1", work)
        await begun.wait()
        task.cancel()
    assert task.cancelled()


async def test_cancellation_passes_during_a_pause() -> None:
    failed = asyncio.Event()

    async def work() -> None:
        failed.set()
        raise RuntimeError("refused")

    limits = Limits(first_pause=timedelta(hours=1), longest_pause=timedelta(hours=1))
    with capture_logs():
        async with asyncio.TaskGroup() as tasks:
            task = spawn(tasks, "follower pbx1", work, limits=limits)
            await failed.wait()
            await asyncio.sleep(0)
            task.cancel()
    assert task.cancelled()


async def test_a_cancelled_future_inside_the_work_is_a_failure_not_a_silent_end() -> None:
    work = Work(failures=1, error=asyncio.CancelledError())
    with capture_logs() as lines:
        await supervise("link pbx1", work, limits=QUICK)
    assert work.starts == 2
    assert [line["event"] for line in lines] == ["task_failed"]


async def test_what_must_stop_the_process_passes() -> None:
    work = Work(failures=1, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        await supervise("recorder", work, limits=QUICK)
    assert work.starts == 1


async def test_a_hopeless_task_takes_its_group_down() -> None:
    started: list[asyncio.Task[None]] = []

    async def serve() -> None:
        await asyncio.Event().wait()

    async def daemon() -> None:
        async with asyncio.TaskGroup() as tasks:
            started.append(spawn(tasks, "recorder", Work(failures=100), limits=QUICK))
            started.append(spawn(tasks, "web", serve))

    with capture_logs(), pytest.raises(ExceptionGroup) as caught:
        await daemon()
    recorder, web = started
    assert caught.group_contains(Hopeless)
    assert web.cancelled()
    assert (recorder.get_name(), web.get_name()) == ("recorder", "web")
