"""What becomes of the calls of one upload when the CRM does not take all of them."""

from __future__ import annotations

from aiohttp import web

from amibridge.enterprises import Enterprise
from amibridge.retailcrm.client import RetailCrm
from amibridge.store.outbox import DeliveryStatus
from tests.delivery.rows import history
from tests.delivery.scripted_crm import UPLOAD, ScriptedCrm
from tests.delivery.test_lane import KEY, Table, running
from tests.delivery.test_lane import enterprise as enterprise
from tests.delivery.waiting import until


async def test_of_an_upload_that_was_taken_in_part_the_rest_is_sent_again(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    """By the answer nobody knows which: those it has come back as known."""

    async def took_two() -> web.StreamResponse:
        for call in scripted.of(UPLOAD)[0].said[:2]:
            scripted.calls[KEY][call["externalId"]] = call
        return web.json_response({"success": True, "processedCallsCount": 2, "duplicateCalls": []})

    scripted.script[UPLOAD].append(took_two)
    ids = range(1, 6)
    table = Table([history(number, f"pbx:{number}") for number in ids])
    async with running(enterprise, crm, table):
        await until(lambda: table.all(DeliveryStatus.SENT, ids))
    assert scripted.calls[KEY].keys() == {f"pbx:{number}" for number in ids}
    assert [len(heard.said) for heard in scripted.of(UPLOAD)] == [5, 2, 3]
    assert scripted.duplicates == 2
