"""A listener: the daemon's own link and core on one AMI account."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from amibridge.ami.actions import Action
from amibridge.ami.events import AmiEvent, ChannelSnapshot
from amibridge.ami.link import AmiAddress, Link, LinkSettings
from amibridge.ami.session import Reply
from amibridge.calls.board import Board
from amibridge.calls.facts import AnyFact, CallEnded
from amibridge.calls.record import CallRecord
from amibridge.redact import Secret
from tests.real.asterisk import Asterisk

SNAPSHOT_WITHIN = 10.0  # seconds


class Listener:
    """The daemon's link and core on one AMI account."""

    def __init__(self, account: str, asterisk: Asterisk) -> None:
        self.account = account
        self.board = Board("pbx")
        self.facts: list[AnyFact] = []
        self.bytes = bytearray()
        self._knows_channels = asyncio.Event()
        self._asterisk = asterisk
        self.link = self._new_link()

    async def connect(self) -> None:
        """Once more, after the last link was closed or lost. Until it has heard which channels live: a call that began
        before that would be one that was under way."""
        if self.bytes:
            self.link = self._new_link()
        self._knows_channels.clear()
        await self.link.open()
        async with asyncio.timeout(SNAPSHOT_WITHIN):
            await self._knows_channels.wait()

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
            if isinstance(event, ChannelSnapshot):
                self._knows_channels.set()
