"""What the library does by itself: it removes what a death left, and what is kept no longer."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from pathlib import Path

import pytest

from amibridge.config import RecordingSettings
from amibridge.enterprises import EnterpriseId
from amibridge.recordings import library as library_module
from amibridge.recordings.library import Library, library_settings
from amibridge.recordings.places import Folder
from tests.delivery.waiting import until
from tests.recordings.wavs import spoken

NUMBER, OTHER = EnterpriseId("0123"), EnterpriseId("0124")


def names(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


async def test_what_is_kept_no_longer_goes_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_module, "LOOKED_EVERY", timedelta(milliseconds=5))
    cache = tmp_path / "recordings"
    for name in ("0123/.draft-1", "0123/old.mp3", "0123/new.mp3", "0124/old.mp3", "gone/new.mp3"):
        (file := cache / name).parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        if "old" in name:
            os.utime(file, (1_700_000_000, 1_700_000_000))
    library = Library(library_settings(tmp_path, RecordingSettings()))
    async with library.serving():
        await until(lambda: "0123/.draft-1" not in names(cache))
        assert len(names(cache)) == 4, "nothing goes before it is known who is there"
        library.enterprises({NUMBER: timedelta(days=30), OTHER: None})
        await until(lambda: names(cache) == {"0123/new.mp3", "0124/old.mp3"})


async def test_what_fails_inside_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with Library(library_settings(tmp_path, RecordingSettings())).serving():
            raise ZeroDivisionError


async def test_what_is_under_way_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()

    async def slow(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Library, "_convert", slow)
    (tmp_path / "call.wav").write_bytes(spoken())
    library = Library(library_settings(tmp_path, RecordingSettings()))
    async with asyncio.TaskGroup() as tasks:
        async with library.serving():
            asking = tasks.create_task(
                library.sound(NUMBER, Folder(str(tmp_path)), "call.wav", as_mp3=True, fresh=False), name="a player"
            )
            await begun.wait()
        with pytest.raises(asyncio.CancelledError):
            await asking
