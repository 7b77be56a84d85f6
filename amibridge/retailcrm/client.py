"""The wire to RetailCRM: one keep-alive aiohttp session for all accounts.

Laws: the key travels in a header only, over TLS or to this machine; redirects are not followed; a body is read up to
a bound; no account is asked more often than its rates allow; nothing is repeated here, not even by the library below:
`delivery.policy` decides that; the tap hears of every request, for all go through `RetailCrm.send`.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import aiohttp
from yarl import URL

from amibridge import __version__
from amibridge.enterprises import Account, EnterpriseId
from amibridge.retailcrm.account_url import check_account_url
from amibridge.retailcrm.errors import CrmBroken, CrmError, CrmLockedOut, CrmUnreachable
from amibridge.retailcrm.exchange import HEARD_MAX, SENT_MAX, Exchange, Occasion, Tap, occasion
from amibridge.retailcrm.limits import RATES, Rate, RateWindow
from amibridge.retailcrm.requests import LimitClass, ReplyT, Request
from amibridge.retailcrm.responses import read

REDACTED_FROM = 8
"""Characters a key must have to be struck out of answers: a shorter one is no key and would be found everywhere."""

ACCEPTED = "accepted"
ABANDONED = "abandoned"
"""What is counted when all went well, and when whoever asked did not wait for the answer."""


@dataclass(frozen=True, slots=True)
class CrmSettings:
    """*connect*: also the wait for a free connection. *connections*: to one host, so that one dead CRM stops itself."""

    connect: timedelta = timedelta(seconds=5)
    total: timedelta = timedelta(seconds=30)
    max_body: int = 1024 * 1024
    connections: int = 16
    keep_alive: timedelta = timedelta(seconds=30)
    rates: Mapping[LimitClass, Rate] = field(default_factory=lambda: RATES)


class RetailCrm:
    def __init__(self, session: aiohttp.ClientSession, settings: CrmSettings, tap: Tap | None = None) -> None:
        self._session = session
        self._settings = settings
        self._tap = tap
        self._turns: dict[tuple[str, str, LimitClass], _Turns] = {}
        self._answers: defaultdict[Account, Counter[str]] = defaultdict(Counter)

    def answers(self, account: Account) -> Mapping[str, int]:
        """What *account* has said to all that it was asked: `ACCEPTED`, the kinds of errors, `ABANDONED`."""
        return self._answers[account]

    async def send(self, account: Account, request: Request[ReplyT]) -> ReplyT:
        """Ask once. Raises CrmError.

        An account whose address or key cannot be used at all is locked out without being asked.
        """
        kind = ABANDONED
        try:
            reply = await self._send(account, request)
            kind = ACCEPTED
        except CrmError as error:
            kind = error.kind
            raise
        finally:
            self._answers[account][kind] += 1
        return reply

    async def _send(self, account: Account, request: Request[ReplyT]) -> ReplyT:
        try:
            base = check_account_url(account.url)
        except ValueError as error:
            raise CrmLockedOut(str(error)) from error
        key = account.api_key
        if not (key and key.isascii() and key.isprintable() and " " not in key):
            raise CrmLockedOut("the API key is empty or has characters that no key has")
        async with self._turns_of(base, key, request.limit).turn():
            return await self._exchange(account.enterprise, base, key, request)

    async def _exchange(self, enterprise: EnterpriseId | None, base: str, key: str, request: Request[ReplyT]) -> ReplyT:
        address, form, headers = request.encoded()
        sent = (form or b"")[:SENT_MAX]
        exchange = Exchange(enterprise, occasion() or Occasion(), request.method, address, sent, datetime.now(UTC))
        exchange.occasion.last = exchange
        try:
            body = await self._ask(base + address, form, {**headers, "X-API-KEY": str(key)}, exchange)
            if len(key) >= REDACTED_FROM:
                body = body.replace(key.encode("ascii"), b"******")
            exchange.heard = body[:HEARD_MAX]
            assert exchange.status is not None
            reply = read(request, exchange.status, exchange.headers, body, datetime.now(UTC))
            exchange.news = request.nothing is None or not request.nothing(reply)
        except CrmError as error:
            exchange.failure = str(error)
            raise
        except asyncio.CancelledError:
            exchange.failure = "the answer was awaited no longer"
            raise
        finally:
            exchange.took = datetime.now(UTC) - exchange.began
            if self._tap is not None:
                self._tap(exchange)
        return reply

    def _turns_of(self, base: str, key: str, limit: LimitClass) -> _Turns:
        owner = (base, str(key), limit)
        if owner not in self._turns:
            rate = self._settings.rates[limit]
            self._turns[owner] = _Turns(rate)
        return self._turns[owner]

    async def _ask(self, address: str, form: bytes | None, headers: Mapping[str, str], exchange: Exchange) -> bytes:
        """The body of the answer; its status and headers are noted in *exchange*."""
        try:
            async with self._session.request(
                exchange.method,
                URL(address, encoded=True),
                data=form,
                headers=headers,
                allow_redirects=False,
                middlewares=(_Once(),),
            ) as response:
                exchange.status, exchange.headers = response.status, response.headers
                return await self._body(response)
        except TimeoutError as error:
            raise CrmUnreachable("the CRM did not answer in time") from error
        except (aiohttp.ClientResponseError, aiohttp.InvalidURL) as error:
            raise CrmBroken(f"the CRM does not speak HTTP: {type(error).__name__}") from error
        except (aiohttp.ClientError, OSError, UnicodeError) as error:  # UnicodeError: no name for DNS
            raise CrmUnreachable(f"the CRM cannot be reached: {str(error) or type(error).__name__}") from error

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._settings.max_body:
                raise CrmBroken(f"an answer of more than {self._settings.max_body} bytes", status=response.status)
        return bytes(body)


class _Once:
    """Sends one request once: aiohttp would repeat a GET whose kept-alive connection turns out to be closed."""

    def __init__(self) -> None:
        self._sent = False

    async def __call__(self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if self._sent:
            raise aiohttp.ServerDisconnectedError
        self._sent = True
        return await send(request)


class _Turns:
    """Lets callers start one after the other, in the order they came, as their rate allows."""

    def __init__(self, rate: Rate) -> None:
        self._window = RateWindow(rate.limit, rate.per.total_seconds())
        self._unanswered = asyncio.Semaphore(rate.unanswered)
        self._queue = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for it; it lasts until the answer is there."""
        async with self._unanswered:
            await self._start()
            yield

    async def _start(self) -> None:
        clock = asyncio.get_running_loop().time
        async with self._queue:
            pause = self._window.wait(clock())
            while pause > 0:  # a timer may fire a little early
                await asyncio.sleep(pause)
                pause = self._window.wait(clock())
            self._window.take(clock())


@asynccontextmanager
async def open_crm(settings: CrmSettings, *, tap: Tap | None = None) -> AsyncIterator[RetailCrm]:
    timeout = aiohttp.ClientTimeout(total=settings.total.total_seconds(), connect=settings.connect.total_seconds())
    connector = aiohttp.TCPConnector(
        limit=0,
        limit_per_host=settings.connections,
        keepalive_timeout=settings.keep_alive.total_seconds(),
        ttl_dns_cache=300,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"amibridge/{__version__}", "Accept": "application/json"},
    ) as session:
        yield RetailCrm(session, settings, tap)
