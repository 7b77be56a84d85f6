"""A folder that dies: a mount whose server is gone, where whoever touches it waits for ever; and a cache that cannot be
written."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import aiohttp
import pytest
from structlog.testing import capture_logs

from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId
from amibridge.recordings import library
from amibridge.recordings.folder import find_file
from amibridge.recordings.mp3 import encode
from amibridge.recordings.wav import Wav
from amibridge.web import playback, recordings
from tests.web.recorded import Known, as_it_is, come_back, link, refused, sound
from tests.web.serving import Site

THEIRS = CallId("pbx2:1.1"), EnterpriseId("0124")


@pytest.fixture
def alive() -> Iterator[threading.Event]:
    """Set: the folder answers again."""
    alive = threading.Event()
    yield alive
    alive.set()


async def test_it_is_said_and_other_folders_go_on(
    site: Site, known: Known, folder: Path, tmp_path: Path, alive: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(where: str, path: str) -> Path | None:
        if where == str(folder):
            alive.wait()
        return find_file(where, path)

    monkeypatch.setattr("amibridge.recordings.library.find_file", hang)
    monkeypatch.setattr(library, "PATIENCE", timedelta(seconds=0.3))
    monkeypatch.setattr(recordings, "DATABASE_PATIENCE", timedelta(seconds=60))
    sound(folder / "call.wav")
    whole = sound(tmp_path / "other" / "call.wav")
    await known()
    await known(call=THEIRS[0], number=THEIRS[1], recordings=str(tmp_path / "other"))
    with capture_logs() as lines:
        answers = await asyncio.gather(*(site.ask(link()) for _ in range(12)))
    assert [answer.json["error"] for answer in answers] == ["folder_away"] * 12
    assert all(refused(answer, 503, "folder_away") and answer.headers["Retry-After"] for answer in answers)
    assert {line["event"] for line in lines} == {"recording_not_looked_up"}
    monkeypatch.setattr(library, "PATIENCE", timedelta(seconds=30))
    other = await site.ask(as_it_is(*THEIRS))
    assert (other.status, other.body) == (200, whole)
    alive.set()
    assert (await site.ask(link())).status == 200


async def test_one_that_dies_while_it_is_converted_keeps_nobody_else_waiting(
    site: Site, known: Known, folder: Path, tmp_path: Path, alive: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(wav: Wav, source: BinaryIO, target: BinaryIO) -> None:
        if str(source.name).startswith(str(folder)):
            alive.wait()
        encode(wav, source, target)

    monkeypatch.setattr("amibridge.recordings.library.encode", hang)
    monkeypatch.setattr(library, "WORKED_WITHIN", timedelta(seconds=0.3))
    for number in range(6):
        sound(folder / f"{number}.wav")
        await known(f"{number}.wav", call=CallId(f"pbx1:{number}"))
    sound(tmp_path / "other" / "call.wav")
    await known(call=THEIRS[0], number=THEIRS[1], recordings=str(tmp_path / "other"))
    answers = await asyncio.gather(*(site.ask(link(CallId(f"pbx1:{number}"))) for number in range(6)))
    assert all(map(come_back, answers))
    monkeypatch.setattr(library, "WORKED_WITHIN", timedelta(seconds=20))
    assert (await site.ask(link(*THEIRS))).status == 200
    alive.set()
    async with asyncio.timeout(60):
        while (await site.ask(link(CallId("pbx1:0")))).status != 200:  # three others may still be at work
            await asyncio.sleep(0.01)


async def test_one_that_dies_while_it_plays_breaks_the_answer_off(
    site: Site, known: Known, folder: Path, alive: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playback, "PIECE", 1000)
    monkeypatch.setattr(playback, "PIECE_WITHIN", timedelta(seconds=0.1))
    read = playback.read_at

    def hang(file: BinaryIO, at: int, count: int) -> bytes:
        if at:
            alive.wait()
        return read(file, at, count)

    monkeypatch.setattr(playback, "read_at", hang)
    sound(folder / "call.wav")
    await known()
    with pytest.raises(aiohttp.ClientPayloadError):
        await site.ask(as_it_is())


async def test_one_that_becomes_shorter_while_it_plays_breaks_the_answer_off(
    site: Site, known: Known, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playback, "PIECE", 1000)
    read = playback.read_at
    monkeypatch.setattr(playback, "read_at", lambda file, at, count: read(file, at, count) if at < 5000 else b"")
    sound(folder / "call.wav")
    await known()
    with pytest.raises(aiohttp.ClientPayloadError):
        await site.ask(as_it_is())


async def test_where_the_cache_cannot_be_written_it_plays_as_it_is(site: Site, known: Known, folder: Path) -> None:
    whole = sound(folder / "call.wav")
    await known()
    site.cache.write_bytes(b"a file in the way")
    with capture_logs() as lines:
        answer = await site.ask(link())
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "audio/wav", whole)
    assert [(line["event"], line["log_level"]) for line in lines] == [("recording_not_converted", "warning")]
    site.cache.unlink()
    assert (await site.ask(link())).headers["Content-Type"] == "audio/mpeg"


async def test_many_asks_convert_once(
    site: Site, known: Known, folder: Path, alive: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def count(wav: Wav, source: BinaryIO, target: BinaryIO) -> None:
        begun.append(source.name)
        alive.wait()
        encode(wav, source, target)

    monkeypatch.setattr("amibridge.recordings.library.encode", count)
    sound(folder / "call.wav")
    await known()
    async with asyncio.TaskGroup() as tasks:
        asks = [tasks.create_task(site.ask(link())) for _ in range(20)]
        while not begun:
            await asyncio.sleep(0.01)
        alive.set()
    assert {(ask.result().status, ask.result().headers["ETag"]) for ask in asks} == {
        (200, asks[0].result().headers["ETag"])
    }
    assert (await site.ask(link())).status == 200
    assert len(begun) == 1
