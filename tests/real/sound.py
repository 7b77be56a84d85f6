"""What phones say and hear: pure tones in G.711 (ITU-T, mu-law), so that who hears whom can be told.

All tones are multiples of 50 Hz: a packet of 20 ms holds whole waves, and no tone is found in a packet of another.
"""

from __future__ import annotations

import math
import wave
from array import array
from collections.abc import Sequence
from pathlib import Path

RATE = 8000
SAMPLES = 160
SILENCE = b"\xff" * SAMPLES

TONES = (450, 700, 1000, 1350)
LOUD = 6000.0
AUDIBLE = LOUD / 5
"""Mixing and jitter take something away; another tone leaves less than a hundredth."""


def rtp(number: int, source: bytes, payload: bytes) -> bytes:
    """The packet of that *number* (RFC 3550), which may be more than its counters hold."""
    return b"\x80\x00" + (number % 2**16).to_bytes(2) + (number * SAMPLES % 2**32).to_bytes(4) + source + payload


def spoken(tone: int) -> bytes:
    """20 ms of *tone* Hz."""
    return bytes(_encoded(round(LOUD * math.sin(2 * math.pi * tone * at / RATE))) for at in range(SAMPLES))


def tones_in(packets: Sequence[bytes]) -> set[int]:
    """Those that sound in more than half of them."""
    return {tone for tone in TONES if sum(_loudness(one, tone) > AUDIBLE for one in packets) > len(packets) / 2}


def recorded(path: Path) -> list[bytes]:
    """A recording as phones would have heard it, 20 ms each."""
    with wave.open(str(path)) as file:
        samples = array("h", file.readframes(file.getnframes()))
    return [
        bytes(_encoded(sample) for sample in samples[at : at + SAMPLES])
        for at in range(0, len(samples) - SAMPLES, SAMPLES)
    ]


def _loudness(packet: bytes, tone: int) -> float:
    parts = [(_DECODED[byte], 2 * math.pi * tone * at / RATE) for at, byte in enumerate(packet)]
    real = sum(sample * math.cos(phase) for sample, phase in parts)
    imaginary = sum(sample * math.sin(phase) for sample, phase in parts)
    return 2 * math.hypot(real, imaginary) / max(1, len(packet))


def _encoded(sample: int) -> int:
    return min(range(256), key=lambda byte: abs(_DECODED[byte] - sample))


def _decoded(byte: int) -> int:
    byte = ~byte & 0xFF
    size = (((byte & 0x0F) << 3) + 0x84 << ((byte & 0x70) >> 4)) - 0x84
    return -size if byte & 0x80 else size


_DECODED = [_decoded(byte) for byte in range(256)]
