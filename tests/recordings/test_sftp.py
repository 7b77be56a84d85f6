"""The PBX's own sshd shows recordings, and nothing else of the PBX; who is not it is shown nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import asyncssh
import pytest

from amibridge.enterprises import EnterpriseId
from amibridge.recordings.errors import NotReady, SourceAway, Unplayable
from amibridge.recordings.library import Library, Sound
from amibridge.recordings.places import SftpFolder
from amibridge.redact import Secret
from tests.recordings.mp3_frames import seconds_of
from tests.recordings.wavs import spoken

NUMBER, OTHER = EnterpriseId("0123"), EnterpriseId("0124")
PATH = "/var/spool/asterisk/monitor/2026/11/24/call.wav"
CALL = spoken(1.0)
HOST_KEY, OUR_KEY, STRANGER = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(3))


class Accounts(asyncssh.SSHServer):
    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("amibridge", "hush")


Files: TypeAlias = Callable[[asyncssh.SSHServerChannel[bytes]], asyncssh.SFTPServer]


@asynccontextmanager
async def sshd(folder: Path, files: Files = asyncssh.SFTPServer) -> AsyncIterator[SftpFolder]:
    (folder / "authorized").write_bytes(OUR_KEY.export_public_key())
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=Accounts,
        server_host_keys=[HOST_KEY],
        authorized_client_keys=str(folder / "authorized"),
        sftp_factory=files,
    )
    async with server:
        yield SftpFolder("127.0.0.1", server.get_port(), "amibridge", str(folder / "monitor"))


@pytest.fixture
async def pbx(tmp_path: Path) -> AsyncIterator[SftpFolder]:
    """Our key and its host key are where they belong."""
    (tmp_path / "monitor").mkdir()
    (tmp_path / "data").mkdir()
    async with sshd(tmp_path) as place:
        put_key(tmp_path, OUR_KEY)
        put_known(tmp_path, HOST_KEY, place)
        yield place


def put_key(folder: Path, key: asyncssh.SSHKey, mode: int = 0o600) -> None:
    key.write_private_key(str(folder / "data/sftp_key"))
    (folder / "data/sftp_key").chmod(mode)


def put_known(folder: Path, key: asyncssh.SSHKey, place: SftpFolder) -> None:
    known = f"[{place.host}]:{place.port} {key.export_public_key().decode()}"
    (folder / "data/known_hosts").write_text(known)


def put(folder: Path, name: str, content: bytes = CALL) -> Path:
    file = folder / "monitor" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


async def asked(
    library: Library, place: SftpFolder, path: str = PATH, *, as_mp3: bool = False, whose: EnterpriseId = NUMBER
) -> Sound | None:
    return await library.sound(whose, place, path, as_mp3=as_mp3, fresh=True)


class TestFinding:
    async def test_the_longest_end_that_is_there(self, library: Library, pbx: SftpFolder, tmp_path: Path) -> None:
        put(tmp_path, "call.wav", spoken(0.1))
        put(tmp_path, "24/call.wav", spoken(0.2))
        whole = put(tmp_path, "2026/11/24/call.wav", spoken(0.3)).read_bytes()
        put(tmp_path, "24/other.wav", whole)
        sound, other = await asked(library, pbx), await asked(library, pbx, PATH.replace("call", "other"))
        assert sound is not None
        assert other is not None
        assert sound.file.read_bytes() == other.file.read_bytes() == whole

    async def test_as_mp3_once_and_as_old_as_there(self, library: Library, pbx: SftpFolder, tmp_path: Path) -> None:
        os.utime(put(tmp_path, "call.wav"), (1_790_000_000, 1_790_000_000))
        first = await asked(library, pbx, as_mp3=True)
        assert first is not None
        assert seconds_of(first.file.read_bytes()) == pytest.approx(1.0, abs=0.2)
        assert first.file.stat().st_mtime == 1_790_000_000
        (tmp_path / "monitor/call.wav").unlink()
        assert await asked(library, pbx, as_mp3=True) == first
        assert await asked(library, pbx, whose=OTHER, as_mp3=True) is None

    async def test_by_a_password(self, library: Library, pbx: SftpFolder, tmp_path: Path) -> None:
        put(tmp_path, "call.wav")
        (tmp_path / "data/sftp_key").unlink()
        assert await asked(library, replace(pbx, password=Secret("hush"))) is not None
        with pytest.raises(SourceAway, match="does not let amibridge in"):
            await asked(library, replace(pbx, password=Secret("wrong")), "other.wav")

    async def test_odd_names(self, library: Library, pbx: SftpFolder, tmp_path: Path) -> None:
        for name in ("Иван О'Нил.wav", "$(reboot).wav", "a;b|c.wav", "%2e%2e.wav", "*.wav"):
            put(tmp_path, name)
            assert await asked(library, pbx, name) is not None, name

    async def test_what_is_being_written_comes_later(self, library: Library, pbx: SftpFolder, tmp_path: Path) -> None:
        put(tmp_path, "call.wav", CALL[:40] + bytes(4) + CALL[44:3000])
        with pytest.raises(NotReady):
            await asked(library, pbx)
        put(tmp_path, "call.wav")
        assert await asked(library, pbx) is not None


class TestOutside:
    @pytest.mark.parametrize(
        "path",
        ["../secret.wav", "a/../../secret.wav", "link.wav", "linked/secret.wav", "round.wav", "folder.wav", "..", ""],
    )
    async def test_nothing_outside_of_the_folder(
        self, library: Library, pbx: SftpFolder, tmp_path: Path, path: str
    ) -> None:
        (tmp_path / "secret.wav").write_bytes(CALL)
        (tmp_path / "monitor/link.wav").symlink_to("../secret.wav")
        (tmp_path / "monitor/linked").symlink_to("..")
        (tmp_path / "monitor/round.wav").symlink_to("round.wav")
        (tmp_path / "monitor/folder.wav").mkdir()
        assert await asked(library, pbx, path) is None
        assert await asked(library, pbx, str(tmp_path / "secret.wav")) is None

    async def test_a_folder_of_nearly_that_name_is_another(
        self, library: Library, pbx: SftpFolder, tmp_path: Path
    ) -> None:
        (tmp_path / "monitor2").mkdir()
        (tmp_path / "monitor2/call.wav").write_bytes(CALL)
        (tmp_path / "monitor/call.wav").symlink_to("../monitor2/call.wav")
        assert await asked(library, pbx, "call.wav") is None

    async def test_a_link_inside_the_folder_and_a_folder_that_is_a_link_itself(
        self, library: Library, pbx: SftpFolder, tmp_path: Path
    ) -> None:
        put(tmp_path, "archive/call.wav")
        (tmp_path / "monitor/call.wav").symlink_to("archive/call.wav")
        (tmp_path / "elsewhere").symlink_to("monitor")
        assert await asked(library, replace(pbx, path=str(tmp_path / "elsewhere")), "call.wav") is not None

    async def test_a_server_that_follows_links_and_does_not_say_so(self, library: Library, tmp_path: Path) -> None:
        class Silent(asyncssh.SFTPServer):
            def realpath(self, path: bytes) -> bytes:
                return os.path.normpath(path)

        (tmp_path / "secret.wav").write_bytes(CALL)
        (tmp_path / "data").mkdir()
        put(tmp_path, "call.wav")
        (tmp_path / "monitor/link.wav").symlink_to("../secret.wav")
        (tmp_path / "monitor/linked").symlink_to("..")
        async with sshd(tmp_path, Silent) as place:
            put_key(tmp_path, OUR_KEY)
            put_known(tmp_path, HOST_KEY, place)
            assert await asked(library, place, "link.wav") is None
            assert await asked(library, place, "linked/secret.wav") is None
            assert await asked(library, place, "call.wav") is not None

    @pytest.mark.parametrize("where", ["/etc/passwd", "{outside}", "{inside}/../secrets/call.wav"])
    async def test_a_server_that_says_a_recording_is_elsewhere(
        self, library: Library, tmp_path: Path, where: str
    ) -> None:
        """Also where a file of that name is in the folder, too."""
        elsewhere = where.format(outside=tmp_path / "secrets/call.wav", inside=tmp_path / "monitor").encode()

        class Liar(asyncssh.SFTPServer):
            def realpath(self, path: bytes) -> bytes:
                return elsewhere if path.endswith(b".wav") else path

        for name in ("data", "secrets"):
            (tmp_path / name).mkdir()
        put(tmp_path, "call.wav")
        (tmp_path / "secrets/call.wav").write_bytes(CALL)
        async with sshd(tmp_path, Liar) as place:
            put_key(tmp_path, OUR_KEY)
            put_known(tmp_path, HOST_KEY, place)
            assert await asked(library, place) is None

    async def test_a_server_that_lies_about_lengths(self, library: Library, tmp_path: Path) -> None:
        size = 10_000_000_000

        class Liar(asyncssh.SFTPServer):
            def lstat(self, path: bytes) -> asyncssh.SFTPAttrs:
                told = asyncssh.SFTPAttrs.from_local(os.lstat(path))
                told.size = size if path.endswith(b".wav") else told.size
                return told

        (tmp_path / "data").mkdir()
        put(tmp_path, "call.wav")
        async with sshd(tmp_path, Liar) as place:
            put_key(tmp_path, OUR_KEY)
            put_known(tmp_path, HOST_KEY, place)
            with pytest.raises(Unplayable, match="10000000000"):
                await asked(library, place)
            size = len(CALL) + 1000
            with pytest.raises(SourceAway, match="broke off"):
                await asked(library, place)


class TestStrangers:
    async def test_a_host_key_that_is_not_its_own(self, library: Library, pbx: SftpFolder, tmp_path: Path) -> None:
        put(tmp_path, "call.wav")
        put_known(tmp_path, STRANGER, pbx)
        with pytest.raises(SourceAway, match="host key"):
            await asked(library, pbx)
        (tmp_path / "data/known_hosts").write_text("")
        with pytest.raises(SourceAway, match="host key"):
            await asked(library, replace(pbx, password=Secret("hush")))

    async def test_without_known_hosts_nobody_is_believed(
        self, library: Library, pbx: SftpFolder, tmp_path: Path
    ) -> None:
        put(tmp_path, "call.wav")
        (tmp_path / "data/known_hosts").unlink()
        with pytest.raises(SourceAway, match="ssh-keyscan"):
            await asked(library, pbx)
        (tmp_path / "data/known_hosts").write_text("what is this\n")
        with pytest.raises(SourceAway):
            await asked(library, pbx)

    async def test_a_key_that_the_pbx_does_not_know(self, library: Library, pbx: SftpFolder, tmp_path: Path) -> None:
        put_key(tmp_path, STRANGER)
        with pytest.raises(SourceAway, match="does not let amibridge in"):
            await asked(library, pbx)

    async def test_a_key_that_is_no_key_of_ours_alone(self, library: Library, pbx: SftpFolder, tmp_path: Path) -> None:
        put_key(tmp_path, OUR_KEY, 0o644)
        with pytest.raises(SourceAway, match="chmod 600"):
            await asked(library, pbx)
        (tmp_path / "data/sftp_key").unlink()
        with pytest.raises(SourceAway, match=r"sftp_key: No such file"):
            await asked(library, pbx)
        (tmp_path / "data/sftp_key").write_text("nonsense")
        (tmp_path / "data/sftp_key").chmod(0o600)
        with pytest.raises(SourceAway):
            await asked(library, pbx)

    async def test_nobody_listens_there_or_it_has_no_such_folder(
        self, library: Library, pbx: SftpFolder, tmp_path: Path
    ) -> None:
        with pytest.raises(SourceAway, match=r"sftp://amibridge@127.0.0.1:1/"):
            await asked(library, replace(pbx, port=1))
        with pytest.raises(SourceAway, match="is no folder"):
            await asked(library, replace(pbx, path=str(tmp_path / "none/at/all")))

    @pytest.mark.parametrize("question", ["realpath", "stat", "lstat", "open", "read"])
    async def test_who_falls_silent_later_is_left(
        self, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, question: str
    ) -> None:
        silent, heard = asyncio.Event(), asyncio.Event()

        async def hang(*_: object) -> None:
            await silent.wait()
            heard.set()
            raise asyncssh.SFTPFailure("too late")

        (tmp_path / "data").mkdir()
        put(tmp_path, "call.wav")
        monkeypatch.setattr("amibridge.recordings.sftp.ANSWERED_WITHIN", timedelta(seconds=1))
        async with sshd(tmp_path, type("Silent", (asyncssh.SFTPServer,), {question: hang})) as place:
            put_key(tmp_path, OUR_KEY)
            put_known(tmp_path, HOST_KEY, place)
            with pytest.raises(SourceAway):
                await asked(library, place)
            silent.set()
            await heard.wait()

    async def test_who_is_silent_is_left(
        self, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "data").mkdir()
        put_key(tmp_path, OUR_KEY)
        monkeypatch.setattr("amibridge.recordings.sftp.ANSWERED_WITHIN", timedelta(seconds=0.3))

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        place = SftpFolder("127.0.0.1", server.sockets[0].getsockname()[1], "amibridge", "/monitor")
        put_known(tmp_path, HOST_KEY, place)
        with pytest.raises(SourceAway):
            await asked(library, place)
        server.close()
