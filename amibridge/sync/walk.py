"""Through a history by its cursor: a page, whom it speaks of, and both written at once.

Laws: the cursor stands where everything before it is written; it is kept in the database, so whoever is killed goes on
where he was; a CRM that does not go on is not asked in circles.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from amibridge.retailcrm.errors import CrmBroken
from amibridge.store.mirror import Cursor, Step
from amibridge.sync.followed import Context, Followed, Page

PAGE, SMALL_PAGE = 100, 20
"""Changes on a page; the small one where a hundred new orders are more than an answer may have."""

CLOCKS_DIFFER = timedelta(minutes=5)
"""A first start begins so much earlier: the CRM's clock may be behind ours."""


async def walk_page(followed: Followed, context: Context) -> bool:
    """One page further; True when there is more. Raises CrmError, Overtaken and what the database raises."""
    log = context.log
    cursor = await context.mirror.begin(followed.place, context.now())
    page = await _page(followed, cursor, (cursor.started_at - CLOCKS_DIFFER).astimezone(context.zone))
    if page.last_id is None or (cursor.since_id is not None and page.last_id <= cursor.since_id):
        if page.more:
            raise CrmBroken(f"the CRM repeats its history of {followed.place.history} instead of going on")
        return False
    if page.unreadable:
        log.error("crm_changes_set_aside", what=str(followed.place.history), changes=page.unreadable)
    echoes = page.changes.echoes
    known = await context.mirror.known(followed.place, echoes) if echoes else set()
    ids = [*page.changes.touched, *(one for one in echoes if one not in known)]
    await followed.fetch(ids, page.changes, Step(cursor.since_id, page.last_id))
    return page.more


async def _page(followed: Followed, cursor: Cursor, start: datetime) -> Page:
    begin = None if cursor.since_id is not None else start
    try:
        return await followed.page(cursor.since_id, begin, PAGE)
    except CrmBroken:
        return await followed.page(cursor.since_id, begin, SMALL_PAGE)
