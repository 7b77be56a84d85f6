"""A small company on a real Asterisk: phones that do as they are told, and listeners behind every kind of filter."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from amibridge.ami.actions import Action
from amibridge.calls.record import CallRecord
from tests.calls.told import assert_holds_end, assert_transfers_told
from tests.real.asterisk import ACCOUNTS, OTHERS, PEOPLE, TRUNK, Asterisk
from tests.real.listener import Listener
from tests.real.phone import Phone
from tests.real.talk import PATIENCE, Talk

TOLERANCE = timedelta(milliseconds=250)
"""Between a phone's clock and Asterisk's stamps, on a machine that stalls nobody; what it stalls is added."""

MOMENT = 0.3
"""Seconds between two things people do; more than clocks are apart."""

ON_ITS_WAY = 0.2
"""Seconds for what a phone says to be understood by a PBX that has a busy machine."""

OUR_NUMBER = "74951110000"
"""What we present to those we call."""

ANNA = "74951110001"
"""The line on which Anna's phone rings."""

CALLER = "79161234567"
CUSTOMER = "89161112233"
MOBILE = "89160000077"
"""Of somebody who works for us, outside the PBX."""

Fields = dict[str, Any]

NOTHING_TOLD: Fields = {
    "reason": None,
    "external_number": None,
    "phone": None,
    "caller_name": None,
    "line": None,
    "queue": None,
    "rang": [],
    "operators": [],
    "caller": None,
    "hangup_by": None,
    "transfers": [],
    "click_to_call": None,
    "complete": True,
    "notes": [],
}
"""What a record says where a test does not say otherwise."""


class InAnyOrder(list[Any]):
    """Equals a list of the same, whatever the order: phones of a group ring in one instant."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list) and sorted(self) == sorted(other)


class Beginning(str):
    """Equals any text that begins so."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and other.startswith(str(self))

    __hash__ = str.__hash__


MERGED = Beginning("merged ")
"""What a record notes of a consultation that was a call of its own before it became a part of this one."""


class Office:
    def __init__(self, asterisk: Asterisk) -> None:
        self.asterisk = asterisk
        names = (*PEOPLE, *OTHERS, TRUNK)
        self.phones = {name: Phone(name, asterisk.phone_address(name), asterisk.sip) for name in names}
        self.listeners = [Listener(account, asterisk) for account in ACCOUNTS]
        self.stalled = timedelta(0)

    @property
    def ear(self) -> Listener:
        """The one that listens as the daemon does."""
        return self.listeners[0]

    @property
    def outside(self) -> Phone:
        """The provider: customers call through it, and are called."""
        return self.phones[TRUNK]

    def customer(self, line: str, number: str = CALLER, name: str = "") -> Talk:
        """Somebody outside calls our *line*."""
        return self.outside.call(line, caller=number, name=name)

    async def called(self, extension: str) -> Talk:
        """The phone of *extension* is called; it rings."""
        return await self.phones[extension].is_called()

    async def takes(self, extension: str) -> Talk:
        """The phone of *extension* rings; in a moment its owner takes the call, and talks a moment."""
        talk = await self.called(extension)
        await moment()
        talk.answer()
        await moment()
        return talk

    async def talking(self, line: str = ANNA, number: str = CALLER) -> tuple[Talk, Talk]:
        """A customer who called, and Anna, in conversation."""
        customer = self.customer(line, number)
        return customer, await self.takes("101")

    async def calling(self, number: str = CUSTOMER) -> tuple[Talk, Talk]:
        """A customer whom Anna called, and Anna, in conversation."""
        anna = self.phones["101"].call(number)
        return await self.takes(TRUNK), anna

    async def asks(self, action: str, **headers: str) -> None:
        """Somebody at the AMI asks for *action*, and it is done."""
        reply = await self.ear.send(Action(action, tuple(headers.items())))
        assert reply.success, reply

    def channel_of(self, endpoint: str) -> str:
        """The latest channel of that endpoint."""
        channels = re.findall(rb"^Channel: (\w+/%s-\w+)\r$" % endpoint.encode(), self.ear.bytes, re.MULTILINE)
        return str(channels[-1], "utf-8")

    async def goes_deaf(self) -> None:
        """The links to the PBX are away."""
        for listener in self.listeners:
            await listener.close()

    async def hears_again(self) -> None:
        for listener in self.listeners:
            await listener.connect()

    def disregard(self, account: str) -> None:
        """What that account may not hear decides here."""
        self.listeners = [one for one in self.listeners if one.account != account]

    async def records(self, count: int = 1, *, to_the_moment: bool = True) -> list[CallRecord]:
        """The records of all calls, once nothing goes on any more: the same for every listener, *to the moment* if all
        of them listened all the time."""
        try:
            async with asyncio.timeout(PATIENCE):
                while any(len(one.records) < count or one.board.live_calls() for one in self.listeners):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pass
        await asyncio.sleep(0.1)  # for one too many
        print(self.story())
        for listener in self.listeners:
            assert listener.board.live_calls() == [], f"{listener.account}: a call stays open"
            assert listener.board.take_anomalies() == [], listener.account
            assert len(listener.records) == count, listener.account
            assert_transfers_told(listener.facts)
            assert_holds_end(listener.facts)
        heard = [_comparable(record, to_the_moment) for record in self.ear.records]
        for listener in self.listeners[1:]:
            told = [_comparable(record, to_the_moment) for record in listener.records]
            assert [*_differing(told, heard)] == [], listener.account
        return self.ear.records

    def story(self) -> str:
        """What every phone did and saw, in order."""
        steps = sorted((step for phone in self.phones.values() for step in phone.steps), key=lambda step: step.at)
        return "\n".join(f"{step.at:.3f} {step.who:6} {step.what}" for step in steps)

    def assert_told(
        self,
        record: CallRecord,
        *,
        started_at: datetime,
        ended_at: datetime | None,
        rang_at: datetime | None = None,
        answered_at: datetime | None = None,
        talked_until: datetime | None = None,
        **fields: Any,
    ) -> None:
        """*record* says what the phones saw, and nothing else. *talked_until*: where it is not the end."""
        told = record.as_json()
        wanted = NOTHING_TOLD | fields
        found = {name: told[name] for name in wanted}
        found["transfers"] = [(t["kind"], t["from"], t["to"], t["answered"]) for t in told["transfers"]]
        assert found == wanted
        slack = TOLERANCE + 2 * self.stalled
        for name, want, got in (
            ("started_at", started_at, record.started_at),
            ("rang_at", rang_at, record.rang_at),
            ("answered_at", answered_at, record.answered_at),
            ("ended_at", ended_at, record.ended_at),
        ):
            assert (got is None) == (want is None), (name, got, want)
            assert got is None or want is None or abs(got - want) <= slack, (name, got - want, slack)
        if answered_at is None or ended_at is None:
            assert record.talked == timedelta(0)
        else:
            assert abs(record.talked - ((talked_until or ended_at) - answered_at)) <= slack, record.talked

    async def incoming(
        self, customer: Talk, first: Talk | None = None, *, to_the_moment: bool = True, **fields: Any
    ) -> CallRecord:
        """The one call that there was: *customer* called us."""
        [record] = await self.records(to_the_moment=to_the_moment)
        self.assert_incoming(record, customer, first, **fields)
        return record

    async def outgoing(self, operator: Talk, first: Talk | None = None, **fields: Any) -> CallRecord:
        """The one call that there was: *operator* called a customer."""
        [record] = await self.records()
        self.assert_outgoing(record, operator, first, **fields)
        return record

    async def internal(self, caller: Talk, first: Talk | None = None, **fields: Any) -> CallRecord:
        """The one call that there was: *caller* called a colleague."""
        [record] = await self.records()
        self.assert_internal(record, caller, first, **fields)
        return record

    def assert_incoming(self, record: CallRecord, customer: Talk, first: Talk | None = None, **fields: Any) -> None:
        """*customer* called us. *first*: the phone that rang first, and first took the call if it was answered."""
        told: Fields = {
            "direction": "incoming",
            "external_number": customer.caller,
            "phone": f"+{customer.caller}",
            "line": customer.number,
            "started_at": customer.began_at,
            "ended_at": customer.ended_at,
        }
        self.assert_told(record, **(told | _of_callee(first) | fields))

    def assert_outgoing(self, record: CallRecord, operator: Talk, first: Talk | None = None, **fields: Any) -> None:
        """*operator* dialled a number outside, as people in Russia do. *first*: the phone that rang there."""
        told: Fields = {
            "direction": "outgoing",
            "external_number": operator.number,
            "phone": f"+7{operator.number[1:]}",
            "caller": operator.phone.name,
            "line": OUR_NUMBER,
            "started_at": operator.began_at,
            "ended_at": operator.ended_at,
        }
        answered = {"operators": [operator.phone.name]} if first is not None and first.answered_at else {}
        self.assert_told(record, **(told | _of_callee(first) | answered | fields))

    def assert_internal(self, record: CallRecord, caller: Talk, first: Talk | None = None, **fields: Any) -> None:
        told: Fields = {
            "direction": "internal",
            "caller": caller.phone.name,
            "caller_name": PEOPLE[caller.phone.name],
            "started_at": caller.began_at,
            "ended_at": caller.ended_at,
        }
        self.assert_told(record, **(told | _of_callee(first) | fields))

    async def quiet(self) -> None:
        """Every receiver is put down, whatever went wrong: the next test finds nobody talking."""
        talks = [talk for phone in self.phones.values() for talk in phone.talks.values() if not talk.ended.is_set()]
        for talk in talks:
            talk.put_down()
        await asyncio.sleep(0.2 if talks else 0.02)

    async def measure_stalls(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.01)
            self.stalled = max(self.stalled, timedelta(seconds=loop.time() - before - 0.01))


async def moment() -> None:
    await asyncio.sleep(MOMENT)


async def hangs_up(who: Talk, *others: Talk) -> None:
    """*who* puts the receiver down, whatever state the call is in, and *others* hear that it is over.

    Not before the PBX knows what the phones said last: it treats each call in a thread of its own, so that an INVITE's
    180, or another call's BYE, may come after the hangup that was sent later.
    """
    await asyncio.sleep(ON_ITS_WAY)
    who.put_down()
    for talk in (who, *others):
        await talk.is_over()


@asynccontextmanager
async def open_office(asterisk: Asterisk) -> AsyncIterator[Office]:
    office = Office(asterisk)
    async with AsyncExitStack() as stack:
        for phone in office.phones.values():
            await phone.plug_in()
            stack.callback(phone.unplug)
        for listener in office.listeners:
            await listener.connect()
            stack.push_async_callback(listener.close)
        stack.push_async_callback(office.quiet)
        stalls = asyncio.create_task(office.measure_stalls(), name="stalls")
        stack.callback(stalls.cancel)
        yield office


def _of_callee(talk: Talk | None) -> Fields:
    """What a record tells of the phone that rang first."""
    if talk is None:
        return {}
    who = [] if talk.phone.name == TRUNK else [talk.phone.name]
    told: Fields = {"rang": who, "rang_at": talk.rang_at}
    if talk.answered_at is not None:
        told |= {"outcome": "answered", "operators": who, "answered_at": talk.answered_at}
    return told


def _differing(told: Sequence[Fields], heard: Sequence[Fields]) -> Iterator[tuple[str, object, object]]:
    """Fields of records, and what the one and the other has there."""
    for mine, other in zip(told, heard, strict=True):
        yield from ((name, mine[name], other[name]) for name in other if mine[name] != other[name])


def _comparable(record: CallRecord, to_the_moment: bool) -> Fields:
    """Without what some filters hold back: all that is told by variables."""
    told = record.as_json()
    told["hangup_by"] = told["hangup_by"] if to_the_moment else None
    moments = (
        () if to_the_moment else ("rang_at", "answered_at", "ended_at", "started_at", "waited_seconds", "talk_seconds")
    )
    for name in ("recordings", *moments):
        del told[name]
    return told
