"""Our module as it should stand in an account, and what is otherwise there.

Laws: the CRM's own codes and phones stay, save those of a user or a store that the file names; what nobody can name is
left out and never sent empty, which would wipe it; a difference never shows a secret. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import urlsplit

from amibridge.calls.record import Extension
from amibridge.enterprises import Enterprise
from amibridge.retailcrm.account_url import is_loopback
from amibridge.retailcrm.modules import IntegrationModule, SitePhone, Telephony, UserCode

NAME = "amibridge"

LONG = 16
"""Characters of a part of a path that may be a secret."""

Owner = TypeVar("Owner", bound=int | str)


@dataclass(frozen=True, slots=True)
class Difference:
    """*what*: in RetailCRM's words. *wish*, *found*: None for nothing. *ours*: registering mends it."""

    what: str
    wish: str | bool | None
    found: str | bool | None
    ours: bool = True

    @property
    def absent(self) -> bool:
        """The account has no such module at all."""
        return self.what == "code" and self.found is None


def module_code(enterprise: Enterprise) -> str:
    """Each enterprise has a module of its own, though two of them may share an account; a file can name another."""
    return enterprise.module_code or f"{NAME}-{enterprise.id}"


def check_reachable(public_url: str, account_url: str) -> None:
    """Raises ValueError, for people, when RetailCRM would not take *public_url* or could not ask us there."""
    if is_loopback(urlsplit(account_url).hostname or ""):
        return
    host = urlsplit(public_url).hostname or ""
    if is_loopback(host):
        raise ValueError(f"RetailCRM cannot ask this machine by the name {host}: set `public_url` of [web]")
    if not public_url.startswith("https://"):
        raise ValueError("RetailCRM takes only https:// addresses: set `public_url` of [web]")


def wished(
    enterprise: Enterprise, public_url: str, known: IntegrationModule | None, *, active: bool = True
) -> IntegrationModule:
    """The whole module to write. *known*: as it stands in the CRM now; None registers it."""
    code = module_code(enterprise)
    if known is None:
        known = IntegrationModule(code, NAME if code.startswith(NAME) else code, "", "", "", "")
    origin, path = _split(public_url)
    ours = f"{path}/retailcrm/{enterprise.webhook_secret}"
    return replace(
        known,
        code=code,
        integration_code=known.integration_code if code.startswith(known.integration_code or " ") else code,
        name=NAME,
        client_id=enterprise.client_id,
        base_url=origin,
        account_url=f"{origin}{path}/retailcrm",
        active=active,
        logo=f"{origin}{path}/retailcrm/logo.svg",
        # Whether the CRM appends these to the address above or resolves them against it comes to the same.
        activity=f"{ours}/activity",
        settings=f"{ours}/settings",
        countries=known.countries or None,
        telephony=_telephony(enterprise, f"{origin}{ours}", known.telephony),
    )


def differences(wish: IntegrationModule, known: IntegrationModule | None) -> tuple[Difference, ...]:
    """What in the CRM is not as wished; nothing when they agree."""
    if known is None:
        return (Difference("code", wish.code, None),)
    return tuple(_differences(wish, known))


def _telephony(enterprise: Enterprise, ours: str, known: Telephony | None) -> Telephony:
    codes = [(one.user_id, one.code) for one in (known and known.codes) or ()]
    phones = [(one.site, one.phone) for one in (known and known.phones) or ()]
    return Telephony(
        make_call_url=f"{ours}/call",
        change_user_status_url=f"{ours}/status",
        allow_edit=known.allow_edit if known else None,
        codes=tuple(UserCode(*one) for one in merged(codes, codes_of(enterprise), str)) or None,
        phones=tuple(SitePhone(*one) for one in merged(phones, phones_of(enterprise), _digits)) or None,
    )


def codes_of(enterprise: Enterprise) -> dict[int, list[Extension]]:
    """The extensions that the file gives to a user, by user; one is usual."""
    found: dict[int, list[Extension]] = {}
    for extension, operator in sorted(enterprise.operators.items()):
        if operator.user is not None:
            found.setdefault(operator.user, []).append(extension)
    return found


def phones_of(enterprise: Enterprise) -> dict[str, list[str]]:
    """The numbers that the file gives to a store, by store."""
    found: dict[str, list[str]] = {}
    for number, line in sorted(enterprise.lines.items()):
        if line.site is not None:
            found.setdefault(line.site, []).append(number)
    return found


def merged(
    theirs: Iterable[tuple[Owner, str]], ours: Mapping[Owner, Sequence[str]], alike: Callable[[str], str]
) -> list[tuple[Owner, str]]:
    """What *theirs* says of owners that *ours* does not name, and what *ours* says of those that it names.

    Of several that it allows an owner, the one that he has stays, or the first is given. *alike*: two ways of writing
    one value come to the same by it.
    """
    allowed = {owner: {alike(value) for value in values} for owner, values in ours.items()}
    kept = [(owner, value) for owner, value in theirs if owner not in allowed or alike(value) in allowed[owner]]
    having = {owner for owner, _ in kept}
    return [*kept, *((owner, values[0]) for owner, values in ours.items() if owner not in having)]


def _differences(wish: IntegrationModule, known: IntegrationModule) -> Iterator[Difference]:
    if known.frozen:
        yield Difference("freeze", False, True, ours=False)
    theirs = known.telephony or Telephony("", input_events=False, output_events=False, hangup_events=False)
    ours = wish.telephony or theirs
    pairs: tuple[tuple[str, str | bool | None, str | bool | None], ...] = (
        ("active", wish.active, known.active),
        ("name", wish.name, known.name),
        # RetailCRM's own recorded answer does not tell it.
        ("clientId", wish.client_id, known.client_id or wish.client_id),
        ("baseUrl", wish.base_url, known.base_url.removesuffix("/")),
        ("accountUrl", wish.account_url, known.account_url),
        ("logo", wish.logo, known.logo),
        ("actions.activity", wish.activity, known.activity),
        ("actions.settings", wish.settings, known.settings),
        ("makeCallUrl", ours.make_call_url, theirs.make_call_url),
        ("changeUserStatusUrl", ours.change_user_status_url, theirs.change_user_status_url),
        ("inputEventSupported", ours.input_events, theirs.input_events),
        ("outputEventSupported", ours.output_events, theirs.output_events),
        ("hangupEventSupported", ours.hangup_events, theirs.hangup_events),
    )
    yield from (
        Difference(what, without_secrets(wanted), without_secrets(found))
        for what, wanted, found in pairs
        if wanted != found
    )
    yield from _owned(
        "code of user",
        [(one.user_id, one.code) for one in ours.codes or ()],
        [(one.user_id, one.code) for one in theirs.codes or ()],
    )
    yield from _owned(
        "externalPhone of site",
        [(one.site, one.phone) for one in ours.phones or ()],
        [(one.site, one.phone) for one in theirs.phones or ()],
    )


def _owned(what: str, wish: Sequence[tuple[Owner, str]], known: Sequence[tuple[Owner, str]]) -> Iterator[Difference]:
    for owner in dict.fromkeys(owner for owner, _ in (*wish, *known)):
        wanted = sorted({value for one, value in wish if one == owner})
        found = sorted({value for one, value in known if one == owner})
        if wanted != found:
            yield Difference(f"{what} {owner}", ", ".join(wanted) or None, ", ".join(found) or None)


def without_secrets(shown: str | bool | None) -> str | bool | None:
    """An address without what may be secret in it: long parts of its path, its query, a password; None for nothing."""
    if not isinstance(shown, str) or "/" not in shown:
        return None if shown == "" else shown
    address, question, _ = shown.partition("?")
    scheme, mark, rest = address.rpartition("://")
    host, *path = rest.split("/")
    hidden = ["******" if len(part) >= LONG else part for part in path]
    return "/".join([f"{scheme}{mark}{host.rpartition('@')[2]}", *hidden]) + (question and "?******")


def _split(url: str) -> tuple[str, str]:
    """(``https://host``, ``/path`` or nothing)."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")


def _digits(phone: str) -> str:
    return re.sub(r"\D", "", phone) or phone
