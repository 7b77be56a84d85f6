"""One dialog of a phone (RFC 3261): what its person does in it, what arrives, and when."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.real.sip import Audio, Sip, audio_address, read, tag_of, uri_of, user_of, write
from tests.real.sound import spoken, tones_in

if TYPE_CHECKING:
    from tests.real.phone import Phone

PATIENCE = 10.0
"""Seconds until something that should happen on a loopback address counts as not happening."""

KEY = 0.15
"""Seconds from one key to the next."""

Headers = list[tuple[str, str]]


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
        self._hears: tuple[str, int] | None = None
        self._cseq = 1
        self._version = 1
        self._branch = ""
        self._invite: Sip | None = None
        self._last: dict[tuple[int, str], bytes] = {}
        self._voice: asyncio.Task[None] | None = None

    @property
    def called(self) -> str:
        """Whom an incoming call is for, as the INVITE names him: what was dialled, where a line carries many."""
        return user_of(f"<{self._offer().target}>")

    @property
    def shown(self) -> tuple[str, str]:
        """The name and the number that a phone shows while it is called."""
        name, _, address = self._offer().get("from").partition("<")
        return name.strip(' "'), user_of(f"<{address}")

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

    def speak(self) -> None:
        """A fifth of a second of sound."""
        if self._hears is not None:
            self.phone.speak(self._hears)

    def say(self, tone: int) -> None:
        """From now on it sounds so, in Hz, to whoever hears this side."""
        assert self._hears is not None
        sound = self.phone.say(spoken(tone), self._hears, self.ended)
        self._voice = asyncio.create_task(sound, name=f"{self.phone.name} says {tone}")

    async def hears(self, packets: int = 40) -> set[int]:
        """The tones in what comes in from now on: those in more than half of so many packets."""
        assert self._hears is not None
        heard = self.phone.heard.setdefault(self._hears[1], [])
        begun = len(heard)
        try:
            async with asyncio.timeout(PATIENCE):
                while len(heard) < begun + packets:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            return set()
        return tones_in(heard[begun : begun + packets])

    def _rang(self) -> None:
        self.rang_at = self.rang_at or datetime.now(UTC)
        self.ringing.set()

    def _answered(self, theirs: Sip) -> None:
        """Asterisk waits half a second for the first sound of an answered channel, so there is a little."""
        self._hears = audio_address(theirs.body)
        self.speak()
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

    def invite(self, number: str, name: str, more: Sequence[tuple[str, str]] = ()) -> None:
        self._branch = secrets.token_hex(8)
        self._cseq = 1
        body = self._audio().sdp()
        target = f"sip:{number}@{self.phone.pbx[0]}:{self.phone.pbx[1]}"
        headers = [*self._headers("INVITE", self._branch), *more, *_CONTENT]
        request = write(f"INVITE {target} SIP/2.0", headers, body)
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


_CONTENT: Headers = [("Content-Type", "application/sdp")]


def _reason(message: Sip) -> str:
    reason = message.get("reason")
    return f" ({reason})" if reason else ""
