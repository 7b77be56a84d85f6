"""What hosts said lately: a tail of each in memory, and the hours before it in a ring of files.

Laws: hearing waits for nothing and never fails; the files are written beside the loop, every few seconds and at the
stop; a disk that is full, closed to us or silent is said once when it begins and once when it is over, and costs bytes
of the ring, counted, never a call.
"""

from __future__ import annotations

import asyncio
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import structlog

from amibridge.ami.transcript import Transcript, ended
from amibridge.config import TraceSettings
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.runtime.ring_files import PIECES, Piece, folder_of, tidy

log = structlog.get_logger()

Chunk: TypeAlias = tuple[float, bytes]
"""When it arrived, in seconds since 1970, and what."""

TAIL = 256 * 1024
"""Bytes of each host in memory: some minutes of an office, and all of a short call."""

WRITE_EVERY = timedelta(seconds=5)
SOON = 256 * 1024
"""Bytes that are not waited with until then."""

MOST_UNTAKEN = 4 * 1024 * 1024
MOST_UNWRITTEN = 256 * 1024
"""Bytes of one host that wait for a disk: as they came, and packed."""

TIDY_EVERY = timedelta(minutes=5)

PATIENCE = timedelta(seconds=10)
"""How long a disk may be silent before that is said."""

LAST_WRITE = timedelta(seconds=1)
"""For the disk at the stop."""


class HostKey(NamedTuple):
    enterprise: EnterpriseId
    host: HostName


class Ring:
    """The bytes of one host, heard and not yet written. *stir* is called when many wait, None keeps the tail only."""

    def __init__(self, stir: Callable[[], None] | None = None) -> None:
        self._stir = stir
        self._tail: deque[Chunk] = deque()
        self._tail_size = 0
        self._untaken: list[Chunk] = []
        self._untaken_size = 0
        self._lost = 0

    def hear(self, data: bytes) -> None:
        chunk = (time.time(), data)
        self._tail.append(chunk)
        self._tail_size += len(data)
        while self._tail_size > TAIL and len(self._tail) > 1:
            self._tail_size -= len(self._tail.popleft()[1])
        if self._stir is None:
            return
        if self._untaken_size > MOST_UNTAKEN:
            self._lost += self._untaken_size
            self._untaken, self._untaken_size = [], 0
        self._untaken.append(chunk)
        self._untaken_size += len(data)
        if self._untaken_size > SOON:
            self._stir()

    def tail(self) -> list[bytes]:
        """The messages in memory, fit to be kept, without their ends."""
        transcript = Transcript()
        return [message for arrived, data in self._tail for message in transcript.take(data, arrived)]

    def take(self) -> tuple[list[Chunk], int]:
        """What came since the last time, and how many bytes before it had to be let go."""
        taken, lost = self._untaken, self._lost
        self._untaken, self._untaken_size, self._lost = [], 0, 0
        return taken, lost


class _Writer:
    """From the chunks of one host to its files. Everything here runs in the writing thread."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._piece = Piece(folder, most_bytes)
        self._transcript = Transcript()
        self._packed: deque[tuple[int, bytes]] = deque()
        self.lost = 0

    def write(self, chunks: Sequence[Chunk], lost: int) -> None:
        """Raises OSError; then what is not written waits for the next time, within bounds."""
        if lost:
            self.lost += lost
            self._transcript = Transcript()  # or halves of two messages would be made one
        if text := ended(message for at, data in chunks for message in self._transcript.take(data, at)):
            pack = zlib.compressobj(wbits=31)
            self._packed.append((len(text), pack.compress(text) + pack.flush()))
        while sum(len(packed) for _, packed in self._packed) > MOST_UNWRITTEN and len(self._packed) > 1:
            self.lost += self._packed.popleft()[0]
        while self._packed:
            self._piece.append(self._packed[0][1], datetime.now(UTC))
            self._packed.popleft()


class Traces:
    """The rings of all hosts, below *root*."""

    def __init__(self, root: Path, settings: TraceSettings) -> None:
        self._root = root
        self._settings = settings
        self._rings: dict[HostKey, Ring] = {}
        self._writers: dict[HostKey, _Writer] = {}
        self._stirred = asyncio.Event()
        self._tidied: float | None = None
        self._fails = False
        self._lost = 0

    def ring(self, enterprise: EnterpriseId, host: HostName) -> Ring:
        """That of one host, the same for all its connections."""
        key = HostKey(enterprise, host)
        if key not in self._rings:
            self._rings[key] = Ring(self._stirred.set if self._settings.keep else None)
            self._writers[key] = _Writer(folder_of(self._root, *key), self._settings.most_bytes // PIECES)
        return self._rings[key]

    async def write(self, stop: asyncio.Event) -> None:
        """Write what is heard, until *stop* and then once more."""
        async with asyncio.TaskGroup() as tasks:
            stopping = tasks.create_task(_set(stop, self._stirred), name="traces: stop")
            while not stop.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(WRITE_EVERY.total_seconds()):
                        await self._stirred.wait()
                self._stirred.clear()
                if not stop.is_set():
                    await self._round(stop)
            stopping.cancel()
        await self._round(stop)

    async def _round(self, stop: asyncio.Event) -> None:
        taken = [(self._writers[key], *ring.take()) for key, ring in self._rings.items()]
        clock = asyncio.get_running_loop().time()
        tidies = self._tidied is None or clock - self._tidied > TIDY_EVERY.total_seconds()
        if tidies:
            self._tidied = clock
        if not tidies and not self._fails and not any(chunks or lost for _, chunks, lost in taken):
            return
        done = _beside(lambda: self._write(taken, tidies))
        while True:
            patience = LAST_WRITE if stop.is_set() else PATIENCE
            await asyncio.wait({done}, timeout=patience.total_seconds())
            if done.done():
                self._tell(done.result())
                return
            self._tell(f"{self._root} does not answer")
            if stop.is_set():
                return

    def _write(self, taken: Sequence[tuple[_Writer, Sequence[Chunk], int]], tidies: bool) -> str | None:
        """Why some of it failed, None if nothing did. In the writing thread."""
        reason: str | None = None
        works: list[Callable[[], None]] = [partial(writer.write, chunks, lost) for writer, chunks, lost in taken]
        if tidies:
            works.append(partial(tidy, self._root, self._settings.keep, self._settings.most_bytes, datetime.now(UTC)))
        for work in works:
            try:
                work()
            except OSError as error:
                reason = f"{error.filename or self._root}: {error.strerror or error}"
            except Exception as error:  # a defect of ours in what is not worth a call
                reason = f"{self._root}: {error!r}"
        return reason

    def _tell(self, reason: str | None) -> None:
        if reason is not None and not self._fails:
            log.warning("traces_not_written", reason=reason)
        elif reason is None and self._fails:
            lost = sum(writer.lost for writer in self._writers.values())
            log.info("traces_written_again", bytes_lost=lost - self._lost)
            self._lost = lost
        self._fails = reason is not None


async def _set(stop: asyncio.Event, bell: asyncio.Event) -> None:
    await stop.wait()
    bell.set()


def _beside(work: Callable[[], str | None]) -> asyncio.Future[str | None]:
    """What *work* returns or raises, done in a thread that nobody waits for at the stop: a disk may be silent."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str | None] = loop.create_future()

    def settle(result: str | None, error: Exception | None) -> None:
        if answer.cancelled():
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as error:
            failure = error
        with suppress(RuntimeError):  # the loop is closed: we have stopped meanwhile
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="traces", daemon=True).start()
    return answer
