"""What happens in the CRM reaches PostgreSQL, hinted at or not, once, whatever order it comes in."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from amibridge.enterprises import EnterpriseId, ModuleStanding
from amibridge.retailcrm.triggers import Subject
from amibridge.sandbox.crm_history import OUR_KEY
from amibridge.secrets import Key, Keyring
from amibridge.store.customers import CustomerId, Customers
from amibridge.store.directory import Directory
from amibridge.store.known import customer_of_phone, orders_of_customer
from amibridge.store.mirror import History, Mirror, Place
from amibridge.store.modules import tell_module
from amibridge.sync import patience
from tests.sync.following import BOSS, NUMBER, Office, enterprise

pytestmark = pytest.mark.postgres

PHONE = "+79161234567"
SLOWLY = timedelta(hours=1)


async def test_customers_and_orders_are_followed_without_a_single_hint(office: Office) -> None:
    async with office.followed():
        await office.begun()
        olga = office.new_customer("Ольга", "8 (916) 123-45-67")
        order = office.new_order(customer={"id": olga}, totalSumm=1395.16, managerId=27)
        await office.until_alike()
        office.edit_order(order, status="complete")
        office.edit_customer(olga, firstName="Ольга Петровна")
        await office.until_alike()
    [row] = await office.fetch("SELECT * FROM crm_orders")
    assert (row["customer_id"], row["manager_id"], row["number"], row["site"]) == (olga, 27, "1C", "romashka")
    assert (str(row["total"]), row["currency"], row["status_group"]) == ("1395.16", "RUB", "complete")
    assert abs(row["created_at"] - datetime.now(UTC)) < timedelta(minutes=5), "it is written in the account's zone"
    known = await customer_of_phone(office.pool, NUMBER, PHONE)
    assert known is not None
    assert (known.id, known.name) == (olga, "Ольга Петровна")
    day = timedelta(days=1)
    found = await orders_of_customer(office.pool, NUMBER, known.id, datetime.now(UTC) - day, datetime.now(UTC) + day)
    assert [one.id for one in found] == [order]
    assert await orders_of_customer(office.pool, NUMBER, known.id, datetime.now(UTC) - day, found[0].created_at) == []  # type: ignore[arg-type]


async def test_a_hint_brings_it_at_once_and_a_hundred_of_them_no_more(office: Office) -> None:
    async with office.followed(every=SLOWLY):
        await office.begun()
        await office.until_asked("/api/v5/orders/history", 1)
        order = office.new_order()
        for _ in range(100):
            office.hint(Subject.ORDER, order)
        await office.until_alike()
        await office.until_asked("/api/v5/orders/history", 2)
        office.edit_order(order, status="complete")
        office.hint()  # of nothing in particular
        await office.until_alike()
    assert office.asked("/api/v5/orders/history") <= 4
    assert len(await office.fetch("SELECT FROM crm_orders")) == 1


async def test_hints_may_come_too_early_too_late_and_about_nobody(office: Office) -> None:
    async with office.followed(every=SLOWLY):
        await office.begun()
        office.hint(Subject.CUSTOMER, 1)
        office.hint(Subject.ORDER, 2**31)
        office.hint(Subject.ORDER, 404)
        office.new_customer("Ольга")
        office.new_order()
        office.hint()
        await office.until_alike()


async def test_what_was_deleted_is_marked_and_its_phone_is_nobodys(office: Office) -> None:
    links = Customers(office.pool)
    async with office.followed():
        await office.begun()
        olga, order = office.new_customer("Ольга", PHONE), office.new_order()
        await office.until_alike()
        await links.link(NUMBER, PHONE, CustomerId(olga))
        office.crm.customers.delete(olga, datetime.now(UTC), BOSS)
        office.crm.orders.delete(order, datetime.now(UTC), BOSS)
        await office.until_alike()
    assert await customer_of_phone(office.pool, NUMBER, PHONE) is None
    assert await links.of_phone(NUMBER, PHONE) is None
    [row] = await office.fetch("SELECT name, deleted_at FROM crm_customers")
    assert row["name"] == "Ольга"
    assert row["deleted_at"] is not None


async def test_a_merge_is_followed_with_orders_phones_and_links(office: Office) -> None:
    links = Customers(office.pool)
    async with office.followed():
        await office.begun()
        olga, twin = office.new_customer("Ольга", PHONE), office.new_customer("Оля", "+79160000002")
        office.new_order(customer={"id": twin})
        await office.until_alike()
        await links.link(NUMBER, "+79160000002", CustomerId(twin))
        office.crm.customers.combine(olga, [twin], datetime.now(UTC), BOSS)
        await office.until_alike()
    assert await links.of_phone(NUMBER, "+79160000002") == olga
    known = await customer_of_phone(office.pool, NUMBER, "+79160000002")
    assert known is not None
    assert known.id == olga
    [order] = await office.fetch("SELECT customer_id FROM crm_orders")
    assert order["customer_id"] == olga
    [gone] = await office.fetch("SELECT merged_into FROM crm_customers WHERE customer_id = $1", twin)
    assert gone["merged_into"] == olga


async def test_a_phone_that_was_given_to_somebody_else_leads_to_him_no_more(office: Office) -> None:
    links = Customers(office.pool)
    olga = office.new_customer("Ольга", PHONE, "+79160000002")
    async with office.followed():
        await office.begun()
        for phone in (PHONE, "+79160000002"):
            await links.link(NUMBER, phone, CustomerId(olga))
        office.edit_customer(olga, phones=[{"number": "8 (916) 000-00-02"}])
        await office.until_rows("SELECT FROM retailcrm_customers", 1)
    assert await links.of_phone(NUMBER, PHONE) is None
    assert await links.of_phone(NUMBER, "+79160000002") == olga


async def test_our_own_echo_is_fetched_only_when_it_made_something_new(office: Office) -> None:
    async with office.followed(every=SLOWLY):
        await office.begun()
        made = office.new_customer("Новый", by=OUR_KEY)
        office.hint()
        await office.until_alike()
        before = office.asked("/api/v5/customers")
        office.edit_customer(made, by=OUR_KEY, vip=True)
        office.hint()
        await office.until_asked("/api/v5/customers/history", office.asked("/api/v5/customers/history") + 1)
        await office.until_read()
        assert office.asked("/api/v5/customers") == before + 1, "its history, and nobody was fetched"
        office.edit_customer(made, firstName="Старый")
        office.hint()
        await office.until_alike()


async def test_orders_of_the_last_month_are_there_with_their_customers_names(office: Office) -> None:
    olga = office.new_customer("Ольга", PHONE)
    now = datetime.now(UTC)
    mine = {office.new_order(at=now - timedelta(days=days), customer={"id": olga}) for days in range(1, 31)}
    many = {office.new_order(at=now - timedelta(days=3)) for _ in range(45)}
    old = office.new_order(at=now - timedelta(days=40), customer={"id": olga})
    async with office.followed():
        await office.until_rows("SELECT FROM crm_cursors WHERE backfilled_from <= started_at - interval '30 days'", 1)
        await office.until_rows("SELECT FROM crm_customers", 1)
    assert {row["order_id"] for row in await office.fetch("SELECT order_id FROM crm_orders")} == (mine | many) - {old}
    assert await office.names() == {olga: "Ольга"}


async def test_of_customers_whom_the_crm_has_no_more_is_asked_once(office: Office) -> None:
    await Customers(office.pool).link(NUMBER, PHONE, CustomerId(404))
    async with office.followed():
        await office.until_rows("SELECT FROM crm_customers WHERE deleted_at IS NOT NULL", 1)
        await office.until_asked("/api/v5/customers/history", office.asked("/api/v5/customers/history") + 3)
    lists = [one for one in office.sandbox.requests if one.path == "/api/v5/customers"]
    assert len(lists) == 1


async def test_a_dictionary_that_changes_regroups_orders(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    from amibridge.sandbox import crm_orders
    from amibridge.sync import statuses

    monkeypatch.setattr(statuses, "KEPT_FOR", timedelta(0))
    async with office.followed():
        await office.begun()
        office.new_order(status="no-call")
        await office.until_rows("SELECT FROM crm_orders WHERE status_group = 'cancel'", 1)
        monkeypatch.setitem(crm_orders.STATUSES, "no-call", "later")
        office.new_order()
        await office.until_rows("SELECT FROM crm_orders WHERE status_group = 'later'", 1)


async def test_ten_thousand_changes_are_drained_page_by_page_within_the_pace(office: Office) -> None:
    async with office.followed():
        await office.begun()
        await office.until_asked("/api/v5/orders/history", 1)
    ids = [office.new_order() for _ in range(500)]
    for turn in range(19):
        for id in ids:
            office.edit_order(id, managerComment=f"{turn}")
    for id in ids:
        office.edit_order(id, status="complete")
    assert len(office.crm.orders.history.records) > 10_000
    asked = len(office.sandbox.requests)
    async with office.followed(pace=timedelta(milliseconds=10)):
        await office.until_read()
    assert await office.statuses() == office.statuses_there()
    times = [seen.arrived for seen in office.sandbox.requests][asked:]
    busiest = max(sum(1 for at in times if start <= at < start + 1) for start in times[::10])
    assert busiest <= 110, "a hundred in a second, and some that were on their way"
    assert 100 < office.asked("/api/v5/orders/history") < 200


@pytest.mark.parametrize("module", [ModuleStanding(active=False), ModuleStanding(frozen=True)])
async def test_an_account_whose_module_is_off_is_not_asked_and_nothing_is_missed(
    office: Office, module: ModuleStanding
) -> None:
    off, other = enterprise(office.url, module=module), enterprise(office.url, id=EnterpriseId("0124"))
    theirs, ours = "SELECT FROM crm_customers WHERE enterprise_id = '0124'", "SELECT FROM crm_customers"
    async with office.followed(off, other) as watchers:
        await office.begun()
        office.new_customer("Ольга", PHONE)
        office.hint()
        await office.until_rows(theirs, 1)
        assert len(await office.fetch("SELECT FROM crm_cursors WHERE enterprise_id = $1", NUMBER)) == 0
        watchers.enterprises([enterprise(office.url), other])
        await office.until_rows("SELECT FROM crm_cursors", 4)
        office.new_customer("Вера", PHONE)
        await office.until_rows(theirs, 2)
        await office.until_rows(f"{ours} WHERE enterprise_id = '0123' AND name = 'Вера'", 1)
        # Off again, it stands where it was, and goes on from there.
        watchers.enterprises([off, other])
        office.new_customer("Мария", PHONE)
        await office.until_rows(theirs, 3)
        watchers.enterprises([enterprise(office.url), other])
        await office.until_rows(f"{ours} WHERE enterprise_id = '0123' AND name = 'Мария'", 1)


async def test_enterprises_come_and_go(office: Office) -> None:
    async with office.followed() as watchers:
        await office.begun()
        watchers.enterprises([])
        before = office.asked("/api/")
        await asyncio.sleep(0)
        office.new_customer("Ольга")
        watchers.enterprises([enterprise(office.url)])
        await office.until_alike()
        assert office.asked("/api/") > before


async def test_an_account_whose_zone_was_changed_is_asked_for_it_anew(office: Office) -> None:
    async with office.followed(enterprise(office.url, time_zone=None)) as watchers:
        await office.begun()
        watchers.forget_zone(NUMBER)
        await office.until_asked("/api/v5/settings", 2)
        office.new_order()
        await office.until_alike()


async def test_an_account_that_moved_is_the_same_account(office: Office, pool: asyncpg.Pool) -> None:
    """By the CRM's word first, then by the enterprise's file."""
    directory = Directory(pool, Keyring([Key("key", b"k" * 32)]))
    filed = enterprise("https://romashka.retailcrm.ru")
    await directory.apply(filed)
    told = {"active": True, "frozen": False, "at": datetime.now(UTC), "unheeded": None, "within": SLOWLY}
    assert await tell_module(pool, NUMBER, moved_to=office.url, **told)  # type: ignore[arg-type]
    [served] = await directory.load()
    await Mirror(pool).begin(Place(NUMBER, filed.account.url, History.ORDERS), datetime.now(UTC))
    async with office.followed(served) as watchers:
        await office.begun()
        office.new_order()
        await office.until_alike()
        assert await directory.apply(enterprise(office.url)) != []
        watchers.enterprises(await directory.load())
        await office.until_asked("/api/v5/orders/history", office.asked("/api/v5/orders/history") + 3)
        assert await office.statuses() == office.statuses_there()
    rows = await office.fetch("SELECT account, since_id FROM crm_cursors ORDER BY history")
    assert [tuple(row.values()) for row in rows] == [(office.url, None), (office.url, 1)]
    assert office.asked("/api/credentials") == 0, "that would be asked of another account"


async def test_an_account_that_lets_nobody_in_forgets_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LASTING", (0.01, 0.02))
    async with office.followed() as watchers:
        await office.begun()
        office.new_customer("Ольга", PHONE)
        await office.until_alike()
        alias = office.url.replace("127.0.0.1", "localhost")  # another account, by its address
        watchers.enterprises([enterprise(alias, key="wrong-key")])
        await office.until_asked("/api/credentials", 3)
        assert await office.names() == office.names_there()
        watchers.enterprises([enterprise(office.url)])
        office.new_customer("Вера")
        await office.until_alike()


async def test_another_account_is_another_beginning(office: Office, dsn: str, pool: asyncpg.Pool) -> None:
    from tests.sync import following

    async with office.followed() as watchers:
        await office.begun()
        office.new_customer("Ольга", PHONE)
        await office.until_alike()
        async with following.office(pool) as other:
            watchers.enterprises([following.enterprise(other.url)])
            await other.until_rows("SELECT FROM crm_customers", 0)
            await other.until_rows("SELECT FROM crm_cursors", 2)
            other.new_customer("Вера")
            await other.until_alike()
