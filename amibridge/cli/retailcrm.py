"""`amibridge retailcrm`: our module in the account, registered, looked at, and who has which extension there.

Laws: what is written is what was read with our wishes in it, read again afterwards; nothing that is printed holds a
secret.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from amibridge.cli.configured import begin, in_loop
from amibridge.cli.crm_account import open_account
from amibridge.cli.failure import CommandFailed
from amibridge.cli.operators_table import operators_table
from amibridge.cli.stored import show
from amibridge.config import Settings
from amibridge.enterprises import Enterprise, EnterpriseId
from amibridge.retailcrm.module_wish import Difference, check_reachable, differences, module_code, wished
from amibridge.retailcrm.modules import IntegrationModule, ModuleEdited
from amibridge.retailcrm.text import excerpt
from amibridge.retailcrm.who_is_who import Match, who_is_who


def register(args: argparse.Namespace) -> int:
    settings, number = begin(args), EnterpriseId(args.number)
    return in_loop(_deactivate(settings, number) if args.deactivate else _register(settings, number))


def status(args: argparse.Namespace) -> int:
    return in_loop(_status(begin(args), EnterpriseId(args.number)))


def users(args: argparse.Namespace) -> int:
    return in_loop(_users(begin(args), EnterpriseId(args.number)))


def _reachable(settings: Settings, enterprise: Enterprise) -> str:
    """The address by which the CRM asks us."""
    try:
        check_reachable(settings.web.public_url, enterprise.account.url)
    except ValueError as error:
        raise CommandFailed(f"{enterprise.id}: {error}") from error
    return settings.web.public_url


async def _register(settings: Settings, number: EnterpriseId) -> int:
    async with open_account(settings, number) as account:
        public_url = _reachable(settings, account.enterprise)
        known = await account.module()
        wish = wished(account.enterprise, public_url, known)
        changes = [one for one in differences(wish, known) if one.ours]
        edited = await account.write(wish) if changes else ModuleEdited()
        now = await account.module() if changes else known
        if now is not None:
            await account.keep(now)
    return _registered(number, wish, changes, differences(wish, now), edited)


def _registered(
    number: EnterpriseId,
    wish: IntegrationModule,
    changes: Sequence[Difference],
    left: Sequence[Difference],
    edited: ModuleEdited,
) -> int:
    show(
        {
            "enterprise": number,
            "module": wish.code,
            "written": bool(changes),
            "changes": [_described(one) for one in changes],
            "left": [_described(one) for one in left],
            "unknown_users": edited.unknown_users,
            "unknown_sites": edited.unknown_sites,
        }
    )
    _say(f"{number}: the module {wish.code} " + ("is registered" if changes else "is as it should be: nothing written"))
    for one in changes:
        if not one.absent:
            _say(f"{number}: {one.what} was {_word(one.found)}, is {_word(one.wish)} now")
    for user in edited.unknown_users:
        _say(f"{number}: the CRM has no user {user}: mend [operators] of the enterprise's file")
    for site in edited.unknown_sites:
        _say(f"{number}: the CRM has no store {excerpt(site)}: mend [lines] of the enterprise's file")
    for one in left:
        _say(f"{number}: still {_sentence(one)}: {_advice(one, number)}")
    return 1 if any(one.ours for one in left) else 0


async def _deactivate(settings: Settings, number: EnterpriseId) -> int:
    async with open_account(settings, number) as account:
        public_url = _reachable(settings, account.enterprise)
        code, known = module_code(account.enterprise), await account.module()
        written = known is not None and known.active
        if known is not None:
            if written:
                await account.write(wished(account.enterprise, public_url, known, active=False))
                known = await account.module() or known
            await account.keep(known)
    show({"enterprise": number, "module": code, "written": written, "active": known.active if known else None})
    if known is None:
        _say(f"{number}: there is no module {code} in the account: nothing to switch off")
    elif known.active:
        _say(f"{number}: the CRM took it, and says that the module {code} is active all the same")
        return 1
    else:
        _say(f"{number}: the module {code} is switched off" + ("" if written else " already") + "; nothing is sent")
    return 0


async def _status(settings: Settings, number: EnterpriseId) -> int:
    async with open_account(settings, number) as account:
        enterprise = account.enterprise
        public_url = _reachable(settings, enterprise)
        known = await account.module()
    wish = wished(enterprise, public_url, known)
    found = [(one, _advice(one, number)) for one in differences(wish, known)]
    found += _of_standing(enterprise, known)
    for one, advice in found:
        show({"enterprise": number, "module": wish.code, **_described(one), "do": advice})
        _say(f"{number}: {_sentence(one)}: {advice}")
    if not found:
        show({"enterprise": number, "module": wish.code, "as_wished": True})
        _say(f"{number}: the module {wish.code} is as it should be")
    return 1 if found else 0


def _of_standing(enterprise: Enterprise, known: IntegrationModule | None) -> Iterator[tuple[Difference, str]]:
    """What the bridge believes of the module, and of where the account is."""
    told = enterprise.module
    if known is not None and known.works and not told.works:
        what = "frozen" if told.frozen else "switched off"
        yield Difference("told", None, what), f"nothing is sent: amibridge retailcrm register {enterprise.id}"
    if told.moved_from is not None:
        moved = Difference("url", told.moved_from, enterprise.account.url)
        yield moved, "the account moved, and is asked there: name it in the enterprise's file"
    if told.unheeded is not None:
        named = Difference("url", enterprise.account.url, told.unheeded)
        yield (
            named,
            "somebody named this address and was not followed: if it is right, name it in the enterprise's file",
        )


async def _users(settings: Settings, number: EnterpriseId) -> int:
    async with open_account(settings, number) as account:
        module, people = await account.module(), await account.users()
    telephony = module.telephony if module else None
    operators = account.enterprise.operators
    found = who_is_who(operators, people, (telephony and telephony.codes) or ())
    for match in found.matches:
        show({"enterprise": number, **_matched(match)})
    for conflict in found.conflicts:
        show({"enterprise": number, "conflict": conflict.kind, "what": conflict.what, "do": conflict.do})
        _say(f"{number}: {conflict.what}: {conflict.do}")
    if module is None:
        _say(
            f"{number}: the module is not registered yet, so there are no codes: amibridge retailcrm register {number}"
        )
    if people and not any(match.extension for match in found.matches):
        example = f"101 = {{ user = {people[0].id} }}"
        _say(f"{number}: nobody has an extension yet: say who has which in [operators] of the file, like {example}")
    if table := operators_table(operators, found.matches):
        _say(f"{number}: what the enterprise's file could say:", *table)
    return 1 if found.conflicts else 0


def _matched(match: Match) -> dict[str, Any]:
    user = match.user
    return {
        "extension": match.extension,
        "user": user and user.id,
        "name": user and user.name,
        "email": user and user.email,
        "active": user and user.active,
        "by": match.by,
    }


def _described(one: Difference) -> dict[str, Any]:
    return {"what": one.what, "wish": one.wish, "found": one.found}


def _sentence(one: Difference) -> str:
    wish, found = (_word(value) for value in (one.wish, one.found))
    if one.absent:
        return f"there is no module {wish} in the account"
    if one.what == "told":
        return f"the CRM once told us that the module is {found}, and says now that it works"
    return f"{one.what} is {found}, should be {wish}"


def _word(value: str | bool | None) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case _:
            return excerpt(value)


def _advice(one: Difference, number: EnterpriseId) -> str:
    if one.ours:
        return f"amibridge retailcrm register {number}"
    return "an administrator of the account must settle it with RetailCRM, which then tells us"


def _say(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr)
