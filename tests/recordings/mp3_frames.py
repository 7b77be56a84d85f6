"""Counts the frames of an mp3 by their headers, as a player does (ISO 11172-3, 13818-3)."""

from __future__ import annotations

KILOBITS = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {1: (44100, 48000, 32000), 2: (22050, 24000, 16000)}


def frames_of(sound: bytes) -> list[tuple[int, int, int]]:
    """(samples a second, channels, samples) of each frame, to the last byte."""
    found, at = [], 0
    while at < len(sound):
        head = int.from_bytes(sound[at : at + 4], "big")
        assert head >> 21 == 0x7FF, f"no frame begins at {at}"
        version = {3: 1, 2: 2}[head >> 19 & 3]
        assert head >> 17 & 3 == 1, "not layer III"
        rate = RATES[version][head >> 10 & 3]
        samples = 1152 if version == 1 else 576
        at += samples // 8 * KILOBITS[version][head >> 12 & 15] * 1000 // rate + (head >> 9 & 1)
        found.append((rate, 1 if head >> 6 & 3 == 3 else 2, samples))
    assert at == len(sound), "the last frame is cut"
    return found


def seconds_of(sound: bytes) -> float:
    return sum(samples / rate for rate, _, samples in frames_of(sound))
