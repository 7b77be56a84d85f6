"""A small company on a real Asterisk: phones that do as they are told, and listeners behind every kind of filter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from amibridge.ami.actions import Action
from amibridge.ami.events import AmiEvent
from amibridge.ami.link import AmiAddress, Link, LinkSettings
from amibridge.ami.session import Reply
from amibridge.calls.board import Board
from amibridge.calls.facts import AnyFact, CallEnded
from amibridge.calls.record import CallRecord
from amibridge.redact import Secret
from tests.real.asterisk import ACCOUNTS, PEOPLE, TRUNK, Asterisk
from tests.real.phone import Phone
from tests.real.talk import PATIENCE, Talk

TOLERANCE = timedelta(milliseconds=250)
"""Between a phone's clock and Asterisk's stamps, on a machine that stalls nobody; what it stalls is added."""

MOMENT = 0.4
"""Seconds between two things people do; more than clocks are apart."""

OUR_NUMBER = "74951110000"
"""What we present to those we call."""

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


class Listener:
    """The daemon's link and core on one AMI account."""

    def __init__(self, account: str, asterisk: Asterisk) -> None:
        self.account = account
        self.board = Board("pbx")
        self.facts: list[AnyFact] = []
        self.bytes = bytearray()
        self._asterisk = asterisk
        self.link = self._new_link()

    async def connect(self) -> None:
        """Once more, after the last link was closed or lost."""
        if self.bytes:
            self.link = self._new_link()
        await self.link.open()

    async def close(self) -> None:
        await self.link.close()

    async def send(self, action: Action) -> Reply:
        return await self.link.send(action)

    @property
    def records(self) -> list[CallRecord]:
        return [fact.record for fact in self.facts if isinstance(fact, CallEnded)]

    def _new_link(self) -> Link:
        address = AmiAddress(*self._asterisk.ami, self.account, Secret("secret"))
        return Link(address, self._hear, settings=LinkSettings(), tap=self.bytes.extend)

    def _hear(self, events: Sequence[AmiEvent]) -> None:
        for event in events:
            self.facts += self.board.apply(event)


class Office:
    def __init__(self, asterisk: Asterisk) -> None:
        self.asterisk = asterisk
        self.phones = {name: Phone(name, asterisk.phone_address(name), asterisk.sip) for name in (*PEOPLE, TRUNK)}
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

    def customer(self, line: str, number: str = "79161234567", name: str = "") -> Talk:
        """Somebody outside calls our *line*."""
        return self.outside.call(line, caller=number, name=name)

    async def called(self, extension: str) -> Talk:
        """The phone of *extension* is called; it rings."""
        return await self.phones[extension].is_called()

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
        heard = [_comparable(record, to_the_moment) for record in self.ear.records]
        for listener in self.listeners[1:]:
            assert [_comparable(record, to_the_moment) for record in listener.records] == heard, listener.account
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

    def assert_incoming(self, record: CallRecord, customer: Talk, **fields: Any) -> None:
        """*customer* called us."""
        told: Fields = {
            "direction": "incoming",
            "external_number": customer.caller,
            "phone": f"+{customer.caller}",
            "line": customer.number,
            "started_at": customer.began_at,
            "ended_at": customer.ended_at,
        }
        self.assert_told(record, **(told | fields))

    def assert_outgoing(self, record: CallRecord, operator: Talk, **fields: Any) -> None:
        """*operator* dialled a number outside, as people in Russia do."""
        told: Fields = {
            "direction": "outgoing",
            "external_number": operator.number,
            "phone": f"+7{operator.number[1:]}",
            "caller": operator.phone.name,
            "line": OUR_NUMBER,
            "started_at": operator.began_at,
            "ended_at": operator.ended_at,
        }
        self.assert_told(record, **(told | fields))

    def assert_internal(self, record: CallRecord, caller: Talk, **fields: Any) -> None:
        told: Fields = {
            "direction": "internal",
            "caller": caller.phone.name,
            "caller_name": PEOPLE[caller.phone.name],
            "started_at": caller.began_at,
            "ended_at": caller.ended_at,
        }
        self.assert_told(record, **(told | fields))

    async def quiet(self) -> None:
        """Every receiver is put down, whatever went wrong: the next test finds nobody talking."""
        for phone in self.phones.values():
            for talk in phone.talks.values():
                talk.put_down()
        await asyncio.sleep(0.2)

    async def measure_stalls(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.01)
            self.stalled = max(self.stalled, timedelta(seconds=loop.time() - before - 0.01))


async def moment() -> None:
    await asyncio.sleep(MOMENT)


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


def _comparable(record: CallRecord, to_the_moment: bool) -> Fields:
    """Without what some filters hold back: all that is told by variables."""
    told = record.as_json()
    told["hangup_by"] = told["hangup_by"] if to_the_moment else None
    moments = (
        () if to_the_moment else ("rang_at", "answered_at", "ended_at", "started_at", "waited_seconds", "talk_seconds")
    )
    for name in ("recordings", "click_to_call", *moments):
        del told[name]
    return told
