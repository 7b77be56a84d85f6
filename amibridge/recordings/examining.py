"""Whether a file holds sound, and all of it. Blocks."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from amibridge.recordings.errors import NotReady
from amibridge.recordings.folder import open_file
from amibridge.recordings.wav import Wav, read_wav

SETTLED = 2.0
"""Seconds without a change, after which a file that says nothing of its length is taken for finished."""

WAV_HEAD = 44
"""Bytes of the header that Asterisk writes first."""


@dataclass(frozen=True, slots=True)
class Examined:
    """*wav* None: it is of another kind, or says nothing of itself."""

    size: int
    modified_ns: int
    wav: Wav | None


def examined(file: Path, suffix: str, *, fresh: bool) -> Examined | None:
    """What *file* is; None if there is no sound in it. *fresh*: what is not whole may still become so.

    MixMonitor leaves a header alone where it records bridges only (option b) and there was none.
    Raises NotReady, OSError.
    """
    with open_file(file) as opened:
        status = os.fstat(opened.fileno())
        wav = read_wav(opened, status.st_size)
    if fresh and _grows(status, suffix, wav):
        raise NotReady("it is being written")
    if status.st_size == 0 or (wav is not None and wav.length == 0):
        return None
    return Examined(status.st_size, status.st_mtime_ns, wav)


def _grows(status: os.stat_result, suffix: str, wav: Wav | None) -> bool:
    if wav is not None:
        return not wav.whole
    if suffix == ".wav" and status.st_size < WAV_HEAD:
        return True
    return abs(time.time() - status.st_mtime) < SETTLED
