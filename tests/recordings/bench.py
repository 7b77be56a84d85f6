"""`python -m tests.recordings.bench`: how long a recording takes to become mp3, and how long the loop stands still
meanwhile. Not a test: what it prints is this machine's affair."""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path

from amibridge.config import RecordingSettings
from amibridge.enterprises import EnterpriseId
from amibridge.recordings import library as library_module
from amibridge.recordings.library import Library, library_settings
from amibridge.recordings.places import Folder
from tests.recordings.wavs import chunk, form, pcm, wav

LENGTHS = (
    ("180 s, 8 kHz mono", 180, 8000, 1),
    ("60 min, 8 kHz mono", 3600, 8000, 1),
    ("60 min, 16 kHz stereo", 3600, 16_000, 2),
)
TICK = 0.001


async def longest_stall(until: asyncio.Event) -> float:
    """Seconds that a sleep took longer than it should, at most."""
    longest, at = 0.0, time.perf_counter()
    while not until.is_set():
        await asyncio.sleep(TICK)
        now = time.perf_counter()
        longest, at = max(longest, now - at - TICK), now
    return longest


async def main() -> None:
    library_module.WORKED_WITHIN = library_module.CONVERTED_WITHIN
    with tempfile.TemporaryDirectory() as folder:
        library = Library(library_settings(Path(folder) / "data", RecordingSettings()))
        async with library.serving(), asyncio.TaskGroup() as tasks:
            idle = asyncio.Event()
            watch = tasks.create_task(longest_stall(idle), name="watch")
            await asyncio.sleep(3)
            idle.set()
            print(f"{'nothing, for 3 s':24} longest stall {await watch * 1000:6.1f} ms")
            for name, seconds, rate, channels in LENGTHS:
                second = pcm(1.0, rate=rate, channels=channels)
                with (Path(folder) / f"{name}.wav").open("wb") as file:
                    file.write(wav(form(rate=rate, channels=channels), chunk(b"data", b"", said=len(second) * seconds)))
                    for _ in range(seconds):
                        file.write(second)
                done = asyncio.Event()
                watch = tasks.create_task(longest_stall(done), name="watch")
                begun, cpu = time.perf_counter(), time.process_time()
                sound = await library.sound(
                    EnterpriseId("0123"), Folder(folder), f"{name}.wav", as_mp3=True, fresh=False
                )
                took, used = time.perf_counter() - begun, time.process_time() - cpu
                done.set()
                assert sound is not None
                assert sound.file.suffix == ".mp3"
                size = sound.file.stat().st_size / 1e6
                print(
                    f"{name:24} {took:5.2f} s ({used:.2f} s of CPU), {size:5.1f} MB, "
                    f"longest stall {await watch * 1000:6.1f} ms"
                )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
        print(f"memory at its peak {peak:.0f} MB")


if __name__ == "__main__":
    asyncio.run(main())
