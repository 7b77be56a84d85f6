"""Asks an account about each assumption, one after the other.

Laws: an account that answers nonsense is a finding; what could not be found out is told, and why; without *write* no
question is asked that would leave anything.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from datetime import timedelta
from functools import partial

from amibridge.doctor.findings import Check, Evidence, Finding, Level, Verdict, findings_of, unknown, warn
from amibridge.doctor.live.asking import Answer, LiveAccount, Question, Unasked
from amibridge.doctor.live.assumptions import ASSUMPTIONS, WRITES, Assumption
from amibridge.enterprises import Enterprise
from amibridge.retailcrm.client import CrmSettings, open_crm
from amibridge.retailcrm.errors import CrmError, CrmForbids, CrmLockedOut, CrmNotEnabled, CrmUnreachable
from amibridge.retailcrm.limits import BESIDE
from amibridge.retailcrm.requests import credentials

SETTINGS = CrmSettings(connect=timedelta(seconds=5), total=timedelta(seconds=15), rates=BESIDE)

WITHIN = timedelta(seconds=60)
"""One question, with the requests that it takes."""


async def ask_live(
    enterprise: Enterprise,
    *,
    write: bool,
    settings: CrmSettings = SETTINGS,
    assumptions: Iterable[Assumption] = ASSUMPTIONS,
) -> AsyncGenerator[Finding]:
    async with open_crm(settings) as crm:
        account = LiveAccount(crm, enterprise)
        try:
            refusal = await account.refusal(credentials())
        except CrmError as error:
            refusal = error
        if refusal is not None and not isinstance(refusal, CrmForbids):
            yield warn("live", f"nothing could be asked: {refusal}", "mend what is found at CRM key, and ask again")
            return
        for assumption in assumptions:
            look = partial(_ask, account, assumption, write)
            for finding in await findings_of(Check(assumption.about, look, WITHIN)):
                yield finding
        if account.left:
            advice = "delete them in the CRM, or leave them: the next time the same ones are used, and a new task"
            yield warn("left there", ", ".join(dict.fromkeys(account.left)), advice)


async def _ask(account: LiveAccount, assumption: Assumption, write: bool) -> AsyncGenerator[Finding]:
    question = assumption.question
    if isinstance(question, str):
        yield _unasked(assumption, question)
        return
    if question in WRITES and not write:
        yield _unasked(assumption, "it would leave something there", "add --write")
        return
    yield await _answered(account, assumption, question)


async def _answered(account: LiveAccount, assumption: Assumption, question: Question) -> Finding:
    try:
        answer = await question(account)
    except Unasked as why:
        return _unasked(assumption, str(why))
    except CrmForbids as error:
        return _unasked(assumption, f"the key may not: {error}", "give it the rights that docs/operations.md names")
    except CrmNotEnabled:
        register = f"amibridge retailcrm register {account.enterprise.id}"
        return _unasked(assumption, "its telephony module is not active", register)
    except (CrmUnreachable, CrmLockedOut) as error:
        return _unasked(assumption, str(error), "ask again in a minute")
    except CrmError as error:
        return _unasked(
            assumption, f"what came makes no sense: {error}", "ask again; if it stays so, tell the developers"
        )
    return _judged(assumption, answer)


def _judged(assumption: Assumption, answer: Answer) -> Finding:
    verdict = Verdict.AS_ASSUMED if answer.as_assumed else Verdict.DIFFERENT
    evidence = Evidence(verdict, assumption.assumes, answer.asked, answer.answered)
    if answer.as_assumed:
        return Finding(Level.OK, assumption.about, verdict, None, evidence=evidence)
    advice = f"tell the developers; meanwhile {assumption.meanwhile}"
    return Finding(assumption.level, assumption.about, verdict, advice, evidence=evidence)


def _unasked(assumption: Assumption, why: str, advice: str | None = None) -> Finding:
    evidence = Evidence(Verdict.UNASKED, assumption.assumes)
    return unknown(assumption.about, f"{Verdict.UNASKED}: {why}", advice, evidence)
