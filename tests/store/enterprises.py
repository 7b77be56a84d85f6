"""An enterprise for the tests of the store, with something of everything."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from amibridge.calls.clicks import Dialling
from amibridge.calls.numbering import Numbering
from amibridge.calls.record import Extension
from amibridge.enterprises import (
    Account,
    AmiHost,
    Credit,
    Enterprise,
    EnterpriseId,
    Fallback,
    HostName,
    Line,
    NamePart,
    Operator,
    ResponsibleMode,
    ResponsibleSettings,
)
from amibridge.redact import Secret


def host(number: str = "0123", name: str = "pbx1", secret: str = "hush-ami") -> AmiHost:
    return AmiHost(
        enterprise=EnterpriseId(number),
        name=HostName(name),
        host="10.0.0.5",
        port=5038,
        username="amibridge",
        secret=Secret(secret),
        numbering=Numbering(r"^\d{3}$", ("PJSIP/provider", "SIP/00013*"), "BY"),
        originate_channel="Local/{extension}@from-internal/n",
        originate_context="from-internal",
        originate_number=Dialling.AS_GIVEN,
        recordings="/var/spool/asterisk/monitor",
    )


def romashka(number: str = "0123") -> Enterprise:
    return Enterprise(
        id=EnterpriseId(number),
        name="Ромашка",
        account=Account("https://romashka.retailcrm.ru", Secret("hush-key"), "romashka"),
        hosts=(host(number),),
        client_id=f"client-of-{number}",
        webhook_secret=Secret("hush-webhook-secret"),
        time_zone=ZoneInfo("Europe/Minsk"),
        region="BY",
        operators={
            Extension("101"): Operator(Extension("101"), 27, "Иван"),
            Extension("102"): Operator(Extension("102"), 31),
        },
        lines={"74951110001": Line("74951110001", "romashka", "Москва")},
        credit=Credit.LAST,
        create_customers=False,
        create_orders=True,
        responsible=ResponsibleSettings(
            ResponsibleMode.NAME, "to-{extension}", Fallback.LAST_CALL, (NamePart.LINE, NamePart.CUSTOMER)
        ),
    )
