"""What hosts said lately, written beside the loop: all of it, in time, and never at the cost of a call."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from amibridge.config import TraceSettings
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.runtime import ring as module
from amibridge.runtime.ring import MOST_UNTAKEN, MOST_UNWRITTEN, SOON, TAIL, Ring, Traces
from amibridge.runtime.ring_files import Piece, folder_of, frames_in, pieces
from tests.delivery.waiting import until

ONE = (EnterpriseId("0123"), HostName("pbx1"))
OTHER = (EnterpriseId("0124"), HostName("pbx1"))


def message(number: int, size: int = 0) -> bytes:
    return b"Event: Hangup\r\nTimestamp: 1795491044.5\r\nUniqueid: %d.1\r\nAppData: %b\r\n\r\n" % (number, b"x" * size)


def on_disk(root: Path, host: tuple[EnterpriseId, HostName] = ONE) -> list[bytes]:
    damages: list[str] = []
    found = [
        frame + b"\r\n\r\n"
        for piece in pieces(folder_of(root, *host))
        for frame in frames_in(piece, lambda _, why: damages.append(why))
    ]
    assert damages == []
    return found


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITE_EVERY", timedelta(milliseconds=10))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "traces"


def block(root: Path) -> None:
    """There is a file where the folder should be."""
    root.write_text("no folder")


def unblock(root: Path) -> None:
    root.unlink()


@contextlib.asynccontextmanager
async def writing(traces: Traces) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(traces.write(stop), name="traces under test")
        yield
        stop.set()


class TestWriting:
    async def test_what_is_heard_is_on_disk_soon_each_host_by_itself(self, root: Path) -> None:
        traces = Traces(root, TraceSettings())
        async with writing(traces):
            traces.ring(*ONE).hear(message(1) + message(2)[:30])
            traces.ring(*OTHER).hear(message(3))
            await until(lambda: on_disk(root) == [message(1)] and on_disk(root, OTHER) == [message(3)])
            traces.ring(*ONE).hear(message(2)[30:])
            await until(lambda: on_disk(root) == [message(1), message(2)])
        assert traces.ring(*ONE) is traces.ring(*ONE)

    async def test_the_stop_waits_for_the_last_of_it(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "WRITE_EVERY", timedelta(hours=1))
        traces = Traces(root, TraceSettings())
        async with writing(traces):
            traces.ring(*ONE).hear(message(1))
        assert on_disk(root) == [message(1)]

    async def test_much_is_not_waited_with(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "WRITE_EVERY", timedelta(hours=1))
        traces = Traces(root, TraceSettings())
        async with writing(traces):
            traces.ring(*ONE).hear(message(1, SOON + 1))
            await until(lambda: len(on_disk(root)) == 1)

    async def test_a_host_where_nothing_happens_costs_nothing(self, root: Path) -> None:
        traces = Traces(root, TraceSettings())
        ring = traces.ring(*ONE)
        async with writing(traces):
            for number in range(10):
                pong = b"Response: Success\r\nPing: Pong\r\nTimestamp: 1795491044.%06d\r\n\r\n" % number
                ring.hear(pong)
                await until(lambda: not ring._untaken)
        assert pieces(folder_of(root, *ONE)) == []

    async def test_where_nothing_is_to_be_kept_what_was_is_removed(self, root: Path) -> None:
        traces = Traces(root, TraceSettings())
        async with writing(traces):
            traces.ring(*ONE).hear(message(1))
        assert on_disk(root)
        traces = Traces(root, TraceSettings(keep=timedelta(0)))
        async with writing(traces):
            traces.ring(*ONE).hear(message(2))
            await until(lambda: not pieces(folder_of(root, *ONE)))
        assert on_disk(root) == []
        assert [frame + b"\r\n\r\n" for frame in traces.ring(*ONE).tail()] == [message(2)]


class TestTrouble:
    async def test_a_disk_that_takes_nothing_is_said_once_and_again_when_it_is_over(self, root: Path) -> None:
        block(root)
        traces = Traces(root, TraceSettings())
        ring = traces.ring(*ONE)
        with capture_logs() as lines:
            async with writing(traces):
                for number in range(5):
                    ring.hear(message(number))
                    await until(lambda: not ring._untaken)
                await until(lambda: bool(lines))
                unblock(root)
                await until(lambda: len(lines) == 2)
        assert on_disk(root) == [message(number) for number in range(5)]
        began, over = lines
        assert (began["event"], began["log_level"]) == ("traces_not_written", "warning")
        assert str(root) in began["reason"]
        assert (over["event"], over["log_level"], over["bytes_lost"]) == ("traces_written_again", "info", 0)

    async def test_what_waits_for_it_is_bounded_and_what_is_lost_is_counted_in_whole_messages(self, root: Path) -> None:
        block(root)
        traces = Traces(root, TraceSettings())
        ring = traces.ring(*ONE)
        noise = [bytes(random_letters(number, 100_000)) for number in range(20)]
        sent = [message(number).replace(b"AppData: ", b"AppData: " + one) for number, one in enumerate(noise)]
        with capture_logs() as lines:
            async with writing(traces):
                for one in sent:
                    ring.hear(one)
                    await until(lambda: not ring._untaken)
                await until(lambda: len(lines) == 1)
                unblock(root)
                await until(lambda: len(lines) == 2)
        found = on_disk(root)
        assert 0 < len(found) < len(sent)
        assert found == sent[-len(found) :]
        assert lines[1]["bytes_lost"] == sum(map(len, sent)) - sum(map(len, found))
        assert sum(path.stat().st_size for path in pieces(folder_of(root, *ONE))) <= MOST_UNWRITTEN + 100_000

    async def test_a_disk_that_is_silent_holds_up_neither_hearing_nor_the_stop(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = threading.Event()
        append = Piece.append

        def waits(self: Piece, *words: object) -> None:
            answers.wait()
            append(self, *words)  # type: ignore[arg-type]

        monkeypatch.setattr(Piece, "append", waits)
        monkeypatch.setattr(module, "PATIENCE", timedelta(milliseconds=20))
        monkeypatch.setattr(module, "LAST_WRITE", timedelta(milliseconds=20))
        traces = Traces(root, TraceSettings())
        ring = traces.ring(*ONE)
        try:
            with capture_logs() as lines:
                async with writing(traces):
                    ring.hear(message(0))
                    await until(lambda: bool(lines))
                    for number in range(200):
                        ring.hear(message(number, 100_000))
                    assert sum(len(data) for _, data in ring._untaken) < MOST_UNTAKEN + 200_000
            assert [(line["event"], line["reason"]) for line in lines] == [
                ("traces_not_written", f"{root} does not answer")
            ]
        finally:
            answers.set()

    async def test_bytes_that_were_let_go_glue_no_two_messages_together(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MOST_UNTAKEN", 100)
        traces = Traces(root, TraceSettings())
        ring = traces.ring(*ONE)
        ring.hear(message(1) + message(2)[:40])
        ring.hear(message(2)[40:] + message(3) + message(4)[:40])
        ring.hear(message(4)[40:] + message(5))
        async with writing(traces):
            await until(lambda: message(5) in on_disk(root))
        assert on_disk(root) == [message(5)]


class TestTail:
    def test_is_what_was_heard_last(self) -> None:
        ring = Ring()
        for number in range(1000):
            ring.hear(message(number, 1000))
        tail = [frame + b"\r\n\r\n" for frame in ring.tail()]
        assert tail == [message(number, 1000) for number in range(1000 - len(tail), 1000)]
        assert TAIL - 2000 < sum(map(len, tail)) <= TAIL

    def test_one_chunk_that_is_larger_than_all_is_there(self) -> None:
        ring = Ring()
        ring.hear(message(1))
        ring.hear(message(2, TAIL))
        assert len(ring.tail()) == 1

    def test_holds_no_secret(self) -> None:
        ring = Ring()
        ring.hear(b"Event: VarSet\r\nVariable: PASSWORD\r\nValue: hush\r\n\r\n")
        assert b"hush" not in b"".join(ring.tail())


def random_letters(seed: int, size: int) -> bytearray:
    """What no packing makes much smaller."""
    state, letters = seed + 1, bytearray()
    for _ in range(size):
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        letters.append(33 + (state >> 33) % 25)
    return letters
