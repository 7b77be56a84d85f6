"""A link under test, whom it tells, and how patient it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

from amibridge.ami.events import (
    AmiEvent,
    Event,
    Hangup,
)
from amibridge.ami.link import AmiAddress, Link, LinkSettings
from amibridge.redact import Secret
from tests.ami.scripted_pbx import ScriptedPbx, Talk, scripted

SECRET = "correct-horse-battery"

PATIENT = LinkSettings(boot_grace=timedelta(milliseconds=50), goodbye=timedelta(milliseconds=50))
"""Nothing that matters runs out of time, however slow the machine."""

HASTY = LinkSettings(
    connect_timeout=timedelta(milliseconds=200),
    action_timeout=timedelta(milliseconds=200),
    boot_grace=timedelta(milliseconds=20),
    ping_every=timedelta(milliseconds=60),
    silence=timedelta(milliseconds=300),
    goodbye=timedelta(milliseconds=200),
)
"""Everything that is missing is missed soon."""


def hangup(number: int = 0) -> bytes:
    return (
        f"Event: Hangup\r\nPrivilege: call,all\r\nTimestamp: 1795491044.{number:06}\r\nChannel: PJSIP/101-0000000a\r\n"
        "Uniqueid: 1795491044.6\r\nLinkedid: 1795491044.6\r\nCause: 16\r\n\r\n"
    ).encode()


class Listener:
    """Keeps what it is told, in order."""

    def __init__(self) -> None:
        self.events: list[AmiEvent] = []
        self.handed = 0
        self._news = asyncio.Event()

    def hear(self, events: Sequence[AmiEvent]) -> None:
        self.handed += 1
        self.events += events
        self._news.set()

    def numbers(self) -> list[int]:
        return [event.at.microsecond for event in self.events if isinstance(event, Hangup)]

    def types(self) -> list[type[AmiEvent]]:
        return [type(event) for event in self.events]

    async def has(self, count: int, kind: type[Event] = Hangup) -> None:
        """Wait until *count* events of a *kind* have been heard."""
        async with asyncio.timeout(20):
            while sum(isinstance(event, kind) for event in self.events) < count:
                self._news.clear()
                await self._news.wait()


def link_to(pbx: ScriptedPbx, listener: Listener, settings: LinkSettings = PATIENT) -> Link:
    return Link(AmiAddress(pbx.host, pbx.port, "amibridge", Secret(SECRET)), listener.hear, settings=settings)


@contextlib.asynccontextmanager
async def linked(talk: Talk, settings: LinkSettings = PATIENT) -> AsyncIterator[tuple[Link, ScriptedPbx, Listener]]:
    listener = Listener()
    async with scripted(talk) as pbx:
        link = link_to(pbx, listener, settings)
        try:
            await link.open()
            yield link, pbx, listener
        finally:
            await link.close()


def pending(link: Link) -> int:
    """Actions that still wait for an answer."""
    protocol = link._protocol
    return 0 if protocol is None else len(protocol.responses)
