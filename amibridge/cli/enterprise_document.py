"""The shape of `enterprises/<number>.toml`: its keys, their defaults, and what each value must look like.

Laws: whatever goes to Asterisk is free of line breaks; an API key goes over TLS or to this very machine.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from phonenumbers import SUPPORTED_REGIONS
from pydantic import AfterValidator, Field

from amibridge.calls.numbering import DEFAULT_INTERNAL
from amibridge.config.documents import Shape, Text, nearest, with_a_home
from amibridge.delivery.webhooks.address import check_webhook_url
from amibridge.delivery.webhooks.signature import check_secret
from amibridge.recordings.places import place_of
from amibridge.retailcrm.account_url import check_account_url
from amibridge.store.codec import FACT_TYPES

NamePart: TypeAlias = Literal["line", "customer", "shop"]
SHOWN: tuple[NamePart, ...] = ("customer",)

LONGEST_PATTERN = 200
"""Characters of `internal`: an expression longer than that is a mistake, or an attack on the one who runs it."""

MOST_WEBHOOKS = 20
"""Each is a row beside every fact, and a lane."""

LONGEST_TEXT = 100
"""Characters of `text`; number and time of the call come after it, and people read it in a list."""


def is_given(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _is_number(text: str) -> str:
    if re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z_-]{0,31}", text) is None:
        raise ValueError("must be up to 32 letters, digits, - and _")
    return text


def _is_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        meant = nearest(text, available_timezones())
        raise ValueError("unknown time zone" + (f"; did you mean {meant!r}?" if meant else "")) from None
    return text


def _is_region(text: str) -> str:
    if text not in SUPPORTED_REGIONS:
        raise ValueError("must be a country in two capital letters, like RU, BY or KZ")
    return text


def _is_client_id(text: str) -> str:
    # Four, because the ones that an older bridge gave out must go on working.
    if re.fullmatch(r"[0-9A-Za-z_-]{4,128}", text) is None:
        raise ValueError("must be 4 to 128 letters, digits, - and _")
    return text


def _is_webhook_secret(text: str) -> str:
    if re.fullmatch(r"[0-9A-Za-z_-]{16,128}", text) is None:
        raise ValueError("must be 16 to 128 letters, digits, - and _")
    return text


def _is_module_code(text: str) -> str:
    if re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}", text) is None:
        raise ValueError("must be up to 64 letters, digits, dots, - and _")
    return text


def _is_crm_code(text: str) -> str:
    if re.fullmatch(r"[0-9A-Za-z._-]{1,255}", text) is None:
        raise ValueError("must be a code of the CRM's dictionaries: letters, digits, dots, - and _")
    return text


def _is_short_text(text: str) -> str:
    if len(is_given(text)) > LONGEST_TEXT:
        raise ValueError(f"is longer than {LONGEST_TEXT} characters")
    return text


def _is_phone(text: str) -> str:
    # In which region it is read, the document as a whole knows; what is one nowhere, no region makes one.
    if re.fullmatch(r"\+?[0-9][0-9 ().-]{4,30}", text) is None:
        raise ValueError("is not a telephone number")
    return text


def _is_extension(text: str) -> str:
    if re.fullmatch(r"[0-9A-Za-z_.*#+-]{1,64}", text) is None:
        raise ValueError("is not an extension: up to 64 digits, letters and . * # + - _")
    return text


def _is_host_name(text: str) -> str:
    if re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,63}", text) is None:
        raise ValueError("must be up to 64 letters, digits, dots, - and _")
    return text


def _is_address(text: str) -> str:
    if re.fullmatch(r"[0-9A-Za-z_.:%-]{1,253}", text) is None or (":" in text and not _is_ipv6(text)):
        raise ValueError("must be a host name or an IP address, without a port: `port` is a key of its own")
    return text


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _is_pattern(text: str) -> str:
    if len(text) > LONGEST_PATTERN:
        raise ValueError(f"is longer than {LONGEST_PATTERN} characters")
    try:
        matches_nothing = re.compile(text).match("")
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if matches_nothing:
        raise ValueError("matches every number; an extension looks like ^\\d{2,5}$")
    return text


def _is_trunk(text: str) -> str:
    technology, slash, endpoint = text.partition("/")
    if not technology or not slash or not endpoint or " " in text:
        raise ValueError("must name technology and endpoint, like PJSIP/provider or SIP/00013*")
    return text


def _is_channel(text: str) -> str:
    rest = text.replace("{extension}", "", 1)
    if rest == text or "/" not in text or any(character in rest for character in "{} "):
        raise ValueError("must hold {extension} once and nothing else in braces, like PJSIP/{extension}")
    return text


def _is_context(text: str) -> str:
    if re.fullmatch(r"[^\s,|]{1,79}", text) is None:
        raise ValueError("must be the name of a dialplan context")
    return text


def _is_recordings(text: str) -> str:
    place_of(text)
    return text


def _is_dialplan(text: str) -> str:
    rest = text.replace("{extension}", "", 1).replace("{line}", "", 1)
    # Four, because the dialplans that ask take a short answer for none.
    if "{extension}" not in text or re.fullmatch(r"[0-9A-Za-z_-]{4,40}", rest) is None:
        raise ValueError(
            "must be the name of a context with {extension} once, {line} at most once and 4 to 40 letters, digits, "
            "- and _, like mngr{extension}_{line}_1"
        )
    return text


def _is_event(text: str) -> str:
    if text not in FACT_TYPES:
        meant = nearest(text, FACT_TYPES)
        raise ValueError("unknown event" + (f"; did you mean {meant!r}?" if meant else ""))
    return text


def _once_each(parts: list[NamePart]) -> list[NamePart]:
    if len(set(parts)) != len(parts):
        raise ValueError("names a part twice")
    return parts


GivenText = Annotated[Text, AfterValidator(is_given)]
GivenPath = Annotated[GivenText, AfterValidator(with_a_home)]


class RetailcrmTable(Shape):
    url: Annotated[Text, AfterValidator(check_account_url)]
    api_key: GivenText | None = None
    api_key_file: GivenPath | None = None
    site: GivenText | None = None
    create_customers: bool = True
    create_orders: bool = False
    create_tasks: bool = False
    credit: Literal["first", "last"] = "first"
    webhook_secret: Annotated[Text, AfterValidator(_is_webhook_secret)] | None = None
    module_code: Annotated[Text, AfterValidator(_is_module_code)] | None = None


CrmCode = Annotated[Text, AfterValidator(_is_crm_code)]
UserId = Annotated[int, Field(ge=1, le=2**31 - 1)]


class MissedCallsTable(Shape):
    wait_minutes: Annotated[int, Field(ge=0, le=24 * 60)] = 3
    never_for: Annotated[list[Annotated[Text, AfterValidator(_is_phone)]], Field(max_length=1000)] = Field(
        default_factory=list
    )
    performer: UserId | None = None
    text: Annotated[Text, AfterValidator(_is_short_text)] = "Пропущенный звонок"
    task_minutes: Annotated[int, Field(ge=1, le=30 * 24 * 60)] = 60
    order_method: CrmCode | None = None
    order_type: CrmCode | None = None
    order_status: CrmCode | None = None
    order_status_reached: CrmCode | None = None


class AsteriskTable(Shape):
    name: Annotated[Text, AfterValidator(_is_host_name)]
    host: Annotated[Text, AfterValidator(_is_address)]
    port: Annotated[int, Field(ge=1, le=65535)] = 5038
    username: GivenText
    secret: GivenText | None = None
    secret_file: GivenPath | None = None
    internal: Annotated[Text, AfterValidator(_is_pattern)] = DEFAULT_INTERNAL
    trunks: list[Annotated[Text, AfterValidator(_is_trunk)]] = Field(default_factory=list)
    originate_channel: Annotated[Text, AfterValidator(_is_channel)] = "PJSIP/{extension}"
    originate_context: Annotated[Text, AfterValidator(_is_context)] = "from-internal"
    originate_number: Literal["as_given", "e164", "digits", "national"] = "as_given"
    recordings: Annotated[Text, AfterValidator(_is_recordings)] | None = None
    recordings_password: GivenText | None = None
    recordings_password_file: GivenPath | None = None


Days = Annotated[int, Field(ge=1, le=36_500)]


class RecordingsTable(Shape):
    keep_days: Days | None = None
    links_valid_days: Days | None = None


class SupervisionTable(Shape):
    extensions: Annotated[list[Annotated[Text, AfterValidator(_is_extension)]], Field(max_length=1000)] = Field(
        default_factory=list
    )


class ResponsibleTable(Shape):
    mode: Literal["off", "name", "route"] = "off"
    dialplan: Annotated[Text, AfterValidator(_is_dialplan)] = "mngr{extension}_{line}_1"
    fallback: Literal["none", "last_call"] = "none"
    name: Annotated[list[NamePart], AfterValidator(_once_each)] = Field(default_factory=lambda: list(SHOWN))


class WebhookTable(Shape):
    name: Annotated[Text, AfterValidator(_is_host_name)]
    url: Annotated[Text, AfterValidator(check_webhook_url)]
    secret: Annotated[Text, AfterValidator(check_secret)] | None = None
    secret_file: GivenPath | None = None
    previous_secret: Annotated[Text, AfterValidator(check_secret)] | None = None
    previous_secret_file: GivenPath | None = None
    events: Annotated[list[Annotated[Text, AfterValidator(_is_event)]], Field(min_length=1)] | None = None


class OperatorTable(Shape):
    user: UserId | None = None
    name: GivenText | None = None


class LineTable(Shape):
    site: GivenText | None = None
    name: GivenText | None = None


ExtensionKey = Annotated[Text, AfterValidator(_is_extension)]


class EnterpriseDocument(Shape):
    number: Annotated[Text, AfterValidator(_is_number)]
    name: GivenText
    timezone: Annotated[Text, AfterValidator(_is_zone)] | None = None
    region: Annotated[Text, AfterValidator(_is_region)] = "RU"
    client_id: Annotated[Text, AfterValidator(_is_client_id)] | None = None
    retailcrm: RetailcrmTable
    missed_calls: MissedCallsTable = Field(default_factory=MissedCallsTable)
    asterisk: Annotated[list[AsteriskTable], Field(min_length=1)]
    recordings: RecordingsTable = RecordingsTable()
    responsible: ResponsibleTable = ResponsibleTable()
    supervision: SupervisionTable = SupervisionTable()
    webhooks: Annotated[list[WebhookTable], Field(max_length=MOST_WEBHOOKS)] = Field(default_factory=list)
    operators: dict[ExtensionKey, OperatorTable] = Field(default_factory=dict)
    lines: dict[ExtensionKey, LineTable] = Field(default_factory=dict)
