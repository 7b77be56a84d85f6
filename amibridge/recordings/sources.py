"""Recordings on other machines, whichever way they are asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from amibridge.recordings.places import SftpFolder, Website
from amibridge.recordings.remote import Remote
from amibridge.recordings.sftp import SftpFolders, SftpSettings
from amibridge.recordings.website import Websites, open_websites


class Sources:
    def __init__(self, websites: Websites, sftp: SftpFolders) -> None:
        self._websites = websites
        self._sftp = sftp

    def find(self, place: Website | SftpFolder, path: str) -> AbstractAsyncContextManager[Remote | None]:
        """The longest end of *path* that is a file below *place*, not fetched yet; None if there is none.

        Raises SourceAway.
        """
        return self._websites.find(place, path) if isinstance(place, Website) else self._sftp.find(place, path)


@asynccontextmanager
async def open_sources(sftp: SftpSettings) -> AsyncIterator[Sources]:
    async with open_websites() as websites:
        yield Sources(websites, SftpFolders(sftp))
