"""WAV files as they are, and as nobody should write them."""

from __future__ import annotations

import math
import struct
from array import array


def pcm(seconds: float, *, rate: int = 8000, channels: int = 1) -> bytes:
    """A tone that swells and fades."""
    samples = array("h")
    for at in range(int(seconds * rate)):
        value = int(9000 * math.sin(at * 440 * math.tau / rate) * math.sin(at * math.pi / (seconds * rate)))
        samples.extend([value] * channels)
    return samples.tobytes()


def chunk(name: bytes, body: bytes, *, said: int | None = None) -> bytes:
    """*said*: the length in its head, where that is not the truth."""
    return name + struct.pack("<I", len(body) if said is None else said) + body


def form(*, tag: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16, block: int | None = None) -> bytes:
    block = channels * bits // 8 if block is None else block
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * block % 2**32, block, bits))


def wav(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return chunk(b"RIFF", body)


def spoken(seconds: float = 1.0, *, rate: int = 8000, channels: int = 1) -> bytes:
    return wav(form(rate=rate, channels=channels), chunk(b"data", pcm(seconds, rate=rate, channels=channels)))
