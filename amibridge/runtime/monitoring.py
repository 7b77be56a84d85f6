"""Letting a supervisor's phone listen in: on which channel, on which host, and asked for once.

Laws: the channel is taken from the board of a host whose link is up, by its Uniqueid, and never guessed; what cannot be
told apart is refused; an action is sent once, and whoever asked again in time gets the same answer.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol

import structlog

from amibridge.ami.actions import listen_in
from amibridge.ami.errors import ActionUnanswered, AmiError, LinkLost
from amibridge.ami.events import SUPERVISION_COUNTERS, Uniqueid
from amibridge.calls.clicks import asked_extension
from amibridge.calls.conversations import Conversation
from amibridge.calls.monitoring import (
    Begun,
    MonitoringFailed,
    MonitoringRefused,
    Wanted,
    Why,
    may_join,
    may_listen,
)
from amibridge.calls.record import Extension
from amibridge.enterprises import AmiHost, Enterprise
from amibridge.runtime.handing import advice
from amibridge.runtime.originate import AGAIN_WITHIN, MOST, Send
from amibridge.runtime.repeats import Repeats


class Sight(Protocol):
    """What a board shows at this moment."""

    def conversations(self, extension: Extension) -> Sequence[Conversation]: ...

    def listens_in(self, extension: Extension) -> bool: ...


class Monitoring:
    """*send* asks a host; *see* shows its board, and raises HostUnreachable."""

    def __init__(self, send: Send, see: Callable[[AmiHost], Sight]) -> None:
        self._send = send
        self._see = see
        self._repeats: Repeats[Begun] = Repeats(AGAIN_WITHIN, MOST, _is_over)

    async def begin(self, enterprise: Enterprise, wanted: Wanted) -> Begun:
        """Answered as soon as Asterisk has taken it on. Raises ClickRefused, MonitoringRefused, MonitoringFailed."""
        plans = [host.numbering for host in enterprise.hosts]
        target = asked_extension(wanted.target, enterprise.operators, plans)
        from_ = asked_extension(wanted.from_, enterprise.operators, plans)
        may_listen(target, from_, enterprise.supervisors)

        async def place() -> Begun:
            return await self._place(enterprise, wanted, target, from_)

        return await self._repeats.once(enterprise.id, (wanted.mode, target, from_, wanted.call), place)

    async def _place(self, enterprise: Enterprise, wanted: Wanted, target: Extension, from_: Extension) -> Begun:
        begun = time.perf_counter()
        host, conversation = self._find(enterprise, target, wanted.call)
        board = self._see(host)
        listens_already = board.listens_in(from_)
        may_join(wanted.mode, conversation, board.conversations(from_), listens_already=listens_already)
        log = structlog.get_logger(
            enterprise=enterprise.id, host=host.name, operator=target, supervisor=from_, mode=wanted.mode,
            call=conversation.call,
        )  # fmt: skip
        try:
            await self._send(
                host,
                listen_in(
                    host.originate_channel.replace("{extension}", from_),
                    on=conversation.phone,
                    options=wanted.mode.options,
                    caller=from_,
                    shown=(wanted.mode.shown, target),
                    uniqueid=Uniqueid(f"{int(time.time())}.{random.choice(SUPERVISION_COUNTERS)}"),
                ),
            )
        except AmiError as error:
            log.warning("monitoring_not_begun", reason=str(error), **advice(error, "originate"))
            may_ring = isinstance(error, LinkLost | ActionUnanswered)
            raise MonitoringFailed(f"{host.name}: {error}", placed=may_ring) from error
        took = timedelta(seconds=time.perf_counter() - begun)
        log.info("monitoring_begun", ms=round(took.total_seconds() * 1000, 1))
        return Begun(wanted.mode, conversation.call, conversation.channel, host.host, target, from_, took)

    def _find(self, enterprise: Enterprise, target: Extension, call: str | None) -> tuple[AmiHost, Conversation]:
        """The one conversation that can be meant, and its host."""
        found: list[tuple[AmiHost, Conversation]] = []
        away: MonitoringFailed | None = None
        for host in enterprise.hosts:
            try:
                found += [(host, one) for one in self._see(host).conversations(target) if call in (None, one.call)]
            except AmiError as error:
                away = MonitoringFailed(f"{host.name}: {error}")
        if not found:
            raise away or MonitoringRefused(Why.NO_CALL, "This extension talks with nobody.")
        if len(found) > 1:
            raise MonitoringRefused(Why.SEVERAL, "This extension is in several conversations; name one by its `call`.")
        return found[0]


def _is_over(error: BaseException) -> bool:
    """Whether it may be tried again at once: nothing can have come of it."""
    return not (isinstance(error, MonitoringFailed) and error.placed)
