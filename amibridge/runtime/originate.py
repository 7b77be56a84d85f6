"""Placing a call for an operator: whose phone, on which host, with whose name on its display; asked for once.

Laws: what is not an extension of the enterprise's and a public number never becomes an action; the CRM is not waited
for, and a slow database only where another's phone might ring; an action is sent once, and whoever asked again in time
hears of the same call.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import asyncpg
import structlog

from amibridge.ami.actions import Action, originate
from amibridge.ami.errors import ActionUnanswered, AmiError, LinkLost
from amibridge.ami.events import CLICK_COUNTERS, Uniqueid
from amibridge.ami.session import Reply
from amibridge.calls.clicks import (
    Click,
    ClickFailed,
    ClickRefused,
    Placed,
    Why,
    asked_extension,
    asked_number,
    dialled,
    name_to_show,
)
from amibridge.calls.record import CallId, Extension
from amibridge.enterprises import AmiHost, Enterprise, EnterpriseId, HostStanding, LinkState
from amibridge.runtime.handing import advice
from amibridge.runtime.repeats import Repeats
from amibridge.store.db import DATABASE_FAILURES
from amibridge.store.known import KnownCustomer, customer_of_phone
from amibridge.store.whereabouts import host_of_extension

AGAIN_WITHIN = timedelta(seconds=5)
"""One operator who clicks one number again so soon has clicked twice, or his browser has."""

KEYS_KEPT = timedelta(hours=1)
"""Whoever sends an Idempotency-Key tries again within minutes."""

MOST = 10_000
"""Clicks, and keys, that are remembered at once."""

PATIENCE = timedelta(milliseconds=50)
"""With the database, for a name: a call without one is better than one that comes late."""

HOST_PATIENCE = timedelta(seconds=2)
"""The same for the host, where there are several: a late call is better than one of another's phone. A quarter is for a
connection, which may have to be made; then a month of calls is looked through."""

MET_WITHIN = timedelta(days=30)
"""In which calls a phone is looked for, where there are several hosts."""

LINE_VARIABLE = "AMIBRIDGE_LINE"
"""The channels of a call inherit it: our number that the customer should see, for dialplans that ask for it."""

Send: TypeAlias = Callable[[AmiHost, Action], Awaitable[Reply]]


class Originator:
    """*send* asks a host, *standings* tells how hosts stand."""

    def __init__(self, pool: asyncpg.Pool, send: Send, standings: Callable[[], Sequence[HostStanding]]) -> None:
        self._pool = pool
        self._send = send
        self._standings = standings
        self._clicks: Repeats[Placed] = Repeats(AGAIN_WITHIN, MOST, _is_over)
        self._keys: Repeats[Placed] = Repeats(KEYS_KEPT, MOST, _is_over)

    async def call(self, enterprise: Enterprise, click: Click) -> Placed:
        """Ring the operator, then the customer; answered as soon as Asterisk has taken it on.

        Raises ClickRefused, ClickFailed.
        """
        begun = time.perf_counter()
        extension = asked_extension(click.code, enterprise.operators, [host.numbering for host in enterprise.hosts])
        number, phone = asked_number(click.phone, enterprise.region)

        async def place() -> Placed:
            return await self._place(enterprise, extension, number, phone, click, begun)

        async def place_once() -> Placed:
            return await self._clicks.once((enterprise.id, extension, phone), place)

        if click.key is None:
            return await place_once()
        placed = await self._keys.once((enterprise.id, click.key), place_once)
        if (placed.extension, placed.phone) != (extension, phone):
            raise ClickRefused(Why.KEY_USED, "This Idempotency-Key was used for another call.")
        return placed

    async def _place(
        self, enterprise: Enterprise, extension: Extension, number: str, phone: str, click: Click, begun: float
    ) -> Placed:
        host = await self._host_of(enterprise, extension)
        number = dialled(host.originate_number, number, phone, enterprise.region)
        known = await self._customer_of(enterprise.id, phone)
        name = None if known is None else name_to_show(known.name)
        uniqueid = Uniqueid(f"{int(time.time())}.{random.choice(CLICK_COUNTERS)}")
        line = _line_of(enterprise, click.line)
        log = structlog.get_logger(enterprise=enterprise.id, host=host.name, operator=extension, way=click.way)
        try:
            await self._send(
                host,
                originate(
                    host.originate_channel.replace("{extension}", extension),
                    context=host.originate_context,
                    exten=number,
                    caller=extension,
                    shown=name,
                    uniqueid=uniqueid,
                    variables=() if line is None else ((f"__{LINE_VARIABLE}", line),),
                ),
            )
        except AmiError as error:
            log.warning("call_not_placed", reason=str(error), **advice(error, "originate"))
            may_ring = isinstance(error, LinkLost | ActionUnanswered)
            raise ClickFailed(f"{host.name}: {error}", placed=may_ring) from error
        took = timedelta(seconds=time.perf_counter() - begun)
        call = CallId(f"{host.name}:{uniqueid}")
        log.info("call_placed", call=call, ms=round(took.total_seconds() * 1000, 1))
        customer = None if known is None else known.id
        return Placed(call, host.host, extension, number, phone, name, customer, took)

    async def _host_of(self, enterprise: Enterprise, extension: Extension) -> AmiHost:
        """Of several hosts that could have such an extension, the one on which it was last met; else one that is up."""
        able = [host for host in enterprise.hosts if host.numbering.extension_in(extension) == extension]
        able = able or list(enterprise.hosts)
        if len(able) == 1:
            return able[0]
        since = datetime.now(UTC) - MET_WITHIN
        try:
            met = await host_of_extension(self._pool, enterprise.id, extension, since, within=HOST_PATIENCE)
        except DATABASE_FAILURES:
            met = None
        ours = [one for one in self._standings() if one.host.enterprise == enterprise.id]
        up = {one.host.name for one in ours if one.state is LinkState.UP}
        return min(able, key=lambda host: (host.name != met, host.name not in up))

    async def _customer_of(self, enterprise: EnterpriseId, phone: str) -> KnownCustomer | None:
        try:
            return await customer_of_phone(self._pool, enterprise, phone, within=PATIENCE)
        except DATABASE_FAILURES:
            return None


def _is_over(error: BaseException) -> bool:
    """Whether a click that failed so may be tried again at once: nothing can have come of it."""
    return not (isinstance(error, ClickFailed) and error.placed)


def _line_of(enterprise: Enterprise, line: str | None) -> str | None:
    """The line of the enterprise's that *line* names, however it is written."""
    asked = _digits(line or "")
    return next((number for number in enterprise.lines if asked and _digits(number) == asked), None)


def _digits(number: str) -> str:
    return "".join(character for character in number if character.isascii() and character.isdigit())
