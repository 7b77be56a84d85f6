"""Recordings of calls that were never spoken: a soft two-tone WAV of the right length, as MixMonitor writes it."""

from __future__ import annotations

import math
import wave
from array import array
from datetime import timedelta
from functools import cache
from pathlib import Path

RATE = 8000
LONGEST = timedelta(seconds=30)
TONES = (440.0, 554.37)
LOUDNESS = 2500  # of 32767: pleasant in a headset


def write_recording(path: Path, length: timedelta) -> None:
    """8 kHz, mono, 16 bit. *length* is cut to 30 s; nothing said gives a file without sound, as Asterisk leaves it."""
    samples = round(min(length, LONGEST).total_seconds() * RATE)
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        whole, rest = divmod(samples, len(_second()))
        sound.writeframes(_second().tobytes() * whole + _second()[:rest].tobytes())


@cache
def _second() -> array[int]:
    """One second, half of it in each tone, every half swelling and fading so that nothing clicks."""
    half = RATE // 2
    return array(
        "h",
        (
            int(LOUDNESS * math.sin(math.pi * at / half) * math.sin(math.tau * tone * at / RATE))
            for tone in TONES
            for at in range(half)
        ),
    )
