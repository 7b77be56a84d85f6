"""Ways to cut a byte stream, and the places where cutting it is most likely to hurt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from amibridge.ami.events import AmiEvent
from amibridge.ami.session import Received, Reply, Session


def received_in(pieces: Iterable[bytes]) -> list[Received]:
    session = Session()
    return [one for piece in pieces for one in session.receive_data(piece)]


def events_in(pieces: Iterable[bytes]) -> list[AmiEvent]:
    return [one for one in received_in(pieces) if not isinstance(one, Reply)]


def cut(raw: bytes, places: Iterable[int]) -> Iterator[bytes]:
    start = 0
    for place in sorted({*places, len(raw)}):
        if place > start:
            yield raw[start:place]
            start = place


def in_sizes(raw: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """Pieces of *sizes*, again and again until *raw* is used up."""
    start, turn = 0, 0
    while start < len(raw):
        size = sizes[turn % len(sizes)]
        yield raw[start : start + size]
        start, turn = start + size, turn + 1


def places_of_each_class(raw: bytes) -> dict[str, list[int]]:
    """Where TCP may cut so that it hurts, by kind of place: every such place of *raw*."""
    places: dict[str, list[int]] = {
        "inside the line break": [],
        "before the blank line": [],
        "inside the blank line": [],
        "between messages": [],
        "inside a key": [],
        "between colon and space": [],
        "inside a letter": [],
    }
    at = -1
    while (at := raw.find(b"\r\n", at + 1)) >= 0:
        places["inside the line break"].append(at + 1)
        if raw[at + 2 : at + 4] == b"\r\n":
            places["before the blank line"].append(at + 2)
            places["inside the blank line"].append(at + 3)
            places["between messages"].append(at + 4)
        elif raw[at + 2 : at + 3].isalpha():
            places["inside a key"].append(at + 3)
            colon = raw.find(b":", at + 2)
            if colon >= 0:
                places["between colon and space"].append(colon + 1)
    places["inside a letter"] = [at for at, byte in enumerate(raw) if byte & 0xC0 == 0x80]
    return places
