"""`python lame.py RATE CHANNELS BYTES`: so much PCM of stdin as mp3 on stdout, in a process that `mp3` starts.

Laws: it steps back for whoever else wants the processor; it ends with whoever started it; nothing of ours is imported
here, so that it begins quickly.
"""

import os
import sys
from contextlib import suppress

import lameenc

PIECE = 64 * 1024
"""Bytes of PCM: four seconds of a telephone's sound, which LAME encodes in some milliseconds."""

KILOBITS = 32
"""A second and channel: speech at 16 kHz loses nothing that a telephone had."""

LOWEST_RATE = 16_000
"""Samples a second: below lies MPEG 2.5, which not every player knows."""

QUICK = 7
"""LAME's quality from 2 (best) to 7 (quickest); nobody hears the difference on a telephone call."""

STEPS_BACK = 10
"""Of 19: a tenth of what the loop gets where both want the same processor."""


def encode(rate: int, channels: int, left: int) -> None:
    with suppress(OSError):  # a service may be forbidden to
        os.nice(STEPS_BACK)
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_in_sample_rate(rate)
    encoder.set_out_sample_rate(max(rate, LOWEST_RATE))
    encoder.set_channels(channels)
    encoder.set_bit_rate(KILOBITS * channels)
    encoder.set_quality(QUICK)
    source, target, parent = sys.stdin.buffer, sys.stdout.buffer, os.getppid()
    frame = 2 * channels
    while left > 0 and os.getppid() == parent:
        piece = source.read(min(PIECE, left))
        piece = piece[: len(piece) - len(piece) % frame]
        if not piece:
            break
        left -= len(piece)
        target.write(encoder.encode(piece))
    target.write(encoder.flush())


if __name__ == "__main__":
    encode(*map(int, sys.argv[1:]))
