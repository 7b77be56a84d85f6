"""PCM into mp3, piece by piece, so that an hour of talk costs no memory. Blocks; to be called in a thread.

Law: LAME works in a process of its own. There it takes no processor that the loop wants, the loop never waits for a
thread of ours to be given one, and whatever somebody's file does to LAME happens to it alone. docs/adr/0037.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import BinaryIO

from amibridge.recordings import lame
from amibridge.recordings.lame import KILOBITS
from amibridge.recordings.wav import Wav

COMMAND = (sys.executable, "-E", "-s", "-P", lame.__file__)
"""Nothing of the environment, nothing beside the file: only what is installed."""


def encode(wav: Wav, source: BinaryIO, target: BinaryIO) -> None:
    """Write the sound of *source*, a file that is a plain WAV, to the file *target*. Raises OSError."""
    frame = 2 * wav.channels
    os.lseek(source.fileno(), wav.start, os.SEEK_SET)
    sound = (wav.rate, wav.channels, wav.length - wav.length % frame)
    made = subprocess.run(
        [*COMMAND, *map(str, sound)], stdin=source, stdout=target, stderr=subprocess.PIPE, check=False
    )
    if made.returncode != 0:
        said = made.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise OSError(f"LAME ended with exit code {made.returncode}: {said}")


def size_of(wav: Wav) -> int:
    """About how many bytes the mp3 will have."""
    seconds = wav.length / (2 * wav.channels * wav.rate)
    return int(seconds * KILOBITS * wav.channels * 1000 / 8) + 4096
