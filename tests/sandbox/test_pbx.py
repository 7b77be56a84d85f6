"""The sandbox PBX: what it plays is what was recorded, and it answers as Asterisk does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from amibridge.ami import actions
from amibridge.ami.events import AmiEvent, ChannelEvent
from amibridge.ami.link import AmiAddress, Link, LinkSettings
from amibridge.redact import Secret
from amibridge.sandbox.library import TRACES
from amibridge.sandbox.pbx import SandboxPbx
from tests.ami.linking import Listener
from tests.ami.pieces import events_in

ANSWERED = TRACES / "asterisk22" / "a_inbound_answered_caller_hangup.ami"
BUSY = TRACES / "asterisk22" / "e_inbound_busy.ami"
OUTGOING = TRACES / "asterisk16-chan_sip" / "k_outbound_answered_caller_hangup.ami"

SETTINGS = LinkSettings(boot_grace=timedelta(milliseconds=100), goodbye=timedelta(milliseconds=100))
USER = {"username": "amibridge", "secret": "demo"}


def channel_events(raw: bytes) -> list[AmiEvent]:
    return [event for event in events_in([raw]) if isinstance(event, ChannelEvent)]


def link_to(
    address: tuple[str, int], listener: Listener, settings: LinkSettings = SETTINGS, secret: str = "demo"
) -> Link:
    return Link(AmiAddress(*address, "amibridge", Secret(secret)), listener.hear, settings=settings)


@asynccontextmanager
async def watched(pbx: SandboxPbx, settings: LinkSettings = SETTINGS) -> AsyncIterator[tuple[Link, Listener]]:
    listener = Listener()
    async with pbx.serve() as address:
        link = link_to(address, listener, settings)
        try:
            await link.open()
            yield link, listener
        finally:
            await link.close()


async def heard_all(pbx: SandboxPbx, link: Link) -> None:
    """All has been played, and all of it has come through: what is asked after it is answered."""
    async with asyncio.timeout(30):
        await pbx.played()
        await link.send(actions.ping())
