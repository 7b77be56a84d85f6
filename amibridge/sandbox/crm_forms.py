"""What RetailCRM takes: its forms and query strings as models, written from the contract's OpenAPI.

Laws: what the contract does not name is refused, never ignored; types are not converted; `null` is not absence.
A test holds every model against the contract's schemas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

T = TypeVar("T")

MAX_CALLS = 50
DATE_FORMAT = "%Y-%m-%d %H:%M:%S"
FORMAT = "Errors in the entity format"
EXTRA = "This form should not contain extra fields."


class Refused(Exception):
    """The asker must change the request. *errors*: complaints by field. *more*: what else the answer says."""

    def __init__(
        self,
        status: int,
        text: str,
        errors: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.errors = dict(errors or {})
        self._more = dict(more or {})

    def body(self) -> dict[str, Any]:
        errors = {"errors": self.errors} if self.errors else {}
        return {"success": False, "errorMsg": self.text} | errors | self._more


def _given(value: T | None) -> T:
    if value is None:
        raise ValueError("This value should not be null.")
    return value


def _distinct(values: list[T]) -> list[T]:
    if len(set(values)) != len(values):
        raise ValueError("Each value must be named once.")
    return values


def _real_date(text: str) -> str:
    datetime.strptime(text, DATE_FORMAT)  # the pattern lets 31 February pass
    return text


Omittable: TypeAlias = Annotated[T | None, AfterValidator(_given)]
Phone: TypeAlias = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^\+?[0-9][0-9 ()\-.]*$")]
Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=255)]
Code: TypeAlias = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9._-]+$")]
Number: TypeAlias = Annotated[int, Field(ge=1)]
Seconds: TypeAlias = Annotated[int, Field(ge=0)]
DateTime: TypeAlias = Annotated[
    str,
    Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01]) ([01]\d|2[0-3]):[0-5]\d:[0-5]\d$"),
    AfterValidator(_real_date),
]
Date: TypeAlias = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]
Link: TypeAlias = Annotated[str, Field(max_length=2000, pattern=r"^https?://[!-~]+$")]
SecureLink: TypeAlias = Annotated[str, Field(pattern=r"^(https://|http://(localhost|127\.0\.0\.1)[:/])[!-~]+$")]
"""A sandbox may be told to ask on this very machine without TLS."""
Country: TypeAlias = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
UserStatus: TypeAlias = Literal["free", "busy", "dinner", "break"]


class Form(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, alias_generator=to_camel)

    def complaints(self) -> dict[str, str]:
        """What is wrong although each field alone is right."""
        return {}


class Campaign(Form):
    name: Omittable[str] = None
    code: Omittable[str] = None


class WebAnalytics(Form):
    campaign: Omittable[Campaign] = None
    query_string: Omittable[str] = None


class Source(Form):
    source: Omittable[str] = None
    medium: Omittable[str] = None
    campaign: Omittable[str] = None
    keyword: Omittable[str] = None
    content: Omittable[str] = None


class CallEvent(Form):
    phone: Phone
    type: Literal["in", "out", "hangup"]
    codes: Omittable[Annotated[list[Text], Field(min_length=1), AfterValidator(_distinct)]] = None
    user_ids: Omittable[Annotated[list[Number], Field(min_length=1), AfterValidator(_distinct)]] = None
    hangup_status: Omittable[Literal["answered", "busy", "cancel", "failed", "no answered"]] = None
    external_phone: Omittable[Text] = None
    call_external_id: Omittable[Text] = None
    web_analytics_data: Omittable[WebAnalytics] = None
    site: Omittable[Code] = None

    def complaints(self) -> dict[str, str]:
        found = {}
        if self.codes is None and self.user_ids is None:
            found["codes"] = "At least one of codes and userIds must be given."
        if (self.type == "hangup") is (self.hangup_status is None):
            found["hangupStatus"] = "A hangup must have a status, and nothing else may have one."
        return found


class UploadedCall(Form):
    date: DateTime
    type: Literal["in", "out"]
    phone: Phone
    result: Literal["answered", "busy", "failed", "no answer", "not allowed", "unknown"]
    external_id: Text
    code: Omittable[Text] = None
    user_id: Omittable[Number] = None
    duration: Omittable[Seconds] = None
    duration_waiting: Omittable[Seconds] = None
    record_url: Omittable[Link] = None
    external_phone: Omittable[Text] = None
    source: Omittable[Source] = None
    site: Omittable[Code] = None
    client_id: Omittable[Text] = None


class AdditionalCode(Form):
    user_id: Number
    code: Text


class ExternalPhone(Form):
    site_code: Code
    external_phone: Text


class Telephony(Form):
    make_call_url: SecureLink
    change_user_status_url: Omittable[SecureLink] = None
    allow_edit: Omittable[bool] = None
    input_event_supported: Omittable[bool] = None
    output_event_supported: Omittable[bool] = None
    hangup_event_supported: Omittable[bool] = None
    additional_codes: Omittable[list[AdditionalCode]] = None
    external_phones: Omittable[list[ExternalPhone]] = None


class EmbedJs(Form):
    entrypoint: str
    stylesheet: Omittable[str] = None
    targets: Omittable[list[str]] = None
    runner: Omittable[Literal["iframe", "worker"]] = None
    pages: Omittable[list[dict[str, Any]]] = None


class Integrations(Form):
    telephony: Omittable[Telephony] = None
    embed_js: Omittable[EmbedJs] = None


class ModuleActions(Form):
    activity: Omittable[str] = None
    settings: Omittable[str] = None

    def complaints(self) -> dict[str, str]:
        return {} if self.model_fields_set else {"actions": "An action must be given."}


class IntegrationModule(Form):
    code: Code
    integration_code: Code
    active: bool
    name: Text
    client_id: Text
    base_url: SecureLink
    account_url: Annotated[str, Field(min_length=1)]
    integrations: Integrations
    freeze: Omittable[bool] = None
    logo: Omittable[Annotated[str, Field(pattern=r"\.svg(\?.*)?$")]] = None
    native: Omittable[bool] = None
    actions: Omittable[ModuleActions] = None
    available_countries: Omittable[list[Country]] = None

    def complaints(self) -> dict[str, str]:
        found = {} if self.actions is None else self.actions.complaints()
        if not self.code.startswith(self.integration_code):
            found["code"] = "Code prefix must match integrationCode"
        return found


class NoQuery(Form):
    """A method without arguments, a form without fields of its own."""


FormT = TypeVar("FormT", bound=Form)
PlainT = TypeVar("PlainT", bound=Form)
CALLS = TypeAdapter(Annotated[list[UploadedCall], Field(min_length=1, max_length=MAX_CALLS)])


def read_event(form: Mapping[str, str]) -> CallEvent:
    """Raises Refused, as do all readers here."""
    return read_entity("event", form, TypeAdapter(CallEvent), NoQuery)[0]


def read_calls(form: Mapping[str, str]) -> list[UploadedCall]:
    return read_json("calls", form, CALLS, NoQuery)[0]


def read_module(form: Mapping[str, str]) -> IntegrationModule:
    return read_entity("integrationModule", form, TypeAdapter(IntegrationModule), NoQuery)[0]


def read_query(query: Mapping[str, str | list[str]], model: type[FormT], *, lenient: bool = False) -> FormT:
    """*lenient*: arguments that the method does not have are passed over."""
    known = {field.alias or to_camel(name) for name, field in model.model_fields.items()}
    given = {name: value for name, value in query.items() if name in known or not lenient}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise Refused(400, "Errors in the input parameters", _complaints(error, "")) from None


def read_json(name: str, form: Mapping[str, str], adapter: TypeAdapter[T], plain: type[PlainT]) -> tuple[T, PlainT]:
    """The one field of a form that is JSON, and the *plain* ones beside it."""
    if name not in form:
        raise Refused(400, f"Parameter '{name}' is missing")
    beside = read_plain({field: value for field, value in form.items() if field != name}, plain)
    try:
        return adapter.validate_json(form[name]), beside
    except ValidationError as error:
        raise Refused(400, FORMAT, _complaints(error, name)) from None


def read_entity(
    name: str, form: Mapping[str, str], adapter: TypeAdapter[FormT], plain: type[PlainT]
) -> tuple[FormT, PlainT]:
    """As `read_json`, and what is right in each field must be right as a whole."""
    entity, beside = read_json(name, form, adapter, plain)
    complaints = entity.complaints()
    if complaints:
        raise Refused(400, FORMAT, complaints)
    return entity, beside


def read_plain(form: Mapping[str, str], model: type[PlainT]) -> PlainT:
    others = {field: EXTRA for field in form if field not in model.model_fields}
    if others:
        raise Refused(400, FORMAT, others)
    try:
        return model.model_validate(dict(form))
    except ValidationError as error:
        raise Refused(400, FORMAT, _complaints(error, "")) from None


def _complaints(error: ValidationError, whole: str) -> dict[str, str]:
    return {_place(found["loc"]) or whole: found["msg"] for found in error.errors(include_url=False)}


def _place(location: Sequence[int | str]) -> str:
    """``0.phone`` for a field of the first call; ``active`` for ``filter[active]``, ``ids`` for ``filter[ids][]``."""
    return ".".join(str(part).removeprefix("filter[").removesuffix("[]").removesuffix("]") for part in location)
