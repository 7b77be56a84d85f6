"""A SIP phone that does what a test tells it, and remembers what it did and heard, and when.

It stands on a loopback address and port of its own, needs no registration and no password, and speaks as real phones
do: it rings, answers, declines, holds, transfers and hangs up. It is the witness: what it saw is the truth.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

from tests.real.sip import Audio, Sip, audio_address, read, tag_of, uri_of, user_of, write

PATIENCE = 10.0
"""Seconds until something that should happen on a loopback address counts as not happening."""

KEY = 0.15
"""Seconds from one key to the next."""

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Step:
    """*at*: epoch seconds, the clock that Asterisk stamps its events with."""

    at: float
    who: str
    what: str


class Talk:
    """One dialog of a phone: a call it placed or was offered."""

    def __init__(self, phone: Phone, call_id: str, *, ours: str, theirs: str, number: str, incoming: bool) -> None:
        self.phone = phone
        self.caller = user_of(ours)
        self.call_id = call_id
        self.number = number
        self.incoming = incoming
        self.ringing = asyncio.Event()
        self.answered = asyncio.Event()
        self.ended = asyncio.Event()
        self.why: int | None = None
        """The final status of a call that was not answered."""
        self.began_at = datetime.now(UTC)
        self.rang_at: datetime | None = None
        self.answered_at: datetime | None = None
        self.ended_at: datetime | None = None
        """The clock that Asterisk stamps its events with."""
        self._ours = ours
        self._theirs = theirs
        self._target = ""
        self._cseq = 1
        self._version = 1
        self._branch = ""
        self._invite: Sip | None = None
        self._last: dict[tuple[int, str], bytes] = {}

    # -- what a person does

    def ring(self) -> None:
        self._respond(self._offer(), 180, "Ringing")
        self._note("rings")
        self._rang()

    def answer(self) -> None:
        self._respond(self._offer(), 200, "OK", audio=self._audio())
        self._note("answers")
        self._answered(self._offer())

    def refuse(self, status: int = 486, reason: str = "Busy Here", more: Headers | None = None) -> None:
        self._respond(self._offer(), status, reason, more=more)
        self._note(f"refuses {status}")
        self._over(status)

    def forward(self, number: str) -> None:
        self.refuse(302, "Moved Temporarily", [("Contact", f"<sip:{number}@{self.phone.pbx[0]}>")])

    def cancel(self) -> None:
        """Give up a call of ours that nobody answered."""
        assert self._invite is not None
        request = write(
            f"CANCEL {self._invite.target} SIP/2.0",
            [
                ("Via", self.phone.via(self._branch)),
                ("Max-Forwards", "70"),
                ("From", self._ours),
                ("To", self._invite.get("to")),
                ("Call-ID", self.call_id),
                ("CSeq", f"{self._invite.cseq[0]} CANCEL"),
            ],
        )
        self._note("gives up")
        self.phone.send(request)

    def hang_up(self) -> None:
        self._request("BYE")
        self._note("hangs up")
        self._over()

    def put_down(self) -> None:
        """Whatever state it is in."""
        if self.ended.is_set():
            return
        if self.answered.is_set():
            self.hang_up()
        elif self.incoming:
            self.refuse(480, "Temporarily Unavailable")
        else:
            self.cancel()

    def hold(self) -> None:
        self._reinvite("sendonly", "holds")

    def unhold(self) -> None:
        self._reinvite("sendrecv", "unholds")

    async def press(self, keys: str) -> None:
        """DTMF, by SIP INFO, as fast as fingers are."""
        for key in keys:
            body = f"Signal={key}\r\nDuration=100\r\n"
            self._request("INFO", [("Content-Type", "application/dtmf-relay")], body)
            await asyncio.sleep(KEY)
        self._note(f"presses {keys}")

    def refer(self, number: str) -> None:
        """Blind transfer."""
        self._request("REFER", self._refer_to(f"sip:{number}@{self.phone.pbx[0]}"))
        self._note(f"transfers to {number}")

    def refer_to(self, other: Talk) -> None:
        """Attended transfer: whom we talk with here gets whom we talk with there."""
        replaces = f"{other.call_id};to-tag={tag_of(other._theirs)};from-tag={tag_of(other._ours)}"
        target = f"sip:{other.number}@{self.phone.pbx[0]}?Replaces={quote(replaces, safe='')}"
        self._request("REFER", self._refer_to(target))
        self._note(f"transfers to {other.number}, attended")

    # -- what arrives

    def hear(self, message: Sip) -> None:
        if message.status is not None:
            self._hear_answer(message)
            return
        key = message.cseq
        if key in self._last and message.method != "ACK":
            self.phone.send(self._last[key])
            return
        match message.method:
            case "INVITE" if self._invite is None:
                self._invite = message
                self._target = uri_of(message.get("contact"))
                self._theirs = message.get("from")
                self._note(f"is called by {user_of(message.get('from'))}")
            case "INVITE":
                self._theirs = message.get("from") if self.incoming else self._theirs
                self._target = uri_of(message.get("contact")) or self._target
                self._respond(message, 200, "OK", audio=self._audio())
            case "ACK":
                pass
            case "CANCEL":
                self._respond(message, 200, "OK")
                self._respond(self._offer(), 487, "Request Terminated")
                self._note("is no longer called" + _reason(message))
                self._over(487)
            case "BYE":
                self._respond(message, 200, "OK")
                self._note("is left" + _reason(message))
                self._over()
            case _:
                self._respond(message, 200, "OK")

    def _hear_answer(self, message: Sip) -> None:
        status, (number, method) = message.status or 0, message.cseq
        if method != "INVITE":
            if method == "REFER" and status >= 300:
                self._note(f"may not transfer: {status}")
            return
        if status > 100 and tag_of(message.get("to")):
            self._theirs = message.get("to")
        if status in (180, 183):
            if not self.ringing.is_set():
                self._note(f"hears it ring ({status})")
            self._rang()
        elif 200 <= status < 300:
            self._target = uri_of(message.get("contact"))
            self._ack(number, self._target, secrets.token_hex(8))
            if not self.answered.is_set():
                self._note("is answered")
                self._answered(message)
        elif status >= 300:
            assert self._invite is not None
            self._ack(number, self._invite.target, self._branch, to=message.get("to"))
            if not self.answered.is_set():
                self._note(f"is refused {status}")
                self._over(status)

    def _rang(self) -> None:
        self.rang_at = self.rang_at or datetime.now(UTC)
        self.ringing.set()

    def _answered(self, theirs: Sip) -> None:
        """Asterisk waits half a second for the first sound of an answered channel, so there is a little."""
        to = audio_address(theirs.body)
        if to is not None:
            self.phone.speak(to)
        self.answered_at = self.answered_at or datetime.now(UTC)
        self.answered.set()

    def _over(self, why: int | None = None) -> None:
        self.ended_at = self.ended_at or datetime.now(UTC)
        self.why = why
        self.ended.set()

    # -- waiting

    async def rings(self) -> Talk:
        await self._wait(self.ringing, "ring")
        return self

    async def is_answered(self) -> Talk:
        await self._wait(self.answered, "be answered")
        return self

    async def is_over(self) -> Talk:
        await self._wait(self.ended, "end")
        return self

    async def _wait(self, event: asyncio.Event, what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await event.wait()
        except TimeoutError:
            said = "\n".join(f"{step.at:.3f} {step.who} {step.what}" for step in self.phone.steps)
            raise AssertionError(f"the call of {self.phone.name} with {self.number} did not {what}:\n{said}") from None

    # -- the wire

    def invite(self, number: str, name: str) -> None:
        self._branch = secrets.token_hex(8)
        self._cseq = 1
        body = self._audio().sdp()
        target = f"sip:{number}@{self.phone.pbx[0]}:{self.phone.pbx[1]}"
        request = write(f"INVITE {target} SIP/2.0", self._headers("INVITE", self._branch) + _CONTENT, body)
        self._invite = read(request)
        self._target = target
        self._note(f"calls {number}" + (f" as {name}" if name else ""))
        self.phone.send(request)

    def _audio(self, direction: str = "sendrecv") -> Audio:
        return Audio(self.phone.address[0], self.phone.address[1] + 2, direction, self._version)

    def _reinvite(self, direction: str, what: str) -> None:
        self._version += 1
        self._cseq += 1
        self._branch = secrets.token_hex(8)
        body = self._audio(direction).sdp()
        request = write(f"INVITE {self._target} SIP/2.0", self._headers("INVITE", self._branch) + _CONTENT, body)
        self._note(what)
        self.phone.send(request)

    def _request(self, method: str, more: Headers | None = None, body: str = "") -> None:
        self._cseq += 1
        headers = self._headers(method, secrets.token_hex(8)) + (more or [])
        self.phone.send(write(f"{method} {self._target} SIP/2.0", headers, body))

    def _headers(self, method: str, branch: str) -> Headers:
        return [
            ("Via", self.phone.via(branch)),
            ("Max-Forwards", "70"),
            ("From", self._ours),
            ("To", self._theirs),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self._cseq} {method}"),
            ("Contact", self.phone.contact),
            ("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, REFER, INFO, NOTIFY, UPDATE"),
            ("Supported", "replaces"),
        ]

    def _refer_to(self, target: str) -> Headers:
        return [("Refer-To", f"<{target}>"), ("Referred-By", self.phone.contact)]

    def _ack(self, number: int, target: str, branch: str, to: str | None = None) -> None:
        headers = [
            ("Via", self.phone.via(branch)),
            ("Max-Forwards", "70"),
            ("From", self._ours),
            ("To", to or self._theirs),
            ("Call-ID", self.call_id),
            ("CSeq", f"{number} ACK"),
        ]
        self.phone.send(write(f"ACK {target} SIP/2.0", headers))

    def _offer(self) -> Sip:
        assert self._invite is not None
        return self._invite

    def _respond(
        self, request: Sip, status: int, reason: str, *, audio: Audio | None = None, more: Headers | None = None
    ) -> None:
        to = request.get("to")
        if tag_of(to) is None:
            to = f"{to};tag={tag_of(self._ours)}"
        headers = [("Via", via) for via in request.all("via")]
        headers += [("From", request.get("from")), ("To", to), ("Call-ID", self.call_id), ("CSeq", request.get("cseq"))]
        if not any(name == "Contact" for name, _ in more or []):
            headers.append(("Contact", self.phone.contact))
        headers += (more or []) + (_CONTENT if audio else [])
        packet = write(f"SIP/2.0 {status} {reason}", headers, audio.sdp() if audio else "")
        self._last[request.cseq] = packet
        self.phone.send(packet)

    def _note(self, what: str) -> None:
        self.phone.note(what)


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
        self._audio, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=place)

    def unplug(self) -> None:
        for transport in (self._transport, self._audio):
            if transport is not None:
                transport.abort()
        self._transport = self._audio = None

    def call(self, number: str, *, caller: str | None = None, name: str = "", more: str = "") -> Talk:
        """*caller*: who is said to call, for a line that carries many. *name*: the display name, as it goes out."""
        shown = f'"{name}" ' if name else ""
        ours = f"{shown}<sip:{caller or self.name}@{self.address[0]}>{more};tag={secrets.token_hex(6)}"
        theirs = f"<sip:{number}@{self.pbx[0]}>"
        call_id = secrets.token_hex(12)
        talk = self.talks[call_id] = Talk(self, call_id, ours=ours, theirs=theirs, number=number, incoming=False)
        talk.invite(number, caller or "")
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
            head = b"\x80\x00" + number.to_bytes(2) + (number * 160).to_bytes(4) + source
            loop.call_later(number * 0.02, self._send_audio, head + b"\xff" * 160, to)

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


class _Wire(asyncio.DatagramProtocol):
    def __init__(self, phone: Phone) -> None:
        self._phone = phone

    def datagram_received(self, packet: bytes, sender: tuple[str, int]) -> None:
        self._phone.hear(packet)


_CONTENT: Headers = [("Content-Type", "application/sdp")]


def _reason(message: Sip) -> str:
    reason = message.get("reason")
    return f" ({reason})" if reason else ""
