"""One AMI connection as Asterisk serves it: login, filters, answers, events, and the mischief of the day.

Laws: without a login there are no events; what is not said while a connection is away or frozen is lost, as in reality.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from amibridge.ami.wire import read_message
from amibridge.sandbox.pbx_channels import Channels
from amibridge.sandbox.pbx_inventory import LISTS, VERSION, commands_without, event, pjsip_endpoints, sip_peers
from amibridge.sandbox.pbx_mischief import Mischief

Headers = Mapping[str, str]

CREDENTIALS = frozenset({"Secret", "Key"})
SPELLINGS = {
    name.lower(): name
    for name in (
        "Action", "ActionID", "AuthType", "Channel", "Exten", "Filter", "Key", "Operation", "Secret", "Username",
    )
}  # fmt: skip
"""Asterisk reads the names of headers without regard to case; these are the ones we read."""

STAMP = re.compile(rb"^Timestamp: [^\r]*\r\n", re.MULTILINE)

WRITE_PATIENCE = timedelta(seconds=1)
"""Asterisk drops who does not read; its own patience, `writetimeout`, is a tenth of this."""


@dataclass(slots=True)
class Exchange:
    """What all connections of one PBX share. *endpoints*: names by technology. *audience* is set while somebody is
    logged in, *followed* while somebody has been told which channels live: he knows all there is."""

    username: str
    secret: str
    originate: Callable[[Headers], bool]
    channels: Channels
    endpoints: Mapping[str, Sequence[str]]
    speed: float
    mischief: Mischief = field(default_factory=Mischief)
    received: list[Headers] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    audience: asyncio.Event = field(default_factory=asyncio.Event)
    followed: asyncio.Event = field(default_factory=asyncio.Event)
    _last_event: tuple[float, float] = (0.0, 0.0)

    def perform(self, raw: bytes, at: float) -> None:
        """An event of the epoch second *at* happens."""
        self._last_event = (at, time.monotonic())
        self.channels.observe(raw)
        for line in list(self.lines):
            line.tell(raw)

    def now(self) -> float:
        """The clock of the PBX, in epoch seconds: that of its trace, going on between two events."""
        at, since = self._last_event
        if not at:
            return time.time()
        return at if math.isinf(self.speed) else at + (time.monotonic() - since) * self.speed

    def joined(self, line: Line) -> None:
        self.lines.append(line)
        self.audience.set()

    def left(self, line: Line) -> None:
        if line in self.lines:
            self.lines.remove(line)
        if not self.lines:
            self.audience.clear()
            self.followed.clear()

    async def drain(self) -> None:
        """Wait for the slowest reader, and drop who does not read at all."""
        for line in list(self.lines):
            await line.drain()


class Line:
    """*serve* runs one connection from greeting to end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, exchange: Exchange) -> None:
        self._reader = reader
        self._writer = writer
        self._exchange = exchange
        self._challenge = ""
        self._wanted: list[re.Pattern[bytes]] = []
        self._unwanted: list[re.Pattern[bytes]] = []
        self._said = 0
        self._told = 0
        self._pieces: deque[bytes] = deque()
        self._frozen = False
        self._over = False

    async def serve(self) -> None:
        try:
            self._say(self._exchange.mischief.greeting)
            while not self._over:
                await self._answer(_action(await self._reader.readuntil(b"\r\n\r\n")))
        except (EOFError, ConnectionError, asyncio.LimitOverrunError):
            self._pieces.clear()
        finally:
            self._end()

    def tell(self, raw: bytes) -> None:
        """An event, if this line wants it."""
        if not self._wants(raw):
            return
        self._told += 1
        mischief = self._exchange.mischief
        if not mischief.stamps:
            raw = STAMP.sub(b"", raw)
        if mischief.freeze_at_event == self._told:
            self._exchange.mischief = replace(mischief, freeze_at_event=None)
            self._frozen = True
        elif mischief.cut_at_event == self._told:
            self._exchange.mischief = replace(mischief, cut_at_event=None)
            self._say(raw[: len(raw) // 2])
            self._end()
        else:
            self._say(mischief.garbage + raw)

    async def drain(self) -> None:
        while self._pieces:
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout(WRITE_PATIENCE.total_seconds()):
                await self._writer.drain()
        except (TimeoutError, ConnectionError):
            self.hang_up()

    def hang_up(self) -> None:
        """Gone without a word."""
        self._over = True
        self._pieces.clear()
        self._exchange.left(self)
        self._writer.transport.abort()

    def _end(self) -> None:
        """Closed after what has been said."""
        self._over = True
        self._exchange.left(self)
        if not self._pieces:
            self._writer.close()

    def _wants(self, raw: bytes) -> bool:
        if self._wanted and not any(regex.search(raw) for regex in self._wanted):
            return False
        return not any(regex.search(raw) for regex in self._unwanted)

    def _say(self, raw: bytes) -> None:
        if self._frozen or self._over:
            return
        mischief = self._exchange.mischief
        if mischief.cut_after_bytes is not None and self._said + len(raw) >= mischief.cut_after_bytes:
            self._exchange.mischief = replace(mischief, cut_after_bytes=None)
            self._write(raw[: max(0, mischief.cut_after_bytes - self._said)], mischief.piece)
            self._end()
            return
        self._said += len(raw)
        self._write(raw, mischief.piece)

    def _write(self, raw: bytes, piece: int) -> None:
        """At once, or a piece each turn of the loop: written in one turn, pieces would arrive as one."""
        if len(raw) <= piece and not self._pieces:
            self._writer.write(raw)
            return
        if not self._pieces:
            asyncio.get_running_loop().call_soon(self._write_piece)
        self._pieces += (raw[start : start + piece] for start in range(0, len(raw), piece))

    def _write_piece(self) -> None:
        if self._pieces:
            self._writer.write(self._pieces.popleft())
        if self._pieces:
            asyncio.get_running_loop().call_soon(self._write_piece)
        elif self._over:
            self._writer.close()

    def _reply(self, action: Headers, response: str, **headers: str) -> None:
        asked = {"ActionID": action["ActionID"]} if "ActionID" in action else {}
        lines = {"Response": response, **asked, **headers}
        self._say("".join(f"{key}: {value}\r\n" for key, value in lines.items()).encode() + b"\r\n")

    async def _answer(self, action: Headers) -> None:
        if self._frozen:
            return
        mischief = self._exchange.mischief
        self._exchange.received.append({key: value for key, value in action.items() if key not in CREDENTIALS})
        if mischief.answers_after:
            await asyncio.sleep(mischief.answers_after.total_seconds())
        name = action.get("Action", "")
        if _is_among(name, mischief.ignores):
            return
        match name.lower():
            case "login":
                self._login(action)
            case "":
                self._reply(action, "Error", Message="Missing action in request")
            case "challenge" if action.get("AuthType", "").upper() != "MD5":
                self._reply(action, "Error", Message="Must specify AuthType")
            case "challenge":
                self._challenge = str(secrets.randbelow(10**9))
                self._reply(action, "Success", Challenge=self._challenge)
            case "logoff":
                self._reply(action, "Goodbye", Message="Thanks for all the fish.")
                self._end()
            case _ if self not in self._exchange.lines or _is_among(name, mischief.refuses):
                self._reply(action, "Error", Message="Permission denied")
            case "ping":
                now = self._exchange.now() + mischief.ahead.total_seconds()
                self._reply(action, "Success", Ping="Pong", Timestamp=f"{now:.6f}")
            case "filter":
                self._filter(action)
            case "coreshowchannels":
                self._list(action, "CoreShowChannel", self._exchange.channels.shown(self._exchange.now()))
                self._exchange.followed.set()
            case "listcommands":
                self._reply(action, "Success", **commands_without(mischief.refuses))
            case "coresettings":
                self._reply(action, "Success", **VERSION)
            case "pjsipshowendpoints" if names := self._exchange.endpoints["PJSIP"]:
                self._list(action, "EndpointList", pjsip_endpoints(names))
            case "pjsipshowendpoints":
                self._reply(action, "Error", Message="No endpoints found")
            case "sippeers":
                self._list(action, "PeerEntry", sip_peers(self._exchange.endpoints["SIP"]))
            case "originate" if self._exchange.originate(action):
                self._reply(action, "Success", Message="Originate successfully queued")
            case "originate" if "Application" in action:
                self._reply(
                    action, "Error", Message=f"a recorded PBX rings nobody for {action['Application']}, ask a real PBX"
                )
            case "originate":
                self._reply(action, "Error", Message="Extension does not exist.")
            case "blindtransfer" | "atxfer" | "cancelatxfer" | "park" | "getvar":
                self._reply(action, "Error", Message=f"recorded calls go as they went: no {name} here, ask a real PBX")
            case _:
                unknown = f"Invalid/unknown command: {name}. Use Action: ListCommands to show available commands."
                self._reply(action, "Error", Message=unknown)

    def _login(self, action: Headers) -> None:
        exchange = self._exchange
        if exchange.mischief.close_at_login:
            self._end()
        elif _is_among("Login", exchange.mischief.refuses) or not self._proves(action):
            self._reply(action, "Error", Message="Authentication failed")
            self._end()
        else:
            self._reply(action, "Success", Message="Authentication accepted")
            if exchange.mischief.boots:
                self._say(b"Event: FullyBooted\r\nPrivilege: system,all\r\nStatus: Fully Booted\r\n\r\n")
            if self not in exchange.lines and not self._over:
                exchange.joined(self)

    def _proves(self, action: Headers) -> bool:
        secret = self._exchange.secret
        if action.get("AuthType", "").upper() == "MD5":
            digest = hashlib.md5((self._challenge + secret).encode(), usedforsecurity=False).hexdigest()
            proven = bool(self._challenge) and secrets.compare_digest(action.get("Key", ""), digest)
        else:
            proven = action.get("Secret") == secret
        return proven and action.get("Username") == self._exchange.username

    def _filter(self, action: Headers) -> None:
        """A whitelist, or with a leading ``!`` a blacklist; lines of one kind are OR-ed."""
        text = action.get("Filter", "")
        if action.get("Operation", "").lower() != "add":
            self._reply(action, "Error", Message="Unknown operation")
            return
        try:
            regex = re.compile(text.removeprefix("!").encode())
        except re.error:
            self._reply(action, "Error", Message="Filter did not compile.  Check the syntax of the filter given.")
            return
        (self._unwanted if text.startswith("!") else self._wanted).append(regex)
        self._reply(action, "Success", Message="Filter added successfully")

    def _list(self, action: Headers, item: str, items: Iterable[Headers]) -> None:
        following, ending = LISTS[item]
        asked = {"ActionID": action["ActionID"]} if "ActionID" in action else {}
        self._reply(action, "Success", EventList="start", Message=following)
        said = [event(item, {**asked, **one}) for one in items]
        for raw in said:
            self._say(raw)
        self._say(event(ending, {**asked, "EventList": "Complete", "ListItems": str(len(said))}))


def _action(raw: bytes) -> Headers:
    headers = read_message(raw.strip(b"\r\n")).headers
    return {SPELLINGS.get(name.lower(), name): value for name, value in headers.items()}


def _is_among(action: str, named: Collection[str]) -> bool:
    return action.lower() in map(str.lower, named)
