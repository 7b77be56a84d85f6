"""A web server that shows recordings, and those that would like to be asked for something else."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from amibridge.enterprises import EnterpriseId
from amibridge.recordings import library as library_module
from amibridge.recordings import remote
from amibridge.recordings.errors import NotReady, SourceAway, Unplayable
from amibridge.recordings.library import Library, Sound
from amibridge.recordings.places import place_of
from amibridge.redact import Secret
from tests.recordings.machines import Machine, answer, website
from tests.recordings.mp3_frames import seconds_of
from tests.recordings.wavs import chunk, form, pcm, spoken, wav

NUMBER, OTHER = EnterpriseId("0123"), EnterpriseId("0124")
PATH = "/var/spool/asterisk/monitor/2026/11/24/call.wav"
CALL = spoken(1.0)
DATED = "Tue, 24 Nov 2026 10:00:00 GMT"


async def asked(
    library: Library,
    machine: Machine,
    path: str = PATH,
    *,
    whose: EnterpriseId = NUMBER,
    as_mp3: bool = False,
    fresh: bool = True,
) -> Sound | None:
    return await library.sound(whose, place_of(machine.address), path, as_mp3=as_mp3, fresh=fresh)


async def heard(library: Library, machine: Machine, path: str = PATH, *, as_mp3: bool = False) -> bytes:
    sound = await asked(library, machine, path, as_mp3=as_mp3)
    assert sound is not None
    return sound.file.read_bytes()


def cached(tmp_path: Path) -> list[str]:
    return sorted(file.suffix for file in (tmp_path / "data/recordings").rglob("*") if file.is_file())


class TestFinding:
    async def test_the_longest_end_that_is_there_and_then_one_question_each(
        self, library: Library, machine: Machine
    ) -> None:
        machine.answers = {f"/rec/{day}/call.wav": answer(CALL) for day in ("24", "2026/11/24", "2026/11/25")}
        assert await heard(library, machine) == CALL
        assert machine.paths == [
            "/rec/var/spool/asterisk/monitor/2026/11/24/call.wav",
            "/rec/spool/asterisk/monitor/2026/11/24/call.wav",
            "/rec/asterisk/monitor/2026/11/24/call.wav",
            "/rec/monitor/2026/11/24/call.wav",
            "/rec/2026/11/24/call.wav",
        ]
        machine.asked.clear()
        assert await heard(library, machine, PATH.replace("24", "25")) == CALL
        assert machine.paths == ["/rec/2026/11/25/call.wav"]

    async def test_what_was_fetched_is_not_fetched_again(
        self, library: Library, machine: Machine, tmp_path: Path
    ) -> None:
        machine.answers["/rec/call.wav"] = answer(CALL, Last_Modified=DATED)
        made = await heard(library, machine, "call.wav", as_mp3=True)
        assert seconds_of(made) == pytest.approx(1.0, abs=0.2)
        assert cached(tmp_path) == [".mp3"], "the original is not kept beside its mp3"
        assert await heard(library, machine, "call.wav", as_mp3=True) == made
        assert len(machine.asked) == 1
        assert await heard(library, machine, "call.wav") == CALL
        assert await heard(library, machine, "call.wav") == CALL
        assert len(machine.asked) == 2

    async def test_it_is_as_old_as_there(self, library: Library, machine: Machine) -> None:
        machine.answers["/rec/call.wav"] = answer(CALL, Last_Modified=DATED)
        for as_mp3 in (False, True):
            sound = await asked(library, machine, "call.wav", as_mp3=as_mp3)
            assert sound is not None
            at = datetime.datetime.fromtimestamp(sound.file.stat().st_mtime, datetime.UTC)
            assert at == datetime.datetime(2026, 11, 24, 10, tzinfo=datetime.UTC)

    async def test_what_one_enterprise_fetched_is_not_played_to_another(
        self, library: Library, machine: Machine, tmp_path: Path
    ) -> None:
        machine.answers["/rec/call.wav"] = answer(CALL)
        sounds = [await asked(library, machine, "call.wav", whose=whose) for whose in (NUMBER, OTHER)]
        assert len(machine.asked) == 2
        assert [sound.file.parent.name for sound in sounds if sound] == [NUMBER, OTHER]

    async def test_many_asks_fetch_once(self, library: Library, machine: Machine) -> None:
        machine.answers["/rec/call.wav"] = answer(CALL)
        sounds = await asyncio.gather(*(asked(library, machine, "call.wav", as_mp3=True) for _ in range(10)))
        assert len({sound.file for sound in sounds if sound}) == 1
        assert len(machine.asked) == 1

    async def test_the_user_and_the_password_go_along(self, library: Library, machine: Machine) -> None:
        machine.answers["/rec/call.wav"] = answer(CALL)
        place = place_of(machine.address.replace("//", "//bridge@"), Secret("hush"))
        assert await library.sound(NUMBER, place, "call.wav", as_mp3=False, fresh=True) is not None
        assert "Authorization: Basic YnJpZGdlOmh1c2g=\r\n" in machine.headers[0]

    @pytest.mark.parametrize(
        ("path", "came"),
        [
            ("a b.wav", "/rec/a%20b.wav"),
            ("call.wav?x=1", "/rec/call.wav%3Fx%3D1"),
            ("call.wav#1", "/rec/call.wav%231"),
            ("%2e%2e%2fcall.wav", "/rec/%252e%252e%252fcall.wav"),
            ("Иван.wav", "/rec/%D0%98%D0%B2%D0%B0%D0%BD.wav"),
            ("@evil.example", "/rec/%40evil.example"),
            ("http://evil.example/call.wav", "/rec/http%3A/evil.example/call.wav"),
        ],
    )
    async def test_whatever_a_name_holds_it_is_a_name(
        self, library: Library, machine: Machine, path: str, came: str
    ) -> None:
        assert await asked(library, machine, path) is None
        assert machine.paths[0] == came
        assert all(path.startswith("/rec/") for path in machine.paths)

    @pytest.mark.parametrize("path", ["../call.wav", "a/../../call.wav", "..\\call.wav", "call\r\nX: 1.wav", "\0", ""])
    async def test_a_path_that_leads_out_is_not_asked_for(self, library: Library, machine: Machine, path: str) -> None:
        assert await asked(library, machine, path) is None
        assert machine.asked == []


class TestHostile:
    @pytest.mark.parametrize(
        "where",
        [
            "http://169.254.169.254/latest/meta-data/",
            "file:///etc/passwd",
            "//evil.example/call.wav",
            "/other/call.wav",
            "/rec/secret",
        ],
    )
    async def test_nobody_is_sent_elsewhere(self, library: Library, machine: Machine, where: str) -> None:
        machine.answers["/rec/call.wav"] = answer(status="302 Found", Location=where)
        machine.answers["/rec/secret"] = machine.answers["/other/call.wav"] = answer(CALL)
        assert await asked(library, machine, "call.wav") is None
        assert machine.paths == ["/rec/call.wav"]

    @pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "410 Gone", "204 No Content"])
    async def test_what_is_not_there(self, library: Library, machine: Machine, status: str) -> None:
        machine.answers["/rec/call.wav"] = answer(status=status)
        assert await asked(library, machine, "call.wav") is None

    async def test_a_page_is_no_sound(self, library: Library, machine: Machine) -> None:
        machine.answers["/rec/call.wav"] = answer(b"<h1>Please log in</h1>", Content_Type="text/html; charset=utf-8")
        assert await asked(library, machine, "call.wav") is None

    @pytest.mark.parametrize("status", ["401 Unauthorized", "500 Internal Server Error", "503 Service Unavailable"])
    async def test_who_is_in_trouble_is_asked_later(self, library: Library, machine: Machine, status: str) -> None:
        machine.answers["/rec/call.wav"] = answer(status=status)
        with pytest.raises(SourceAway, match=status[:3]):
            await asked(library, machine, "call.wav")

    async def test_what_is_packed_is_not_unpacked(self, library: Library, machine: Machine) -> None:
        machine.answers["/rec/call.wav"] = answer(b"\x1f\x8b bomb", Content_Encoding="gzip")
        with pytest.raises(SourceAway, match="packs"):
            await asked(library, machine, "call.wav")
        assert "Accept-Encoding: identity\r\n" in machine.headers[0]

    async def test_what_says_it_is_huge_is_not_read(self, library: Library, machine: Machine, tmp_path: Path) -> None:
        machine.answers["/rec/call.wav"] = answer(CALL, length=10_000_000_000)
        with pytest.raises(Unplayable, match="10000000000"):
            await asked(library, machine, "call.wav")
        assert cached(tmp_path) == []

    async def test_what_does_not_end_is_left(
        self, library: Library, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(remote, "LARGEST", 2_000_000)

        async def endless(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                await writer.drain()

        machine.answers["/rec/call.wav"] = endless
        with pytest.raises(Unplayable, match="does not end"):
            await asked(library, machine, "call.wav")
        assert await _emptied(tmp_path)

    async def test_what_is_larger_than_the_cache_is_said(self, library: Library, machine: Machine) -> None:
        machine.answers["/rec/call.wav"] = answer(CALL, length=4_000_000)
        with pytest.raises(SourceAway, match="cache_megabytes"):
            await asked(library, machine, "call.wav")

    async def test_who_trickles_is_left(
        self, library: Library, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(remote, "FETCHED_WITHIN", datetime.timedelta(seconds=0.3))

        async def trickle(writer: asyncio.StreamWriter) -> None:
            writer.write(answer(length=len(CALL)))
            for at in range(len(CALL)):
                writer.write(CALL[at : at + 1])
                await writer.drain()
                await asyncio.sleep(0.02)

        machine.answers["/rec/call.wav"] = trickle
        with pytest.raises(SourceAway, match="slow"):
            await asked(library, machine, "call.wav")
        assert await _emptied(tmp_path)

    async def test_who_is_slow_is_waited_for_by_nobody_and_still_fetched(
        self, library: Library, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        go_on = asyncio.Event()

        async def slow(writer: asyncio.StreamWriter) -> None:
            writer.write(answer(CALL)[:-100])
            await go_on.wait()
            writer.write(CALL[-100:])

        machine.answers["/rec/call.wav"] = slow
        monkeypatch.setattr(library_module, "WORKED_WITHIN", datetime.timedelta(seconds=0.1))
        with pytest.raises(NotReady):
            await asked(library, machine, "call.wav")
        go_on.set()
        monkeypatch.setattr(library_module, "WORKED_WITHIN", datetime.timedelta(seconds=20))
        assert await heard(library, machine, "call.wav") == CALL
        assert len(machine.asked) == 1

    async def test_what_breaks_off_is_not_heard(self, library: Library, machine: Machine, tmp_path: Path) -> None:
        machine.answers["/rec/call.wav"] = answer(CALL[:5000], length=len(CALL))
        with pytest.raises(SourceAway):
            await asked(library, machine, "call.wav")
        assert await _emptied(tmp_path)
        machine.answers["/rec/call.wav"] = answer(CALL)
        assert await heard(library, machine, "call.wav") == CALL

    async def test_what_is_longer_than_it_says_is_not_believed(
        self, library: Library, machine: Machine, tmp_path: Path
    ) -> None:
        machine.answers["/rec/call.wav"] = answer(CALL, length=5000)
        with pytest.raises(SourceAway):
            await asked(library, machine, "call.wav")
        assert await _emptied(tmp_path)

    async def test_what_is_being_written_there_comes_later(self, library: Library, machine: Machine) -> None:
        machine.answers["/rec/call.wav"] = answer(CALL[:5000])
        with pytest.raises(NotReady):
            await asked(library, machine, "call.wav")
        sound = await asked(library, machine, "call.wav", fresh=False)
        assert sound is not None
        assert sound.file.read_bytes() == CALL[:5000]

    @pytest.mark.parametrize("content", [wav(form(), chunk(b"data", b"")), b""])
    async def test_what_holds_no_sound_is_none(self, library: Library, machine: Machine, content: bytes) -> None:
        machine.answers["/rec/call.wav"] = answer(content)
        assert await asked(library, machine, "call.wav", fresh=False) is None

    async def test_what_is_no_pcm_is_played_as_it_is(self, library: Library, machine: Machine) -> None:
        ulaw = wav(form(tag=7, bits=8), chunk(b"data", pcm(0.5)))
        machine.answers["/rec/call.wav"] = answer(ulaw)
        assert await heard(library, machine, "call.wav", as_mp3=True) == ulaw

    async def test_who_says_nothing_or_nonsense(self, library: Library, machine: Machine) -> None:
        machine.answers["/rec/none.wav"] = b""
        machine.answers["/rec/noise.wav"] = b"\0\xff" * 50
        for path in ("none.wav", "noise.wav"):
            with pytest.raises(SourceAway):
                await asked(library, machine, path)

    async def test_a_certificate_that_nobody_signed_is_not_believed(self, library: Library, tmp_path: Path) -> None:
        async with website(_selfsigned(tmp_path)) as machine:
            with pytest.raises(SourceAway, match="Certificate"):
                await asked(library, machine, "call.wav")
            assert machine.asked == []


async def _emptied(tmp_path: Path) -> bool:
    """What was half is removed, in a thread that nobody waits for."""
    async with asyncio.timeout(20):
        while cached(tmp_path):
            await asyncio.sleep(0.01)
    return True


def _selfsigned(folder: Path) -> ssl.SSLContext:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    at = datetime.datetime(2026, 1, 1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, at, at.replace(year=2036))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "pem").write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pem")
    return context
