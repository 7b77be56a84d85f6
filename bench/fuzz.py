"""Millions of mutated messages through session and board in this process: does anything raise, grow, or speak twice?

Laws: a seed gives the same messages for ever; what is checked is what `calls` promises, whatever an AMI peer sends:
nothing raises, a call speaks between its beginning and its one end and at no other time, memory is bounded.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from amibridge.ami.events import AmiEvent, Disconnected
from amibridge.ami.session import Reply, Session
from amibridge.ami.trace import read_trace
from amibridge.ami.wire import END_OF_MESSAGE, MAX_UNFINISHED, Framer
from amibridge.calls.board import Board
from amibridge.calls.facts import AnyFact, CallEnded, CallMerged, CallStarted
from amibridge.calls.record import CallId
from amibridge.sandbox.pbx_score import Play, read_score
from bench.parse import ROOT
from bench.process import resident

TRACES = sorted((ROOT / "tests/traces").glob("*/*.ami"))
"""Every kind of call, a trace each, with and without a filter."""

MESSAGES = 10_000_000
MARKS = 10
"""Rows of the report."""

SEED = 20261125

LONGEST_RUN = 400
"""Messages of one trace in a row, so that calls come to be before they are torn."""

RATES = (0.01, 0.1, 0.5)
"""How many messages of a run are changed: some runs are nearly whole calls, some are wrecks."""

ENDLESS = 20_000
"""One mutant in so many has no end."""

SELDOM = 0.01
"""How often an answer, or a channel of a list, comes between two events."""

BEGINNING = 1_700_000_000
"""The epoch second of the first run."""

IDS = (b"Uniqueid", b"Linkedid", b"DestUniqueid", b"DestLinkedid", b"BridgeUniqueid", b"ParkeeUniqueid", b"ActionID")

HOSTILE = (
    b"", b" ", b"\x00", b"\x1b[31m", b"<unknown>", b"-1", b"1e999", b"nan", b"99999999999999999999", b"\xff\xfe",
    "Жанна".encode("cp1251"), "\u202e\u2028".encode(), b"%s%n", b"${SHELL(id)}", b"'; DROP TABLE calls; --",
    b"A" * 5000, b"Asterisk Call Manager/9", b"Event: Hangup", b"Local/a@b-00000000;1", b"PJSIP/101-0000000a",
    b"+79161234567",
)  # fmt: skip

Mutation = Callable[[random.Random, list[bytes]], list[bytes]]


@dataclass(frozen=True, slots=True)
class FuzzRow:
    """After *messages*: how many could not be read, what the board said, remembers and did not understand, memory in
    MB, CPU since the row before per message."""

    messages: int
    garbled: int
    facts: int
    anomalies: int
    remembered: int
    rss: float | None
    cpu_us: float


class SaidWrongly(AssertionError):
    """A call spoke before its beginning or after its end."""


class Ear:
    """Hears every fact; keeps which calls have begun and not ended."""

    def __init__(self) -> None:
        self.facts = 0
        self.live: set[CallId] = set()

    def hear(self, fact: AnyFact) -> None:
        """Raises SaidWrongly."""
        self.facts += 1
        if (fact.call in self.live) is isinstance(fact, CallStarted):
            raise SaidWrongly(f"{fact.kind} of {fact.call}, which is {'' if fact.call in self.live else 'not '}live")
        if isinstance(fact, CallStarted):
            self.live.add(fact.call)
        elif isinstance(fact, CallEnded | CallMerged):
            self.live.remove(fact.call)


def measure(messages: int = MESSAGES, seed: int = SEED, traces: Sequence[Path] = TRACES) -> Iterator[FuzzRow]:
    """Raises SaidWrongly, or whatever the core raises, which it must not."""
    session, board, ear = Session(), Board("pbx"), Ear()
    stream = mutants(random.Random(seed), traces)
    garbled = anomalies = 0

    def fold(event: AmiEvent) -> None:
        for fact in board.apply(event):
            ear.hear(fact)

    for row in range(1, MARKS + 1):
        cpu, count = 0.0, messages // MARKS
        for _ in range(count):
            raw = next(stream)
            begun = time.process_time()
            for received in session.receive_data(raw):
                if not isinstance(received, Reply):
                    fold(received)
            if session.oversized:
                garbled += session.garbled + session.oversized
                session = Session()
                fold(Disconnected(datetime.now(UTC)))
            cpu += time.process_time() - begun
            anomalies += len(board.take_anomalies())
        yield FuzzRow(
            row * count,
            garbled + session.garbled,
            ear.facts,
            anomalies,
            board.remembered(),
            resident(),
            cpu / count * 1e6,
        )


def mutants(chance: random.Random, traces: Sequence[Path]) -> Iterator[bytes]:
    """Events of *traces* in runs, and now and then an answer or a list; many are changed, and some lose their end.

    A run has times and ids of its own, as another call would; or those of the run before, as after a clock went back.
    """
    scores = [read_score(trace) for trace in traces]
    answers = [raw for trace in traces for raw in _answers(trace)]
    seconds = take = 0
    while True:
        score, rate = chance.choice(scores), chance.choice(RATES)
        start = chance.randrange(len(score.notes)) if chance.random() < 0.5 else 0
        run = score.notes[start : start + chance.randrange(1, LONGEST_RUN)]
        if chance.random() < 0.9:
            seconds, take = seconds + int(run[-1].at) + chance.randrange(60), take + 1
        play = Play(seconds - int(score.first_at) + BEGINNING, take)
        for note in run:
            raw = play.render(note.raw)
            if chance.random() < SELDOM:
                yield chance.choice(answers)
            yield _mutant(chance, raw) if chance.random() < rate else raw


def _mutant(chance: random.Random, raw: bytes) -> bytes:
    if chance.randrange(ENDLESS) == 0:
        return b"X" * (MAX_UNFINISHED + 1)
    lines = raw.rstrip(b"\r\n").split(b"\r\n")
    return chance.choice(WAYS)(chance, b"\r\n".join(chance.choice(MUTATIONS)(chance, lines)) + END_OF_MESSAGE)


def _answers(trace: Path) -> Iterator[bytes]:
    for raw in Framer().feed(b"".join(read_trace(str(trace)))):
        if raw.startswith((b"Response: ", b"Event: CoreShow")):
            yield raw + END_OF_MESSAGE


def _drop(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    del lines[chance.randrange(len(lines))]
    return lines


def _repeat(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    lines.insert(chance.randrange(len(lines)), chance.choice(lines))
    return lines


def _shuffle(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    tail = lines[1:]
    chance.shuffle(tail)
    return [lines[0], *tail]


def _poison(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    place = chance.randrange(len(lines))
    lines[place] = lines[place].partition(b": ")[0] + b": " + chance.choice(HOSTILE)
    return lines


def _rename(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    """Other ids: of a few that many share, or of nobody yet."""
    ids = [place for place, line in enumerate(lines) if line.partition(b":")[0] in IDS]
    if ids:
        name = b"1.%d" % chance.randrange(9) if chance.random() < 0.5 else b"2.%d" % chance.getrandbits(40)
        place = chance.choice(ids)
        lines[place] = lines[place].partition(b": ")[0] + b": " + name
    return lines


def _misdate(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    lines.insert(1, b"Timestamp: %d.5" % chance.choice((0, 1, 946_684_800, 1_795_491_044, 4_102_444_799, 10**15)))
    return lines


MUTATIONS: Sequence[Mutation] = (_drop, _repeat, _shuffle, _poison, _rename, _rename, _misdate)


def _whole(chance: random.Random, raw: bytes) -> bytes:
    return raw


def _twice(chance: random.Random, raw: bytes) -> bytes:
    return raw * 2


def _torn(chance: random.Random, raw: bytes) -> bytes:
    """Its end is missing, so that it runs into the next one."""
    return raw[: chance.randrange(len(raw))]


def _bitten(chance: random.Random, raw: bytes) -> bytes:
    place = chance.randrange(len(raw))
    return raw[:place] + bytes([chance.randrange(256)]) + raw[place + 1 :]


def _greeted(chance: random.Random, raw: bytes) -> bytes:
    """The connection broke and another began."""
    place = chance.randrange(len(raw))
    return raw[:place] + b"Asterisk Call Manager/11.0.0\r\nResponse: Success\r\n\r\n" + raw[place:]


WAYS = (_whole, _whole, _whole, _whole, _twice, _torn, _bitten, _greeted)
