"""SIP messages as text: enough of RFC 3261 for a phone on a loopback address, and the SDP of one audio stream."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "c": "content-type",
            "l": "content-length", "r": "refer-to", "b": "referred-by"}  # fmt: skip


@dataclass(frozen=True)
class Sip:
    """One message. *headers*: names in lower case, in order, repeated ones kept."""

    first: str
    headers: tuple[tuple[str, str], ...]
    body: str = ""

    @property
    def status(self) -> int | None:
        """Of a response; None for a request."""
        return int(self.first.split(" ", 2)[1]) if self.first.startswith("SIP/2.0 ") else None

    @property
    def method(self) -> str:
        """Of a request, or of the request that this answers."""
        return self.first.split(" ", 1)[0] if self.status is None else self.cseq[1]

    @property
    def target(self) -> str:
        return self.first.split(" ")[1]

    @property
    def cseq(self) -> tuple[int, str]:
        number, method = self.get("cseq").split()
        return int(number), method

    def get(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.headers if key == name), default)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


def read(packet: bytes) -> Sip | None:
    """None for a keep-alive."""
    head, _, body = packet.decode("utf-8", "replace").partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    if not first.strip():
        return None
    headers = []
    for line in lines:
        name, _, value = line.partition(":")
        name = name.strip().lower()
        headers.append((_COMPACT.get(name, name), value.strip()))
    return Sip(first, tuple(headers), body)


def write(first: str, headers: Iterable[tuple[str, str]], body: str = "") -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(body.encode())}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def tag_of(header: str) -> str | None:
    found = re.search(r";tag=([^;>\s]+)", header)
    return found[1] if found else None


def uri_of(header: str) -> str:
    """The address inside ``"Name" <sip:…>;tag=…``."""
    found = re.search(r"<([^>]*)>", re.sub(r'"(?:[^"\\]|\\.)*"', "", header))
    return found[1] if found else header.split(";")[0].strip()


def user_of(header: str) -> str:
    """What stands before the @ of an address."""
    found = re.match(r"sips?:([^@;>]*)@", uri_of(header))
    return found[1] if found else ""


def audio_address(body: str) -> tuple[str, int] | None:
    """Where the other side of an SDP wants to hear us."""
    address, port = re.search(r"^c=IN IP4 (\S+)", body, re.MULTILINE), re.search(r"^m=audio (\d+)", body, re.MULTILINE)
    return (address[1], int(port[1])) if address and port else None


@dataclass(frozen=True)
class Audio:
    """An SDP offer or answer of one G.711 stream. *direction*: ``sendonly`` is what a phone on hold says."""

    address: str
    port: int
    direction: str = "sendrecv"
    version: int = field(default=1)

    def sdp(self) -> str:
        return (
            f"v=0\r\no=- 1 {self.version} IN IP4 {self.address}\r\ns=-\r\nc=IN IP4 {self.address}\r\nt=0 0\r\n"
            f"m=audio {self.port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
            f"a=fmtp:101 0-15\r\na={self.direction}\r\n"
        )
