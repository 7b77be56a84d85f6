"""One AMI connection: panoramisk's Manager carries login and actions, our protocol class the bytes.

Laws: bytes are parsed and handed on in one go, nothing awaits in between; any byte is a sign of life, and without one
the link is given up; an action has a deadline and is never sent a second time; whoever goes down says so once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from panoramisk import Manager
from panoramisk.ami_protocol import AMIProtocol

from amibridge.ami import actions
from amibridge.ami.actions import Action
from amibridge.ami.errors import (
    ActionRefused,
    ActionUnanswered,
    AmiError,
    HostUnreachable,
    LinkLost,
    LoginRefused,
)
from amibridge.ami.events import AmiEvent, Connected, Disconnected, FullyBooted, OriginateResponse, is_asked_for
from amibridge.ami.session import BANNER, Reply, Session
from amibridge.redact import Secret


@dataclass(frozen=True, slots=True)
class AmiAddress:
    host: str
    port: int
    username: str
    secret: Secret


HELD_FOR = timedelta(milliseconds=300)
"""That an `Originate` of ours failed is said by another thread than what became of its channel, at times some ms
earlier; without a channel it is all that is said."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """*silence*: without a byte for so long the link is dead; a ping every *ping_every* keeps an idle one talking, so
    a half-open link is noticed within their sum less than 15 s."""

    connect_timeout: timedelta = timedelta(seconds=5)
    action_timeout: timedelta = timedelta(seconds=10)
    boot_grace: timedelta = timedelta(seconds=1)
    ping_every: timedelta = timedelta(seconds=4)
    silence: timedelta = timedelta(seconds=12)
    goodbye: timedelta = timedelta(seconds=1)


class _Protocol(AMIProtocol):
    """panoramisk's protocol with our ears: it keeps the pending actions, we read the bytes."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._link.attach(self)

    def data_received(self, data: bytes) -> None:
        self._link.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.lose(LinkLost("the PBX closed the connection" if exc is None else f"the connection broke: {exc}"))


class _Manager(Manager):
    """panoramisk's Manager without its reconnecting and its pings that nobody awaits: both are the link's."""

    pinger: asyncio.TimerHandle | None

    def ping(self) -> None:
        return

    def connection_lost(self, exc: Exception | None) -> None:
        return

    def stop_pinger(self) -> None:
        if self.pinger is not None:
            self.pinger.cancel()
            self.pinger = None


class Link:
    """A connection to one host, from the greeting to its end. *on_events* is called with each chunk's events, *tap*
    with its bytes. *filters*: let through only what is folded."""

    def __init__(
        self,
        address: AmiAddress,
        on_events: Callable[[Sequence[AmiEvent]], None],
        *,
        settings: LinkSettings,
        tap: Callable[[bytes], None] | None = None,
        filters: bool = True,
    ) -> None:
        self._address = address
        self._on_events = on_events
        self._settings = settings
        self._tap = tap
        self._filters = filters
        self._loop = asyncio.get_running_loop()
        self._session = Session()
        self._protocol: _Protocol | None = None
        self._greeting = b""
        self._heard = self._pinged = self._loop.time()
        self._lost: asyncio.Future[AmiError] = self._loop.create_future()
        self._greeted: asyncio.Future[None] = self._loop.create_future()
        self._booted: asyncio.Future[None] = self._loop.create_future()
        self._manager = _Manager(loop=self._loop, protocol_factory=lambda: _Protocol(self))
        self._held: deque[AmiEvent] = deque()
        self.version = ""
        self.filtered = False
        self.lists_channels = True
        """False: the account may not ask `CoreShowChannels`, so what a gap swallowed stays unknown."""

    @property
    def garbled(self) -> int:
        """Messages that could not be read."""
        return self._session.garbled + self._session.oversized

    async def open(self) -> None:
        """Connect, log in, set the filter, ask for a snapshot and for who is parked.

        Raises HostUnreachable, LoginRefused, LinkLost.
        """
        await self._connect()
        await self._wait_for_greeting()
        try:
            await self.send(actions.login(self._address.username, self._address.secret))
        except ActionRefused as error:
            raise LoginRefused(str(error)) from error
        except ActionUnanswered as error:
            raise LinkLost(str(error)) from error
        # A user without the read class `system` is never told FullyBooted.
        await self._comes(self._booted, self._settings.boot_grace)
        if self._filters:
            await self._set_filter()
        await self._ask_for_snapshot()

    async def watch(self) -> AmiError:
        """Keep the link alive until it is lost; why it was."""
        pulse = min(self._settings.ping_every, self._settings.silence) / 4
        while not (await asyncio.wait({self._lost}, timeout=pulse.total_seconds()))[0]:
            now = self._loop.time()
            if now - self._heard > self._settings.silence.total_seconds():
                self.lose(LinkLost(f"not a byte for {now - self._heard:.0f} s"))
            elif now - max(self._heard, self._pinged) > self._settings.ping_every.total_seconds():
                self._pinged = now
                self._start(actions.ping())
        return self._lost.result()

    async def send(self, action: Action) -> Reply:
        """Send *action*, once. Raises LinkLost, ActionRefused, ActionUnanswered."""
        future, forget = self._start(action)
        try:
            if not await self._comes(future, self._settings.action_timeout):
                raise ActionUnanswered(f"no answer to {action.name}")
        finally:
            forget()
        reply: Reply = future.result()
        if not reply.success:
            raise ActionRefused(reply.message.get("Message", "no reason given"))
        return reply

    async def close(self) -> None:
        """Say goodbye, if there is anybody, and let go. Takes at most the time of a goodbye."""
        if not self._lost.done():
            with suppress(AmiError, TimeoutError):
                async with asyncio.timeout(self._settings.goodbye.total_seconds()):
                    await self.send(actions.logoff())
            self.lose(LinkLost("closed by us"))

    def receive(self, data: bytes) -> None:
        """Bytes from the wire: all their events go to `on_events`, their replies to whoever asked."""
        if self._lost.done():
            return
        self._heard = self._loop.time()
        if self._tap is not None:
            self._tap(data)
        if len(self._greeting) < len(BANNER):
            self._greeting = (self._greeting + data)[: len(BANNER)]
            if not BANNER.startswith(self._greeting):
                self.lose(LinkLost("what answers there does not speak AMI"))
                return
            if len(self._greeting) == len(BANNER):
                self._greeted.set_result(None)
        events: list[AmiEvent] = []
        for received in self._session.receive_data(data, datetime.now(UTC)):
            if isinstance(received, Reply):
                self._resolve(received)
            elif _may_be_early(received):
                self._held.append(received)
                self._loop.call_later(HELD_FOR.total_seconds(), self._release)
            else:
                events.append(received)
        for event in events:
            if isinstance(event, FullyBooted):
                if not self._booted.done():
                    self._booted.set_result(None)
            elif isinstance(event, Connected):
                self.version = event.version
        self._hand_over(events)
        if self._session.oversized:
            self.lose(LinkLost("a message had no end"))

    def attach(self, protocol: _Protocol) -> None:
        """The connection is there; panoramisk's Manager learns of it a moment later."""
        self._protocol = protocol

    def lose(self, reason: AmiError) -> None:
        """The link is over; the first reason counts."""
        if self._lost.done():
            return
        self._lost.set_result(reason)
        while self._held:
            self._release()
        if self._session.has_heard:
            self._hand_over([Disconnected(self._session.pbx_time(datetime.now(UTC)))])
        if self._protocol is not None:
            self._protocol.responses.clear()  # or panoramisk would keep them to be sent once more
            self._protocol.transport.abort()
        self._manager.close()

    def _release(self) -> None:
        """The oldest of what is held back, if the end of the link has not released it."""
        if self._held:
            self._hand_over([self._held.popleft()])

    def _hand_over(self, events: Sequence[AmiEvent]) -> None:
        if not events:
            return
        try:
            self._on_events(events)
        except Exception as error:
            self.lose(LinkLost(f"its events could not be taken: {error!r}"))

    async def _connect(self) -> None:
        address = self._address
        try:
            async with asyncio.timeout(self._settings.connect_timeout.total_seconds()):
                made: Any = await self._loop.create_connection(lambda: _Protocol(self), address.host, address.port)
        except TimeoutError as error:
            within = self._settings.connect_timeout.total_seconds()
            raise HostUnreachable(f"no connection within {within:g} s") from error
        except OSError as error:
            raise HostUnreachable(error.strerror or str(error)) from error
        except (ValueError, OverflowError) as error:
            # A host name that cannot be one, a port beyond 65535: the socket module's word for it is not OSError.
            raise HostUnreachable(f"no such address: {error}") from error
        connected: asyncio.Future[Any] = self._loop.create_future()
        connected.set_result(made)
        self._manager.connection_made(connected)
        self._manager.stop_pinger()

    async def _wait_for_greeting(self) -> None:
        """Whoever does not greet as Asterisk does is not told the secret."""
        patience = self._settings.connect_timeout
        if not await self._comes(self._greeted, patience):
            raise HostUnreachable(f"it takes the connection but does not greet within {patience.total_seconds():g} s")

    async def _comes(self, awaited: asyncio.Future[Any], within: timedelta) -> bool:
        """Whether *awaited* is there *within* the time. Raises LinkLost when the link goes before."""
        both = {awaited, self._lost}
        await asyncio.wait(both, timeout=within.total_seconds(), return_when=asyncio.FIRST_COMPLETED)
        if self._lost.done() and not awaited.done():
            raise LinkLost(str(self._lost.result()))
        return awaited.done()

    async def _set_filter(self) -> None:
        try:
            await self.send(actions.add_filter(actions.event_filter()))
        except (ActionRefused, ActionUnanswered):
            self.filtered = False
        else:
            self.filtered = True

    async def _ask_for_snapshot(self) -> None:
        try:
            # A list carries no time: the Pong before it tells by how much Asterisk's clock differs from ours.
            self._start(actions.ping())
            await self.send(actions.core_show_channels())
        except ActionRefused:
            self.lists_channels = False
        except ActionUnanswered as error:
            raise LinkLost(str(error)) from error
        with suppress(LinkLost):  # which is noticed anyway
            self._start(actions.parked_calls())

    def _start(self, action: Action) -> tuple[asyncio.Future[Any], Callable[[], None]]:
        """Write *action*; its future, and how to forget that it was asked."""
        if self._lost.done():
            raise LinkLost(str(self._lost.result()))
        if self._manager.protocol is None:
            raise LinkLost("not connected")
        headers: dict[str, str | list[str]] = {"Action": action.name}
        for key, value in action.headers:
            if key in headers:
                known = headers[key]
                headers[key] = [*known, value] if isinstance(known, list) else [known, value]
            else:
                headers[key] = value
        future = self._manager.send_action(headers)
        protocol = self._manager.protocol
        action_id = next(reversed(protocol.responses))
        return future, lambda: protocol.responses.pop(action_id, None)

    def _resolve(self, reply: Reply) -> None:
        protocol = self._manager.protocol
        if protocol is None:
            return
        pending = protocol.responses.pop(reply.action_id, None)
        if pending is not None and not pending.future.done():
            pending.future.set_result(reply)


def _may_be_early(event: AmiEvent) -> bool:
    """Whether it says of an `Originate` of ours that it failed."""
    return isinstance(event, OriginateResponse) and not event.success and is_asked_for(event)
