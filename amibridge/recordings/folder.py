"""A folder of this machine, which may be a mount of another's: which file in it a recording is. Blocks."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from amibridge.recordings.ends import ends_of


def find_file(folder: str, path: str) -> Path | None:
    """The longest end of *path* that is a file below *folder* and not empty; links are followed inside it only."""
    root = Path(folder).resolve()
    for names in ends_of(path):
        try:
            file = root.joinpath(*names).resolve()
            if file.is_relative_to(root) and file.is_file() and file.stat().st_size > 0:
                return file
        except (OSError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
            continue
    return None


def open_file(path: Path) -> BinaryIO:
    """A file that was found, to be read. Raises OSError, also if it has become a link, a pipe or a folder since."""
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise FileNotFoundError(f"{path} is not a file any more")
    return file
