"""The FastAGI server: one question per connection, answered within the limit, from a bounded number of them.

Law: whoever is slow, endless or a stranger is left, and costs nobody else anything; a call is never held longer than
`WITHIN`. panoramisk has a FastAGI server, too: docs/adr/0020 says why this is not it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeAlias

import structlog

from amibridge.agi.conversation import (
    LONGEST_LINE,
    NotUnderstood,
    asked,
    read_environment,
    set_variables,
    variables,
)
from amibridge.config import AgiSettings
from amibridge.enterprises import Enterprise, EnterpriseId
from amibridge.limits import Guesses
from amibridge.log import Seldom
from amibridge.neighbours import Places, neighbourhood
from amibridge.responsible.answer import Answer, Nobody, Why
from amibridge.responsible.revealing import revealed
from amibridge.store.audit import AuditTrail

log = structlog.get_logger()

WITHIN = timedelta(seconds=1)
"""For the whole of a conversation. An Asterisk that can hear needs a few ms beside the answer's own limit."""

MOST = 100
"""Conversations at once; one too many is closed, and its call goes its normal way."""

MOST_OF_ONE = 50
"""Of one PBX, so that one which falls silent, or somebody who plays it, does not silence the others."""

Ask: TypeAlias = Callable[[EnterpriseId, str, str | None], Awaitable[Answer]]
"""As `Desks.answer`."""

Whose: TypeAlias = Callable[[str], Enterprise | None]
"""The enterprise of a client id."""


class AgiAddressTaken(Exception):
    """Stop until a person has looked: the address to listen on cannot be had."""


class AgiServer:
    def __init__(
        self,
        settings: AgiSettings,
        whose: Whose,
        ask: Ask,
        trail: AuditTrail,
        *,
        within: timedelta = WITHIN,
        most: int = MOST,
        of_one: int = MOST_OF_ONE,
    ) -> None:
        self._settings = settings
        self._whose = whose
        self._ask = ask
        self._trail = trail
        self._within = within.total_seconds()
        self._places = Places(most, min(of_one, most))
        self._refused, self._guesses = Seldom(), Guesses()

    async def serve(self, stop: asyncio.Event, listening: asyncio.Event) -> None:
        """Until *stop*; *listening* is set when questions are answered. Raises AgiAddressTaken."""
        settings = self._settings
        async with asyncio.TaskGroup() as tasks:

            def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                peer = _peer(writer)
                if stop.is_set() or not self._places.take(peer):
                    self._say_refused("too many at once", writer)
                    writer.close()
                    return
                task = tasks.create_task(self._converse(reader, writer), name="agi conversation")
                task.add_done_callback(lambda _: self._places.leave(peer))

            try:
                server = await asyncio.start_server(
                    connected, settings.listen_host, settings.listen_port, limit=LONGEST_LINE
                )
            except OSError as error:
                where = f"{settings.listen_host}:{settings.listen_port}"
                reason = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else str(error)
                raise AgiAddressTaken(f"cannot listen on {where} for AGI: {reason}") from None
            for host, port, *_ in (one.getsockname() for one in server.sockets):
                log.info("agi_listening", address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            listening.set()
            try:
                await stop.wait()
            finally:
                server.close()  # conversations end by themselves, within the limit

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._within):
                question = asked(await read_environment(reader))
                enterprise = self._known(question.client, _peer(writer))
                if enterprise is None:
                    await set_variables(reader, writer, variables(Answer(Nobody(Why.NOT_TOLD))))
                    raise NotUnderstood("a client id of nobody's")
                answer = await self._ask(enterprise.id, question.phone, question.line)
                answer = revealed(self._trail, enterprise.id, question.phone, answer, _peer(writer))
                log.debug(
                    "responsible_told", enterprise=enterprise.id, extension=answer.extension, reason=answer.reason
                )
                await set_variables(reader, writer, variables(answer))
        except NotUnderstood as error:
            self._say_refused(str(error), writer)
        except TimeoutError:
            self._say_refused("nothing said in time", writer)
        except OSError:
            log.debug("agi_left")
        except Exception as error:
            log.error("agi_failed", exc_info=error)
        finally:
            writer.close()

    def _known(self, client: str, peer: str) -> Enterprise | None:
        """Whose *client* is. Nobody's, for a while, to whoever tries one after another."""
        visitor, now = neighbourhood(peer), asyncio.get_running_loop().time()
        if self._guesses.wait(visitor, now) > 0:
            return None
        found = self._whose(client)
        if found is None:
            self._guesses.note(visitor, client, now)
        return found

    def _say_refused(self, reason: str, writer: asyncio.StreamWriter) -> None:
        if times := self._refused.count(asyncio.get_running_loop().time()):
            log.warning("agi_refused", peer=_peer(writer), reason=reason, times=times)


def _peer(writer: asyncio.StreamWriter) -> str:
    """Empty for a connection that broke before anybody looked."""
    name = writer.get_extra_info("peername")
    return str(name[0]) if name else ""
