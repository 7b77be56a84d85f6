"""Supervised tasks, one-for-one as in OTP: what fails is started again alone, what keeps failing takes the group down.

Laws: every task has a name and one owner, its `asyncio.TaskGroup`; a cancellation of the task passes through at once;
a failure costs one log line; a fault that a new start does not mend is raised as `Hopeless`, so that systemd starts
the whole process afresh.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

log = structlog.get_logger()


class Hopeless(Exception):
    """Let the whole process end: this task failed again and again. Its cause is the last failure."""


@dataclass(frozen=True, slots=True)
class Limits:
    """More than *failures* within *within* is hopeless. Pauses double from *first_pause* up to *longest_pause*."""

    failures: int = 5
    within: timedelta = timedelta(seconds=60)
    first_pause: timedelta = timedelta(milliseconds=200)
    longest_pause: timedelta = timedelta(seconds=5)  # five of them fit into *within*, or nothing would ever be hopeless


DEFAULT_LIMITS = Limits()


async def supervise(
    name: str,
    work: Callable[[], Awaitable[None]],
    *,
    limits: Limits = DEFAULT_LIMITS,
    final: tuple[type[Exception], ...] = (),
) -> None:
    """Run *work* until it returns, and again after each failure.

    Raises Hopeless when it fails more often than *limits* allow, and what is of *final* at once: a new start would
    not mend it.
    """
    clock = asyncio.get_running_loop()
    recent: deque[float] = deque()
    while True:
        try:
            return await work()
        except asyncio.CancelledError as error:
            if _asked_to_stop():
                raise
            # Somebody cancelled a future that the work awaited: to the group that would look like an orderly end.
            failure: BaseException = error
        except final:
            raise
        except Exception as error:
            failure = error
        now = clock.time()
        recent.append(now)
        while recent[0] < now - limits.within.total_seconds():
            recent.popleft()
        if len(recent) > limits.failures:
            log.critical("task_hopeless", task=name, failures=len(recent), within=limits.within, exc_info=failure)
            raise Hopeless(f"{name} failed {len(recent)} times within {limits.within}") from failure
        pause = _pause(len(recent), limits)
        log.error("task_failed", task=name, failures=len(recent), again_in=round(pause, 3), exc_info=failure)
        await asyncio.sleep(pause)


def spawn(
    tasks: asyncio.TaskGroup,
    name: str,
    work: Callable[[], Awaitable[None]],
    *,
    limits: Limits = DEFAULT_LIMITS,
    final: tuple[type[Exception], ...] = (),
) -> asyncio.Task[None]:
    """Start *work*, supervised, as the task *name* of the group *tasks*."""
    return tasks.create_task(supervise(name, work, limits=limits, final=final), name=name)


def _asked_to_stop() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _pause(failures: int, limits: Limits) -> float:
    """Seconds before the next start; the jitter keeps tasks that failed together from starting together."""
    longest = min(limits.first_pause * 2.0 ** min(failures - 1, 20), limits.longest_pause)
    return longest.total_seconds() * random.uniform(0.5, 1.0)
