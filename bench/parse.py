"""Recorded bytes through stock panoramisk and through us, no socket between.

Laws: each client has a process of its own; rounds are interleaved, so that what else the machine does hits all alike;
the cost is CPU time, so waiting costs nothing; only the ratio within one run means anything.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from panoramisk import Manager
from panoramisk.ami_protocol import AMIProtocol

from amibridge.ami.session import Reply, Session
from amibridge.ami.trace import read_trace
from amibridge.ami.wire import Framer
from amibridge.calls.board import Board

ROOT = Path(__file__).parents[1]

STREAMS = (
    ROOT / "tests/traces/asterisk22/z3_load_readall.ami.gz",
    ROOT / "tests/traces/asterisk22-tracker/z3_load_readall.ami.gz",
)
"""432 calls in 15 s, unfiltered, and the same calls as a server-side filter lets them through."""

SUBSCRIPTIONS = (
    "Newchannel", "Newstate", "NewCallerid", "DialBegin", "DialEnd", "BridgeEnter", "BridgeLeave", "HangupRequest",
    "Hangup", "VarSet", "QueueCallerJoin", "QueueCallerAbandon",
)  # fmt: skip
"""What panoramisk is asked for; we fold the same twelve, and a few that only a snapshot or a restart needs."""

HEADERS = ("Uniqueid", "Linkedid", "Channel")
"""What a subscriber reads of each."""

CHUNK = 64 * 1024
"""Bytes given at once: a busy socket's reading."""

ROUNDS = 5

LEAST = 0.5
"""CPU seconds of one round of one client; a stream is fed as often as it takes."""

Pass = Callable[[Sequence[bytes]], int]
"""One stream from its first to its last byte through a new client; how many of its events were handed over."""


@dataclass(frozen=True, slots=True)
class ParseRow:
    """*events*: messages in the stream. *delivered*: of one pass, to whoever subscribed. *speedup*: over panoramisk,
    the median of the rounds."""

    stream: str
    client: str
    events: int
    delivered: int
    rounds: int
    cpu_us: float
    events_per_s: float
    speedup: float


def panoramisk(chunks: Sequence[bytes]) -> int:
    loop = asyncio.new_event_loop()
    manager, protocol = Manager(loop=loop), AMIProtocol()
    connected = loop.create_future()
    connected.set_result((None, protocol))
    protocol.connection_made(None)
    manager.connection_made(connected)
    manager.pinger.cancel()
    delivered = 0

    def read(_: Manager, message: Any) -> None:
        nonlocal delivered
        delivered += 1
        for name in HEADERS:
            message.get(name, "")

    for name in SUBSCRIPTIONS:
        manager.register_event(name, read)
    for chunk in chunks:
        protocol.data_received(chunk)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    return delivered


def session(chunks: Sequence[bytes]) -> int:
    ours = Session()
    return sum(not isinstance(one, Reply) for chunk in chunks for one in ours.receive_data(chunk))


def session_and_board(chunks: Sequence[bytes]) -> int:
    ours, board = Session(), Board("pbx")
    delivered = 0
    for chunk in chunks:
        for received in ours.receive_data(chunk):
            if not isinstance(received, Reply):
                delivered += 1
                board.apply(received)
    return delivered


CLIENTS: dict[str, Pass] = {
    "panoramisk": panoramisk,
    "amibridge: parse": session,
    "amibridge: parse and fold": session_and_board,
}


def measure(streams: Iterable[Path] = STREAMS, *, rounds: int = ROUNDS, least: float = LEAST) -> Iterator[ParseRow]:
    """A row for each client on each stream, panoramisk's first. *least*: see `LEAST`."""
    for stream in streams:
        with ExitStack() as running:
            clients = {name: running.enter_context(_client(name, stream, least)) for name in CLIENTS}
            for play in clients.values():
                play()
            played = [{name: play() for name, play in clients.items()} for _ in range(rounds)]
        for name in CLIENTS:
            costs = [each[name]["cpu_us"] for each in played]
            yield ParseRow(
                stream=f"{stream.parent.name}/{stream.name.partition('.')[0]}",
                client=name,
                events=played[0][name]["events"],
                delivered=played[0][name]["delivered"],
                rounds=rounds,
                cpu_us=median(costs),
                events_per_s=1e6 / median(costs),
                speedup=median(each["panoramisk"]["cpu_us"] / each[name]["cpu_us"] for each in played),
            )


@contextmanager
def _client(name: str, stream: Path, least: float) -> Iterator[Callable[[], dict[str, Any]]]:
    """A process that plays one round each time it is asked."""
    command = [sys.executable, "-m", "bench.parse", name, str(stream), str(least)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, told = process.stdin, process.stdout

        def play() -> dict[str, Any]:
            asked.write("\n")
            asked.flush()
            answer: dict[str, Any] = json.loads(told.readline() or "null") or {}
            if not answer:
                raise RuntimeError(f"the client {name} ended with exit code {process.wait()}")
            return answer

        yield play
        asked.close()


def _serve(name: str, stream: str, least: float) -> None:
    """A round for each line on stdin, its figures as a line on stdout."""
    whole = b"".join(read_trace(stream))
    chunks = [whole[start : start + CHUNK] for start in range(0, len(whole), CHUNK)]
    events = len(Framer().feed(whole))
    run = CLIENTS[name]
    for _ in sys.stdin:
        passes = delivered = 0
        begun = time.process_time()
        while passes == 0 or time.process_time() - begun < least:
            delivered = run(chunks)
            passes += 1
        cpu = time.process_time() - begun
        figures = {
            "events": events,
            "delivered": delivered,
            "cpu_us": cpu / (passes * events) * 1e6,
        }
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], float(sys.argv[3]))
