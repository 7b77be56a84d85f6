"""What a WAV file says of itself, and whether that is true.

Laws: no header is believed beyond the file's size; what is not 16-bit PCM is somebody else's to decode.
Asterisk's format_wav.c writes a length of 0 first, and the real one when it closes the file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

MOST_CHUNKS = 64
"""Before the sound; real files have one to three."""

PCM, EXTENSIBLE = 0x0001, 0xFFFE

RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000})
"""Samples a second that mp3 knows."""


@dataclass(frozen=True, slots=True)
class Wav:
    """*start*, *length*: the bytes of sound that are really there. *whole*: as many as the header says.

    *plain*: 16-bit PCM of a rate and with channels that mp3 knows.
    """

    start: int
    length: int
    rate: int
    channels: int
    whole: bool
    plain: bool


def read_wav(file: BinaryIO, size: int) -> Wav | None:
    """The header of *file*, which has *size* bytes; None if it has none."""
    file.seek(0)
    if size < 12 or (riff := file.read(12))[:4] != b"RIFF" or riff[8:] != b"WAVE":
        return None
    form, at = None, 12
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return None
        name, said = head[:4], int.from_bytes(head[4:], "little")
        at += 8
        if name == b"fmt ":
            form = file.read(min(said, 40))
        elif name == b"data":
            return _sound(form, at, said, size)
        at += said + said % 2
        if at > size:
            return None
    return None


def _sound(form: bytes | None, start: int, said: int, size: int) -> Wav | None:
    if form is None or len(form) < 16:
        return None
    tag, channels, rate, _, block, bits = struct.unpack("<HHIIHH", form[:16])
    if tag == EXTENSIBLE and len(form) >= 26:
        tag = int.from_bytes(form[24:26], "little")
    there = size - start
    whole = said <= there and not (said == 0 and there > 0)
    plain = tag == PCM and bits == 16 and channels in (1, 2) and block == 2 * channels and rate in RATES
    return Wav(start, said if whole else there, rate, channels, whole, plain)
