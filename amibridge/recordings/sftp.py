"""Recordings that the PBX's own sshd shows, by SFTP.

Laws: the host key is checked, always; nothing of `~/.ssh` and no agent is used; what lies outside of the folder is not
reached, also where the server follows links without saying so.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from posixpath import join

import asyncssh

from amibridge.recordings.ends import Habits
from amibridge.recordings.errors import SourceAway
from amibridge.recordings.places import SftpFolder
from amibridge.recordings.remote import ANSWERED_WITHIN, Remote

PIECE = 32 * 1024
"""Bytes that every server gives at once; newer ones say how many they do."""


@dataclass(frozen=True, slots=True)
class SftpSettings:
    """*key_file*: our private key in OpenSSH's format. *known_hosts_file*: the PBXs' host keys, as ssh-keyscan says."""

    key_file: Path
    known_hosts_file: Path


class SftpFolders:
    def __init__(self, settings: SftpSettings) -> None:
        self._settings = settings
        self._habits = Habits()

    @asynccontextmanager
    async def find(self, place: SftpFolder, path: str) -> AsyncIterator[Remote | None]:
        """As `Sources.find`."""
        try:
            async with self._connected(place) as connection:
                async with asyncio.timeout(ANSWERED_WITHIN.total_seconds()):
                    remote = await self._opened(await connection.start_sftp_client(), place, path)
                yield remote
        except asyncssh.HostKeyNotVerifiable as error:
            known = self._settings.known_hosts_file
            raise SourceAway(f"the host key of {place.host} is not the one in {known}") from error
        except asyncssh.PermissionDenied as error:
            raise SourceAway(f"{place.host} does not let {place.user} in") from error
        except TimeoutError as error:
            raise SourceAway(f"{place.host} does not answer in time") from error
        except asyncssh.Error as error:
            raise SourceAway(f"{place.host} does not speak SFTP as it should: {type(error).__name__}") from error

    async def _opened(self, sftp: asyncssh.SFTPClient, place: SftpFolder, path: str) -> Remote | None:
        """To be closed with its connection."""
        root = await sftp.realpath(place.path)
        assert isinstance(root, str)
        if not _is_folder(await _told(sftp.stat, root)):
            raise SourceAway(f"{place} is no folder, or none that {place.user} may look into")
        for names in self._habits.ends_of(str(place), path):
            if found := await _real(sftp, root, join(root, *names)):
                self._habits.found(str(place), path, names)
                file, told = found
                return Remote(
                    told.size, told.mtime, _pieces(await sftp.open(file, "rb"), sftp.limits.max_read_len or PIECE)
                )
        return None

    @asynccontextmanager
    async def _connected(self, place: SftpFolder) -> AsyncIterator[asyncssh.SSHClientConnection]:
        known, key = self._settings.known_hosts_file, self._settings.key_file
        seconds = ANSWERED_WITHIN.total_seconds()
        try:
            if place.password is None and key.stat().st_mode & 0o077:
                raise SourceAway(f"others may read {key}: chmod 600 {key}")
            if not known.is_file():  # without one, asyncssh would believe anybody
                raise SourceAway(f"{known} is missing: put the host key of {place.host} there, see ssh-keyscan")
            connection = await asyncssh.connect(
                place.host,
                place.port,
                config=None,
                username=place.user,
                password=place.password,
                client_keys=[str(key)] if place.password is None else None,
                agent_path=None,
                known_hosts=str(known),
                preferred_auth="publickey" if place.password is None else "password,keyboard-interactive",
                connect_timeout=seconds,
                login_timeout=seconds,
                keepalive_interval=seconds,
            )
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or "no answer in time"
            where = error.filename if isinstance(error, OSError) and error.filename else place
            raise SourceAway(f"{where}: {reason}") from error
        try:
            yield connection
        finally:
            connection.abort()  # a goodbye would wait for one who may be silent


async def _real(sftp: asyncssh.SFTPClient, root: str, file: str) -> tuple[str, asyncssh.SFTPAttrs] | None:
    """*file* with its links resolved, if that is a file below *root* and on the way there is no link any more: a server
    that does not resolve them shows them here."""
    if not _is_file(await _told(sftp.stat, file)):
        return None
    real = await sftp.realpath(file)
    assert isinstance(real, str)
    names = PurePosixPath(real).parts[len(PurePosixPath(root).parts) :]
    if ".." in names or real != join(root, *names):
        return None
    *above, last = [await _told(sftp.lstat, join(root, *names[: upto + 1])) for upto in range(len(names))] or [None]
    return (real, last) if last is not None and _is_file(last) and all(map(_is_folder, above)) else None


async def _told(ask: Callable[[str], Awaitable[asyncssh.SFTPAttrs]], file: str) -> asyncssh.SFTPAttrs | None:
    """What the server says of it; None of what is not there, or not for us."""
    try:
        return await ask(file)
    except asyncssh.SFTPConnectionLost:
        raise
    except asyncssh.SFTPError:
        return None


def _is_file(told: asyncssh.SFTPAttrs | None) -> bool:
    return told is not None and stat.S_ISREG(told.permissions or 0) and (told.size or 0) > 0


def _is_folder(told: asyncssh.SFTPAttrs | None) -> bool:
    return told is not None and stat.S_ISDIR(told.permissions or 0)


async def _pieces(opened: asyncssh.SFTPClientFile, largest: int) -> AsyncIterator[bytes]:
    """One question at a time: of several that are under way, asyncssh leaves the failures to the log."""
    while True:
        async with asyncio.timeout(ANSWERED_WITHIN.total_seconds()):
            piece = await opened.read(largest)
        if not piece:
            return
        yield piece  # type: ignore[misc]
