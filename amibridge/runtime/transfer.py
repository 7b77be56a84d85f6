"""Handing a customer on for an operator: whom his phone talks with, on which host, and what the PBX made of it.

Laws: what is asked is done once, on the one conversation that can be meant; keys count as pressed when the board shows
what came of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import assert_never

import structlog

from amibridge.ami.actions import Action, attended_transfer, blind_transfer, cancel_attended_transfer, hang_up
from amibridge.ami.errors import AmiError
from amibridge.ami.events import Uniqueid
from amibridge.calls.conversations import Conversation
from amibridge.calls.record import Extension
from amibridge.calls.transfers import (
    Asked,
    Done,
    Step,
    Target,
    TransferFailed,
    TransferRefused,
    Why,
    asked_target,
    on_keys,
)
from amibridge.enterprises import AmiHost, Enterprise
from amibridge.runtime.handing import LOOKED_EVERY, Sight, advice, in_turn, operator_of, the_one
from amibridge.runtime.one_at_a_time import OneAtATime
from amibridge.runtime.originate import Send

HEARD_WITHIN = timedelta(seconds=8)
"""From pressing the keys of a transfer until the PBX has acted on them: it waits three seconds (`transferdigittimeout`)
for another digit, where the dialplan has longer numbers that begin so."""


class Transferor:
    """*send* asks a host; *see* looks at its board, or raises HostUnreachable; *turns*: of all who do something for an
    operator."""

    def __init__(self, send: Send, see: Callable[[AmiHost], Sight], turns: OneAtATime) -> None:
        self._send = send
        self._see = see
        self._turns = turns

    async def transfer(self, enterprise: Enterprise, asked: Asked) -> Done:
        """Answered when the PBX has done it. Raises ClickRefused, TransferRefused, TransferFailed."""
        plans = [host.numbering for host in enterprise.hosts]
        from_ = operator_of(enterprise, asked.from_)
        target = None
        if asked.step.has_target:
            target = asked_target(asked.to, enterprise.operators, plans, enterprise.region)
        if target is not None and target.extension == from_:
            raise TransferRefused(Why.TO_HIMSELF, "Nobody is handed on to who has him.")
        return await in_turn(
            self._turns, enterprise, from_, asked, lambda: self._carry_out(enterprise, asked, from_, target)
        )

    async def _carry_out(self, enterprise: Enterprise, asked: Asked, from_: Extension, target: Target | None) -> Done:
        begun = time.perf_counter()
        host, conversation = self._find(enterprise, from_, asked)
        to = "" if target is None else target.dialled(host.originate_number, enterprise.region)
        action = _action(asked.step, conversation, host.originate_context, to)
        log = structlog.get_logger(
            enterprise=enterprise.id, host=host.name, operator=from_, step=asked.step, call=conversation.call
        )
        try:
            await self._send(host, action)
            if asked.step in (Step.ATTENDED, Step.CANCEL):
                await self._heard(host, from_, conversation.phone, consulting=asked.step is Step.ATTENDED)
        except (AmiError, TransferFailed) as error:
            log.warning("transfer_not_made", reason=str(error), **advice(error))
            raise TransferFailed(f"{host.name}: {error}") from error
        took = timedelta(seconds=time.perf_counter() - begun)
        log.info("transfer_made", ms=round(took.total_seconds() * 1000, 1))
        return Done(asked.step, conversation.call, host.host, from_, to, took)

    def _find(self, enterprise: Enterprise, from_: Extension, asked: Asked) -> tuple[AmiHost, Conversation]:
        """The one conversation that can be meant, and its host."""
        nobody = TransferRefused(Why.NO_CALL, "This extension talks with nobody.")
        host, conversation = the_one(
            enterprise.hosts, lambda host: self._see(host).conversations(from_), asked.call, nobody
        )
        if conversation.consulting and asked.step.has_target:
            raise TransferRefused(Why.CONSULTING, "He is asking somebody already: `complete` or `cancel` that first.")
        if not conversation.consulting and not asked.step.has_target:
            raise TransferRefused(Why.NOT_CONSULTING, "Nobody waits for this extension; there is nothing to end.")
        return host, conversation

    async def _heard(self, host: AmiHost, from_: Extension, phone: Uniqueid, *, consulting: bool) -> None:
        """The PBX has acted on the keys. Raises TransferFailed, and AmiError when its link goes."""
        try:
            async with asyncio.timeout(HEARD_WITHIN.total_seconds()):
                while not any(
                    one.phone == phone and one.consulting is consulting for one in self._see(host).conversations(from_)
                ):
                    await asyncio.sleep(LOOKED_EVERY)
        except TimeoutError:
            raise TransferFailed(
                "the keys were pressed and nothing came of it; is nobody there, or does Dial not let this phone "
                "transfer (its options t and T)?"
            ) from None


def _action(step: Step, conversation: Conversation, context: str, to: str) -> Action:
    match step:
        case Step.BLIND:
            return blind_transfer(conversation.phone, context=context, exten=to)
        case Step.ATTENDED:
            return attended_transfer(conversation.phone, context=context, exten=on_keys(to))
        case Step.COMPLETE:
            return hang_up(conversation.phone)
        case Step.CANCEL:
            return cancel_attended_transfer(conversation.phone)
        case _ as never:
            assert_never(never)
