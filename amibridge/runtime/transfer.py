"""Handing a customer on for an operator: whom his phone talks with, on which host, and what the PBX made of it.

Laws: a channel is taken from the board of a host whose link is up, and never guessed; what cannot be told apart is
refused; one operator does one thing at a time, and who asks for it again meanwhile gets the same answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeAlias, assert_never

import structlog

from amibridge.ami.actions import Action, attended_transfer, blind_transfer, cancel_attended_transfer, hang_up
from amibridge.ami.errors import ActionRefused, AmiError
from amibridge.ami.events import Uniqueid
from amibridge.calls.clicks import asked_extension
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
from amibridge.enterprises import AmiHost, Enterprise, EnterpriseId
from amibridge.runtime.originate import Send

HEARD_WITHIN = timedelta(seconds=8)
"""From pressing the keys of a transfer until the PBX has acted on them: it waits three seconds (`transferdigittimeout`)
for another digit, where the dialplan has longer numbers that begin so."""

LOOKED_EVERY = 0.02
"""Seconds between two looks at the board meanwhile."""

Conversations: TypeAlias = Callable[[AmiHost, Extension], list[Conversation]]


class Transferor:
    """*send* asks a host; *conversations* tells what an extension talks in there, or raises HostUnreachable."""

    def __init__(self, send: Send, conversations: Conversations) -> None:
        self._send = send
        self._conversations = conversations
        self._under_way: dict[tuple[EnterpriseId, Extension], tuple[Asked, asyncio.Future[Done]]] = {}

    async def transfer(self, enterprise: Enterprise, asked: Asked) -> Done:
        """Answered when the PBX has done it. Raises ClickRefused, TransferRefused, TransferFailed."""
        plans = [host.numbering for host in enterprise.hosts]
        from_ = asked_extension(asked.from_, enterprise.operators, plans)
        target = None
        if asked.step.has_target:
            target = asked_target(asked.to, enterprise.operators, plans, enterprise.region)
        if target is not None and target.extension == from_:
            raise TransferRefused(Why.TO_HIMSELF, "Nobody is handed on to who has him.")
        key = (enterprise.id, from_)
        if key in self._under_way:
            same, answer = self._under_way[key]
            if same != asked:
                raise TransferRefused(Why.BUSY, "Another transfer of this extension is under way.")
            return await asyncio.shield(answer)
        answer = asyncio.get_running_loop().create_future()
        self._under_way[key] = (asked, answer)
        try:
            done = await self._carry_out(enterprise, asked, from_, target)
            answer.set_result(done)
        except Exception as error:
            answer.set_exception(error)
            answer.exception()  # seen, though nobody else may have asked
            raise
        finally:
            answer.cancel()  # unless it is there
            del self._under_way[key]
        return done

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
            log.warning("transfer_not_made", reason=str(error), **_advice(error))
            raise TransferFailed(f"{host.name}: {error}") from error
        took = timedelta(seconds=time.perf_counter() - begun)
        log.info("transfer_made", ms=round(took.total_seconds() * 1000, 1))
        return Done(asked.step, conversation.call, host.host, from_, to, took)

    def _find(self, enterprise: Enterprise, from_: Extension, asked: Asked) -> tuple[AmiHost, Conversation]:
        """The one conversation that can be meant, and its host."""
        found: list[tuple[AmiHost, Conversation]] = []
        away: TransferFailed | None = None
        for host in enterprise.hosts:
            try:
                found += [(host, one) for one in self._conversations(host, from_) if asked.call in (None, one.call)]
            except AmiError as error:
                away = TransferFailed(f"{host.name}: {error}")
        if not found:
            raise away or TransferRefused(Why.NO_CALL, "This extension talks with nobody.")
        if len(found) > 1:
            raise TransferRefused(Why.SEVERAL, "This extension is in several conversations; name one by its `call`.")
        [(host, conversation)] = found
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
                    one.phone == phone and one.consulting is consulting for one in self._conversations(host, from_)
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


def _advice(error: Exception) -> dict[str, str]:
    denied = isinstance(error, ActionRefused) and "ermission denied" in str(error)
    return {"advice": "`write` of the AMI account needs call"} if denied else {}
