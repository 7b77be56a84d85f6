"""A trace as a score: its events with their times, to be played now, again, or with other names in it.

Laws: only what Asterisk said to everybody is in a score, neither greetings nor answers nor lists; a play moves all
its times and ids by whole seconds, so that fractions, counters and every distance stay true.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from amibridge.ami.session import GREETING
from amibridge.ami.trace import read_trace
from amibridge.ami.wire import END_OF_MESSAGE

EPOCH_NUMBER = re.compile(rb"\b1\d{9}\.\d+\b")
"""Timestamps, Uniqueids, Linkedids, and both again inside names of files."""

UUID = re.compile(rb"\b[0-9a-f]{8}(?=-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)")
TIMESTAMP = re.compile(rb"^Timestamp: (\d+\.\d+)\r$", re.MULTILINE)
UNIQUEID = re.compile(rb"^(?:Uniqueid|Linkedid): (1\d{9})\.(\d+)\r$", re.MULTILINE)
ASKED = re.compile(rb"^ActionID: ", re.MULTILINE)
ORIGINATED = b"Event: OriginateResponse\r\n"
OWN_EVENTS = (b"Event: FullyBooted\r\n", b"Event: SuccessfulAuth\r\n")
"""They belong to the login of whoever recorded the trace."""


@dataclass(frozen=True, slots=True)
class Note:
    """One event, with its blank line. *at*: seconds since the first of its score."""

    at: float
    raw: bytes


@dataclass(frozen=True, slots=True)
class Score:
    """*first_at*: the epoch second of its first event. *ids*: (second, counter) of every channel and call in it."""

    name: str
    first_at: float
    notes: tuple[Note, ...]
    ids: frozenset[tuple[int, int]]

    @property
    def has_origination(self) -> bool:
        return any(note.raw.startswith(ORIGINATED) for note in self.notes)


@dataclass(frozen=True, slots=True)
class Play:
    """How one performance differs from the recording. *take* makes the ids of bridges differ from other takes'."""

    seconds: int = 0
    take: int = 0
    words: Mapping[bytes, bytes] | None = None

    def render(self, raw: bytes) -> bytes:
        if self.words:
            words = b"|".join(map(re.escape, self.words))
            raw = re.sub(rb"(?<![0-9A-Za-z.])(?:%s)(?![0-9A-Za-z])" % words, self._exchanged, raw)
        if self.seconds:
            raw = EPOCH_NUMBER.sub(self._moved, raw)
        if self.take:
            raw = UUID.sub(self._renamed, raw)
        return raw

    def _exchanged(self, word: re.Match[bytes]) -> bytes:
        return (self.words or {})[word[0]]

    def _moved(self, number: re.Match[bytes]) -> bytes:
        second, _, fraction = number[0].partition(b".")
        return b"%d.%s" % (int(second) + self.seconds, fraction)

    def _renamed(self, head: re.Match[bytes]) -> bytes:
        return b"%08x" % ((int(head[0], 16) + self.take) % 2**32)


def read_score(path: Path) -> Score:
    """Raises OSError, and ValueError when there is no event in the trace."""
    notes: list[Note] = []
    first_at: float | None = None
    at = 0.0
    for raw in _events(read_trace(str(path))):
        if stamp := TIMESTAMP.search(raw):
            first_at = float(stamp[1]) if first_at is None else first_at
            at = max(at, float(stamp[1]) - first_at)
        notes.append(Note(at, raw))
    if first_at is None:
        raise ValueError(f"{path.name}: no events with a Timestamp in it")
    ids = {(int(second), int(counter)) for note in notes for second, counter in UNIQUEID.findall(note.raw)}
    return Score(path.name.partition(".")[0], first_at, tuple(notes), frozenset(ids))


def _events(chunks: Iterable[bytes]) -> Iterable[bytes]:
    """Events for everybody, each with what ended it: `Cdr` ends in two blank lines, and so it stays."""
    messages = b"".join(chunks).split(END_OF_MESSAGE)
    for message, following in pairwise(messages):  # the last one has no end: the capture stopped there
        raw = message.lstrip(b"\r\n")
        if not raw.startswith(b"Event: ") or GREETING.search(raw) is not None:
            continue
        raw += END_OF_MESSAGE + (b"\r\n" if following.startswith(b"\r\n") else b"")
        if not raw.startswith(OWN_EVENTS) and (raw.startswith(ORIGINATED) or ASKED.search(raw) is None):
            yield raw
