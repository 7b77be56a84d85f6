"""What RetailCRM's methods take in their query, as models, written from the contract's OpenAPI.

Law: a list of values comes gathered under its name with empty brackets, ``filter[ids][]``, however it was written.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from amibridge.sandbox.crm_forms import Date, DateTime, Form, Phone, UserStatus

Flag: TypeAlias = Literal["0", "1"]
Whole: TypeAlias = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,8})$")]
Word: TypeAlias = Annotated[str, Field(min_length=1, max_length=255)]
Code: TypeAlias = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9._-]+$")]
Ids: TypeAlias = Annotated[list[Whole], Field(min_length=1, max_length=100)] | None
ExternalIds: TypeAlias = Annotated[list[str], Field(min_length=1, max_length=100)] | None
Texts: TypeAlias = Annotated[list[str], Field(min_length=1)] | None
Numbers: TypeAlias = Annotated[list[Whole], Field(min_length=1)] | None
Limit: TypeAlias = Literal["20", "50", "100"]


class Paged(Form):
    limit: Limit = "20"
    page: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$")] = "1"


class OneQuery(Form):
    """Which of two ids stands in the path."""

    by: Literal["id", "externalId"] = "externalId"
    site: Code | None = None


class ManagerQuery(Form):
    phone: Phone
    details: Flag = "0"
    ignore_status: Flag = "0"


class CustomersQuery(Paged):
    name: Annotated[Word | None, Field(alias="filter[name]")] = None
    email: Annotated[Word | None, Field(alias="filter[email]")] = None
    ids: Annotated[Ids, Field(alias="filter[ids][]")] = None
    external_ids: Annotated[ExternalIds, Field(alias="filter[externalIds][]")] = None
    sites: Annotated[Texts, Field(alias="filter[sites][]")] = None
    managers: Annotated[Numbers, Field(alias="filter[managers][]")] = None
    is_contact: Annotated[Flag | None, Field(alias="filter[isContact]")] = None
    vip: Annotated[Flag | None, Field(alias="filter[vip]")] = None
    bad: Annotated[Flag | None, Field(alias="filter[bad]")] = None
    date_from: Annotated[Date | None, Field(alias="filter[dateFrom]")] = None
    date_to: Annotated[Date | None, Field(alias="filter[dateTo]")] = None


class CompaniesQuery(Paged):
    contact_name: Annotated[Word | None, Field(alias="filter[contactName]")] = None
    contact_ids: Annotated[Numbers, Field(alias="filter[contactIds][]")] = None
    ids: Annotated[Numbers, Field(alias="filter[ids][]")] = None
    sites: Annotated[Texts, Field(alias="filter[sites][]")] = None
    company_name: Annotated[Word | None, Field(alias="filter[companyName]")] = None
    email: Annotated[Word | None, Field(alias="filter[email]")] = None


class OrdersQuery(Paged):
    ids: Annotated[Ids, Field(alias="filter[ids][]")] = None
    external_ids: Annotated[ExternalIds, Field(alias="filter[externalIds][]")] = None
    numbers: Annotated[ExternalIds, Field(alias="filter[numbers][]")] = None
    customer_id: Annotated[Whole | None, Field(alias="filter[customerId]")] = None
    customer_external_id: Annotated[str | None, Field(alias="filter[customerExternalId]")] = None
    customer: Annotated[Word | None, Field(alias="filter[customer]")] = None
    managers: Annotated[Numbers, Field(alias="filter[managers][]")] = None
    sites: Annotated[Texts, Field(alias="filter[sites][]")] = None
    statuses: Annotated[Texts, Field(alias="filter[extendedStatus][]")] = None
    order_types: Annotated[Texts, Field(alias="filter[orderTypes][]")] = None
    order_methods: Annotated[Texts, Field(alias="filter[orderMethods][]")] = None
    created_from: Annotated[Date | None, Field(alias="filter[createdAtFrom]")] = None
    created_to: Annotated[Date | None, Field(alias="filter[createdAtTo]")] = None
    status_from: Annotated[Date | None, Field(alias="filter[statusUpdatedAtFrom]")] = None
    status_to: Annotated[Date | None, Field(alias="filter[statusUpdatedAtTo]")] = None
    paid_from: Annotated[Date | None, Field(alias="filter[fullPaidAtFrom]")] = None
    paid_to: Annotated[Date | None, Field(alias="filter[fullPaidAtTo]")] = None


class OrderStatusesQuery(Form):
    ids: Annotated[list[Whole] | None, Field(alias="ids[]", min_length=1, max_length=500)] = None
    external_ids: Annotated[list[str] | None, Field(alias="externalIds[]", min_length=1, max_length=500)] = None


class TasksQuery(Paged):
    ids: Annotated[Numbers, Field(alias="filter[ids][]")] = None
    performers: Annotated[Numbers, Field(alias="filter[performers][]")] = None
    created_from: Annotated[Date | None, Field(alias="filter[createdAtFrom]")] = None
    created_to: Annotated[Date | None, Field(alias="filter[createdAtTo]")] = None


class HistoryQuery(Form):
    """A page has no place here: beside a cursor it is refused since 2023."""

    limit: Limit = "20"
    since_id: Annotated[Whole | None, Field(alias="filter[sinceId]")] = None
    start: Annotated[DateTime | None, Field(alias="filter[startDate]")] = None
    end: Annotated[DateTime | None, Field(alias="filter[endDate]")] = None


class CustomerHistoryQuery(HistoryQuery):
    entity_id: Annotated[Whole | None, Field(alias="filter[customerId]")] = None
    external_id: Annotated[str | None, Field(alias="filter[customerExternalId]")] = None


class OrderHistoryQuery(HistoryQuery):
    entity_id: Annotated[Whole | None, Field(alias="filter[orderId]")] = None
    external_id: Annotated[str | None, Field(alias="filter[orderExternalId]")] = None


class UsersQuery(Paged):
    email: Annotated[str | None, Field(alias="filter[email]")] = None
    status: Annotated[UserStatus | None, Field(alias="filter[status]")] = None
    online: Annotated[Flag | None, Field(alias="filter[online]")] = None
    active: Annotated[Flag | None, Field(alias="filter[active]")] = None
    is_manager: Annotated[Flag | None, Field(alias="filter[isManager]")] = None
    is_admin: Annotated[Flag | None, Field(alias="filter[isAdmin]")] = None
    groups: Annotated[Texts, Field(alias="filter[groups][]")] = None
    created_from: Annotated[DateTime | None, Field(alias="filter[createdAtFrom]")] = None
    created_to: Annotated[DateTime | None, Field(alias="filter[createdAtTo]")] = None
