"""A follower under test: the host it follows, what it hears, and how soon it comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta

from amibridge.ami.events import AmiEvent
from amibridge.ami.link import LinkSettings
from amibridge.calls.board import Board
from amibridge.calls.facts import AnyFact
from amibridge.enterprises import AmiHost, EnterpriseId, HostName
from amibridge.redact import Secret
from amibridge.runtime.follower import Backoff, Follower
from amibridge.runtime.ring import Ring
from amibridge.runtime.voice import Voice
from amibridge.sandbox.pbx import SandboxPbx
from amibridge.store.ledger import HeardFact
from amibridge.store.recorder import FactQueue
from tests.ami.linking import PATIENT, SECRET
from tests.corpus import TRACES, Trace

USERNAME = "amibridge"

SOON = Backoff(timedelta(milliseconds=1), timedelta(milliseconds=4))
NEVER = Backoff(timedelta(hours=1), timedelta(hours=1))


def host_at(address: tuple[str, int], name: str = "pbx", enterprise: str = "0123") -> AmiHost:
    return AmiHost(EnterpriseId(enterprise), HostName(name), *address, USERNAME, Secret(SECRET))


def trace(kind: str, stack: str = "asterisk22") -> Trace:
    return next(one for one in TRACES if one.stack == stack and one.kind.startswith(f"{kind}_"))


def pbx_of(*traces: Trace, speed: float = float("inf"), shift: bool = False, lost: bool = True) -> SandboxPbx:
    return SandboxPbx(
        [one.path for one in traces], username=USERNAME, secret=SECRET, speed=speed, shift=shift, gap=0.0, lost=lost
    )


class AttentiveFollower(Follower):
    """Remembers every event that it was handed, in order, whatever became of it."""

    def __init__(
        self,
        host: AmiHost,
        queue: FactQueue,
        *,
        board: Board | None = None,
        settings: LinkSettings = PATIENT,
        chance: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.heard: list[AmiEvent] = []
        voice = Voice(host, queue)
        super().__init__(host, board or Board(host.name), voice, Ring(), settings=settings, chance=chance)

    def hear(self, events: Sequence[AmiEvent]) -> None:
        self.heard += events
        super().hear(events)


@contextlib.asynccontextmanager
async def following(follower: Follower) -> AsyncIterator[asyncio.Task[None]]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(follower.follow(), name="follower under test")
        yield task
        task.cancel()


def taken_from(queue: FactQueue, count: int | None = None) -> list[HeardFact]:
    """What the recorder would have written by now."""
    facts = queue.first(len(queue) if count is None else count)
    queue.remove(len(facts))
    return facts


def keys(facts: Sequence[AnyFact]) -> list[str]:
    return [fact.key for fact in facts]
