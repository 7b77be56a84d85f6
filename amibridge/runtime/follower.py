"""The straight line for one host: link, board, voice; and coming back for ever when the link is lost.

Laws: between bytes and queue nothing awaits; a host that is away or refuses us is said once per change of state; the
pauses between tries grow, are capped and jittered, and shrink again once a link has lasted.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import assert_never

import structlog

from amibridge.ami.actions import Action
from amibridge.ami.errors import AmiError, HostUnreachable, LoginRefused
from amibridge.ami.events import AmiEvent, Connected, OriginateResponse, Tick
from amibridge.ami.link import AmiAddress, Link, LinkSettings
from amibridge.ami.session import Reply
from amibridge.calls.board import Board
from amibridge.calls.facts import AnyFact
from amibridge.calls.parties import Party
from amibridge.calls.record import CallId, CallRecord
from amibridge.enterprises import AmiHost, HostStanding, LinkState
from amibridge.runtime.lag import Lag
from amibridge.runtime.ring import Ring
from amibridge.runtime.voice import Voice
from amibridge.store.recorder import QueueFull

LASTED = timedelta(seconds=60)
"""A link that lived so long was a good one: the next try comes soon again."""

ROOM_AGAIN = timedelta(seconds=1)
"""Between two looks whether the queue has room for what could not be said."""


WAITS_FOR = timedelta(seconds=1.2)
"""After that the board is asked for what it waits with, if nothing is heard meanwhile: a little more than it waits."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between tries: they double from *first* to *longest*."""

    first: timedelta = timedelta(milliseconds=500)
    longest: timedelta = timedelta(seconds=30)

    def pause(self, failures: int, chance: float) -> float:
        """Seconds before the next try after *failures* in a row; *chance* from [0, 1) spreads those who wait."""
        ceiling = min(self.longest, self.first * 2.0 ** min(failures - 1, 16))
        return ceiling.total_seconds() * (0.5 + chance / 2)


AWAY = Backoff()
REFUSED = Backoff(timedelta(seconds=15), timedelta(minutes=10))
"""A wrong secret is not mended in a second, and Asterisk's fail2ban counts."""


class Follower:
    """Follows one host until cancelled."""

    def __init__(
        self,
        host: AmiHost,
        board: Board,
        voice: Voice,
        ring: Ring,
        *,
        settings: LinkSettings,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._host = host
        self._board = board
        self._voice = voice
        self._ring = ring
        self._settings = settings
        self._chance = chance
        self._log = structlog.get_logger(enterprise=host.enterprise, host=host.name)
        self._state, self._since = LinkState.CONNECTING, datetime.now(UTC)
        self._reason: str | None = None
        self._ami = ""
        self._garbled_before = 0
        self._ahead = timedelta(0)
        self._lag = Lag()
        self._link: Link | None = None
        self._ticking: asyncio.TimerHandle | None = None

    def standing(self) -> HostStanding:
        garbled = self._garbled_before + (0 if self._link is None else self._link.garbled)
        tally, now = self._voice.tally, datetime.now(UTC)
        return HostStanding(
            self._host,
            self._state,
            self._since,
            self._reason,
            self._ami,
            tally.events.total(),
            garbled,
            self._lag.longest(now),
            self._lag.ahead(now),
            tally,
        )

    async def send(self, action: Action) -> Reply:
        """Ask the host for *action*, once and now.

        Raises ActionRefused; HostUnreachable, and it was not sent; LinkLost, ActionUnanswered, and it may have been.
        """
        if self._link is None or self._state is not LinkState.UP:
            raise HostUnreachable(self._reason or "it is not connected yet")
        return await self._link.send(action)

    def board(self) -> Board:
        """To look at. Raises HostUnreachable: nobody knows what goes on there now."""
        if self._state is not LinkState.UP:
            raise HostUnreachable(self._reason or "it is not connected yet")
        return self._board

    def live_calls(self) -> list[CallRecord]:
        return self._board.live_calls()

    def parties(self, call: CallId) -> list[Party]:
        return self._board.parties(call)

    async def follow(self) -> None:
        """Connect, listen, come back; for ever."""
        clock = asyncio.get_running_loop().time
        failures = 0
        while True:
            while not self._voice.has_caught_up():
                await asyncio.sleep(ROOM_AGAIN.total_seconds())
            begun = clock()
            error = await self._listen()
            failures = 1 if clock() - begun > LASTED.total_seconds() else failures + 1
            backoff = REFUSED if isinstance(error, LoginRefused) else AWAY
            await asyncio.sleep(backoff.pause(failures, self._chance()))

    def hear(self, events: Sequence[AmiEvent]) -> None:
        """Fold all *events*, then say what they mean.

        Raises QueueFull: the link must go, and a snapshot mend what is missed meanwhile.
        """
        heard_at = datetime.now(UTC)
        self._ahead = events[-1].at - heard_at
        if not isinstance(events[0], Connected | OriginateResponse):  # dated by our clock, and held back by the link
            self._lag.heard(events[0].at, events[-1].at, heard_at)
        self._voice.tally.events.update(map(type, events))
        facts = [fact for event in events for fact in self._fold(event)]
        if self._board.is_waiting:
            self._tick_soon()
        self._voice.wonder(self._board.take_anomalies(), heard_at, self._ring.tail)
        self._voice.say(facts, heard_at)

    def tick(self) -> None:
        """Let the board say what it waited with, and forget what is long over, by the clock of its PBX, on a host where
        nothing happens."""
        now = datetime.now(UTC)
        facts = self._fold(Tick(now + self._ahead))
        self._voice.wonder(self._board.take_anomalies(), now, self._ring.tail)
        with suppress(QueueFull):  # it is kept, and said before anything else
            self._voice.say(facts, now)

    def _tick_soon(self) -> None:
        if self._ticking is None:
            self._ticking = asyncio.get_running_loop().call_later(WAITS_FOR.total_seconds(), self._tick_now)

    def _tick_now(self) -> None:
        self._ticking = None
        self.tick()
        if self._board.is_waiting:
            self._tick_soon()

    def _fold(self, event: AmiEvent) -> list[AnyFact]:
        try:
            return self._board.apply(event)
        except Exception as error:
            self._log.error("event_not_folded", event_type=type(event).__name__, exc_info=error)
            return []

    def _take(self, data: bytes) -> None:
        self._voice.tally.received += len(data)
        self._ring.hear(data)

    async def _listen(self) -> AmiError:
        """One connection from its greeting to its end; why it ended."""
        link = self._link = Link(
            AmiAddress(self._host.host, self._host.port, self._host.username, self._host.secret),
            self.hear,
            settings=self._settings,
            tap=self._take,
        )
        self._lag = Lag()
        try:
            await link.open()
            self._ami = link.version
            self._stand(LinkState.UP, None)
            self._log.info("host_connected", ami=link.version, filtered=link.filtered)
            lost = await link.watch()
            self._voice.tally.losses += 1
            self._stand(LinkState.LOST, str(lost))
        except LoginRefused as error:
            self._stand(LinkState.REFUSED, str(error))
            return error
        except AmiError as error:
            self._stand(LinkState.UNREACHABLE, str(error))
            return error
        else:
            return lost
        finally:
            self._garbled_before += link.garbled
            self._link = None
            await link.close()
            if self._ticking is not None:  # whoever is no longer heard is waited for no longer
                self._ticking.cancel()
                self._ticking = None

    def _stand(self, state: LinkState, reason: str | None) -> None:
        changed, self._state, self._reason = self._state is not state, state, reason
        if not changed:
            return
        self._since = datetime.now(UTC)
        match state:
            case LinkState.REFUSED:
                self._log.error("host_refused_login", reason=reason, user=self._host.username)
            case LinkState.UNREACHABLE:
                self._log.warning("host_unreachable", reason=reason)
            case LinkState.LOST:
                self._log.warning("host_lost", reason=reason)
            case LinkState.UP | LinkState.CONNECTING:
                pass
            case _ as never:
                assert_never(never)
