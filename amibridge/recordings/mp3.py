"""PCM into mp3, piece by piece, so that an hour of talk costs no memory. Blocks; to be called in a thread.

Law: one piece is encoded at a time in the whole process, whoever waits for how many files: the other cores are the
loop's. A thread that waits for a far disk holds nobody up.
"""

from __future__ import annotations

from threading import Lock
from typing import BinaryIO

import lameenc

from amibridge.recordings.wav import Wav

PIECE = 64 * 1024
"""Bytes of PCM: four seconds of a telephone's sound, which LAME encodes in some milliseconds."""

KILOBITS = 32
"""A second and channel: speech at 16 kHz loses nothing that a telephone had."""

LOWEST_RATE = 16_000
"""Samples a second: below lies MPEG 2.5, which not every player knows."""

QUICK = 7
"""LAME's quality from 2 (best) to 7 (quickest); nobody hears the difference on a telephone call."""

_ENCODING = Lock()


def encode(wav: Wav, source: BinaryIO, target: BinaryIO) -> None:
    """Write the sound of *source*, which is a plain WAV, to *target*. Raises OSError."""
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_in_sample_rate(wav.rate)
    encoder.set_out_sample_rate(max(wav.rate, LOWEST_RATE))
    encoder.set_channels(wav.channels)
    encoder.set_bit_rate(KILOBITS * wav.channels)
    encoder.set_quality(QUICK)
    source.seek(wav.start)
    frame = 2 * wav.channels
    left = wav.length - wav.length % frame
    while left > 0:
        piece = source.read(min(PIECE, left))
        piece = piece[: len(piece) - len(piece) % frame]
        if not piece:
            break
        left -= len(piece)
        with _ENCODING:
            encoded = encoder.encode(piece)
        target.write(encoded)
    target.write(encoder.flush())


def size_of(wav: Wav) -> int:
    """About how many bytes the mp3 will have."""
    seconds = wav.length / (2 * wav.channels * wav.rate)
    return int(seconds * KILOBITS * wav.channels * 1000 / 8) + 4096
