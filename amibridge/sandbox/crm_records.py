"""What RetailCRM takes to write: customers, orders, tasks, notices, as models, written from the contract's OpenAPI.

The contract does not know tasks; theirs is from RetailCRM's own client (api-client-php `Model/Entity/Tasks/Task.php`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from amibridge.sandbox.crm_forms import Code, Country, Date, DateTime, Form, Number, Omittable, Phone, Source, Text

MAX_WRITTEN = 50


class Part(Form):
    """A part in which RetailCRM passes over what it does not know."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, alias_generator=to_camel)


class PhoneItem(Part):
    number: Text


class Address(Part):
    index: Omittable[str] = None
    country_iso: Omittable[str] = None
    region: Omittable[str] = None
    city: Omittable[str] = None
    city_type: Omittable[str] = None
    street: Omittable[str] = None
    street_type: Omittable[str] = None
    building: Omittable[str] = None
    flat: Omittable[str] = None
    block: Omittable[str] = None
    house: Omittable[str] = None
    housing: Omittable[str] = None
    metro: Omittable[str] = None
    notes: Omittable[str] = None
    text: Omittable[str] = None


class Written(Form):
    """A record of which some fields are given."""

    def complaints(self) -> dict[str, str]:
        return {} if self.model_fields_set else {"": "This form should not be empty."}

    def given(self) -> dict[str, Any]:
        """By RetailCRM's names."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class CustomerWrite(Written):
    external_id: Omittable[Text] = None
    first_name: Omittable[str] = None
    last_name: Omittable[str] = None
    patronymic: Omittable[str] = None
    email: Omittable[str] = None
    phones: Omittable[list[PhoneItem]] = None
    manager_id: Omittable[int] = None
    is_contact: Omittable[bool] = None
    created_at: Omittable[DateTime] = None
    vip: Omittable[bool] = None
    bad: Omittable[bool] = None
    sex: Omittable[Literal["male", "female"]] = None
    birthday: Omittable[Date] = None
    address: Omittable[Address] = None
    source: Omittable[Source] = None
    custom_fields: Omittable[dict[str, Any]] = None
    add_tags: Omittable[list[str]] = None
    remove_tags: Omittable[list[str]] = None
    personal_discount: Omittable[int | float] = None
    discount_card_number: Omittable[str] = None
    browser_id: Omittable[str] = None


class CustomerById(Form):
    id: int
    site: Omittable[str] = None


class CustomerByExternalId(Form):
    external_id: str
    site: Omittable[str] = None


class OrderWrite(Written):
    number: Omittable[str] = None
    external_id: Omittable[Text] = None
    order_type: Omittable[str] = None
    order_method: Omittable[str] = None
    country_iso: Omittable[Country] = None
    created_at: Omittable[DateTime] = None
    last_name: Omittable[str] = None
    first_name: Omittable[str] = None
    patronymic: Omittable[str] = None
    phone: Omittable[str] = None
    additional_phone: Omittable[str] = None
    email: Omittable[str] = None
    call: Omittable[bool] = None
    customer_comment: Omittable[str] = None
    manager_comment: Omittable[str] = None
    manager_id: Omittable[int] = None
    customer: Omittable[CustomerById | CustomerByExternalId] = None
    status: Omittable[str] = None
    status_comment: Omittable[str] = None
    source: Omittable[Source] = None
    items: Omittable[list[dict[str, Any]]] = None
    custom_fields: Omittable[dict[str, Any]] = None
    shipment_store: Omittable[str] = None


class TaskCustomer(Form):
    id: Omittable[int] = None
    external_id: Omittable[Annotated[str, Field(min_length=1)]] = None
    site: Omittable[str] = None


def _known(customer: TaskCustomer | None) -> TaskCustomer | None:
    if customer is not None and customer.id is None and customer.external_id is None:
        raise ValueError("One of id and externalId must be given.")
    return customer


class TaskWrite(Written):
    text: Omittable[Annotated[str, Field(min_length=1)]] = None
    commentary: Omittable[str] = None
    datetime: Omittable[
        Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01]) ([01]\d|2[0-3]):[0-5]\d$")]
    ] = None
    complete: Omittable[bool] = None
    performer_id: Omittable[Number] = None
    customer: Annotated[Omittable[TaskCustomer], AfterValidator(_known)] = None
    phone: Omittable[Phone] = None
    phone_site: Omittable[Code] = None


class TaskCreate(TaskWrite):
    text: Annotated[str, Field(min_length=1)]
    performer_id: Number


class Notification(Form):
    type: Literal["api.info", "api.error"]
    message: Annotated[str, Field(min_length=1)]
    user_ids: Omittable[Annotated[list[int], Field(min_length=1)]] = None
    user_groups: Omittable[Annotated[list[str], Field(min_length=1)]] = None

    def complaints(self) -> dict[str, str]:
        nobody = self.user_ids is None and self.user_groups is None
        return {"userIds": "One of userIds and userGroups must be given."} if nobody else {}


class FixedId(Form):
    id: int
    external_id: Text


class AtSite(Form):
    site: Omittable[Code] = None


class WhichOne(AtSite):
    by: Literal["id", "externalId"] = "externalId"


Customers: TypeAlias = Annotated[list[CustomerWrite], Field(min_length=1, max_length=MAX_WRITTEN)]
CUSTOMER = TypeAdapter(CustomerWrite)
CUSTOMERS = TypeAdapter(Customers)
ORDER = TypeAdapter(OrderWrite)
TASK = TypeAdapter(TaskWrite)
NEW_TASK = TypeAdapter(TaskCreate)
NOTIFICATION = TypeAdapter(Notification)
FIXED_IDS = TypeAdapter(Annotated[list[FixedId], Field(min_length=1, max_length=MAX_WRITTEN)])
