"""Recordings of calls as files of this machine, to be played: found, fetched, examined, converted, cached.

Laws: several asks for one recording do its work once, and the work goes on when nobody waits any more; a place that is
silent keeps only those waiting who want to hear from it; without a cache that can be written, recordings of a folder
are played as they are.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeAlias, assert_never

import structlog

from amibridge.config import RecordingSettings
from amibridge.enterprises import EnterpriseId
from amibridge.recordings.cache import Cache
from amibridge.recordings.disk import Disk, DiskBusy
from amibridge.recordings.errors import NotReady, SourceAway
from amibridge.recordings.examining import SETTLED, examined
from amibridge.recordings.folder import find_file, open_file
from amibridge.recordings.mp3 import encode, size_of
from amibridge.recordings.places import Folder, Place, SftpFolder, Website
from amibridge.recordings.remote import fetch
from amibridge.recordings.sftp import SftpSettings
from amibridge.recordings.sources import Sources, open_sources
from amibridge.recordings.wav import Wav

log = structlog.get_logger()

PATIENCE = timedelta(seconds=4)
"""With a folder: a player that waits longer has given up."""

WORKED_WITHIN = timedelta(seconds=20)
"""How long an ask waits for a file that is fetched or converted; an hour of talk takes some five seconds."""

CONVERTED_WITHIN = timedelta(minutes=10)
"""Then the folder that is read from has died meanwhile."""

MOST_JOBS = 3
"""Fetched or converted at once for one enterprise. What is more is asked to come again."""

LOOKED_EVERY = timedelta(hours=1)
"""For cached recordings that are kept no longer."""

MP3 = ".mp3"


@dataclass(frozen=True, slots=True)
class LibrarySettings:
    """*folder*: of the cache."""

    folder: Path
    cache_bytes: int
    sftp: SftpSettings


def library_settings(data_dir: Path, told: RecordingSettings) -> LibrarySettings:
    """With what nobody set below *data_dir*."""
    key, known = told.sftp_key_file or data_dir / "sftp_key", told.known_hosts_file or data_dir / "known_hosts"
    return LibrarySettings(data_dir / "recordings", told.cache_bytes, SftpSettings(key, known))


@dataclass(frozen=True, slots=True)
class Sound:
    """A file that can be played. *folder*: by which name `Disk` knows where it is."""

    file: Path
    folder: str


@dataclass(frozen=True, slots=True)
class _Original:
    """*key*: the same for the same sound only. *cached*: under which name it is in the cache, if it is."""

    sound: Sound
    key: str
    modified_ns: int
    wav: Wav | None
    cached: str | None = None


_Work: TypeAlias = Callable[[], Awaitable[Sound | None]]


class Library:
    """To be entered before it is asked. *disk* is asked about every file that is played, too."""

    def __init__(self, settings: LibrarySettings) -> None:
        self.disk = Disk()
        self._converters = Disk(at_once=MOST_JOBS)
        self._cache = Cache(settings.folder, settings.cache_bytes)
        self._shelf = str(settings.folder)
        self._sftp = settings.sftp
        self._sources: Sources
        self._tasks: asyncio.TaskGroup
        self._jobs: dict[tuple[EnterpriseId, str], asyncio.Task[Sound | Exception | None]] = {}
        self._keeps: Mapping[EnterpriseId, timedelta | None] | None = None

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """While it is entered, work is done; leaving it ends all work. What is raised inside comes out as it is."""
        failure: Exception | None = None
        async with open_sources(self._sftp) as self._sources, asyncio.TaskGroup() as self._tasks:
            tidying = self._tasks.create_task(self._tidy(), name="recordings: tidying")
            try:
                yield
            except Exception as error:
                failure = error
            finally:
                for task in (tidying, *self._jobs.values()):
                    task.cancel()
        if failure is not None:
            raise failure

    def enterprises(self, keeps: Mapping[EnterpriseId, timedelta | None]) -> None:
        """These are all enterprises from now on, and for how long each keeps recordings; None: for ever."""
        self._keeps = keeps

    async def sound(
        self, enterprise: EnterpriseId, place: Place, path: str, *, as_mp3: bool, fresh: bool
    ) -> Sound | None:
        """The recording that the PBX of *enterprise* calls *path*; None if it is not there, or holds no sound.

        *as_mp3*: if it is PCM; else, and what is no PCM, as it is. *fresh*: what is not whole may still become so;
        else it is played as far as it goes. Raises NotReady, SourceAway and Unplayable.
        """
        try:
            match place:
                case Folder():
                    question = partial(_in_folder, place.path, path, fresh)
                    original = await self.disk.ask(place.path, question, within=PATIENCE)
                case Website() | SftpFolder():
                    if as_mp3 and (known := await self._cached(enterprise, _key(str(place), path) + MP3)):
                        return known
                    original = await self._original(enterprise, place, path, fresh)
                case _:
                    assert_never(place)
            if original is None:
                return None
            return await self._as_mp3(enterprise, original) if as_mp3 else original.sound
        except DiskBusy as error:
            raise SourceAway(str(error)) from error
        except OSError as error:
            raise SourceAway(f"{error.filename or place}: {error.strerror or error}") from error

    async def _original(
        self, enterprise: EnterpriseId, place: Website | SftpFolder, path: str, fresh: bool
    ) -> _Original | None:
        """Fetched, unless it is here already."""
        key, suffix = _key(str(place), path), _suffix(path)
        name = key + suffix
        sound = await self._cached(enterprise, name) or await self._once(
            enterprise, name, partial(self._fetch, enterprise, place, path, name, fresh)
        )
        if sound is None:
            return None
        found = await self.disk.ask(self._shelf, partial(examined, sound.file, suffix, fresh=False), within=PATIENCE)
        return _Original(sound, key, found.modified_ns, found.wav, name) if found else None

    async def _as_mp3(self, enterprise: EnterpriseId, original: _Original) -> Sound | None:
        if original.wav is None or not original.wav.plain:
            return original.sound
        name = original.key + MP3
        return await self._cached(enterprise, name) or await self._once(
            enterprise, name, partial(self._convert, enterprise, original, original.wav, name)
        )

    async def _cached(self, enterprise: EnterpriseId, name: str) -> Sound | None:
        file = await self.disk.ask(self._shelf, partial(self._cache.find, enterprise, name), within=PATIENCE)
        return None if file is None else Sound(file, self._shelf)

    async def _once(self, enterprise: EnterpriseId, name: str, work: _Work) -> Sound | None:
        """What *work* returns or raises, whoever began it. Raises NotReady when that takes long."""
        job = self._jobs.get((enterprise, name))
        if job is None:
            if sum(whose == enterprise for whose, _ in self._jobs) >= MOST_JOBS:
                raise NotReady("others are being fetched or converted")
            job = self._jobs[enterprise, name] = self._tasks.create_task(_settled(work), name=f"recording {name}")
            job.add_done_callback(lambda _: self._jobs.pop((enterprise, name)))
        done, _ = await asyncio.wait({job}, timeout=WORKED_WITHIN.total_seconds())
        if not done:
            raise NotReady("it is being fetched or converted")
        result = job.result()
        if isinstance(result, Exception):
            raise result
        return result

    async def _fetch(
        self, enterprise: EnterpriseId, place: Website | SftpFolder, path: str, name: str, fresh: bool
    ) -> Sound | None:
        async with self._sources.find(place, path) as remote:
            if remote is None:
                return None
            draft = await fetch(remote, self._cache, enterprise, self.disk)
        modified = time.time() - SETTLED if remote.modified is None else remote.modified

        def keep() -> Sound | None:
            try:
                draft.write_down(int(modified * 1e9))
                if examined(draft.path, _suffix(path), fresh=fresh) is None:
                    return None
                return Sound(draft.keep(name), self._shelf)
            finally:
                draft.close()

        return await self.disk.ask(self._shelf, keep, within=CONVERTED_WITHIN)

    async def _convert(self, enterprise: EnterpriseId, original: _Original, wav: Wav, name: str) -> Sound | None:
        def work() -> Sound:
            draft = self._cache.draft(enterprise, size_of(wav))
            try:
                with open_file(original.sound.file) as source:
                    encode(wav, source, draft.file)
                draft.write_down(original.modified_ns)
                return Sound(draft.keep(name), self._shelf)
            finally:
                draft.close()

        try:
            sound = await self._converters.ask(original.sound.folder, work, within=CONVERTED_WITHIN)
        except OSError as error:
            log.warning("recording_not_converted", enterprise=enterprise, reason=str(error))
            return original.sound
        if original.cached is not None:
            await self.disk.ask(
                self._shelf, partial(self._cache.drop, enterprise, original.cached), within=CONVERTED_WITHIN
            )
        return sound

    async def _tidy(self) -> None:
        # What cannot be removed is counted like the rest, and goes when it is the oldest.
        with suppress(DiskBusy, OSError):
            await self.disk.ask(self._shelf, self._cache.begin, within=CONVERTED_WITHIN)
        while True:
            await asyncio.sleep(LOOKED_EVERY.total_seconds())
            if self._keeps is not None:
                look = partial(self._cache.keep_only, self._keeps, datetime.now(UTC))
                with suppress(DiskBusy, OSError):
                    await self.disk.ask(self._shelf, look, within=CONVERTED_WITHIN)


async def _settled(work: _Work) -> Sound | Exception | None:
    """A failure is the affair of whoever asked, not of the group."""
    try:
        return await work()
    except Exception as error:
        return error


def _in_folder(folder: str, path: str, fresh: bool) -> _Original | None:
    file = find_file(folder, path)
    found = None if file is None else examined(file, file.suffix.lower(), fresh=fresh)
    if file is None or found is None:
        return None
    key = _key(str(file), f"{found.modified_ns} {found.size}")
    return _Original(Sound(file, folder), key, found.modified_ns, found.wav)


def _key(*what: str) -> str:
    return hashlib.sha256("\0".join(what).encode("utf-8", "surrogatepass")).hexdigest()


def _suffix(path: str) -> str:
    """Of a name for a file of ours."""
    suffix = PurePosixPath(path).suffix.lower()
    return suffix if suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= 8 else ""
