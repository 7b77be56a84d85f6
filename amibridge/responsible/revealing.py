"""That somebody was told who calls and who looks after him: a row of the audit, for which no caller waits.

Law: what cannot be written down is not told; the call goes its normal way then. An answer that names nobody is no row.
"""

from __future__ import annotations

from datetime import UTC, datetime

from amibridge.enterprises import EnterpriseId
from amibridge.responsible.answer import Answer, Nobody, Why
from amibridge.store.audit import AuditRow, AuditTrail

DIALPLAN = "dialplan"
"""Who asked, in the audit: whoever knows what our own dialplans know."""


def revealed(
    trail: AuditTrail, enterprise: EnterpriseId, phone: str, answer: Answer, address: str, request: str = ""
) -> Answer:
    """*answer*, with a row on its way; nobody, while there is no room for rows."""
    if answer.extension is None and not answer.shown and answer.customer is None:
        return answer
    if not trail.has_room:
        return Answer(Nobody(Why.NOT_TOLD))
    whom = phone if answer.extension is None else f"{phone} to {answer.extension}"
    row = AuditRow(enterprise, datetime.now(UTC), DIALPLAN, address, "responsible", whom, answer.reason, request)
    trail.note(row)
    return answer
