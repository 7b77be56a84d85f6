"""A header is believed as far as the file goes, and no further."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.recordings.mp3 import encode, size_of
from amibridge.recordings.wav import MOST_CHUNKS, Wav, read_wav
from tests.recordings.mp3_frames import frames_of, seconds_of
from tests.recordings.wavs import chunk, form, pcm, spoken, wav

TONE = pcm(0.5)


def read(content: bytes) -> Wav | None:
    return read_wav(BytesIO(content), len(content))


def mp3(content: bytes, said: bytes | None = None) -> bytes:
    """Of a file with this *content*; its head was read of what it *said* to be before."""
    found = read(said or content)
    assert found is not None
    with TemporaryFile() as source, TemporaryFile() as target:
        source.write(content)
        source.flush()
        encode(found, source, target)
        target.seek(0)
        return target.read()


class TestReading:
    def test_one_that_is_as_it_should_be(self) -> None:
        assert read(wav(form(), chunk(b"data", TONE))) == Wav(44, len(TONE), 8000, 1, whole=True, plain=True)

    def test_what_stands_around_the_sound_is_passed_over(self) -> None:
        notes = chunk(b"LIST", b"odd") + b"\0"
        found = read(wav(chunk(b"bext", b"x" * 602), form(channels=2), notes, chunk(b"data", TONE), notes))
        assert found is not None
        assert (found.length, found.channels, found.whole, found.plain) == (len(TONE), 2, True, True)

    def test_asterisk_writes_a_length_of_nothing_until_it_is_done(self) -> None:
        assert read(wav(form(), chunk(b"data", b""))) == Wav(44, 0, 8000, 1, whole=True, plain=True)
        assert read(wav(form(), chunk(b"data", TONE, said=0))) == Wav(44, len(TONE), 8000, 1, whole=False, plain=True)

    @pytest.mark.parametrize("said", [len(TONE) + 1, 0x7FFFF000, 0xFFFFFFFF])
    def test_a_length_beyond_the_file_is_what_is_there(self, said: int) -> None:
        found = read(wav(form(), chunk(b"data", TONE, said=said)))
        assert found is not None
        assert (found.length, found.whole) == (len(TONE), False)

    @pytest.mark.parametrize(
        "odd",
        [
            form(tag=6, bits=8),  # A-law
            form(tag=7, bits=8),  # µ-law
            form(tag=0x31, bits=0, block=65),  # GSM, as in .WAV
            form(bits=8),
            form(bits=24),
            form(channels=0),
            form(channels=6),
            form(rate=0),
            form(rate=7999),
            form(rate=0xFFFFFFFF),
            form(block=1),
            form(block=0),
        ],
    )
    def test_what_is_no_plain_pcm_is_not_decoded_here(self, odd: bytes) -> None:
        found = read(wav(odd, chunk(b"data", TONE)))
        assert found is not None
        assert not found.plain

    def test_pcm_in_the_long_form_is_pcm(self) -> None:
        guid = b"\x01\x00\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
        long = chunk(b"fmt ", form(tag=0xFFFE)[8:] + b"\x16\x00\x10\x00\x04\x00\x00\x00" + guid)
        found = read(wav(long, chunk(b"data", TONE)))
        assert found is not None
        assert found.plain

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"RIFF",
            b"RIFF\0\0\0\0WAVE",
            b"RIFX" + spoken()[4:],
            wav(chunk(b"data", TONE)),
            wav(chunk(b"fmt ", b"\x01\0"), chunk(b"data", TONE)),
            wav(chunk(b"LIST", b"", said=0xFFFFFFFF), form(), chunk(b"data", TONE)),
            wav(*[chunk(b"LIST", b"")] * MOST_CHUNKS, form(), chunk(b"data", TONE)),
            wav(form()),
        ],
    )
    def test_what_is_none(self, content: bytes) -> None:
        assert read(content) is None

    @given(st.binary(max_size=200), st.integers(0, 60))
    def test_whatever_a_header_says(self, noise: bytes, at: int) -> None:
        whole = spoken(0.01)
        found = read(whole[:at] + noise + whole[at + len(noise) :])
        if found is not None:
            assert 0 <= found.start <= found.start + found.length <= max(len(whole), at + len(noise))


class TestMp3:
    @pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_it_is_as_long_as_the_call(self, rate: int, channels: int) -> None:
        made = mp3(spoken(2.0, rate=rate, channels=channels))
        assert seconds_of(made) == pytest.approx(2.0, abs=0.2)
        assert {(rate, count) for rate, count, _ in frames_of(made)} == {(max(rate, 16_000), channels)}

    def test_its_size_is_known_before(self) -> None:
        content = spoken(10.0)
        found = read(content)
        assert found is not None
        assert size_of(found) == pytest.approx(len(mp3(content)), rel=0.15)

    def test_the_tone_is_in_it(self) -> None:
        """Sound costs bits, silence does not: nearly all of a silent mp3 is filled up."""
        silent = wav(form(), chunk(b"data", bytes(len(pcm(2.0)))))
        assert len(set(mp3(spoken(2.0))[500:4000])) > 2 * len(set(mp3(silent)[500:4000]))

    def test_a_file_that_became_shorter_since_ends_there(self) -> None:
        content = spoken(2.0)
        assert seconds_of(mp3(content[: len(content) // 2 + 1], said=content)) == pytest.approx(1.0, abs=0.2)

    def test_what_lame_cannot_do_is_said_in_its_words(self, tmp_path: Path) -> None:
        (tmp_path / "call.wav").write_bytes(spoken(0.1))
        impossible = Wav(44, 1600, 8000, 77, whole=True, plain=True)
        with (
            (tmp_path / "call.wav").open("rb") as source,
            (tmp_path / "call.mp3").open("wb") as target,
            pytest.raises(OSError, match=r"LAME ended with exit code 1: \w+Error: "),
        ):
            encode(impossible, source, target)
