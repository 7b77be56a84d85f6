"""A PBX to play with: an AMI server whose calls are recorded ones, played as if they happened now.

Laws: it plays from the first login on; whoever is not connected misses what happens; with *shift* each play has times
and ids of its own, without it every event is byte for byte the recorded one.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

from amibridge.ami.wire import read_message
from amibridge.sandbox.library import CLICK_TO_CALL
from amibridge.sandbox.pbx_channels import Channels
from amibridge.sandbox.pbx_inventory import endpoints_in
from amibridge.sandbox.pbx_line import Exchange, Headers, Line
from amibridge.sandbox.pbx_mischief import Mischief
from amibridge.sandbox.pbx_score import ORIGINATED, Play, Score, read_score

PHONE = re.compile(r"(?:PJSIP|SIP|Local)/([^@/-]+)")
BREATH = 64
"""Events after which a fast play waits for its listeners."""


class SandboxPbx:
    """*speed*: 1 is as recorded, `math.inf` as fast as the listeners read. *gap*: recorded seconds between two traces.
    *overlap*: how many traces play at once. *lost*: False holds the play while nobody knows what lives, who would miss
    the rest. *monitor_dir*: where recordings of the calls appear when they end.

    Raises OSError and ValueError for traces that cannot be read.
    """

    def __init__(
        self,
        traces: Sequence[Path],
        *,
        username: str,
        secret: str,
        speed: float = 1.0,
        shift: bool = True,
        gap: float = 1.0,
        overlap: int = 1,
        loop: bool = False,
        lost: bool = True,
        monitor_dir: Path | None = None,
    ) -> None:
        if loop and not shift:
            raise ValueError("played again without shift, calls would have the ids of calls that are over")
        self._scores = [read_score(path) for path in traces]
        self._click_to_call = next((score for score in self._scores if score.has_origination), None) or read_score(
            CLICK_TO_CALL
        )
        self._speed = speed
        self._shift = shift
        self._gap = gap
        self._overlap = overlap
        self._loop = loop
        self._lost = lost
        endpoints = endpoints_in(self._scores)
        self._exchange = Exchange(username, secret, self._originate, Channels(monitor_dir), endpoints, speed)
        self._all_played = asyncio.Event()
        self._asked: asyncio.Queue[tuple[Score, Play]] = asyncio.Queue()
        self._used: set[tuple[int, int]] = set()
        self._takes = 0

    @property
    def received(self) -> Sequence[Mapping[str, str]]:
        """Every action that any connection brought, without secrets."""
        return self._exchange.received

    @property
    def connections(self) -> int:
        """How many are logged in."""
        return len(self._exchange.lines)

    def misbehave(self, **mischief: Any) -> None:
        """From now on, in addition to what was asked before. The keywords are those of `Mischief`."""
        self._exchange.mischief = replace(self._exchange.mischief, **mischief)

    def behave(self) -> None:
        """No more mischief. What is frozen stays frozen."""
        self._exchange.mischief = Mischief()

    def cut(self) -> None:
        """Every connection ends at once, without a word."""
        for line in list(self._exchange.lines):
            line.hang_up()

    async def played(self) -> None:
        """Wait until all traces have been played. With *loop* that never happens."""
        await self._all_played.wait()

    @asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[tuple[str, int]]:
        """Listen on *port*, 0 for any free one. Raises OSError."""
        connected: set[Line] = set()

        async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line = Line(reader, writer, self._exchange)
            connected.add(line)
            try:
                await line.serve()
            finally:
                connected.discard(line)

        self._all_played.clear()
        self._exchange.channels.clear()
        server = await asyncio.start_server(receive, host, port)
        where, number = server.sockets[0].getsockname()[:2]
        failed: Exception | None = None
        async with server, asyncio.TaskGroup() as tasks:
            player = tasks.create_task(self._play(), name="sandbox PBX")
            try:
                yield str(where), int(number)
            except Exception as error:  # the caller's, and no part of our group of tasks
                failed = error
            finally:
                player.cancel()
                for line in list(connected):
                    line.hang_up()
        if failed is not None:
            raise failed

    async def _play(self) -> None:
        """The traces, and whatever calls are asked for meanwhile; for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._play_traces(), name="sandbox PBX: traces")
            while True:
                tasks.create_task(self._perform(*await self._asked.get()), name="sandbox PBX: an asked call")

    async def _play_traces(self) -> None:
        repertoire = cycle(self._scores) if self._loop else iter(self._scores)
        await self._exchange.audience.wait()
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._overlap):
                tasks.create_task(self._play_each(repertoire), name=f"sandbox PBX: voice {number}")
        self._all_played.set()

    async def _play_each(self, repertoire: Iterator[Score]) -> None:
        for score in repertoire:
            await self._perform(score, self._placed(score))
            await asyncio.sleep(self._gap / self._speed)

    async def _perform(self, score: Score, play: Play) -> None:
        clock = asyncio.get_running_loop().time
        begun = clock()
        for number, note in enumerate(score.notes):
            early = begun + note.at / self._speed - clock()
            if early > 0:
                await asyncio.sleep(early)
            elif number % BREATH == 0:
                await self._exchange.drain()
                await asyncio.sleep(0)
            if not self._lost and not self._exchange.followed.is_set():
                halted = clock()
                await self._exchange.followed.wait()
                begun += clock() - halted
            self._exchange.perform(play.render(note.raw), score.first_at + play.seconds + note.at)

    def _placed(self, score: Score) -> Play:
        """When *score* is played: as recorded, or now, a whole second later for each id that is taken already."""
        if not self._shift:
            return Play()
        seconds = int(time.time() - score.first_at)
        while any((second + seconds, counter) in self._used for second, counter in score.ids):
            seconds += 1
        self._used.update((second + seconds, counter) for second, counter in score.ids)
        self._takes += 1
        return Play(seconds, self._takes)

    def _originate(self, action: Headers) -> bool:
        """Play a recorded click-to-call with the phone, the number and the id that were asked for."""
        phone, number = PHONE.match(action.get("Channel", "")), action.get("Exten", "")
        if phone is None or not number:
            return False
        score = self._click_to_call
        recorded = read_message(next(note.raw for note in score.notes if note.raw.startswith(ORIGINATED))).headers
        was = PHONE.match(recorded["Channel"])
        words = {
            recorded["ActionID"]: action.get("ActionID", ""),
            was[1] if was else "": phone[1],
            recorded["Exten"]: number,
        }
        play = self._placed(score)
        second, _, counter = action.get("ChannelId", "").partition(".")
        if second.isdecimal():
            words[recorded["Uniqueid"]] = (
                f"{int(second) - play.seconds}.{counter}"  # the play moves it as all its times
            )
        play = replace(play, words={word.encode(): other.encode() for word, other in words.items() if word})
        self._asked.put_nowait((score, play))
        return True
