"""Recordings over HTTP: who may hear what, and which file that is."""

from __future__ import annotations

import asyncio
import os
import threading
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, TypeAlias

import aiohttp
import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId
from amibridge.sandbox.recordings import write_recording
from amibridge.secrets import Key, Keyring
from amibridge.store.directory import Directory
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.recordings import CallRecordings
from amibridge.web import recordings
from amibridge.web import sound as sound_module
from amibridge.web.recordings import MAY_STILL_COME, find_file, is_within_reach, record_url
from tests.delivery.rows import ended, record
from tests.store.enterprises import host, romashka
from tests.store.proxy import Proxy
from tests.web.serving import KEYRING, Answer, Site

NUMBER = EnterpriseId("0123")
CALL = CallId("pbx1:1795491044.6")
ON_THE_PBX = "/var/spool/asterisk/monitor/2026/11/24/call.wav"
PUBLIC = "https://bridge.example"

Known: TypeAlias = Callable[..., Awaitable[None]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (folder := tmp_path / "monitor").mkdir()
    return folder


@pytest.fixture
def known(pool: asyncpg.Pool, folder: Path) -> Known:
    """Makes a call with recordings that is over known, and where its host keeps them."""

    async def know(
        *paths: str,
        call: CallId = CALL,
        number: EnterpriseId = NUMBER,
        recordings: str | None = str(folder),
        over_for: timedelta = timedelta(0),
        host_name: str = "pbx1",
    ) -> None:
        kept = replace(host(number), recordings=recordings)
        await Directory(pool, KEYRING).apply(replace(romashka(number), hosts=(kept,)))
        verdict = record(call, at=datetime.now(UTC) - over_for)
        fact = ended(replace(verdict, recordings=paths or (ON_THE_PBX,)))
        await Ledger(pool).record([HeardFact(number, type(kept.name)(host_name), fact, datetime.now(UTC))])

    return know


def link(
    call: CallId = CALL,
    number: EnterpriseId = NUMBER,
    *,
    keyring: Keyring = KEYRING,
    good_for: timedelta = timedelta(hours=1),
) -> str:
    return record_url(PUBLIC, keyring, number, call, datetime.now(UTC) + good_for).removeprefix(PUBLIC)


def sound(path: Path, seconds: float = 0.5) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_recording(path, timedelta(seconds=seconds))
    return path.read_bytes()


def refused(answer: Answer, status: int, error: str) -> bool:
    """An error of that kind, in the published shape, and nothing of a file."""
    return answer.status == status and answer.json == {
        "success": False,
        "error": error,
        "detail": answer.json["detail"],
    }


class TestPlaying:
    async def test_a_link_of_ours_plays_the_recording(self, site: Site, known: Known, folder: Path) -> None:
        whole = sound(folder / "2026/11/24/call.wav")
        await known()
        address = link()
        with capture_logs() as lines:
            answer = await site.ask(address)
        assert [(line["event"], line["log_level"], line["call"]) for line in lines] == [
            ("recording_fetched", "debug", CALL)
        ]
        assert address.rpartition(".")[2] not in str(lines)
        assert (answer.status, answer.body) == (200, whole)
        assert answer.headers["Content-Type"] == "audio/wav"
        assert answer.headers["Cache-Control"] == "private, max-age=86400"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Request-ID"]

    @pytest.mark.parametrize(
        ("name", "content_type"),
        [
            ("call.WAV", "audio/wav"),
            ("call.mp3", "audio/mpeg"),
            ("call.gsm", "audio/gsm"),
            ("call.ogg", "audio/ogg"),
            ("call.html", "application/octet-stream"),
            ("call", "application/octet-stream"),
        ],
    )
    async def test_a_browser_is_told_sound_or_nothing(
        self, site: Site, known: Known, folder: Path, name: str, content_type: str
    ) -> None:
        (folder / name).write_bytes(b"<script>")
        await known(f"/rec/{name}")
        assert (await site.ask(link())).headers["Content-Type"] == content_type

    @pytest.mark.parametrize(
        ("asked", "first", "last"),
        [("bytes=0-3", 0, 3), ("bytes=100-", 100, None), ("bytes=-10", -10, None), ("bytes=5-9999999", 5, None)],
    )
    async def test_a_player_may_ask_for_a_part(
        self, site: Site, known: Known, folder: Path, asked: str, first: int, last: int | None
    ) -> None:
        whole = sound(folder / "call.wav")
        await known()
        answer = await site.ask(link(), headers={"Range": asked})
        part = whole[first : None if last is None else last + 1]
        begin = first % len(whole)
        assert (answer.status, answer.body) == (206, part)
        assert answer.headers["Content-Range"] == f"bytes {begin}-{begin + len(part) - 1}/{len(whole)}"

    @pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=9-3", "bytes=a-b"])
    async def test_a_part_that_is_not_there(self, site: Site, known: Known, folder: Path, asked: str) -> None:
        whole = sound(folder / "call.wav")
        await known()
        answer = await site.ask(link(), headers={"Range": asked})
        assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{len(whole)}")

    async def test_head_tells_the_size_and_no_more(self, site: Site, known: Known, folder: Path) -> None:
        whole = sound(folder / "call.wav")
        await known()
        answer = await site.ask(link(), "HEAD")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["Content-Length"] == str(len(whole))
        assert answer.headers["Accept-Ranges"] == "bytes"

    async def test_what_a_player_has_already_is_not_sent_again(self, site: Site, known: Known, folder: Path) -> None:
        sound(folder / "call.wav")
        await known()
        etag = (await site.ask(link())).headers["ETag"]
        answer = await site.ask(link(), headers={"If-None-Match": etag})
        assert (answer.status, answer.body) == (304, b"")
        sound(folder / "call.wav", seconds=1.0)
        assert (await site.ask(link(), headers={"If-None-Match": etag})).status == 200


class TestLinks:
    def test_the_address_needs_no_quoting_and_is_where_people_were_told(self) -> None:
        address = record_url(PUBLIC, KEYRING, NUMBER, CallId("pbx1:1/../?#%"), datetime.now(UTC))
        rest = address.removeprefix(f"{PUBLIC}/recordings/")
        assert rest != address
        assert all(character.isascii() and (character.isalnum() or character in "-_.") for character in rest)

    async def test_a_link_ends(self, site: Site, known: Known, folder: Path) -> None:
        sound(folder / "call.wav")
        await known()
        assert (await site.ask(link(good_for=timedelta(seconds=60)))).status == 200
        assert refused(await site.ask(link(good_for=timedelta(seconds=-1))), 410, "link_expired")

    async def test_nobody_else_can_make_one(self, site: Site, known: Known, folder: Path) -> None:
        sound(folder / "call.wav")
        await known()
        other = Keyring([Key("web", bytes(32))])
        assert refused(await site.ask(link(keyring=other)), 404, "not_found")

    async def test_a_link_that_was_changed_opens_nothing(self, site: Site, known: Known, folder: Path) -> None:
        sound(folder / "call.wav")
        await known()
        good = link().removeprefix("/recordings/")
        assert (await site.ask(f"/recordings/{good}")).status == 200
        body, expires, key, signature = good.split(".")
        forged = [
            f"{body}.{int(expires) + 1}.{key}.{signature}",
            f"{body}.{expires}.{key}x.{signature}",
            f"{body}.{expires}.{key}.{signature[:-1]}",
            f"{body}.{expires}.{key}.",
            f"{body}.{expires}.{key}",
            f"{body}.{expires}",
            f"{body}=.{expires}.{key}.{signature}",
            f"{body}.{expires}.{key}.{signature}.{signature}",
            f".{expires}.{key}.{signature}",
            f"{body}.-1.{key}.{signature}",
            good.swapcase(),
            "...",
            ".",
            "x" * 4000,
            "%00",
            "%0d%0aX-Evil:1",
            "%D1%84.1.web.%D1%84",
            "..%2f..%2fetc%2fpasswd",
        ]
        for token in forged:
            assert refused(await site.ask(f"/recordings/{token}"), 404, "not_found"), token
        for place in range(len(good)):
            other = "A" if good[place] != "A" else "B"
            token = good[:place] + other + good[place + 1 :]
            assert (await site.ask(f"/recordings/{token}")).status in (404, 410), token

    async def test_the_name_of_another_call_or_enterprise_does_not_fit_the_signature(
        self, site: Site, known: Known, folder: Path
    ) -> None:
        sound(folder / "call.wav")
        await known()
        await known(call=CallId("pbx1:1.2"))
        await known(number=EnterpriseId("0124"))
        _, expires, key, signature = link().split(".")
        for payload in (f"{NUMBER}/pbx1:1.2", f"0124/{CALL}", f"{NUMBER}/{CALL}/", f"{NUMBER}"):
            body = urlsafe_b64encode(payload.encode()).rstrip(b"=").decode()
            assert refused(await site.ask(f"/recordings/{body}.{expires}.{key}.{signature}"), 404, "not_found"), payload

    async def test_calls_of_one_id_in_two_enterprises_are_two_recordings(
        self, site: Site, known: Known, tmp_path: Path
    ) -> None:
        theirs = EnterpriseId("0124")
        ours, others = sound(tmp_path / "one/call.wav"), sound(tmp_path / "two/call.wav", seconds=1.0)
        await known(recordings=str(tmp_path / "one"))
        await known(number=theirs, recordings=str(tmp_path / "two"))
        assert (await site.ask(link())).body == ours
        assert (await site.ask(link(number=theirs))).body == others
        assert ours != others


class TestNotThereYet:
    def come_back(self, answer: Answer) -> bool:
        return refused(answer, 503, "not_ready") and int(answer.headers["Retry-After"]) > 0

    async def test_a_call_that_is_not_over(self, site: Site) -> None:
        assert self.come_back(await site.ask(link()))

    async def test_a_file_that_comes_later(self, site: Site, known: Known, folder: Path) -> None:
        await known()
        assert self.come_back(await site.ask(link()))
        (folder / "call.wav").touch()
        assert self.come_back(await site.ask(link()))
        whole = sound(folder / "call.wav")
        assert (await site.ask(link())).body == whole

    async def test_a_file_that_never_came_is_said(self, site: Site, known: Known, folder: Path) -> None:
        await known(over_for=MAY_STILL_COME + timedelta(seconds=1))
        with capture_logs() as lines:
            assert refused(await site.ask(link()), 404, "not_found")
        [line] = lines
        assert (line["event"], line["enterprise"], line["call"]) == ("recording_missing", NUMBER, CALL)
        assert (line["folder"], line["paths"]) == (str(folder), (ON_THE_PBX,))

    @pytest.mark.parametrize("recordings", [None, "https://pbx.example/rec", "sftp://pbx.example/rec", "/not/here"])
    async def test_a_host_whose_files_we_cannot_reach(self, site: Site, known: Known, recordings: str | None) -> None:
        await known(recordings=recordings)
        assert self.come_back(await site.ask(link()))

    async def test_a_host_that_nobody_knows_any_more(self, site: Site, known: Known, folder: Path) -> None:
        sound(folder / "call.wav")
        await known(host_name="gone")
        assert self.come_back(await site.ask(link()))

    async def test_a_database_that_is_away_is_an_answer_too(self, far_site: Site, way: Proxy) -> None:
        way.close()
        answer = await far_site.ask(link())
        assert refused(answer, 503, "database_away")
        assert int(answer.headers["Retry-After"]) > 0

    async def test_a_database_that_says_nothing_any_more(
        self, far_site: Site, way: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recordings, "PATIENCE", timedelta(seconds=0.8))
        assert (await far_site.ask(link())).status == 503
        way.silent = True
        assert refused(await far_site.ask(link()), 503, "database_away")


def found(folder: Path | str, *paths: str) -> Path | None:
    return find_file(CallRecordings(paths, str(folder), datetime.now(UTC)))


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

    def test_the_first_recording_that_holds_sound(self, folder: Path) -> None:
        (folder / "empty.wav").touch()
        (folder / "folder.wav").mkdir()
        os.mkfifo(folder / "pipe.wav")
        sound(folder / "second.wav")
        paths: Sequence[str] = ("missing.wav", "empty.wav", "folder.wav", "pipe.wav", "second.wav", "third.wav")
        sound(folder / "third.wav")
        assert found(folder, *paths) == folder / "second.wav"
        assert found(folder, *paths[:4]) is None
        assert found(folder) is None

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

    def test_only_a_folder_of_this_machine_is_within_reach(self) -> None:
        """Else the CRM is not given a link that could never be played."""
        assert is_within_reach("/var/spool/asterisk/monitor")
        assert not any(map(is_within_reach, ("", "https://pbx.example/rec", "sftp://pbx.example/rec", "relative")))

    @pytest.mark.parametrize("folder_name", ["relative", "", "https://pbx.example", "file:///etc"])
    def test_a_folder_that_is_no_whole_path(
        self, folder_name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(folder)
        sound(folder / "call.wav")
        sound(folder / "relative/call.wav")
        assert found(folder_name, "call.wav") is None

    async def test_a_path_that_leads_outside_is_not_served(
        self, site: Site, known: Known, folder: Path, tmp_path: Path
    ) -> None:
        sound(tmp_path / "secret.wav")
        (folder / "link.wav").symlink_to("../secret.wav")
        await known("/rec/../secret.wav", "link.wav", str(tmp_path / "secret.wav"))
        assert refused(await site.ask(link()), 503, "not_ready")


class TestDeadFolder:
    """A mount whose server is gone: whoever touches it waits for ever."""

    @pytest.fixture
    def dead(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[threading.Event]:
        alive, found = threading.Event(), recordings.find_file

        def find(wanted: CallRecordings) -> Path | None:
            if wanted.folder == str(folder):
                alive.wait()
            return found(wanted)

        monkeypatch.setattr(recordings, "find_file", find)
        monkeypatch.setattr(recordings, "PATIENCE", timedelta(seconds=0.3))
        yield alive
        alive.set()

    async def test_it_is_said_and_other_folders_go_on(
        self, site: Site, known: Known, folder: Path, tmp_path: Path, dead: threading.Event
    ) -> None:
        sound(folder / "call.wav")
        whole = sound(tmp_path / "other" / "call.wav")
        await known()
        await known(call=CallId("pbx2:1.1"), number=EnterpriseId("0124"), recordings=str(tmp_path / "other"))
        with capture_logs() as lines:
            answers = await asyncio.gather(*(site.ask(link()) for _ in range(12)))
        assert all(refused(answer, 503, "folder_away") and answer.headers["Retry-After"] for answer in answers)
        assert {line["event"] for line in lines} == {"recording_not_looked_up"}
        other = await site.ask(link(CallId("pbx2:1.1"), EnterpriseId("0124")))
        assert (other.status, other.body) == (200, whole)
        dead.set()
        assert (await site.ask(link())).status == 200

    async def test_one_that_dies_while_it_plays_breaks_the_answer_off(
        self, site: Site, known: Known, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sound_module, "PIECE", 1000)
        monkeypatch.setattr(sound_module, "PIECE_WITHIN", timedelta(seconds=0.1))
        alive, read = threading.Event(), sound_module.Sound._seek_and_read

        def hang(self: sound_module.Sound, fobj: IO[Any], offset: int, size: int) -> bytes:
            if offset:
                alive.wait()
            return read(self, fobj, offset, size)

        monkeypatch.setattr(sound_module.Sound, "_seek_and_read", hang)
        sound(folder / "call.wav")
        await known()
        with pytest.raises(aiohttp.ClientPayloadError):
            await site.ask(link())
        alive.set()
