"""What a link hears besides what is folded: the items of a list, the classes of events, whether they tell the time."""

from __future__ import annotations

import asyncio

from amibridge.ami.actions import Action
from amibridge.ami.link import Link
from amibridge.ami.wire import Framer, Message, read_message

MOST = 5_000
"""Items of a list: more than any company has phones."""

MOST_CLASSES = 30
"""Asterisk knows about twenty."""


class Ear:
    """*hear* is the tap of a link. *classes*: as `read` in manager.conf names them. *booted*: FullyBooted was heard.

    *stamped*: whether events say when they happened; None while none was heard that would. FullyBooted never does.
    """

    def __init__(self) -> None:
        self.classes: set[str] = set()
        self.booted = False
        self.stamped: bool | None = None
        self._framer = Framer()
        self._more = asyncio.Event()
        self._wanted, self._ending, self._ended = "", "", False
        self._items: list[Message] = []

    def hear(self, chunk: bytes) -> None:
        for raw in self._framer.feed(chunk):
            if raw.startswith(b"Event: "):
                self._note(read_message(raw))
        self._more.set()

    async def listed(self, link: Link, action: Action, item: str, ending: str) -> list[Message]:
        """The items of a list. Raises AmiError; waits for ever for a list that does not end."""
        self._wanted, self._ending, self._ended, self._items = item, ending, False, []
        await link.send(action)
        while not self._ended:
            await self._anything()
        return self._items

    async def hears(self, kind: str) -> None:
        """Wait for an event of this class."""
        while kind not in self.classes:
            await self._anything()

    def _note(self, event: Message) -> None:
        name, privilege = event.get("Event"), event.get("Privilege")
        self.booted = self.booted or name == "FullyBooted"
        if privilege and len(self.classes) < MOST_CLASSES:
            self.classes.add(privilege.partition(",")[0])
        if privilege and name != "FullyBooted":
            self.stamped = bool(self.stamped) or "Timestamp" in event.headers
        if name == self._ending:
            self._ended = True
        elif name == self._wanted and len(self._items) < MOST:
            self._items.append(event)

    async def _anything(self) -> None:
        self._more.clear()
        await self._more.wait()
