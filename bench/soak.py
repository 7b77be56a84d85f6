"""Millions of events through session and board in this process: does memory stay flat, does speed?

Law: each play of the stream has times and ids of its own, so that no call is ever taken for an earlier one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from amibridge.ami.session import Reply, Session
from amibridge.calls.board import Board
from amibridge.calls.facts import CallEnded
from amibridge.sandbox.pbx_score import Play, Score, read_score
from bench.parse import STREAMS
from bench.process import resident

EVENTS = 10_000_000
MARKS = 10
"""Rows of the report: the first is taken after a tenth, when all caches are full."""

BREATH = 60
"""Seconds of the PBX between two plays."""


@dataclass(frozen=True, slots=True)
class SoakRow:
    """After *events*: memory in MB, channels and calls the board remembers, CPU since the row before per event."""

    events: int
    calls: int
    remembered: int
    rss: float | None
    cpu_us: float


def measure(events: int = EVENTS, stream: Path = STREAMS[0]) -> Iterator[SoakRow]:
    session, board = Session(), Board("pbx")
    notes = _endlessly(read_score(stream))
    calls = 0
    for row in range(1, MARKS + 1):
        cpu, count = 0.0, events // MARKS
        for raw in islice(notes, count):
            begun = time.process_time()
            for received in session.receive_data(raw):
                if not isinstance(received, Reply):
                    calls += sum(isinstance(fact, CallEnded) for fact in board.apply(received))
            cpu += time.process_time() - begun
        yield SoakRow(row * count, calls, board.remembered(), resident(), cpu / count * 1e6)


def _endlessly(score: Score) -> Iterator[bytes]:
    length = int(score.notes[-1].at) + BREATH
    take = 0
    while True:
        take += 1
        play = Play(take * length, take)
        for note in score.notes:
            yield play.render(note.raw)
