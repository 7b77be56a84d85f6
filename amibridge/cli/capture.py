"""`amibridge capture HOST`: what a PBX says from now on, into a trace.

It has a connection of its own, without a filter, and asks for a snapshot first, so that a replay knows which calls
were going on. A connection that is lost is taken up again, and the trace says so by the new greeting.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from amibridge import log
from amibridge.ami.errors import AmiError, LoginRefused
from amibridge.ami.link import AmiAddress, Link, LinkSettings
from amibridge.ami.transcript import Transcript, ended
from amibridge.cli.configured import begin, in_loop
from amibridge.cli.failure import CommandFailed
from amibridge.cli.hosts import host_in_file, host_in_store
from amibridge.cli.trace_file import TraceFile, mask_for, open_trace_file
from amibridge.config import ConfigError, Settings
from amibridge.enterprises import AmiHost
from amibridge.log import escape
from amibridge.runtime.follower import AWAY

WRITE_EVERY = 0.25
"""Seconds. Whoever reads the pipe sees a call as it happens."""

MOST_UNWRITTEN = 64 * 1024 * 1024
"""Bytes that wait for a disk, or for whoever reads our output."""

FORCED = 130


def capture(args: argparse.Namespace) -> int:
    if args.host is None and args.enterprise is None:
        raise ConfigError(["say which HOST, or which call with --call"])
    with open_trace_file(args.output, force=args.force) as file:
        if args.enterprise is not None:
            log.configure()
            in_loop(_capture(host_in_file(args.enterprise, args.host), file, args))
        else:
            in_loop(_capture_known(begin(args), file, args))
    return 0


async def _capture_known(settings: Settings, file: TraceFile, args: argparse.Namespace) -> None:
    await _capture(await host_in_store(settings, args.host), file, args)


async def _capture(host: AmiHost, file: TraceFile, args: argparse.Namespace) -> None:
    """Until a signal comes or the seconds are over. Raises CommandFailed, OSError."""
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, _stop_or_leave, stop)
    one = _Capture(host, file, stop, mask_for(host.numbering) if args.mask else bytes)
    begun = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(one.write(), name="capture: file")
        listening = tasks.create_task(one.listen(), name="capture: link")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(args.seconds):
                await stop.wait()
        stop.set()
        listening.cancel()
        await asyncio.wait({listening})
        one.over = True
        await writing
    if one.failure is not None:
        raise one.failure
    lasted = timedelta(seconds=round(time.monotonic() - begun))
    print(f"{_again()}{one.counted()} in {lasted}{_times(one.lost)}", file=sys.stderr)


class _Capture:
    """A capture that runs. *mask*: what is written of a message. *failure*: why it ended by itself."""

    def __init__(self, host: AmiHost, file: TraceFile, stop: asyncio.Event, mask: Callable[[bytes], bytes]) -> None:
        self._host = host
        self._file = file
        self._stop = stop
        self._mask = mask
        self._unwritten: list[bytes] = []
        self._waiting = self._messages = self.lost = 0
        self.over = False
        self.failure: Exception | None = None

    def counted(self) -> str:
        size = self._file.written / 1_000_000
        return f"{self._host.enterprise}/{self._host.name}: {self._messages} messages, {size:.1f} MB"

    async def listen(self) -> None:
        """Connect, listen, come back; until cancelled, or the first connection fails."""
        failures = 0
        while True:
            transcript = Transcript()
            link = Link(
                AmiAddress(self._host.host, self._host.port, self._host.username, self._host.secret),
                lambda _: None,
                settings=LinkSettings(),
                tap=self._tap(transcript),
                filters=False,
            )
            try:
                await link.open()
                failures = 0
                self._say("connected" if link.lists_channels else "connected; the account may not list channels")
                error = await link.watch()
                self.lost += 1
            except AmiError as failed:
                error = failed
                if not self._messages or isinstance(failed, LoginRefused):
                    self._fail(CommandFailed(escape(f"{self._host.enterprise}/{self._host.name}: {failed}")))
                    return
            finally:
                await link.close()
            failures += 1
            if failures == 1:
                self._say(f"{error}; trying to come back")
            await asyncio.sleep(AWAY.pause(failures, random.random()))

    async def write(self) -> None:
        """What was heard, into the file; whoever is slow there holds up nothing here."""
        while True:
            is_last = self.over
            messages, self._unwritten, self._waiting = self._unwritten, [], 0
            try:
                await asyncio.to_thread(self._write, messages)
            except OSError as error:
                self._fail(error)
                return
            if is_last:
                return
            if sys.stderr.isatty():
                print(f"{_again()}{self.counted()}", end="", file=sys.stderr, flush=True)
            await asyncio.sleep(WRITE_EVERY)

    def _tap(self, transcript: Transcript) -> Callable[[bytes], None]:
        def hear(data: bytes) -> None:
            messages = transcript.take(data, time.time())
            self._unwritten += messages
            self._messages += len(messages)
            self._waiting += len(data)
            if self._waiting > MOST_UNWRITTEN:
                self._fail(CommandFailed("the output is too slow for what this PBX says"))

        return hear

    def _write(self, messages: Sequence[bytes]) -> None:
        self._file.write(ended(map(self._mask, messages)))
        self._file.flush()

    def _fail(self, error: Exception) -> None:
        self.failure = self.failure or error
        self._unwritten, self._waiting = [], 0
        self._stop.set()

    def _say(self, text: str) -> None:
        print(f"{_again()}{escape(f'{self._host.enterprise}/{self._host.name}: {text}')}", file=sys.stderr)


def _again() -> str:
    """The line of a terminal is written anew."""
    return "\r\x1b[K" if sys.stderr.isatty() else ""


def _times(lost: int) -> str:
    return "" if lost == 0 else f"; the connection was lost {'once' if lost == 1 else f'{lost} times'}"


def _stop_or_leave(stop: asyncio.Event) -> None:
    """The second signal does not wait for an output that takes nothing."""
    if stop.is_set():
        os._exit(FORCED)
    stop.set()
