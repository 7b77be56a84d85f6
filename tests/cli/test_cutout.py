"""`amibridge capture --call ID`: yesterday's odd call, out of the ring, out of an anomaly, or a sentence why not."""

from __future__ import annotations

import gzip
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from amibridge.ami.transcript import ended
from amibridge.ami.wire import Framer
from amibridge.calls.record import CallId
from amibridge.calls.telling import Anomaly
from amibridge.cli import stored
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.runtime.ring_files import Piece, folder_of, pieces
from amibridge.store import db
from amibridge.store.anomalies import HeardAnomaly, record_anomalies
from tests.calls.truth import read_bytes
from tests.cli.commanding import Amibridge, Done
from tests.cli.enterprise_files import SMALLEST, written
from tests.corpus import TRACES

TRACE = next(trace for trace in TRACES if trace.kind == "v_two_calls_same_caller")
RAW = read_bytes(TRACE.path)
MIDDLE = RAW.index(b"\r\n\r\n", len(RAW) // 2) + 4
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "traces"


def keep(root: Path, *parts: bytes, enterprise: str = "0123", host: str = "pbx1", at: datetime = NOW) -> list[Path]:
    for part in parts:
        Piece(folder_of(root, enterprise, host), 10**9).append(gzip.compress(part), at)
    return pieces(folder_of(root, enterprise, host))


@pytest.fixture
def calls(amibridge: Amibridge) -> list[str]:
    return [record["call_id"] for record in amibridge("replay", "--host", "pbx1", TRACE.path).answers]


def replayed(amibridge: Amibridge, path: Path) -> list[object]:
    done = amibridge("replay", "--host", "pbx1", path)
    assert done.err == ""
    return done.answers


class TestRing:
    def test_the_cut_replays_as_the_call_did(
        self, amibridge: Amibridge, root: Path, tmp_path: Path, calls: list[str]
    ) -> None:
        keep(root, RAW[:MIDDLE], RAW[MIDDLE:])
        whole = amibridge("replay", "--host", "pbx1", TRACE.path).answers
        for number, call in enumerate(calls):
            done = amibridge("capture", "--call", call, "-o", tmp_path / f"{number}.ami")
            assert (done.code, done.out) == (0, "")
            assert done.err.startswith(f"{call}: ")
            assert len(done.err.splitlines()) == 1
            assert replayed(amibridge, tmp_path / f"{number}.ami") == [whole[number]]
            assert stat.S_IMODE((tmp_path / f"{number}.ami").stat().st_mode) == 0o600

    @pytest.mark.parametrize("host", ["pbx1", "0123/pbx1"])
    def test_into_a_pipe_or_packed(
        self, amibridge: Amibridge, root: Path, tmp_path: Path, calls: list[str], host: str
    ) -> None:
        keep(root, RAW)
        piped = amibridge("capture", host, "--call", calls[0])
        amibridge("capture", host, "--call", calls[0], "-o", tmp_path / "odd.ami.gz")
        assert gzip.decompress((tmp_path / "odd.ami.gz").read_bytes()).decode() == piped.out

    def test_needs_no_database(
        self, amibridge: Amibridge, root: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AMIBRIDGE_DATABASE__DSN", "postgresql://127.0.0.1:1/amibridge")
        keep(root, RAW)
        assert amibridge("capture", "--call", calls[0]).code == 0

    def test_two_enterprises_with_a_host_of_that_name(
        self, amibridge: Amibridge, root: Path, calls: list[str], tmp_path: Path
    ) -> None:
        for number in ("0123", "7"):
            keep(root, RAW, enterprise=number)
        done = amibridge("capture", "--call", calls[0], "-o", tmp_path / "odd.ami")
        assert (done.code, done.err) == (
            1, "amibridge: 0123 and 7 each have a host pbx1: say 0123/pbx1, for instance\n",
        )  # fmt: skip
        assert not (tmp_path / "odd.ami").exists()
        assert amibridge("capture", "7/pbx1", "--call", calls[0]).code == 0
        file = written(tmp_path, SMALLEST.replace('"pbx"', '"pbx1"'))
        assert amibridge("capture", "--enterprise", file, "--call", calls[0]).code == 0

    def test_what_is_missing_of_it_is_said(self, amibridge: Amibridge, root: Path, calls: list[str]) -> None:
        end = RAW.index(b"Event: Hangup")
        keep(root, RAW[:end])
        done = amibridge("capture", "--call", calls[0])
        assert done.err.splitlines()[1:] == [
            "amibridge: it has no end in what is kept; what a PBX says is on disk 5 s later"
        ]
        keep(root, RAW[end:], enterprise="7")
        done = amibridge("capture", "7/pbx1", "--call", calls[0])
        assert done.err.splitlines()[1:] == ["amibridge: its beginning is older than what is kept"]

    def test_a_torn_piece_and_garbage_beside_it_cost_nothing_else(
        self, amibridge: Amibridge, root: Path, tmp_path: Path, calls: list[str]
    ) -> None:
        first, *_ = keep(root, RAW[:MIDDLE], RAW[MIDDLE:])
        with first.open("ab") as file:
            file.write(gzip.compress(b"Event: Hangup\r\n\r\n" * 50)[:30])
        folder = first.parent
        (folder / "2026-11-24T130000.000Z.ami.gz").write_bytes(b"garbage")
        (folder / "2026-11-24T130000.001Z.ami.gz").symlink_to("/dev/zero")
        os.mkfifo(folder / "2026-11-24T130000.002Z.ami.gz")
        (folder / "notes").write_text("mine")
        whole = amibridge("replay", "--host", "pbx1", TRACE.path).answers
        done = amibridge("capture", "--call", calls[0], "-o", tmp_path / "odd.ami")
        assert done.code == 0
        assert done.err.splitlines()[0] == f"{first}: its end is missing"
        assert "130000.000Z.ami.gz: it is damaged" in done.err.splitlines()[1]
        assert replayed(amibridge, tmp_path / "odd.ami") == whole[:1]


class TestMask:
    """What is to be sent to somebody."""

    def test_holds_nobodys_number_and_tells_the_same_story(
        self, amibridge: Amibridge, root: Path, tmp_path: Path, calls: list[str]
    ) -> None:
        keep(root, RAW, enterprise="7", host="pbx")
        whole = amibridge("replay", "--host", "pbx", TRACE.path).answers[0]
        file, odd = written(tmp_path, SMALLEST), tmp_path / "odd.ami"
        call = calls[0].replace("pbx1:", "pbx:")
        done = amibridge("capture", "--call", call, "--mask", "--enterprise", file, "-o", odd)
        assert done.code == 0
        assert whole["external_number"].encode()[-7:] not in odd.read_bytes()
        [record] = amibridge("replay", "--host", "pbx", odd).answers
        others = ("external_number", "phone", "line", "recordings", "caller_name")
        assert {name: record[name] for name in record if name not in others} == {
            name: whole[name] for name in whole if name not in others
        }

    async def test_asks_the_database_what_an_extension_is(
        self, amibridge: Amibridge, root: Path, tmp_path: Path, calls: list[str], at_database: str
    ) -> None:
        keep(root, RAW, enterprise="7", host="pbx")
        words = ("capture", "--call", calls[0].replace("pbx1:", "pbx:"), "--mask", "-o", tmp_path / "odd.ami")
        done = await amibridge.beside(*words)
        assert done.code == 1
        assert done.sentences == [
            "amibridge: --mask must know what an extension of 7/pbx is: there is no host '7/pbx': amibridge enterprise "
            "apply FILE; or say --enterprise FILE, its file"
        ]
        assert (await amibridge.beside("enterprise", "apply", written(tmp_path, SMALLEST))).code == 0
        assert (await amibridge.beside(*words)).code == 0
        assert b"CallerIDNum: 101\r\n" in (tmp_path / "odd.ami").read_bytes()


class TestAnomaly:
    """The ring has the call no more, or never had."""

    async def remember(self, pool: asyncpg.Pool, call: str, *enterprises: str, trace: bytes = RAW) -> None:
        anomaly = Anomaly(NOW, CallId(call), "call from over to \x1b[31mtalking")
        await record_anomalies(
            pool, [HeardAnomaly(EnterpriseId(one), HostName("pbx1"), anomaly, 0, trace) for one in enterprises]
        )

    async def test_its_bytes_are_taken_instead(
        self, amibridge: Amibridge, root: Path, pool: asyncpg.Pool, at_database: str, tmp_path: Path
    ) -> None:
        await self.remember(pool, "pbx1:1.1", "0123")
        done = await amibridge.beside("capture", "--call", "pbx1:1.1", "-o", tmp_path / "odd.ami")
        assert (done.code, (tmp_path / "odd.ami").read_bytes()) == (0, ended(Framer().feed(RAW)))
        [sentence] = done.sentences
        assert sentence.startswith(
            f"amibridge: nothing is kept of a host pbx1 in {root}; these are the 98 kB kept with"
        )
        assert "\x1b" not in done.err

    async def test_of_two_enterprises_one_must_be_said(
        self, amibridge: Amibridge, root: Path, pool: asyncpg.Pool, at_database: str
    ) -> None:
        await self.remember(pool, "pbx1:1.1", "0123", "7")
        done = await amibridge.beside("capture", "--call", "pbx1:1.1")
        assert (done.code, done.sentences) == (
            1, ["amibridge: 0123 and 7 each have a host pbx1: say 0123/pbx1, for instance"],
        )  # fmt: skip
        assert (await amibridge.beside("capture", "7/pbx1", "--call", "pbx1:1.1")).code == 0

    async def test_without_bytes_it_is_no_help(
        self, amibridge: Amibridge, root: Path, pool: asyncpg.Pool, at_database: str
    ) -> None:
        await self.remember(pool, "pbx1:1.1", "0123", trace=b"")
        done = await amibridge.beside("capture", "--call", "pbx1:1.1")
        assert (done.code, done.out) == (1, "")
        assert done.sentences == [f"amibridge: nothing is kept of a host pbx1 in {root}"]


class TestNotThere:
    def asked(self, amibridge: Amibridge, tmp_path: Path, *words: str) -> Done:
        done = amibridge("capture", *words, "-o", tmp_path / "odd.ami")
        assert done.out == ""
        assert not (tmp_path / "odd.ami").exists()
        return done

    @pytest.mark.parametrize(
        "call",
        [
            "", "pbx1", "pbx1:", ":1.1", "../pbx1:1.1", "pbx1/x:1.1", "/etc/passwd:1", ".pbx1:1.1", "pbx1:1 1",
            "pbx1:\x1b[31m", "pbx1\n:1.1", "пбх:1.1", "pbx1:" + "1" * 1000, "p" * 1000 + ":1.1",
        ],
    )  # fmt: skip
    def test_what_is_no_id_is_wrong_usage(self, amibridge: Amibridge, tmp_path: Path, call: str) -> None:
        done = self.asked(amibridge, tmp_path, "--call", call)
        assert done.code == 2
        assert done.err == f"amibridge: {call!r} is not the id of a call, which looks like pbx1:1795491044.6\n"

    def test_the_host_of_another_call_is_wrong_usage(self, amibridge: Amibridge, tmp_path: Path) -> None:
        done = self.asked(amibridge, tmp_path, "pbx2", "--call", "pbx1:1.1")
        assert (done.code, done.err) == (2, "amibridge: pbx1:1.1 is a call of pbx1, not of 'pbx2'\n")

    def test_a_time_is_wrong_usage(self, amibridge: Amibridge, tmp_path: Path) -> None:
        assert self.asked(amibridge, tmp_path, "--call", "pbx1:1.1", "--seconds", "3").code == 2

    @pytest.mark.parametrize("words", [(), ("0123/pbx1",), ("../../etc/pbx1",)])
    async def test_unknown(
        self, amibridge: Amibridge, tmp_path: Path, root: Path, at_database: str, words: tuple[str, ...]
    ) -> None:
        if not words or words == ("0123/pbx1",):
            keep(root, RAW)
        for call, why in (
            (
                "pbx1:1795600000.9",
                "nothing was heard of pbx1:1795600000.9 on 0123/pbx1 since 2026-11-24 12:00",
            ),
            ("pbx1:1700000000.1", "pbx1:1700000000.1 began at 2023-11-14 22:13:20 UTC, and what is kept of 0123/pbx1"),
        ):
            done = await amibridge.beside("capture", *words, "--call", call, "-o", str(tmp_path / "odd.ami"))
            assert (done.code, done.out) == (1, "")
            assert not (tmp_path / "odd.ami").exists()
            if words != ("../../etc/pbx1",):
                assert done.sentences[0].startswith(f"amibridge: {why}")

    def test_a_database_that_is_away_is_said_together_with_what_the_ring_lacks(
        self, amibridge: Amibridge, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stored, "PATIENCE", timedelta(milliseconds=50))
        monkeypatch.setattr(db, "AGAIN", 0.01)
        monkeypatch.setenv("AMIBRIDGE_DATABASE__DSN", "postgresql://us:hush@127.0.0.1:1/amibridge")
        done = self.asked(amibridge, tmp_path, "--call", "pbx1:1.1")
        assert done.code == 1
        [sentence] = done.sentences
        assert sentence.startswith(f"amibridge: nothing is kept of a host pbx1 in {root}; nor can anomalies be looked")
        assert "hush" not in done.err
