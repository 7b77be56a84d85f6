"""A real Chromium without a window, told what to do over its DevTools protocol; only where one is installed."""

from __future__ import annotations

import asyncio
import itertools
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name)) is not None), None)

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
)
LISTENING = re.compile(rb"DevTools listening on (ws://\S+)")
PATIENCE = 30.0


class Browser:
    """*complaints*: errors of pages and of the browser about them."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []

    @asynccontextmanager
    async def tab(self, url: str) -> AsyncIterator[Tab]:
        target = (await self.do("Target.createTarget", url="about:blank"))["targetId"]
        attached = await self.do("Target.attachToTarget", targetId=target, flatten=True)
        tab = Tab(self, attached["sessionId"])
        try:
            for domain in ("Runtime", "Log", "Page"):
                await tab.do(f"{domain}.enable")
            await tab.do("Page.navigate", url=url)
            yield tab
        finally:
            await self.do("Target.closeTarget", targetId=target)

    async def do(self, method: str, session: str | None = None, **arguments: Any) -> dict[str, Any]:
        """Its result. What the browser tells meanwhile is looked through for complaints."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": arguments}
        await self._socket.send_json(command if session is None else command | {"sessionId": session})
        async with asyncio.timeout(PATIENCE):
            while (message := await self._socket.receive_json()).get("id") != number:
                self._note(message)
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

    def _note(self, message: dict[str, Any]) -> None:
        match message:
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                self.complaints.append(str(details.get("exception", details)))
            case {"method": "Log.entryAdded", "params": {"entry": {"level": "error"} as entry}}:
                self.complaints.append(f"{entry['text']} {entry.get('url', '')}")


class Tab:
    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    async def do(self, method: str, **arguments: Any) -> dict[str, Any]:
        return await self._browser.do(method, self._session, **arguments)

    async def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.do("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.do("Emulation.setEmulatedMedia", features=[scheme])

    async def value(self, expression: str) -> Any:
        """Of JavaScript; a promise is awaited."""
        answer = await self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until it is true."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not await self.value(expression):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"never true: {expression}; {self._browser.complaints}") from None


@asynccontextmanager
async def browsing(folder: Path) -> AsyncIterator[Browser]:
    """A fresh browser whose profile lies in *folder*."""
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *FLAGS,
        f"--user-data-dir={folder}",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            while (found := LISTENING.search(line := await process.stderr.readline())) is None:
                assert line, "it ended at once"
        async with aiohttp.ClientSession() as session, session.ws_connect(found[1].decode(), max_msg_size=0) as socket:
            yield Browser(socket)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()
