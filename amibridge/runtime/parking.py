"""Parking the customer whom an operator talks with.

Laws: who is parked is taken from the board and never guessed; what is answered has happened: the board shows where he
waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import structlog

from amibridge.ami.actions import hang_up, name_of_channel, park
from amibridge.ami.errors import ActionRefused, AmiError
from amibridge.ami.events import Uniqueid
from amibridge.calls.conversations import Conversation
from amibridge.calls.parking import AskedToPark, ParkedThere, asked_patience
from amibridge.calls.transfers import TransferFailed, TransferRefused, Why
from amibridge.calls.waiting import Parked
from amibridge.enterprises import AmiHost, Enterprise
from amibridge.runtime.handing import LOOKED_EVERY, Sight, advice, in_turn, operator_of, the_one
from amibridge.runtime.one_at_a_time import OneAtATime
from amibridge.runtime.originate import Send

PARKED_WITHIN = timedelta(seconds=3)
"""From Asterisk's word that it will until it has. A lot that is full is told to nobody but the operator."""


class Parker:
    """*send* asks a host; *see* looks at its board, or raises HostUnreachable; *turns*: of all who do something for an
    operator."""

    def __init__(self, send: Send, see: Callable[[AmiHost], Sight], turns: OneAtATime) -> None:
        self._send = send
        self._see = see
        self._turns = turns

    async def park(self, enterprise: Enterprise, asked: AskedToPark) -> ParkedThere:
        """Raises ClickRefused, TransferRefused, TransferFailed."""
        from_, patience = operator_of(enterprise, asked.from_), asked_patience(asked.timeout)

        async def work() -> ParkedThere:
            begun = time.perf_counter()
            nobody = TransferRefused(Why.NO_CALL, "This extension talks with nobody.")
            host, conversation = the_one(
                enterprise.hosts, lambda host: self._see(host).conversations(from_), asked.call, nobody
            )
            log = structlog.get_logger(enterprise=enterprise.id, host=host.name, operator=from_, call=conversation.call)
            try:
                parked = await self._park(host, conversation, patience)
            except (AmiError, TransferFailed) as error:
                log.warning("parking_not_made", reason=str(error), **advice(error))
                raise TransferFailed(f"{host.name}: {error}") from error
            took = timedelta(seconds=time.perf_counter() - begun)
            log.info("parking_made", space=parked.space, ms=round(took.total_seconds() * 1000, 1))
            return ParkedThere(conversation.call, host.host, from_, parked.space, parked.until, took)

        return await in_turn(self._turns, enterprise, from_, asked, work)

    async def _park(self, host: AmiHost, conversation: Conversation, patience: timedelta | None) -> Parked:
        if conversation.consulting:
            raise TransferRefused(Why.CONSULTING, "He is asking somebody: `complete` or `cancel` that first.")
        if conversation.other is None:
            raise TransferRefused(Why.NOT_TWO, "Only somebody with whom he talks alone can be parked.")
        named = await self._send(host, name_of_channel(conversation.phone))
        await self._send(host, park(conversation.other, parker=named.message.get("Value"), patience=patience))
        parked = await self._is_parked(host, conversation.other)
        if not conversation.beside:
            with suppress(ActionRefused):  # he may have hung up himself
                await self._send(host, hang_up(conversation.phone))
        return parked

    async def _is_parked(self, host: AmiHost, party: Uniqueid) -> Parked:
        try:
            async with asyncio.timeout(PARKED_WITHIN.total_seconds()):
                while True:
                    for one in self._see(host).parked():
                        if one.party == party:
                            return one
                    await asyncio.sleep(LOOKED_EVERY)
        except TimeoutError:
            raise TransferFailed("nobody was parked; is the parking lot full, or has he hung up?") from None
