"""Asterisks on which calls come in at a given rate: recorded ones, event by event, each written on its own.

Laws: nothing is filtered, for that is the hardest case; calls begin at random moments, as they do in life, and at the
same ones in each run; a ring is dated right before its event is written; as little work as possible is done here,
for it takes the daemon's processor.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from amibridge.ami.wire import Framer, read_message
from amibridge.sandbox.library import TRACES
from amibridge.sandbox.pbx_score import EPOCH_NUMBER, UUID, Play, Score, read_score
from bench.crm import Ring
from bench.lateness import stamped

USERNAME, SECRET = "amibridge", "bench"

CALLS = ("a_inbound_answered_caller_hangup", "i_queue_second_member")
"""A direct call, and a queue that rings one member after the other."""

VARIANTS = 64
"""Of each recording, with ids of its own: a play moves them by whole seconds, and many calls begin in one second."""

SEED = 2

_RINGS = re.compile(rb"Event: Newstate\r\n(?:.*\r\n)*?ChannelState: 5\r\n")
_CHANNEL = re.compile(rb"\r\nChannel: [^/\r]+/([^-\r]+)-")
_LINKEDID = re.compile(rb"\r\nLinkedid: ([^\r]+)\r\n")


@dataclass(frozen=True, slots=True)
class _Note:
    """One event. *seconds*, *bridges*: what each play writes anew in it. *rings*: it rings an operator's phone."""

    at: float
    raw: bytes
    seconds: tuple[int, ...]
    bridges: tuple[bytes, ...]
    rings: bool


@dataclass(frozen=True, slots=True)
class _Recording:
    first_at: float
    notes: tuple[_Note, ...]


class Pbxs:
    """*names*: one PBX each. *repertoire*: recordings of Asterisk 22, played in turn.

    *sent*: monotonic seconds at which each phone began to ring; *originated*: at which each call that we were asked for
    was. *stamped*: no event has Asterisk's time, each the one at which it was written (`bench.lateness`).
    """

    def __init__(self, names: Sequence[str], repertoire: Sequence[str] = CALLS, *, stamped: bool = False) -> None:
        self.sent: defaultdict[Ring, list[float]] = defaultdict(list)
        self.events = 0
        self.originated: dict[str, float] = {}
        self._stamped = stamped
        self._lines: dict[str, list[asyncio.Transport]] = {name: [] for name in names}
        self._recordings = [list(_variants(read_score(TRACES / "asterisk22" / f"{name}.ami"))) for name in repertoire]

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[dict[str, int]]:
        """The port of each."""
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            ports: dict[str, int] = {}
            for name, lines in self._lines.items():
                server = await loop.create_server(partial(_Line, name, lines, self.originated), "127.0.0.1", 0)
                ports[name] = (await stack.enter_async_context(server)).sockets[0].getsockname()[1]
            yield ports
            for line in itertools.chain.from_iterable(self._lines.values()):
                line.abort()

    async def play(self, calls: int, seconds: float) -> None:
        """*calls* that begin within *seconds*, each to its end."""
        chance, begun = random.Random(SEED), time.monotonic()
        starts = sorted(begun + chance.uniform(0, seconds) for _ in range(calls))
        pbxs = itertools.cycle(self._lines)
        async with asyncio.TaskGroup() as tasks:
            for number, start in enumerate(starts):
                await _until(start)
                kinds = len(self._recordings)
                recording = self._recordings[number % kinds][number // kinds % VARIANTS]
                tasks.create_task(self._perform(next(pbxs), recording, number + 1, start), name=f"call {number}")

    async def _perform(self, pbx: str, recording: _Recording, take: int, start: float) -> None:
        later = int(time.time() - recording.first_at)
        for note in recording.notes:
            await _until(start + note.at)
            raw = note.raw
            for second in note.seconds:
                raw = raw.replace(b"%d." % second, b"%d." % (second + later))
            for bridge in note.bridges:
                raw = raw.replace(bridge, b"%08x" % ((int(bridge, 16) + take) % 2**32))
            if note.rings:
                self.sent[_ring(pbx, raw)].append(time.monotonic())
            raw = stamped(raw) if self._stamped else raw
            for line in self._lines[pbx]:
                line.write(raw)
            self.events += 1


class _Line(asyncio.Protocol):
    """One AMI connection: lets everybody in, filters nothing, has no channels at the beginning."""

    def __init__(self, name: str, lines: list[asyncio.Transport], originated: dict[str, float]) -> None:
        self._name = name
        self._lines = lines
        self._originated = originated
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"Asterisk Call Manager/11.0.0\r\n")

    def data_received(self, data: bytes) -> None:
        for raw in self._framer.feed(data):
            arrived, action = time.monotonic(), read_message(raw)
            if action.get("Action") == "Originate":
                self._originated[f"{self._name}:{action.get('ChannelId')}"] = arrived
            self._answer(action.get("Action"), f"ActionID: {action.get('ActionID')}\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport in self._lines:
            self._lines.remove(self._transport)

    def _answer(self, action: str, asked: str) -> None:
        assert self._transport is not None
        match action.lower():
            case "filter":
                self._say(f"Response: Error\r\n{asked}Message: Permission denied\r\n")
            case "coreshowchannels":
                self._say(f"Response: Success\r\n{asked}EventList: start\r\n")
                self._say(f"Event: CoreShowChannelsComplete\r\n{asked}EventList: Complete\r\nListItems: 0\r\n")
            case "login":
                self._say(f"Response: Success\r\n{asked}Message: Authentication accepted\r\n")
                self._say("Event: FullyBooted\r\nStatus: Fully Booted\r\n")
                self._lines.append(self._transport)
            case _:
                self._say(f"Response: Success\r\n{asked}")

    def _say(self, message: str) -> None:
        assert self._transport is not None
        self._transport.write(f"{message}\r\n".encode())


async def _until(moment: float) -> None:
    if (early := moment - time.monotonic()) > 0:
        await asyncio.sleep(early)


def _variants(score: Score) -> Iterator[_Recording]:
    for variant in range(VARIANTS):
        ids = {b"%d.%d" % one: b"%d.%d" % (one[0], one[1] + variant * 1000) for one in score.ids}
        renamed = Play(words=ids)
        yield _Recording(score.first_at, tuple(_note(note.at, renamed.render(note.raw)) for note in score.notes))


def _note(at: float, raw: bytes) -> _Note:
    seconds = {int(number.partition(b".")[0]) for number in EPOCH_NUMBER.findall(raw)}
    return _Note(at, raw, tuple(seconds), tuple(set(UUID.findall(raw))), _RINGS.match(raw) is not None)


def _ring(pbx: str, raw: bytes) -> Ring:
    channel, linkedid = _CHANNEL.search(raw), _LINKEDID.search(raw)
    assert channel is not None
    assert linkedid is not None
    return Ring(f"{pbx}:{linkedid[1].decode()}", channel[1].decode())
