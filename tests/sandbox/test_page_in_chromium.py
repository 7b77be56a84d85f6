"""The page of the sandbox CRM in a real browser: it stays fresh by itself, plays recordings, and fits every window."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from amibridge.sandbox.recordings import write_recording
from amibridge.sandbox.retailcrm import SandboxCrm
from tests.sandbox.chromium import CHROMIUM, Browser, Tab, browsing
from tests.sandbox.crm_asker import EVENT, OTHER_KEY, UPLOAD, Asker, finished, hangup, ringing, romashka, vasilek

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]

LABEL = "document.getElementById('live')?.textContent"
TEXTS = "Array.from(document.querySelectorAll('{}'), (one) => one.innerText.replace(/\\s+/g, ' '))"
POPUPS = TEXTS.replace("{}", ".popup")
CALLS = TEXTS.replace("{}", ".call:not(.head) time")


@pytest.fixture(scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with browsing(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
async def tab(browser: Browser, asker: Asker) -> AsyncIterator[Tab]:
    """At the page of *asker*'s CRM, of which the browser may complain of nothing."""
    browser.complaints.clear()
    async with browser.tab(f"{asker.url}/") as tab:
        await tab.until(f"{LABEL} === 'live'")
        yield tab
    assert browser.complaints == []


async def test_a_popup_appears_counts_its_seconds_says_why_it_closed_and_goes(tab: Tab, asker: Asker) -> None:
    await tab.value("window.untouched = true")
    await asker.post(EVENT, event=ringing(externalPhone="74951110001"))
    await tab.until(f"{POPUPS}.length === 1")
    [popup] = await tab.value(POPUPS)
    assert popup.startswith("Incoming call 0:0")
    assert popup.endswith("+79161234567 Ольга Петрова to 74951110001")
    await tab.until(f"{POPUPS}[0].startsWith('Incoming call 0:02')")
    assert (await tab.value(TEXTS.replace("{}", ".desk .state")))[:2] == ["1 popup", "quiet"]
    await asker.post(EVENT, event=hangup(hangupStatus="cancel"))
    await tab.until(f"{POPUPS}[0].startsWith('Incoming call Caller gave up')")
    assert (await tab.value(TEXTS.replace("{}", ".desk .state")))[0] == "quiet"
    await tab.value("document.getAnimations().forEach((one) => one.finish())")
    await tab.until(f"{POPUPS}.length === 0")
    assert await tab.value("window.untouched") is True


async def test_a_call_takes_its_place_and_what_was_there_stays_what_it_was(tab: Tab, asker: Asker) -> None:
    for minute in (10, 30):
        await asker.post(UPLOAD, calls=[finished(date=f"2026-11-24 09:{minute}:00", externalId=str(minute))])
    await tab.until(f"{CALLS}.length === 2")
    await tab.value("document.querySelectorAll('.call:not(.head)').forEach((one, at) => { one.mark = at; })")
    await asker.post(UPLOAD, calls=[finished(date="2026-11-24 09:20:00", externalId="20")])
    await asker.post(UPLOAD, OTHER_KEY, calls=[finished()])
    await tab.until(f"{CALLS}.length === 4")
    assert [text[:5] for text in await tab.value(CALLS)] == ["09:30", "09:20", "09:10", "09:15"]
    marks = "Array.from(document.querySelectorAll('.call:not(.head)'), (one) => one.mark ?? null)"
    assert await tab.value(marks) == [0, None, 1, None]
    assert await tab.value("document.querySelector('h3').innerText") == "Calls 3"
    assert await tab.value("document.querySelectorAll('.empty').length") == 0
    counted = "document.querySelector('#counters [data-key=calls] dd').innerText"
    await tab.until(f"{counted} === '4'")


async def test_a_recording_plays_on_while_other_calls_come(tab: Tab, asker: Asker, tmp_path: Path) -> None:
    write_recording(tmp_path / "call.wav", timedelta(seconds=20))
    app = web.Application()
    app.router.add_static("/", tmp_path)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/call.wav"
        await asker.post(UPLOAD, calls=[finished(recordUrl=url)])
        await tab.until("document.querySelectorAll('audio').length === 1")
        await tab.value("document.querySelector('audio').play()")
        await tab.until("document.querySelector('audio').currentTime > 0.05")
        assert await tab.value("Math.round(document.querySelector('audio').duration)") == 20
        await asker.post(UPLOAD, calls=[finished(externalId="2", date="2026-11-24 10:00:00")])
        await tab.until(f"{CALLS}.length === 2")
        heard = await tab.value("document.querySelector('audio').currentTime")
        await tab.until(f"document.querySelector('audio').currentTime > {heard} + 0.05")
        assert await tab.value("document.querySelector('audio').paused") is False
    finally:
        await runner.cleanup()


async def test_when_the_server_goes_the_page_says_so_and_comes_back_with_it(browser: Browser) -> None:
    crm = SandboxCrm([romashka(), vasilek()])
    async with crm.serve() as url:
        port = int(url.rpartition(":")[2])
        tabs = browser.tab(f"{url}/")
        tab = await tabs.__aenter__()
        await tab.until(f"{LABEL} === 'live'")
    try:
        await tab.until(f"{LABEL} === 'reconnecting'")
        async with crm.serve(port=port) as url, aiohttp.ClientSession() as session:
            await Asker(crm, url, session).post(EVENT, event=ringing())
            await tab.until(f"{LABEL} === 'live' && {POPUPS}.length === 1")
    finally:
        await tabs.__aexit__(None, None, None)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [420, 1000, 1400])
async def test_nothing_is_cut_off_or_unreadable(tab: Tab, asker: Asker, width: int, dark: bool) -> None:
    """Long names too; a text stands out from its ground by 4.5:1 at least."""
    await tab.resize(width, 900, dark=dark)
    long = "Общество с ограниченной ответственностью «Ромашка и сыновья»"
    for kind, status in (("in", "cancel"), ("out", "busy"), ("in", "answered")):
        known = {"type": kind, "callExternalId": status, "externalPhone": long}
        await asker.post(EVENT, event=ringing(**known))
        await asker.post(EVENT, event=hangup(callExternalId=status, hangupStatus=status))
    await asker.post(EVENT, event=ringing(externalPhone="74951110001"))
    calls = [
        finished(externalId=result, result=result, externalPhone=long, recordUrl="https://example.com/x.wav")
        for result in ("answered", "no answer", "busy", "failed", "not allowed", "unknown")
    ]
    await asker.post(UPLOAD, calls=calls)
    await tab.until(f"{POPUPS}.length === 4 && {CALLS}.length === 6")
    await tab.value("document.querySelector('details').open = true")
    await tab.value("document.getAnimations().forEach((one) => one.cancel())")
    assert await tab.value("document.documentElement.scrollWidth") <= width
    cut = """Array.from(document.querySelectorAll("main *, footer *"))
      .filter((one) => !one.closest("svg") && getComputedStyle(one).overflowX === "visible")
      .filter((one) => one.clientWidth > 0 && one.scrollWidth > one.clientWidth + 1)
      .map((one) => one.className + ": " + one.innerText)"""
    assert await tab.value(cut) == []
    assert await tab.value(FAINT) == []


FAINT = """(() => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
      .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const ground = (one) => {
    const colour = getComputedStyle(one).backgroundColor;
    return /, 0\\)$/.test(colour) && one.parentElement ? ground(one.parentElement) : colour;
  };
  return Array.from(document.querySelectorAll("header *, main *, footer *"))
    .filter((one) => one.checkVisibility())
    .filter((one) => Array.from(one.childNodes).some((node) => node.nodeType === 3 && node.data.trim()))
    .map((one) => [light(getComputedStyle(one).color), light(ground(one)), one])
    .map(([text, back, one]) => [(Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05), one])
    .filter(([contrast]) => contrast < 4.5)
    .map(([contrast, one]) => `${one.className || one.tagName} ${contrast.toFixed(2)}: ${one.innerText}`);
})()"""
"""Texts whose contrast, as WCAG counts it, is too low."""
