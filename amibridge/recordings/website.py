"""Recordings that a web server of the PBX shows: one GET each, once it is known how its paths begin.

Laws: TLS is verified; nobody is sent anywhere else, redirects included; a page is no sound.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import aiohttp
from yarl import URL

from amibridge.recordings.ends import Habits
from amibridge.recordings.errors import SourceAway
from amibridge.recordings.places import Website
from amibridge.recordings.remote import ANSWERED_WITHIN, PIECE, Remote

AT_ONCE = 4
"""Connections to one machine."""


@asynccontextmanager
async def open_websites() -> AsyncIterator[Websites]:
    seconds = ANSWERED_WITHIN.total_seconds()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, limit_per_host=AT_ONCE),
        timeout=aiohttp.ClientTimeout(total=None, connect=seconds, sock_connect=seconds, sock_read=seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
    ) as client:
        yield Websites(client)


class Websites:
    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client
        self._habits = Habits()

    @asynccontextmanager
    async def find(self, place: Website, path: str) -> AsyncIterator[Remote | None]:
        """As `Sources.find`."""
        try:
            for names in self._habits.ends_of(place.base, path):
                way = "/".join(quote(name, safe="", errors="surrogateescape") for name in names)
                address = URL(place.base + way, encoded=True)
                async with self._client.get(address, allow_redirects=False, headers=_authorization(place)) as response:
                    if _is_there(response, place):
                        self._habits.found(place.base, path, names)
                        yield Remote(response.content_length, _modified(response), response.content.iter_chunked(PIECE))
                        return
        except aiohttp.ClientError as error:
            raise SourceAway(f"{place} does not answer as it should: {type(error).__name__}") from error
        yield None


def _is_there(response: aiohttp.ClientResponse, place: Website) -> bool:
    match response.status:
        case 200:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise SourceAway(f"{place} packs what it sends, though it was asked not to")
            return not response.content_type.startswith("text/")
        case 401 | 407:
            raise SourceAway(f"{place} wants another user or password (HTTP {response.status})")
        case 408 | 429 | 500 | 502 | 503 | 504:
            raise SourceAway(f"{place} is in trouble (HTTP {response.status})")
        case _:
            return False


def _authorization(place: Website) -> Mapping[str, str]:
    if place.user is None:
        return {}
    return {"Authorization": aiohttp.encode_basic_auth(place.user, place.password or "")}


def _modified(response: aiohttp.ClientResponse) -> float | None:
    try:
        return parsedate_to_datetime(response.headers["Last-Modified"]).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None
