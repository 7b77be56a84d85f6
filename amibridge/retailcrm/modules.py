"""The integration module: how amibridge stands in the CRM's marketplace, with its telephony.

Laws: an edit sends the whole module, for what is left out is lost; an empty list of codes wipes what people entered,
None leaves the key out. No callback is signed: the secret is in our addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from amibridge.retailcrm.account_url import is_loopback
from amibridge.retailcrm.errors import CrmBroken, CrmMissing, CrmRefused
from amibridge.retailcrm.fields import filled
from amibridge.retailcrm.requests import LimitClass, Request
from amibridge.retailcrm.tolerant import flag, ids, mapping, mappings, number, text, texts

MODULES = "/api/v5/integration-modules"

NO_SUCH_MODULE = "errors in the input parameters"
"""What RetailCRM says under 400 when it is asked for a module that there is not."""


@dataclass(frozen=True, slots=True)
class UserCode:
    """Which extension a user has."""

    user_id: int
    code: str


@dataclass(frozen=True, slots=True)
class SitePhone:
    """Which of our numbers a store calls from."""

    site: str
    phone: str


@dataclass(frozen=True, slots=True)
class Telephony:
    """*codes*, *phones*: None leaves the CRM's own alone, an empty tuple wipes them.

    *allow_edit*: whether people may change the settings in the CRM.
    """

    make_call_url: str
    change_user_status_url: str | None = None
    allow_edit: bool | None = None
    input_events: bool = True
    output_events: bool = True
    hangup_events: bool = True
    codes: tuple[UserCode, ...] | None = None
    phones: tuple[SitePhone, ...] | None = None

    @classmethod
    def of(cls, said: Mapping[str, object]) -> Self:
        codes = [(number(one.get("userId")), text(one.get("code"))) for one in mappings(said.get("additionalCodes"))]
        phones = [
            (text(one.get("siteCode")), text(one.get("externalPhone"))) for one in mappings(said.get("externalPhones"))
        ]
        return cls(
            make_call_url=text(said.get("makeCallUrl")) or "",
            change_user_status_url=text(said.get("changeUserStatusUrl")),
            allow_edit=flag(said.get("allowEdit")),
            input_events=flag(said.get("inputEventSupported")) or False,
            output_events=flag(said.get("outputEventSupported")) or False,
            hangup_events=flag(said.get("hangupEventSupported")) or False,
            codes=tuple(UserCode(user, code) for user, code in codes if user is not None and code),
            phones=tuple(SitePhone(site, phone) for site, phone in phones if site and phone),
        )

    def fields(self) -> dict[str, object]:
        return filled(
            makeCallUrl=_secure(self.make_call_url),
            changeUserStatusUrl=self.change_user_status_url and _secure(self.change_user_status_url),
            allowEdit=self.allow_edit,
            inputEventSupported=self.input_events,
            outputEventSupported=self.output_events,
            hangupEventSupported=self.hangup_events,
            additionalCodes=None
            if self.codes is None
            else [{"userId": one.user_id, "code": one.code} for one in self.codes],
            externalPhones=None
            if self.phones is None
            else [{"siteCode": one.site, "externalPhone": one.phone} for one in self.phones],
        )


@dataclass(frozen=True, slots=True)
class IntegrationModule:
    """*integration_code*: what kind of module; *code*, which begins with it, is this one.

    *client_id*: what the CRM presents in every callback. *logo*: address of an SVG. *activity*, *settings*: where
    below *base_url* the CRM tells us that it was switched on or off, or its settings changed.
    *frozen*: the CRM's own verdict (billing). *others*: integrations besides telephony, as RetailCRM writes them.
    """

    code: str
    integration_code: str
    name: str
    client_id: str
    base_url: str
    account_url: str
    active: bool = True
    frozen: bool | None = None
    native: bool | None = None
    logo: str | None = None
    activity: str | None = None
    settings: str | None = None
    countries: tuple[str, ...] | None = None
    telephony: Telephony | None = None
    others: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    @property
    def works(self) -> bool:
        return self.active and not self.frozen

    @classmethod
    def of(cls, said: Mapping[str, object]) -> Self:
        """Raises CrmBroken without a code."""
        code, actions = text(said.get("code")), mapping(said.get("actions"))
        if code is None:
            raise CrmBroken("the CRM tells of a module without a code")
        integrations = {name: mapping(one) for name, one in mapping(said.get("integrations")).items()}
        telephony = integrations.pop("telephony", None)
        return cls(
            code=code,
            integration_code=text(said.get("integrationCode")) or "",
            name=text(said.get("name")) or "",
            client_id=text(said.get("clientId")) or "",
            base_url=text(said.get("baseUrl")) or "",
            account_url=text(said.get("accountUrl")) or "",
            active=flag(said.get("active")) or False,
            frozen=flag(said.get("freeze")),
            native=flag(said.get("native")),
            logo=text(said.get("logo")),
            activity=text(actions.get("activity")),
            settings=text(actions.get("settings")),
            countries=texts(said.get("availableCountries")),
            telephony=Telephony.of(telephony) if telephony else None,
            others=integrations,
        )

    def fields(self) -> dict[str, object]:
        """In RetailCRM's words. Raises ValueError for what the contract forbids."""
        if not self.integration_code or not self.code.startswith(self.integration_code):
            raise ValueError("a module's code begins with its integrationCode")
        if not (self.name and self.client_id and self.account_url):
            raise ValueError("a module has a name, a client id and an address for its settings")
        if self.logo is not None and not self.logo.partition("?")[0].endswith(".svg"):
            raise ValueError("a module's logo is an SVG")
        integrations: dict[str, object] = {name: dict(one) for name, one in self.others.items()}
        if self.telephony is not None:
            integrations["telephony"] = self.telephony.fields()
        return filled(
            code=self.code,
            integrationCode=self.integration_code,
            active=self.active,
            freeze=self.frozen,
            name=self.name,
            logo=self.logo,
            clientId=self.client_id,
            native=self.native,
            baseUrl=_secure(self.base_url),
            actions=filled(activity=self.activity, settings=self.settings) or None,
            availableCountries=None if self.countries is None else list(self.countries),
            accountUrl=self.account_url,
            integrations=integrations,
        )


@dataclass(frozen=True, slots=True)
class ModuleReply:
    module: IntegrationModule

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(IntegrationModule.of(mapping(body.get("integrationModule"))))


@dataclass(frozen=True, slots=True)
class ModuleEdited:
    """What of its telephony the CRM does not know: users by id, stores by code. The rest was taken."""

    unknown_users: tuple[int, ...] = ()
    unknown_sites: tuple[str, ...] = ()

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        said = mapping(body.get("info"))
        return cls(ids(said.get("notExistUsersIds")), texts(said.get("notExistSiteCodes")))


def integration_module(code: str) -> Request[ModuleReply]:
    """A module as it stands. One that there is not is refused (CrmRefused) or missing (CrmMissing)."""
    return Request("GET", f"{MODULES}/{_code(code)}", ModuleReply, LimitClass.ORDINARY, True)


def says_there_is_none(error: CrmMissing | CrmRefused) -> bool:
    """Any other refusal is no proof that there is none: registering it anew would wipe what people entered."""
    return isinstance(error, CrmMissing) or error.message.lower().startswith(NO_SUCH_MODULE)


def edit_integration_module(module: IntegrationModule) -> Request[ModuleEdited]:
    """Register *module*, or change the one of that code. To switch it off, edit it with *active* False."""
    path = f"{MODULES}/{_code(module.code)}/edit"
    return Request(
        "POST", path, ModuleEdited, LimitClass.ORDINARY, True, form={"integrationModule": module.fields()}
    )  # fmt: skip


def _code(code: str) -> str:
    if not code or not set(code) - {"."} or not all(c.isascii() and (c.isalnum() or c in "._-") for c in code):
        raise ValueError("a module's code has letters, digits, dots, dashes and underscores")
    return code


def _secure(url: str) -> str:
    """A sandbox on this machine is asked without TLS, as `account_url` has it."""
    if not (url.startswith("https://") or _is_here(url)) or not (url.isascii() and url.isprintable()) or " " in url:
        raise ValueError("RetailCRM takes an address only with https://")
    return url


def _is_here(url: str) -> bool:
    try:
        return url.startswith("http://") and is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
