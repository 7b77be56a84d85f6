"""Fetching a call for an operator, whose phone is rung for it: from a phone that rings, or from a parking lot.

Laws: who waits where is taken from the board and never guessed; a phone that was rung does not ring on when he is gone;
what is answered has happened: the board shows the two in conversation.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

import structlog

from amibridge.ami.actions import Action, fetch_parked, hang_up, pick_up
from amibridge.ami.errors import ActionRefused, AmiError
from amibridge.ami.events import FETCH_COUNTERS, Uniqueid
from amibridge.calls.clicks import name_to_show, number_to_show
from amibridge.calls.parking import AskedToFetch, Fetched, asked_space
from amibridge.calls.record import Extension
from amibridge.calls.transfers import TransferFailed, TransferRefused, Why
from amibridge.calls.waiting import Fate, Parked, Ringing
from amibridge.enterprises import AmiHost, Enterprise
from amibridge.runtime.handing import LOOKED_EVERY, Sight, advice, in_turn, operator_of, the_one
from amibridge.runtime.one_at_a_time import OneAtATime
from amibridge.runtime.originate import Send

RUNG_WITHIN = timedelta(seconds=25)
"""Longer than Asterisk rings a phone for it."""

ON_THE_WAY = timedelta(milliseconds=500)
"""Whoever leaves the place where he waited is in conversation with who fetched him sooner than that, or is gone."""

Waiting: TypeAlias = Ringing | Parked
Look: TypeAlias = Callable[[AmiHost], Sequence[Waiting]]


@dataclass(frozen=True, slots=True)
class _Place:
    name: str
    look: Look
    nobody: TransferRefused


class Fetcher:
    """*send* asks a host; *see* looks at its board, or raises HostUnreachable; *turns*: of all who do something for an
    operator."""

    def __init__(self, send: Send, see: Callable[[AmiHost], Sight], turns: OneAtATime) -> None:
        self._send = send
        self._see = see
        self._turns = turns

    async def fetch(self, enterprise: Enterprise, asked: AskedToFetch) -> Fetched:
        """Raises ClickRefused, TransferRefused, TransferFailed."""
        from_ = operator_of(enterprise, asked.from_)
        place = self._place(enterprise, from_, asked)

        async def work() -> Fetched:
            begun = time.perf_counter()
            host, waiting = the_one(enterprise.hosts, place.look, asked.call, place.nobody)
            log = structlog.get_logger(enterprise=enterprise.id, host=host.name, operator=from_, call=waiting.call)
            try:
                await self._fetch(host, waiting, from_, place.look)
            except TransferRefused as refused:
                log.info("fetched_in_vain", reason=refused.why)
                raise
            except (AmiError, TransferFailed) as error:
                log.warning("call_not_fetched", reason=str(error), **advice(error, "originate"))
                raise TransferFailed(f"{host.name}: {error}") from error
            took = timedelta(seconds=time.perf_counter() - begun)
            log.info("call_fetched", place=place.name, ms=round(took.total_seconds() * 1000, 1))
            return Fetched(waiting.call, host.host, from_, place.name, took)

        return await in_turn(self._turns, enterprise, from_, asked, work)

    def _place(self, enterprise: Enterprise, from_: Extension, asked: AskedToFetch) -> _Place:
        if asked.target is not None and asked.space is None:
            target = operator_of(enterprise, asked.target)
            if target == from_:
                raise TransferRefused(Why.TO_HIMSELF, "Whose phone rings need not fetch the call.")
            nobody = TransferRefused(Why.NOT_RINGING, "No call rings at that extension.")
            return _Place(target, lambda host: self._see(host).ringing(target), nobody)
        if asked.space is not None and asked.target is None:
            space = asked_space(asked.space)
            nobody = TransferRefused(Why.NOT_PARKED, "Nobody is parked there.")
            return _Place(space, lambda host: [one for one in self._see(host).parked() if one.space == space], nobody)
        raise TransferRefused(Why.ONE_PLACE, "Either `target` or `space` is needed, and not both.")

    async def _fetch(self, host: AmiHost, waiting: Waiting, from_: Extension, look: Look) -> None:
        own = Uniqueid(f"{int(time.time())}.{random.choice(FETCH_COUNTERS)}")
        before = {one.phone for one in self._see(host).conversations(from_)}
        await self._send(host, _action(host, waiting, from_, own))
        gone_at: float | None = None
        try:
            async with asyncio.timeout(RUNG_WITHIN.total_seconds()):
                while not self._has_him(host, waiting, from_, before):
                    gone = not any(one.call == waiting.call for one in look(host))
                    fate = self._see(host).fate(own)
                    if fate is Fate.LEFT and not gone:
                        raise TransferFailed("his phone was taken, and the PBX gave him nobody")
                    if fate is Fate.GONE and not gone:
                        raise TransferRefused(Why.NOT_TAKEN, "The phone was not taken.")
                    now = time.monotonic()
                    gone_at = (gone_at or now) if gone else None
                    if gone_at is not None and now - gone_at > ON_THE_WAY.total_seconds():
                        raise TransferRefused(Why.GONE, "Somebody else has him now, or he has hung up.")
                    await asyncio.sleep(LOOKED_EVERY)
        except TimeoutError:
            await self._let_go(host, own)
            raise TransferRefused(Why.NOT_TAKEN, "The phone was not taken.") from None
        except TransferRefused:
            await self._let_go(host, own)
            raise

    def _has_him(self, host: AmiHost, waiting: Waiting, from_: Extension, before: set[Uniqueid]) -> bool:
        conversations = self._see(host).conversations(from_)
        return any(one.call == waiting.call and one.phone not in before for one in conversations)

    async def _let_go(self, host: AmiHost, own: Uniqueid) -> None:
        if self._see(host).fate(own) in (Fate.RINGS, Fate.TAKEN):
            with suppress(ActionRefused):  # it has just gone
                await self._send(host, hang_up(own))


def _action(host: AmiHost, waiting: Waiting, from_: Extension, own: Uniqueid) -> Action:
    channel = host.originate_channel.replace("{extension}", from_)
    name = None if waiting.name is None else name_to_show(waiting.name)
    number = None if waiting.number is None else number_to_show(waiting.number)
    if isinstance(waiting, Ringing):
        return pick_up(channel, waiting.channel, caller=from_, number=number, shown=name, uniqueid=own)
    return fetch_parked(channel, waiting.lot, waiting.space, caller=from_, number=number, shown=name, uniqueid=own)
