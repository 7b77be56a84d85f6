"""Recordings over HTTP: what a player hears, whole or in parts, and what it is told while there is nothing to hear."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.calls.record import CallId
from amibridge.web import recordings
from amibridge.web.recordings import MAY_STILL_COME
from tests.recordings.mp3_frames import seconds_of
from tests.store.proxy import Proxy
from tests.web.recorded import CALL, NUMBER, ON_THE_PBX, Known, as_it_is, come_back, link, refused, sound
from tests.web.serving import Site, serving

LONG_OVER = MAY_STILL_COME + timedelta(seconds=1)


class TestPlaying:
    async def test_a_link_of_ours_plays_the_recording_as_mp3(self, site: Site, known: Known, folder: Path) -> None:
        sound(folder / "2026/11/24/call.wav", seconds=3.0)
        await known()
        answer = await site.ask(link())
        assert (answer.status, answer.headers["Content-Type"]) == (200, "audio/mpeg")
        assert seconds_of(answer.body) == pytest.approx(3.0, abs=0.2)
        assert answer.headers["Content-Length"] == str(len(answer.body))
        assert answer.headers["Cache-Control"] == "private, max-age=86400"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Request-ID"]

    async def test_who_wants_it_as_it_is_gets_that(self, site: Site, known: Known, folder: Path) -> None:
        whole = sound(folder / "2026/11/24/call.wav")
        await known()
        answer = await site.ask(link() + "?format=wav&from=player")
        assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "audio/wav", whole)
        assert (await site.ask(link() + "?format=mp3")).headers["Content-Type"] == "audio/mpeg"
        assert refused(await site.ask(link() + "?format=ogg"), 400, "unknown_format")

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
        (folder / name).write_bytes(b"<script>" * 9)
        await known(f"/rec/{name}", over_for=LONG_OVER)
        answer = await site.ask(link())
        assert (answer.headers["Content-Type"], answer.body) == (content_type, b"<script>" * 9)

    @pytest.mark.parametrize("kind", ["mp3", "wav"])
    @pytest.mark.parametrize(
        ("asked", "first", "last"),
        [("bytes=0-3", 0, 3), ("bytes=100-", 100, None), ("bytes=-10", -10, None), ("bytes=5-9999999", 5, None)],
    )
    async def test_a_player_may_ask_for_a_part(
        self, site: Site, known: Known, folder: Path, kind: str, asked: str, first: int, last: int | None
    ) -> None:
        sound(folder / "call.wav")
        await known()
        address = f"{link()}?format={kind}"
        whole = (await site.ask(address)).body
        answer = await site.ask(address, headers={"Range": asked})
        part = whole[first : None if last is None else last + 1]
        begin = first % len(whole)
        assert (answer.status, answer.body) == (206, part)
        assert answer.headers["Content-Range"] == f"bytes {begin}-{begin + len(part) - 1}/{len(whole)}"

    @pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=9-3", "bytes=a-b", "bytes=0-1,4-5"])
    async def test_a_part_that_is_not_there(self, site: Site, known: Known, folder: Path, asked: str) -> None:
        whole = sound(folder / "call.wav")
        await known()
        answer = await site.ask(as_it_is(), headers={"Range": asked})
        assert (answer.status, answer.body) == (416, b"")
        assert answer.headers["Content-Range"] == f"bytes */{len(whole)}"

    @pytest.mark.parametrize("kind", ["mp3", "wav"])
    async def test_head_tells_the_size_and_no_more(self, site: Site, known: Known, folder: Path, kind: str) -> None:
        sound(folder / "call.wav")
        await known()
        address = f"{link()}?format={kind}"
        whole = await site.ask(address)
        for headers in ({}, {"Range": "bytes=0-3"}):
            answer = await site.ask(address, "HEAD", headers=headers)
            assert (answer.status, answer.body) == (200, b"")
            assert answer.headers["Content-Length"] == str(len(whole.body))
            assert answer.headers["Accept-Ranges"] == "bytes"
            assert answer.headers["ETag"] == whole.headers["ETag"]

    async def test_each_recording_of_a_call_is_reachable(self, site: Site, known: Known, folder: Path) -> None:
        wholes = [sound(folder / f"{n}.wav", seconds=n / 2) for n in (1, 2)]
        await known("/rec/1.wav", "/rec/2.wav", "/rec/3.wav", over_for=LONG_OVER)
        assert [(await site.ask(f"{link()}/{n}?format=wav")).body for n in (1, 2)] == wholes
        assert (await site.ask(as_it_is())).body == wholes[0]
        (folder / "1.wav").unlink()
        assert (await site.ask(as_it_is())).body == wholes[1]
        for number in ("1", "3", "4", "0", "-1", "01", "1.0", "99999", "%31%30", "one", "%00"):
            assert refused(await site.ask(f"{link()}/{number}?format=wav"), 404, "not_found"), number


class TestHeldAlready:
    @pytest.mark.parametrize("kind", ["mp3", "wav"])
    async def test_what_a_player_has_already_is_not_sent_again(
        self, site: Site, known: Known, folder: Path, kind: str
    ) -> None:
        sound(folder / "call.wav")
        await known()
        address = f"{link()}?format={kind}"
        had = (await site.ask(address)).headers
        for headers in (
            {"If-None-Match": had["ETag"]},
            {"If-None-Match": f'"other", W/{had["ETag"]}'},
            {"If-None-Match": "*"},
            {"If-Modified-Since": had["Last-Modified"]},
        ):
            answer = await site.ask(address, headers=headers)
            assert (answer.status, answer.body) == (304, b""), headers
            assert answer.headers["ETag"] == had["ETag"]
        later = time.time() + 60
        sound(folder / "call.wav", seconds=1.0)
        os.utime(folder / "call.wav", (later, later))
        for headers in ({"If-None-Match": had["ETag"]}, {"If-Modified-Since": had["Last-Modified"]}):
            assert (await site.ask(address, headers=headers)).status == 200, headers
        for headers in ({"If-Match": had["ETag"]}, {"If-Unmodified-Since": had["Last-Modified"]}):
            assert (await site.ask(address, headers=headers)).status == 412, headers

    async def test_the_rest_of_something_else_is_not_sent(self, site: Site, known: Known, folder: Path) -> None:
        whole = sound(folder / "call.wav")
        await known()
        had = (await site.ask(as_it_is())).headers
        for held in (had["ETag"], had["Last-Modified"]):
            answer = await site.ask(as_it_is(), headers={"Range": "bytes=10-", "If-Range": held})
            assert (answer.status, answer.body) == (206, whole[10:]), held
        for held in ('"other"', f"W/{had['ETag']}", "Tue, 01 Jan 2019 00:00:00 GMT", "yesterday"):
            answer = await site.ask(as_it_is(), headers={"Range": "bytes=10-", "If-Range": held})
            assert (answer.status, answer.body) == (200, whole), held

    async def test_an_mp3_that_is_made_anew_is_the_same(self, site: Site, known: Known, folder: Path) -> None:
        sound(folder / "call.wav")
        await known()
        first = await site.ask(link())
        [cached] = site.cache.rglob("*.mp3")
        cached.unlink()
        second = await site.ask(link())
        assert (second.body, second.headers["ETag"]) == (first.body, first.headers["ETag"])


class TestToldOf:
    async def test_each_fetch_with_who_and_what(self, pool: asyncpg.Pool, known: Known, folder: Path) -> None:
        sound(folder / "2.wav")
        await known("/rec/1.wav", "/rec/2.wav", over_for=LONG_OVER)
        behind = {"X-Forwarded-For": "10.9.9.9, 203.0.113.7"}
        async with serving(pool, trusted_proxies=["127.0.0.0/8"]) as site:
            await site.ask(link(), headers=behind)
            await site.ask(link() + "/2", headers=behind | {"Range": "bytes=0-9"})
            await site.ask(link() + "/1", headers=behind)
            await site.ask("/recordings/forged", headers=behind)
        assert [(one.enterprise, one.call, one.number, one.address) for one in site.fetches] == [
            (NUMBER, CALL, 2, "203.0.113.7")
        ] * 2
        stop = asyncio.Event()
        stop.set()
        await site.trail.write(stop)
        rows = await pool.fetch("SELECT who, address, action, target, outcome, request FROM audit ORDER BY at")
        assert [tuple(row)[:5] for row in rows] == [
            ("recording link", "203.0.113.7", "recordings", f"{CALL} 2", "played")
        ] * 2
        assert all(row["request"] for row in rows)

    async def test_a_line_says_so_without_the_link(self, known: Known, folder: Path) -> None:
        with capture_logs() as lines:
            recordings.log_fetch(recordings.Fetch(NUMBER, CALL, 1, "203.0.113.7", datetime.now(UTC)))
        assert lines == [
            {
                "event": "recording_fetched",
                "log_level": "info",
                "enterprise": NUMBER,
                "call": CALL,
                "number": 1,
                "address": "203.0.113.7",
            }
        ]


class TestNotThereYet:
    async def test_a_call_that_is_not_over(self, site: Site) -> None:
        assert come_back(await site.ask(link()))

    async def test_a_file_that_comes_later(self, site: Site, known: Known, folder: Path) -> None:
        await known()
        assert come_back(await site.ask(link()))
        (folder / "call.wav").touch()
        assert come_back(await site.ask(link()))
        whole = sound(folder / "call.wav")
        for part in (20, 44, 2000):  # MixMonitor writes a length of nothing first
            (folder / "call.wav").write_bytes(whole[:40] + bytes(4) + whole[44:part])
            assert come_back(await site.ask(link())), part
            assert site.fetches == []
        (folder / "call.wav").write_bytes(whole)
        assert (await site.ask(as_it_is())).body == whole

    async def test_a_file_that_grows_and_does_not_say_how_long_it_gets(
        self, site: Site, known: Known, folder: Path
    ) -> None:
        (folder / "call.mp3").write_bytes(b"\xff\xf3" * 500)
        await known("call.mp3")
        assert come_back(await site.ask(link()))
        earlier = time.time() - 60
        os.utime(folder / "call.mp3", (earlier, earlier))
        assert (await site.ask(link())).status == 200

    async def test_what_was_left_unfinished_plays_as_far_as_it_goes(
        self, site: Site, known: Known, folder: Path
    ) -> None:
        """Asterisk died, and nobody will write its length any more."""
        whole = sound(folder / "call.wav", seconds=4.0)
        (folder / "call.wav").write_bytes(whole[:40] + bytes(4) + whole[44 : 44 + 2 * 16_000])
        await known(over_for=LONG_OVER)
        assert seconds_of((await site.ask(link())).body) == pytest.approx(2.0, abs=0.2)

    async def test_a_header_without_sound_is_no_recording(self, site: Site, known: Known, folder: Path) -> None:
        sound(folder / "empty.wav", seconds=0)
        whole = sound(folder / "call.wav")
        await known("empty.wav", "call.wav")
        assert (await site.ask(as_it_is())).body == whole
        await known("empty.wav", call=CallId("pbx1:1.2"), over_for=LONG_OVER)
        assert refused(await site.ask(link(CallId("pbx1:1.2"))), 404, "not_found")

    async def test_a_file_that_never_came_is_said(self, site: Site, known: Known, folder: Path) -> None:
        await known(over_for=LONG_OVER)
        with capture_logs() as lines:
            assert refused(await site.ask(link()), 404, "not_found")
        [line] = lines
        assert (line["event"], line["enterprise"], line["call"]) == ("recording_missing", NUMBER, CALL)
        assert (line["place"], line["paths"]) == (str(folder), (ON_THE_PBX,))

    @pytest.mark.parametrize("recordings", [None, "ftp://pbx.example/rec", "https://u:hush@pbx.example/", "/not/here"])
    async def test_a_host_whose_files_we_cannot_reach(self, site: Site, known: Known, recordings: str | None) -> None:
        await known(recordings=recordings)
        assert come_back(await site.ask(link()))

    async def test_a_host_that_nobody_knows_any_more(self, site: Site, known: Known, folder: Path) -> None:
        sound(folder / "call.wav")
        await known(host_name="gone")
        assert come_back(await site.ask(link()))

    async def test_a_path_that_leads_outside_is_not_served(
        self, site: Site, known: Known, folder: Path, tmp_path: Path
    ) -> None:
        sound(tmp_path / "secret.wav")
        (folder / "link.wav").symlink_to("../secret.wav")
        await known("/rec/../secret.wav", "link.wav", str(tmp_path / "secret.wav"))
        assert come_back(await site.ask(link()))

    async def test_a_database_that_is_away_is_an_answer_too(self, far_site: Site, way: Proxy) -> None:
        way.close()
        answer = await far_site.ask(link())
        assert refused(answer, 503, "database_away")
        assert int(answer.headers["Retry-After"]) > 0

    async def test_a_database_that_says_nothing_any_more(
        self, far_site: Site, way: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recordings, "DATABASE_PATIENCE", timedelta(seconds=0.8))
        assert (await far_site.ask(link())).status == 503
        way.silent = True
        assert refused(await far_site.ask(link()), 503, "database_away")
