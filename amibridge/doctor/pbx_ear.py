"""Every message that a link hears, also those that nobody folds: lists, and what they say of classes and times."""

from __future__ import annotations

import asyncio
from collections import deque

from amibridge.ami.actions import Action
from amibridge.ami.link import Link
from amibridge.ami.wire import Framer, Message, read_message

MOST = 50_000
"""Messages that are kept. A busy PBX without our filter sends some thousands while we listen."""


class Ear:
    """*hear* is the tap of a link."""

    def __init__(self) -> None:
        self.events: deque[Message] = deque(maxlen=MOST)
        self._framer = Framer()
        self._more = asyncio.Event()

    def hear(self, chunk: bytes) -> None:
        for raw in self._framer.feed(chunk):
            if raw.startswith(b"Event: "):
                self.events.append(read_message(raw))
        self._more.set()

    @property
    def classes(self) -> set[str]:
        """The classes of the events that were heard, as `read` in manager.conf names them."""
        said = (event.get("Privilege") for event in self.events)
        return {privilege.partition(",")[0] for privilege in said if privilege}

    @property
    def is_told_the_time(self) -> bool | None:
        """Whether events say when they happened; None while none was heard that would. FullyBooted never does."""
        told = ["Timestamp" in event.headers for event in self.events if _would_be_stamped(event)]
        return any(told) if told else None

    async def listed(self, link: Link, action: Action, item: str, ending: str) -> list[Message]:
        """The items of a list. Raises AmiError; waits for ever for a list that does not end."""
        self.events = deque((event for event in self.events if event.get("Event") not in (item, ending)), maxlen=MOST)
        await link.send(action)
        while not any(event.get("Event") == ending for event in self.events):
            self._more.clear()
            await self._more.wait()
        return [event for event in self.events if event.get("Event") == item]

    async def hears(self, *classes: str) -> None:
        """Wait for an event of one of these classes."""
        while not self.classes.intersection(classes):
            self._more.clear()
            await self._more.wait()


def _would_be_stamped(event: Message) -> bool:
    return bool(event.get("Privilege")) and event.get("Event") != "FullyBooted"
