"""`amibridge capture HOST`: the live bytes of a PBX, into a file or a pipe, until somebody says stop."""

from __future__ import annotations

import os
import pty
import signal
import zlib
from pathlib import Path

import asyncpg
import pytest

from amibridge.ami.wire import Framer
from amibridge.sandbox.pbx import SandboxPbx
from tests.ami.scripted_pbx import Visit, polite, scripted
from tests.calls.truth import read_bytes
from tests.cli.capturing import capturing
from tests.cli.commanding import Amibridge
from tests.cli.enterprise_files import SMALLEST, written
from tests.corpus import TRACES
from tests.delivery.waiting import until

SECRET = "hush-secret"
TRACE = next(trace for trace in TRACES if (trace.stack, trace.kind) == ("asterisk22", "h_ringgroup_102_answers"))


def pbx(*, lost: bool = False) -> SandboxPbx:
    return SandboxPbx([TRACE.path], username="amibridge", secret=SECRET, speed=1000.0, shift=False, gap=0.0, lost=lost)


def file_for(tmp_path: Path, address: tuple[str, int]) -> Path:
    host, port = address
    return written(tmp_path, SMALLEST.replace('"pbx.example.com"', f'"{host}"\nport = {port}'))


def events(raw: bytes) -> list[bytes]:
    return [message for message in Framer().feed(raw) if message.startswith(b"Event: ")]


def events_of_calls(path: Path) -> list[bytes]:
    """Those that are in the file by now, the snapshot apart."""
    raw = _read(path)
    raw = zlib.decompressobj(wbits=31).decompress(raw) if path.suffix == ".gz" else raw
    return [event for event in events(raw) if b"Linkedid: " in event and b"CoreShow" not in event]


RECORDED = [event for event in events(read_bytes(TRACE.path)) if b"Linkedid: " in event]


class TestFile:
    @pytest.mark.parametrize("name", ["now.ami", "now.ami.gz"])
    async def test_all_that_the_pbx_says_unfiltered_with_the_snapshot_first(self, tmp_path: Path, name: str) -> None:
        played = pbx()
        async with played.serve() as address:
            words = ("--enterprise", file_for(tmp_path, address), "-o", tmp_path / name)
            async with capturing(*words) as capture:
                await played.played()
                await until(lambda: len(events_of_calls(tmp_path / name)) >= len(RECORDED))
                capture.process.send_signal(signal.SIGINT)
                code, out, err = await capture.ended()
        assert (code, out) == (0, b"")
        raw = read_bytes(tmp_path / name)
        assert raw.startswith(b"Asterisk Call Manager/")
        assert SECRET.encode() not in raw
        assert events_of_calls(tmp_path / name) == RECORDED
        assert raw.index(b"Event: CoreShowChannelsComplete") < raw.index(b"Event: Newchannel")
        assert [action["Action"] for action in played.received if action["Action"] == "Filter"] == []
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        assert err.splitlines()[0] == "7/pbx: connected"
        assert "messages, " in err.splitlines()[-1]

    async def test_masked_it_holds_nobodys_number(self, tmp_path: Path) -> None:
        played = pbx()
        async with played.serve() as address:
            words = ("--enterprise", file_for(tmp_path, address), "-o", tmp_path / "now.ami", "--mask")
            async with capturing(*words) as capture:
                await played.played()
                await until(lambda: len(events_of_calls(tmp_path / "now.ami")) >= len(RECORDED))
                capture.process.send_signal(signal.SIGINT)
                assert (await capture.ended())[0] == 0
        assert b"79161234567" in read_bytes(TRACE.path)
        assert b"1234567" not in read_bytes(tmp_path / "now.ami")

    async def test_a_host_from_the_database_by_either_name(
        self, tmp_path: Path, pool: asyncpg.Pool, at_database: str, amibridge: Amibridge
    ) -> None:
        async with pbx(lost=True).serve() as address:
            assert (await amibridge.beside("enterprise", "apply", file_for(tmp_path, address))).code == 0
            for name in ("pbx", "7/pbx"):
                async with capturing(name, "--seconds", "0.5") as capture:
                    code, out, _ = await capture.ended()
                assert (code, out[:22]) == (0, b"Asterisk Call Manager/")

    async def test_a_connection_that_is_lost_is_taken_up_again_and_the_trace_says_so(self, tmp_path: Path) -> None:
        played = pbx(lost=True)
        async with played.serve() as address:
            words = ("--enterprise", file_for(tmp_path, address), "-o", tmp_path / "now.ami")
            async with capturing(*words) as capture:
                await until(lambda: b"CoreShowChannelsComplete" in _read(tmp_path / "now.ami"))
                played.cut()
                await until(lambda: _read(tmp_path / "now.ami").count(b"CoreShowChannelsComplete") == 2)
                capture.process.send_signal(signal.SIGTERM)
                code, _, err = await capture.ended()
        assert code == 0
        assert _read(tmp_path / "now.ami").count(b"Asterisk Call Manager/") == 2
        assert "7/pbx: the PBX closed the connection; trying to come back" in err.splitlines()
        assert err.splitlines()[-1].endswith("; the connection was lost once")

    @pytest.mark.parametrize("force", [False, True])
    async def test_a_file_that_is_there_is_written_over_only_if_that_was_asked_for(
        self, tmp_path: Path, force: bool
    ) -> None:
        path = written(tmp_path, "precious" * 1000, "now.ami")
        async with pbx(lost=True).serve() as address:
            words: list[str | Path] = ["--enterprise", file_for(tmp_path, address), "-o", path, "--seconds", "0.5"]
            words += ["--force"] if force else []
            async with capturing(*words) as capture:
                code, _, err = await capture.ended()
        assert code == (0 if force else 1)
        assert (b"precious" in _read(path)) is not force
        assert force or err == f"amibridge: {path} is there already: choose another name, or say --force\n"

    async def test_what_was_packed_until_we_are_killed_can_be_read(self, tmp_path: Path) -> None:
        played = pbx()
        async with played.serve() as address:
            path = tmp_path / "now.ami.gz"
            async with capturing("--enterprise", file_for(tmp_path, address), "-o", path) as capture:
                await played.played()
                await until(lambda: len(events_of_calls(path)) >= len(RECORDED))
                capture.process.kill()
                await capture.process.wait()
        assert events_of_calls(path) == RECORDED


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


class TestTrouble:
    async def test_a_pbx_that_is_not_there_is_one_sentence_and_leaves_no_file(
        self, tmp_path: Path, unused_tcp_port: int
    ) -> None:
        file = file_for(tmp_path, ("127.0.0.1", unused_tcp_port))
        async with capturing("--enterprise", file, "-o", tmp_path / "now.ami") as capture:
            code, _, err = await capture.ended()
        assert (code, err) == (1, "amibridge: 7/pbx: Connection refused\n")
        assert not (tmp_path / "now.ami").exists()

    async def test_a_wrong_secret_is_one_sentence_and_is_not_tried_again(self, tmp_path: Path) -> None:
        async with scripted(polite(refuses={"Login"})) as refusing:
            file = file_for(tmp_path, (refusing.host, refusing.port))
            async with capturing("--enterprise", file, "-o", tmp_path / "now.ami") as capture:
                code, _, err = await capture.ended()
        assert (code, err) == (1, "amibridge: 7/pbx: Permission denied\n")
        assert len(refusing.visits) == 1

    async def test_a_reader_that_leaves_is_no_mistake(self, tmp_path: Path) -> None:
        async with pbx(lost=True).serve() as address:
            reads, writes = os.pipe()
            os.close(reads)
            async with capturing("--enterprise", file_for(tmp_path, address), stdout=writes) as capture:
                os.close(writes)
                code, _, err = await capture.ended()
        assert (code, err) == (141, "7/pbx: connected\n")

    async def test_a_disk_that_is_full_is_one_sentence(self, tmp_path: Path) -> None:
        async with pbx(lost=True).serve() as address:
            words = ("--enterprise", file_for(tmp_path, address), "-o", "/dev/full", "--force")
            async with capturing(*words) as capture:
                code, _, err = await capture.ended()
        assert (code, err.splitlines()[-1]) == (1, "amibridge: No space left on device")

    async def test_a_terminal_is_not_sent_raw_bytes(self, tmp_path: Path) -> None:
        async with pbx(lost=True).serve() as address:
            ours, theirs = pty.openpty()
            async with capturing("--enterprise", file_for(tmp_path, address), stdout=theirs) as capture:
                os.close(theirs)
                code, _, err = await capture.ended()
            os.close(ours)
        assert (code, err) == (
            2,
            "amibridge: raw bytes are not for a terminal: say -o FILE, or pipe them somewhere\n",
        )

    async def test_what_a_pbx_says_of_itself_steers_no_terminal(self, tmp_path: Path) -> None:
        async def speak(visit: Visit) -> None:
            visit.say(b"Asterisk Call Manager/11\r\n")
            visit.answer(await visit.hear(), "Error", Message="\x1b[31mno\x07")

        async with (
            scripted(speak) as hostile,
            capturing("--enterprise", file_for(tmp_path, (hostile.host, hostile.port))) as capture,
        ):
            code, _, err = await capture.ended()
        assert code == 1
        assert "\x1b" not in err


class TestMistakes:
    def test_a_host_must_be_said(self, amibridge: Amibridge) -> None:
        done = amibridge("capture")
        assert (done.code, done.err) == (2, "amibridge: say which HOST, or which call with --call\n")

    def test_of_a_file_with_one_host_it_need_not_be_but_of_two(self, amibridge: Amibridge, tmp_path: Path) -> None:
        two = SMALLEST + SMALLEST[SMALLEST.index("[[") :].replace('"pbx', '"pbx2')
        done = amibridge("capture", "--enterprise", written(tmp_path, two))
        assert (done.code, done.err) == (2, "amibridge: say which host: 7/pbx or 7/pbx2\n")

    @pytest.mark.parametrize("name", ["pbc", "8/pbx", "../pbx", "pbx\x1b[31m", ""])
    def test_an_unknown_host_names_the_nearest(self, amibridge: Amibridge, tmp_path: Path, name: str) -> None:
        done = amibridge("capture", name, "--enterprise", written(tmp_path, SMALLEST), "-o", tmp_path / "now.ami")
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("amibridge: there is no host '")
        assert "\x1b" not in done.err
        assert not (tmp_path / "now.ami").exists()

    async def test_a_name_that_two_enterprises_have_is_not_enough(
        self, amibridge: Amibridge, at_database: str, tmp_path: Path
    ) -> None:
        for number in ("7", "8"):
            text = SMALLEST.replace('number = "7"', f'number = "{number}"')
            assert (await amibridge.beside("enterprise", "apply", written(tmp_path, text))).code == 0
        done = await amibridge.beside("capture", "pbx")
        assert done.sentences == ["amibridge: 7 and 8 each have a host pbx: say 7/pbx, for instance"]
        assert done.code == 1

    async def test_where_there_is_no_enterprise_that_is_said(self, amibridge: Amibridge, at_database: str) -> None:
        done = await amibridge.beside("capture", "pbx")
        assert done.sentences == ["amibridge: there is no host 'pbx': amibridge enterprise apply FILE"]

    @pytest.mark.parametrize(("path", "why"), [("/nowhere/now.ami", "No such file or directory"), ("/", "is there")])
    def test_a_file_that_cannot_be_made(self, amibridge: Amibridge, tmp_path: Path, path: str, why: str) -> None:
        done = amibridge("capture", "pbx", "--enterprise", written(tmp_path, SMALLEST), "-o", path)
        assert (done.code, done.out) == (1, "")
        assert why in done.err
