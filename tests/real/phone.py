"""A SIP phone that does what a test tells it, and remembers what it did and heard, and when.

It stands on a loopback address and port of its own, needs no registration and no password, and speaks as real phones
do: it rings, answers, declines, holds, transfers and hangs up. It is the witness: what it saw is the truth.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.real.sip import read, user_of, write
from tests.real.sound import SILENCE, rtp
from tests.real.talk import PATIENCE, Talk


@dataclass(frozen=True)
class Step:
    """*at*: epoch seconds, the clock that Asterisk stamps its events with."""

    at: float
    who: str
    what: str


@dataclass
class Phone:
    """*name*: the user part it calls itself. *pbx*: where Asterisk listens. *on_call*: what it does when it is called;
    by default it rings and waits to be told."""

    name: str
    address: tuple[str, int]
    pbx: tuple[str, int]
    on_call: Callable[[Talk], None] = lambda talk: talk.ring()
    steps: list[Step] = field(default_factory=list)
    talks: dict[str, Talk] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._offered: asyncio.Queue[Talk] = asyncio.Queue()
        self._transport: asyncio.DatagramTransport | None = None
        self._audio: asyncio.DatagramTransport | None = None
        self.heard: dict[int, list[bytes]] = {}
        """What came in, 20 ms each, by the port that it comes from: the PBX sends from any of its addresses."""

    @property
    def contact(self) -> str:
        return f"<sip:{self.name}@{self.address[0]}:{self.address[1]}>"

    def via(self, branch: str) -> str:
        return f"SIP/2.0/UDP {self.address[0]}:{self.address[1]};branch=z9hG4bK{branch};rport"

    @staticmethod
    def now() -> datetime:
        """By the clock of `Talk.answered_at` and its like."""
        return datetime.now(UTC)

    async def plug_in(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Wire(self), local_addr=self.address)
        place = (self.address[0], self.address[1] + 2)
        self._audio, _ = await loop.create_datagram_endpoint(lambda: _Ear(self.heard), local_addr=place)

    def unplug(self) -> None:
        for transport in (self._transport, self._audio):
            if transport is not None:
                transport.abort()
        self._transport = self._audio = None

    def call(
        self, number: str, *, caller: str | None = None, name: str = "", headers: Sequence[tuple[str, str]] = ()
    ) -> Talk:
        """*caller*: who is said to call, for a line that carries many. *name*: the display name, as it goes out.
        *headers*: further ones of its INVITE."""
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        shown = f'"{quoted}" ' if name else ""
        user = self.name if caller is None else caller
        ours = f"{shown}<sip:{user}{'@' if user else ''}{self.address[0]}>;tag={secrets.token_hex(6)}"
        theirs = f"<sip:{number}@{self.pbx[0]}>"
        call_id = secrets.token_hex(12)
        talk = self.talks[call_id] = Talk(self, call_id, ours=ours, theirs=theirs, number=number, incoming=False)
        talk.invite(number, caller or "", headers)
        return talk

    async def is_called(self) -> Talk:
        """The next call that is offered to it."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._offered.get()
        except TimeoutError:
            raise AssertionError(f"nobody calls {self.name}") from None

    def send(self, packet: bytes) -> None:
        if self._transport is not None:
            self._transport.sendto(packet, self.pbx)

    def speak(self, to: tuple[str, int]) -> None:
        """A fifth of a second of silence, as RTP (RFC 3550): G.711 packets of 20 ms."""
        source = secrets.token_bytes(4)
        loop = asyncio.get_running_loop()
        for number in range(10):
            loop.call_later(number * 0.02, self._send_audio, rtp(number, source, SILENCE), to)

    async def say(self, sound: bytes, to: tuple[str, int], until: asyncio.Event) -> None:
        """*sound*, of 20 ms, again and again."""
        loop = asyncio.get_running_loop()
        source, begun = secrets.token_bytes(4), loop.time()
        for number in itertools.count():
            if until.is_set():
                return
            self._send_audio(rtp(number, source, sound), to)
            await asyncio.sleep(begun + number * 0.02 - loop.time())

    def _send_audio(self, packet: bytes, to: tuple[str, int]) -> None:
        if self._audio is not None:
            self._audio.sendto(packet, to)

    def note(self, what: str) -> None:
        self.steps.append(Step(time.time(), self.name, what))

    def hear(self, packet: bytes) -> None:
        message = read(packet)
        if message is None:
            return
        talk = self.talks.get(message.get("call-id"))
        if talk is not None:
            talk.hear(message)
        elif message.method == "INVITE" and message.status is None:
            number = user_of(message.get("from"))
            ours = f"{message.get('to')};tag={secrets.token_hex(6)}"
            talk = Talk(self, message.get("call-id"), ours=ours, theirs="", number=number, incoming=True)
            self.talks[talk.call_id] = talk
            talk.hear(message)
            self.on_call(talk)
            self._offered.put_nowait(talk)
        elif message.status is None and message.method != "ACK":
            headers = [("Via", via) for via in message.all("via")]
            headers += [(name.title(), message.get(name)) for name in ("from", "to", "call-id", "cseq")]
            self.send(write("SIP/2.0 200 OK" if message.method == "OPTIONS" else "SIP/2.0 481 Gone", headers))


class _Ear(asyncio.DatagramProtocol):
    def __init__(self, heard: dict[int, list[bytes]]) -> None:
        self._heard = heard

    def datagram_received(self, packet: bytes, sender: tuple[str, int]) -> None:
        if packet[1] & 0x7F == 0:  # G.711; others carry keys
            self._heard.setdefault(sender[1], []).append(packet[12:])


class _Wire(asyncio.DatagramProtocol):
    def __init__(self, phone: Phone) -> None:
        self._phone = phone

    def datagram_received(self, packet: bytes, sender: tuple[str, int]) -> None:
        self._phone.hear(packet)
