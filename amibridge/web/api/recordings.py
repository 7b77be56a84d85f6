"""`/api/v1/calls/{id}/recordings`: links by which other software hears a call.

Laws: one entry for each recording that the PBX began, in its order, whether its file is there yet or not; a link is
good for a day at most, and no longer than the recording is kept.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from amibridge.calls.record import CallId
from amibridge.enterprises import Scope
from amibridge.recordings.places import is_within_reach
from amibridge.secrets import Keyring, SealBroken
from amibridge.store.recordings import CallRecordings, recordings_of_call
from amibridge.web.access import Caller
from amibridge.web.answers import Refused
from amibridge.web.api.endpoint import Endpoint, endpoint
from amibridge.web.api.shapes import CallAsk, RecordingsAnswer
from amibridge.web.recordings import record_url

GOOD_FOR = timedelta(days=1)
"""Whoever has a link needs no token: long enough to fetch it, too short to be kept."""


def recordings_endpoint(pool: asyncpg.Pool, keyring: Keyring, public_url: str) -> Endpoint[Any]:
    @endpoint("/api/v1/calls/{id}/recordings", Scope.RECORDINGS, "calls.recordings", CallAsk, RecordingsAnswer)
    async def recordings(caller: Caller, ask: CallAsk) -> dict[str, Any]:
        """Where the recordings of a call that is over can be heard.

        Whoever has a `url` needs no token. It is null where the bridge cannot reach the host's recordings, or they are
        kept no longer.
        """
        enterprise, call, now = caller.enterprise, CallId(ask.id), datetime.now(UTC)
        try:
            found = await recordings_of_call(pool, keyring, enterprise.id, call)
        except SealBroken as error:
            raise Refused(503, "keyring_lacking", "The place of the recordings cannot be read.") from error
        if found is None:
            raise Refused(404, "unknown_call", "There is no such call that is over.")
        until = min(now + min(GOOD_FOR, enterprise.links_valid or GOOD_FOR), _kept_until(found))
        is_there = found.place is not None and is_within_reach(found.place, found.password) and now < until
        link = record_url(public_url, keyring, enterprise.id, call, until) if is_there else None
        return {
            "recordings": [
                {
                    "number": number,
                    "path": path,
                    "url": link and f"{link}/{number}",
                    "expires_at": link and until.isoformat(timespec="seconds"),
                }
                for number, path in enumerate(found.paths, 1)
            ]
        }

    return recordings


def _kept_until(found: CallRecordings) -> datetime:
    return datetime.max.replace(tzinfo=UTC) if found.keep is None else found.ended_at + found.keep
