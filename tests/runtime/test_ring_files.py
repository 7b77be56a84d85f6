"""The ring on disk: where its pieces lie, what a death in the midst of writing costs, and what is not ours there."""

from __future__ import annotations

import gzip
import os
import resource
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from amibridge.ami.trace import read_trace
from amibridge.runtime.ring_files import Piece, folder_of, frames_in, pieces, tidy

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)


def message(number: int) -> bytes:
    return b"Event: Hangup\r\nUniqueid: %d.1\r\n\r\n" % number


def member(*numbers: int) -> bytes:
    return gzip.compress(b"".join(map(message, numbers)), mtime=0)


def read(piece: Path) -> tuple[list[bytes], list[str]]:
    damages: list[str] = []
    frames = [frame + b"\r\n\r\n" for frame in frames_in(piece, lambda _, why: damages.append(why))]
    return frames, damages


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "traces"


@pytest.fixture
def folder(root: Path) -> Path:
    return folder_of(root, "0123", "pbx1")


@pytest.fixture
def piece(folder: Path) -> Path:
    """One with three members."""
    writer = Piece(folder, 10_000)
    for number in range(3):
        writer.append(member(number), NOW)
    [path] = pieces(folder)
    return path


class TestPlaces:
    def test_an_ordinary_host(self, root: Path) -> None:
        assert folder_of(root, "0123", "pbx1.office_2-b") == root / "0123" / "pbx1.office_2-b"

    @pytest.mark.parametrize(
        "name", ["..", ".", "", "/etc", "../../x", "a/b", ".hidden", "-", "a\0b", "a\nb", "пбх", "%2E%2E", "C:\\x"]
    )
    def test_no_name_leads_out_of_the_folder_or_is_that_of_another(self, root: Path, name: str) -> None:
        for place in (folder_of(root, "0123", name), folder_of(root, name, "pbx1").parent):
            assert place.parent in (root / "0123", root)
            assert place.name not in ("", ".", "..")
            assert not set(place.name) & set("/\\\0\n")
        assert len({folder_of(root, "1", one) for one in (name, "pbx1", "..", ".", "%", "%2E")}) >= 5

    def test_only_the_bridge_may_look(self, root: Path, piece: Path) -> None:
        assert [stat.S_IMODE(path.stat().st_mode) for path in (root, root / "0123", piece.parent, piece)] == [
            0o700, 0o700, 0o700, 0o600,
        ]  # fmt: skip


class TestWriting:
    def test_a_piece_is_an_ordinary_packed_trace(self, piece: Path) -> None:
        assert piece.name == "2026-11-24T120000.123Z.ami.gz"
        assert b"".join(read_trace(str(piece))) == b"".join(map(message, range(3)))
        assert read(piece) == ([message(number) for number in range(3)], [])

    def test_a_new_piece_each_hour_and_when_one_is_large(self, folder: Path) -> None:
        writer = Piece(folder, 150)
        for number, later in enumerate((0, 1, 61, 62, 63, 64)):
            writer.append(member(number), NOW + timedelta(minutes=later))
        assert [len(read(path)[0]) for path in pieces(folder)] == [2, 3, 1]

    def test_another_process_of_ours_never_writes_behind_what_a_death_left(self, folder: Path, piece: Path) -> None:
        Piece(folder, 10_000).append(member(9), NOW)
        assert [len(read(path)[0]) for path in pieces(folder)] == [3, 1]

    def test_a_folder_that_somebody_removed_is_made_again(self, folder: Path) -> None:
        writer = Piece(folder, 10_000)
        writer.append(member(1), NOW)
        [path] = pieces(folder)
        path.unlink()
        folder.rmdir()
        writer.append(member(2), NOW)
        assert read(pieces(folder)[0]) == ([message(2)], [])

    def test_what_could_not_be_written_whole_is_not_there(self, folder: Path, piece: Path) -> None:
        writer = Piece(folder, 10**9)
        writer.append(member(1), NOW + HOUR)
        path = pieces(folder)[-1]
        before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
        large = os.urandom(10_000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
        try:
            with pytest.raises(OSError, match="too large"):
                writer.append(large, NOW + HOUR)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert path.read_bytes() == before
        writer.append(member(2), NOW + HOUR)
        assert read(path) == ([message(1), message(2)], [])

    def test_a_file_where_the_folder_should_be_is_an_os_error(self, root: Path, folder: Path) -> None:
        root.write_text("no folder")
        with pytest.raises(OSError, match=r"exists|Not a directory"):
            Piece(folder, 100).append(member(1), NOW)


class TestDamage:
    @pytest.mark.parametrize("missing", [1, 8, 20])
    def test_a_torn_last_member_costs_itself_only(self, piece: Path, missing: int) -> None:
        piece.write_bytes(piece.read_bytes()[:-missing])
        frames, damages = read(piece)
        assert frames[:2] == [message(0), message(1)]
        assert damages == ["its end is missing"]

    def test_for_replay_a_torn_piece_is_damaged(self, piece: Path) -> None:
        piece.write_bytes(piece.read_bytes()[:-4])
        with pytest.raises(OSError, match="ends in the middle"):
            list(read_trace(str(piece)))

    @pytest.mark.parametrize(
        "noise", [b"\0" * 4096, b"no gzip at all", member(7)[:15] + b"\xff" * 50], ids=["zeros", "text", "half"]
    )
    def test_garbage_at_the_end_costs_nothing_else(self, piece: Path, noise: bytes) -> None:
        piece.write_bytes(piece.read_bytes() + noise)
        frames, damages = read(piece)
        assert frames == [message(number) for number in range(3)]
        assert len(damages) == 1

    def test_an_empty_piece_and_one_that_is_gone(self, piece: Path) -> None:
        piece.write_bytes(b"")
        assert read(piece) == ([], [])
        piece.unlink()
        assert read(piece) == ([], [])

    def test_a_message_that_one_piece_breaks_off_does_not_spoil_the_next(self, folder: Path) -> None:
        writer = Piece(folder, 10)
        writer.append(gzip.compress(message(1) + message(2)[:20]), NOW)
        writer.append(member(3), NOW)
        assert [frame for path in pieces(folder) for frame in read(path)[0]] == [message(1), message(3)]


class TestWhatIsNotOurs:
    def strangers(self, folder: Path, outside: Path) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        outside.write_bytes(member(9))
        (folder / "2026-11-24T000000.000Z.ami.gz").symlink_to(outside)
        (folder / "2026-11-24T000001.000Z.ami.gz").mkdir()
        os.mkfifo(folder / "2026-11-24T000002.000Z.ami.gz")
        (folder / "notes.txt").write_text("mine")
        (folder / "yesterday.ami.gz").write_bytes(member(9))
        return sorted(folder.iterdir())

    def test_is_neither_read_nor_deleted(self, root: Path, folder: Path, tmp_path: Path) -> None:
        outside = tmp_path / "outside.ami.gz"
        before = self.strangers(folder, outside)
        assert pieces(folder) == []
        (root / "file").write_text("mine")
        (root / "link").symlink_to(tmp_path)
        tidy(root, timedelta(0), 0, datetime.now(UTC) + HOUR)
        assert sorted(folder.iterdir()) == before
        assert outside.exists()

    def test_a_link_that_took_the_place_of_a_piece_is_not_followed(self, piece: Path, tmp_path: Path) -> None:
        (outside := tmp_path / "outside").write_bytes(member(9))
        piece.unlink()
        piece.symlink_to(outside)
        with pytest.raises(OSError, match="symbolic links"):
            read(piece)

    def test_a_folder_that_is_not_there_is_an_empty_one(self, folder: Path) -> None:
        assert pieces(folder) == []
        tidy(folder, HOUR, 1, NOW)


class TestTidying:
    def aged(self, folder: Path, *ages: timedelta, size: int = 100) -> None:
        folder.mkdir(parents=True)
        for age in ages:
            path = folder / f"{NOW - age:%Y-%m-%dT%H%M%S}.000Z.ami.gz"
            path.write_bytes(bytes(size))
            os.utime(path, ((NOW - age).timestamp(),) * 2)

    def hours(self, folder: Path) -> list[str]:
        return [path.name[11:13] for path in pieces(folder)]

    def test_what_is_too_old_goes(self, root: Path, folder: Path) -> None:
        self.aged(folder, HOUR, 2 * HOUR, 3 * HOUR)
        tidy(root, 2 * HOUR, 10**6, NOW)
        assert self.hours(folder) == ["10", "11"]

    def test_of_what_is_too_much_the_oldest_goes(self, root: Path, folder: Path) -> None:
        other = folder_of(root, "0124", "pbx1")
        self.aged(folder, HOUR, 2 * HOUR, 3 * HOUR)
        self.aged(other, HOUR, 2 * HOUR)
        tidy(root, 48 * HOUR, 250, NOW)
        assert (self.hours(folder), self.hours(other)) == (["10", "11"], ["10", "11"])

    def test_a_host_that_is_followed_no_more_leaves_no_folder(self, root: Path, folder: Path) -> None:
        self.aged(folder, 3 * HOUR)
        tidy(root, HOUR, 10**6, NOW)
        assert list(root.iterdir()) == []
