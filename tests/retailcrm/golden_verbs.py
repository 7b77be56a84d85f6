"""The verbs of the recordings: what we build for each, and what we read in its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from amibridge.retailcrm.corporate import CompaniesReply, Company, companies
from amibridge.retailcrm.customers import (
    CustomerFields,
    CustomerReply,
    CustomersReply,
    create_customer,
    customer,
    customers,
    edit_customer,
    fix_external_ids,
    upload_customers,
)
from amibridge.retailcrm.fields import Paging
from amibridge.retailcrm.history import (
    CustomerHistoryReply,
    Happened,
    OrderHistoryReply,
    customers_history,
    orders_history,
)
from amibridge.retailcrm.installation import InstallationReply, VersionsReply, api_versions, installation
from amibridge.retailcrm.modules import (
    IntegrationModule,
    ModuleEdited,
    ModuleReply,
    edit_integration_module,
    integration_module,
)
from amibridge.retailcrm.notifications import send_notification
from amibridge.retailcrm.orders import (
    OrderFields,
    OrderReply,
    OrdersReply,
    OrderStatus,
    OrderStatusesReply,
    OrderWritten,
    Payment,
    create_order,
    order,
    order_statuses,
    orders,
)
from amibridge.retailcrm.phone_lookup import ManagerReply, telephony_manager
from amibridge.retailcrm.reference import (
    OrderMethodsReply,
    SitesReply,
    Status,
    StatusesReply,
    StatusGroupsReply,
    order_methods,
    sites,
    status_groups,
    statuses,
)
from amibridge.retailcrm.replies import CallEventReply, CallsUploadReply, CredentialsReply, SettingsReply
from amibridge.retailcrm.requests import (
    CallResult,
    CallType,
    EventType,
    Request,
    UploadedCall,
    call_event,
    calls_upload,
    credentials,
    settings,
)
from amibridge.retailcrm.users import UserReply, UsersReply, UserStatus, set_user_status, user, users
from amibridge.retailcrm.written import Accepted, Created, Edited, Uploaded

MOSCOW = ZoneInfo("Europe/Moscow")
Expected = object | Callable[[Any], bool]
"""The reply, or what is true of one that has more in it than is worth writing down."""

UPLOAD = UploadedCall(
    date=datetime(2021, 3, 1, 12, 0, tzinfo=MOSCOW),
    type=CallType.IN,
    phone="88000000001",
    user_id=27,
    result=CallResult.ANSWERED,
    duration=60,
    duration_waiting=10,
    external_id="test_call_external_id",
    record_url="https://example.com/test.mp3",
    site="aliexpress",
)

EMBEDDED = IntegrationModule(
    code="test-embedjs-integration",
    integration_code="test-embedjs-integration",
    active=True,
    frozen=False,
    name="Test EmbedJs Integration",
    logo="https://example.com/logo.svg",
    client_id="test-embedjs-integration",
    native=True,
    base_url="https://example.com",
    activity="/activity",
    countries=("RU", "US"),
    account_url="https://example.com/account",
    others={
        "embedJs": {
            "entrypoint": "https://example.com/embed.js",
            "stylesheet": "https://example.com/embed.css",
            "targets": ["order_card", "customer_card"],
            "runner": "worker",
            "pages": [
                {
                    "code": "orders-page",
                    "menu": "orders",
                    "parentMenuItemCode": "orders",
                    "menuItemOrdering": 100,
                    "menuItemTitle": {"en": "Orders", "es": "Pedidos", "ru": "Заказы"},
                    "pageHelpLink": {
                        "en": "https://example.com/help/en",
                        "es": "https://example.com/help/es",
                        "ru": "https://example.com/help/ru",
                    },
                    "isSettingsMainPage": True,
                }
            ],
        }
    },
)

TESTER = CustomerFields(
    external_id="test_10",
    manager_id=24,
    custom_fields={"galkatrue": True},
    address="(202) 555-0101 100 Example Rd, Testville, 00000",
    first_name="Test",
    last_name="User",
    patronymic="Tester",
    email="tester@example.com",
    phones=("(202) 555-0100",),
)


ITEMS = [
    {
        "offer": {
            "name": "Сборка №1445123",
            "displayName": "Сборка №1445123",
            "xmlId": "tGunLo27jlPGmbA8BrHxY2",
            "article": "14451445-14451445",
            "unit": {"code": "796", "name": "Штука", "sym": "шт"},
        },
        "priceType": {"code": "base"},
        "quantity": 1,
        "purchasePrice": 60,
        "discounts": [{"type": "manual_product", "amount": 1}],
    }
]


def is_the_manager(reply: ManagerReply) -> bool:
    assert reply.manager is not None
    assert reply.customer is not None
    assert (reply.manager.id, reply.manager.code, reply.manager.first_name) == (1, "12", "John")
    assert (reply.customer.id, reply.customer.external_id, reply.customer.phones) == (1, "1", ("88000000001",))
    assert reply.links.new_order == "https://demo.retailcrm.ru/orders/add?phone=88000000001"
    return (reply.links.customer, reply.links.last_order) == (None, None)


def is_the_transport(reply: ModuleReply) -> bool:
    module = reply.module
    assert (module.code, module.works, module.frozen, module.telephony) == ("mg-fbmessenger", True, False, None)
    assert (module.activity, module.settings, module.countries) == ("/actions/activity", None, ())
    return module.others["mgTransport"]["isActive"] is True


def is_ivan(reply: CustomersReply) -> bool:
    [found] = reply.customers
    assert reply.paging == Paging(1, 1, 1)
    assert (found.id, found.external_id, found.name) == (1233, "11", "Иван Иванович23 Иванов")
    assert (found.phones, found.site, found.is_contact, found.email) == (("89000000022",), "moysklad", True, None)
    return (found.total_summ, found.orders_count) == (Decimal(50), 1)


def is_omega(reply: CustomerReply) -> bool:
    found = reply.customer
    assert found.phones == ("79000000045", "+79000000044")
    assert (found.total_summ, found.average_summ, found.tags[0]) == (Decimal(7057), Decimal(7057), "test")
    assert found.created_at == datetime(2022, 3, 11, 15, 39, 8)
    return found.custom_fields == {"galkatrue": True}


def is_a_history_of_customers(reply: CustomerHistoryReply) -> bool:
    assert (reply.last_id, reply.more, len(reply.records)) == (2699, True, 8)
    assert [
        (record.happened, record.entity.id) for record in reply.records if record.happened is not Happened.CHANGED
    ] == [
        (Happened.CREATED, 982),
        (Happened.CREATED, 983),
    ]
    assert [(record.field, record.new_text) for record in reply.records] == [
        ("segments", None),
        ("segments", "normalniy-sredniy-chek"),
        ("segments", "problemnie"),
        ("id", "982"),
        ("phones", "9000000020"),
        ("manager", "23"),
        ("id", "983"),
        ("external_id", "3"),
    ]
    assert [record.user for record in reply.records if record.source == "user"] == [23]
    assert reply.records[3].entity.custom_fields == {}
    return not any(record.own for record in reply.records)


def is_a_history_of_orders(reply: OrderHistoryReply) -> bool:
    assert (reply.last_id, reply.more) == (7041, True)
    assert all((one.happened, one.field, one.new_text) == (Happened.CREATED, "status", "new") for one in reply.records)
    assert [one.entity.total_summ for one in reply.records] == list(map(Decimal, ("1395.16", "2663.96", "4999", "0")))
    assert [one.entity.customer for one in reply.records] == [971, 971, 971, 978]
    assert [len(one.entity.payments) for one in reply.records] == [0, 1, 1, 0]
    assert reply.records[1].entity.payments[0].amount == Decimal("2663.96")
    return reply.records[3].user == 19


def is_the_order_by_id(reply: OrdersReply) -> bool:
    [found] = reply.orders
    assert (found.id, found.number, found.status, found.site) == (7141, "7141C", "assembling", "moysklad")
    assert (found.purchase_summ, found.total_summ, found.currency, found.payments) == (
        Decimal(60),
        Decimal(0),
        "RUB",
        (),
    )
    return (found.customer, found.contact, found.is_of_company, found.phone) == (4924, 4924, False, "+79000000015")


def is_the_order_by_external_id(reply: OrderReply) -> bool:
    paid = Payment(4326, None, "bank-card", Decimal(0), None)
    [payment] = reply.order.payments
    assert payment.paid_at == datetime(2020, 12, 29, 17, 35, 12)
    assert (payment.id, payment.type, payment.amount) == (paid.id, paid.type, paid.amount)
    assert reply.order.external_id == "8000000000000160"
    return (reply.order.total_summ, reply.order.status) == (Decimal(1), "delivering")


def is_a_created_order(reply: OrderWritten) -> bool:
    assert reply.order is not None
    assert reply.id == reply.order.id == 7146
    assert [payment.amount for payment in reply.order.payments] == [Decimal(1000)]
    assert reply.order.full_paid_at == datetime(2021, 2, 25, 14, 5, 6)
    return (reply.order.manager_id, reply.order.prepay_sum) == (28, Decimal(1000))


def is_an_order_of_a_contact(reply: OrderWritten) -> bool:
    assert reply.order is not None
    return (reply.order.customer, reply.order.contact, reply.order.payments) == (1, 4512, ())


def is_the_programmer(reply: UserReply | UsersReply) -> bool:
    if isinstance(reply, UsersReply):
        assert reply.paging == Paging(1, 1, 8)
    [found] = reply.users if isinstance(reply, UsersReply) else [reply.user]
    assert (found.id, found.name, found.status, found.online) == (28, "programmer", UserStatus.FREE, True)
    return (found.is_admin, found.is_manager, found.groups) == (True, True, ("manager", "director"))


def are_the_sites(reply: SitesReply) -> bool:
    assert reply.sites.keys() == {"test", "test-ru"}
    return (reply.sites["test"].id, reply.sites["test"].currency) == (100, "RUB")


def are_the_statuses(reply: StatusesReply) -> bool:
    assert reply.statuses["3"] == Status("3", "3", "complete", True)
    return reply.statuses["no-call"].group == "cancel"


def are_the_groups(reply: StatusGroupsReply) -> bool:
    assert {code: group.process for code, group in reply.groups.items()} == {
        "new": False, "approval": True, "assembling": True, "delivery": True, "complete": False, "cancel": False,
    }  # fmt: skip
    return reply.groups["complete"].statuses == ("complete", "3")


def are_the_methods(reply: OrderMethodsReply) -> bool:
    assert [code for code, method in reply.methods.items() if method.default] == ["shopping-cart"]
    return {"2", "phone", "missed-call"} <= reply.methods.keys()


VERBS: dict[str, tuple[Request[Any], Expected]] = {
    "01-telephony-call-event-in-userids": (
        call_event(type=EventType.IN, phone="88000000001", user_ids=[27], site="aliexpress"),
        CallEventReply(),
    ),
    "03-telephony-calls-upload": (calls_upload([UPLOAD]), CallsUploadReply(1)),
    "05-telephony-manager-details": (
        telephony_manager("88000000001", details=True, ignore_status=True),
        is_the_manager,
    ),
    "07-integration-module-get": (integration_module("mg-fbmessenger"), is_the_transport),
    "09-integration-module-edit-embedjs": (edit_integration_module(EMBEDDED), ModuleEdited()),
    "15-api-versions": (api_versions(), VersionsReply(("3.0", "4.0", "5.0"))),
    "16-credentials": (
        credentials(),
        CredentialsReply(frozenset({"order_read", "customer_read", "reference_read"}), "access_full"),
    ),
    "17-system-info": (
        installation(),
        InstallationReply(
            "8.1.51", "https://test.retailcrm.ru", "https://testwtestxtestvtestytestwtesthm6.retailcrm.io"
        ),
    ),
    "23-settings-timezone": (settings(), SettingsReply(MOSCOW, "RUB", "RU")),
    "24-customers-list-by-phone-via-name": (
        customers(name="89000000022", sites=["moysklad", "aliexpress"], is_contact=True),
        is_ivan,
    ),
    "28-customers-edit": (edit_customer(4770, CustomerFields(first_name="Test"), "aliexpress"), Edited(4770)),
    "29-customers-edit-tags": (
        edit_customer(
            4770,
            CustomerFields(first_name="Test", add_tags=("tag1", "tag2"), remove_tags=("tag3", "tag4")),
            "aliexpress",
        ),
        Edited(4770),
    ),
    "31-customers-get": (customer(4770, "bb_demo"), is_omega),
    "33-customers-fix-external-ids": (
        fix_external_ids({number: f"external_id_{number}" for number in (1, 2, 3)}),
        Accepted(),
    ),
    "40-orders-list-by-id": (orders(ids=[7141]), is_the_order_by_id),
    "44-orders-get-by-external-id": (order("8000000000000160", "aliexpress"), is_the_order_by_external_id),
    "48-orders-statuses": (
        order_statuses(external_ids=["8000000000000160"]),
        OrderStatusesReply((OrderStatus(6722, "8000000000000160", "delivering", "delivery"),)),
    ),
    "53-users-get": (user(28), is_the_programmer),
    "54-users-status": (set_user_status(28, UserStatus.BUSY), Accepted()),
    "58-reference-sites": (sites(), are_the_sites),
    "59-reference-statuses": (statuses(), are_the_statuses),
    "60-reference-status-groups": (status_groups(), are_the_groups),
    "61-reference-order-methods": (order_methods(), are_the_methods),
    "63-notifications-send": (
        send_notification("<p>some notification</p>", user_groups=["superadmins"]),
        Accepted(),
    ),
}

NOT_SENT: dict[str, tuple[Request[Any], set[str], Expected]] = {
    "25-customers-create": (
        create_customer(replace(TESTER, birthday=date(1980, 1, 1)), "aliexpress"),
        {"type", "contragent", "tags"},
        Created(1),
    ),
    "26-customers-create-201": (
        create_customer(
            CustomerFields(
                external_id="Ab12Cd34",
                first_name="Тест",
                last_name="Тестов",
                patronymic="Тестович",
                email="ab12cd34@example.com",
            )
        ),
        {"address", "tags"},
        Created(123),
    ),
    "34-customers-upload": (
        upload_customers([TESTER], "aliexpress"),
        {"type", "contragent", "tags"},
        Uploaded({"test_10": 1}, failed=("100", "101")),
    ),
    "36-customers-history": (customers_history(since_id=2691, limit=20), {"page"}, is_a_history_of_customers),
    "39-customers-corporate-list": (
        companies(sites=["moysklad", "aliexpress"]),
        {"filter[nickName][0]", "filter[contragentInn]"},
        CompaniesReply((Company(5041, "Test Corporate Customer", "aliexpress", 28, 5042),), Paging(1, 1, 1)),
    ),
    "42-orders-create": (
        create_order(
            OrderFields(
                order_type="test",
                order_method="phone",
                first_name="Test",
                last_name="User",
                patronymic="Patronymic",
                phone="89000000069",
                email="testuser12345678901@example.com",
                manager_id=28,
                customer=4924,
                status="assembling",
                status_comment="Assembling order",
                items=ITEMS,
                custom_fields={"galka": False, "test_number": 0, "otpravit_dozakaz": False},
            ),
            "moysklad",
        ),
        {"countryIso", "weight", "shipmentStore", "shipmentDate", "shipped", "delivery", "payments"},
        is_a_created_order,
    ),
    "43-orders-create-201": (
        create_order(
            OrderFields(
                external_id="Ab12Cd34",
                first_name="Тест",
                last_name="Тестов",
                patronymic="Тестович",
                email="ab12cd34@example.com",
            )
        ),
        {"contact"},
        is_an_order_of_a_contact,
    ),
    "50-orders-history": (orders_history(since_id=2691), {"page"}, is_a_history_of_orders),
    "52-users-list": (users(active=True, limit=20), {"filter[isAdmin]"}, is_the_programmer),
}
"""Recordings that say more than we do, with what we leave out: by the contract it is refused (`page` beside a cursor,
`type`, `contragent`, `contact` and the like in what is written) or of no use to us."""

NOT_OURS: dict[str, Request[Any] | None] = {
    "06-telephony-manager-python": telephony_manager("+79000000009", details=True, ignore_status=True),
    "74-callback-activity": None,
}
"""A client's own mistake, and what the CRM asks us."""
