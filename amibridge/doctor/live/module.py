"""Questions about integration modules, of which ours is one."""

from __future__ import annotations

from amibridge.doctor.live.asking import Answer, LiveAccount, Unasked, said
from amibridge.retailcrm.errors import CrmMissing, CrmRefused
from amibridge.retailcrm.modules import integration_module, says_there_is_none


async def no_such_module(account: LiveAccount) -> Answer:
    refusal = await account.refusal(integration_module("amibridge-doctor-nobodys"))
    none = isinstance(refusal, CrmMissing | CrmRefused) and says_there_is_none(refusal)
    return Answer(none, "`integration-modules/{code}` for a code that no module has", said(refusal))


async def whole_module(account: LiveAccount) -> Answer:
    module = await account.module()
    if module is None:
        raise Unasked(f"our module is not registered: amibridge retailcrm register {account.enterprise.id}")
    asked = "`integration-modules/{code}` for our module"
    telephony = module.telephony
    if telephony is None or not telephony.make_call_url or not module.base_url:
        return Answer(False, asked, "it does not tell the module's telephony and addresses")
    wanted = any(operator.user is not None for operator in account.enterprise.operators.values())
    if wanted and not telephony.codes:
        return Answer(False, asked, "it tells no user's extension, though the enterprise's file gives some")
    return Answer(True, asked, f"it tells its telephony, with the extensions of {len(telephony.codes or ())} users")
