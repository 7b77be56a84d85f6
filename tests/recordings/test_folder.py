"""Which file a recording is: the longest end of the PBX's path that is there, and nothing outside of the folder."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from amibridge.recordings.folder import find_file, open_file
from amibridge.sandbox.recordings import write_recording

ON_THE_PBX = "/var/spool/asterisk/monitor/2026/11/24/call.wav"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (folder := tmp_path / "monitor").mkdir()
    return folder


def sound(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_recording(path, timedelta(seconds=0.1))


def found(folder: Path | str, path: str) -> Path | None:
    return find_file(str(folder), path)


class TestWhichFile:
    def test_the_longest_end_of_the_path_that_is_there(self, folder: Path) -> None:
        """The PBX's folder is mounted here under another name."""
        places = ["call.wav", "24/call.wav", "2026/11/24/call.wav", "monitor/2026/11/24/call.wav"]
        for place in places:
            sound(folder / place)
            assert found(folder, ON_THE_PBX) == folder / place

    @pytest.mark.parametrize("path", ["call.wav", "./call.wav", "/call.wav", "//call.wav", "monitor/./call.wav"])
    def test_however_the_pbx_writes_it(self, folder: Path, path: str) -> None:
        sound(folder / "call.wav")
        assert found(folder, path) == folder / "call.wav"

    def test_what_is_no_file_or_empty_is_not_it(self, folder: Path) -> None:
        (folder / "empty.wav").touch()
        (folder / "folder.wav").mkdir()
        os.mkfifo(folder / "pipe.wav")
        for name in ("empty.wav", "folder.wav", "pipe.wav", "missing.wav"):
            assert found(folder, name) is None

    def test_what_became_a_link_or_a_pipe_since_is_not_opened(self, folder: Path, tmp_path: Path) -> None:
        sound(tmp_path / "secret.wav")
        (folder / "link.wav").symlink_to(tmp_path / "secret.wav")
        os.mkfifo(folder / "pipe.wav")
        for name in ("link.wav", "pipe.wav", "missing.wav"):
            with pytest.raises(OSError, match=name):
                open_file(folder / name)

    def test_a_folder_that_is_a_link_itself(self, folder: Path, tmp_path: Path) -> None:
        sound(folder / "call.wav")
        (tmp_path / "mounted").symlink_to(folder)
        assert found(tmp_path / "mounted", "call.wav") == folder / "call.wav"

    def test_a_link_inside_the_folder(self, folder: Path) -> None:
        sound(folder / "archive/call.wav")
        (folder / "call.wav").symlink_to("archive/call.wav")
        assert found(folder, "call.wav") == folder / "archive/call.wav"

    @pytest.mark.parametrize(
        "path",
        [
            "../secret.wav",
            "/../secret.wav",
            "monitor/../secret.wav",
            "sub/../../secret.wav",
            "..",
            ".",
            "/",
            "",
            "link.wav",
            "linked/secret.wav",
            "round.wav",
            "round/secret.wav",
            "call.wav\0",
            "\0",
            "call\r\n.wav",
            "..\\secret.wav",
            "\ud800.wav",
            "x" * 300 + ".wav",
            "x/" * 3000 + "call",
            "{outside}",
        ],
    )
    def test_nothing_outside_of_the_folder(self, folder: Path, tmp_path: Path, path: str) -> None:
        sound(tmp_path / "secret.wav")
        (folder / "sub").mkdir()
        (folder / "link.wav").symlink_to("../secret.wav")
        (folder / "linked").symlink_to("..")
        (folder / "round.wav").symlink_to("round.wav")
        (folder / "round").symlink_to("round")
        assert found(folder, path.format(outside=tmp_path / "secret.wav")) is None
