"""`enterprises/<number>.toml`, as a person writes it, into an `Enterprise`.

Laws: every mistake at once, with its line and key; files named in it are looked for beside it. An absent `client_id`,
`webhook_secret` or secret of a webhook is left empty: the directory keeps the one there is, or makes one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from amibridge.calls.clicks import Dialling
from amibridge.calls.numbering import Numbering
from amibridge.calls.phones import to_e164
from amibridge.calls.record import Extension
from amibridge.cli.enterprise_document import (
    AsteriskTable,
    EnterpriseDocument,
    MissedCallsTable,
    ResponsibleTable,
    WebhookTable,
    is_given,
)
from amibridge.config.documents import ConfigError, KeyPath, mistakes, one_line, parse_toml, placed, read_text
from amibridge.delivery.webhooks.signature import check_secret
from amibridge.enterprises import (
    Account,
    AmiHost,
    Credit,
    Enterprise,
    EnterpriseId,
    Fallback,
    HostName,
    Line,
    MissedCalls,
    NamePart,
    Operator,
    ResponsibleMode,
    ResponsibleSettings,
    Webhook,
)
from amibridge.recordings.places import is_within_reach, place_of
from amibridge.redact import Secret

HOST_SECRETS = {"secret": True, "recordings_password": False}
WEBHOOK_SECRETS = {"secret": False, "previous_secret": False}
"""Whether it must be given."""


def read_enterprise(path: Path) -> Enterprise:
    """The enterprise that *path* describes. Raises ConfigError with every mistake in it."""
    text = read_text(path)
    said = parse_toml(text, path)
    secrets, found = _read_secrets(said, path.absolute().parent)
    found.extend(_doubles(said))
    found.extend(_passwords_in_the_clear(said, secrets))
    try:
        document = EnterpriseDocument.model_validate(said)
    except ValidationError as error:
        raise ConfigError(placed(path, text, [*mistakes(error, EnterpriseDocument), *found])) from None
    found.extend(_contradictions(document))
    if found:
        raise ConfigError(placed(path, text, found))
    return _enterprise(document, secrets)


def _enterprise(document: EnterpriseDocument, secrets: dict[KeyPath, Secret]) -> Enterprise:
    number, crm = EnterpriseId(document.number), document.retailcrm
    return Enterprise(
        id=number,
        name=document.name,
        account=Account(url=crm.url, api_key=secrets["retailcrm", "api_key"], site=crm.site),
        hosts=tuple(
            _host(
                number,
                document.region,
                table,
                secrets["asterisk", index, "secret"],
                secrets.get(("asterisk", index, "recordings_password")),
            )
            for index, table in enumerate(document.asterisk)
        ),
        client_id=document.client_id or "",
        webhook_secret=Secret(crm.webhook_secret or ""),
        time_zone=ZoneInfo(document.timezone) if document.timezone else None,
        region=document.region,
        operators={
            Extension(extension): Operator(Extension(extension), table.user, table.name)
            for extension, table in document.operators.items()
        },
        lines={line: Line(line, table.site, table.name) for line, table in document.lines.items()},
        credit=Credit(crm.credit),
        create_customers=crm.create_customers,
        create_orders=crm.create_orders,
        create_tasks=crm.create_tasks,
        missed_calls=_missed_calls(document.missed_calls, document.region),
        module_code=crm.module_code,
        recordings_keep=_days(document.recordings.keep_days),
        links_valid=_days(document.recordings.links_valid_days),
        responsible=_responsible(document.responsible),
        supervisors=tuple(sorted({Extension(one) for one in document.supervision.extensions})),
        webhooks=tuple(
            sorted(
                (_webhook(table, secrets, index) for index, table in enumerate(document.webhooks)),
                key=lambda one: one.name,
            )
        ),
    )


def _responsible(table: ResponsibleTable) -> ResponsibleSettings:
    return ResponsibleSettings(
        ResponsibleMode(table.mode),
        table.dialplan,
        Fallback(table.fallback),
        tuple(NamePart(part) for part in table.name),
    )


def _webhook(table: WebhookTable, secrets: dict[KeyPath, Secret], index: int) -> Webhook:
    return Webhook(
        name=table.name,
        url=table.url,
        secret=secrets.get(("webhooks", index, "secret"), Secret("")),
        previous_secret=secrets.get(("webhooks", index, "previous_secret")),
        events=None if table.events is None else tuple(sorted(set(table.events))),
    )


def _missed_calls(table: MissedCallsTable, region: str) -> MissedCalls:
    return MissedCalls(
        wait=timedelta(minutes=table.wait_minutes),
        never_for=tuple(sorted({e164 for phone in table.never_for if (e164 := to_e164(phone, region))})),
        performer=table.performer,
        text=table.text,
        task_within=timedelta(minutes=table.task_minutes),
        order_method=table.order_method,
        order_type=table.order_type,
        order_status=table.order_status,
        order_status_reached=table.order_status_reached,
    )


def _contradictions(document: EnterpriseDocument) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong although each key alone is right."""
    missed = document.missed_calls
    if document.retailcrm.create_tasks and missed.performer is None:
        yield ("retailcrm", "create_tasks"), "needs the id of a CRM user in performer of [missed_calls]"
    if missed.order_status_reached is not None and missed.order_status_reached == missed.order_status:
        yield ("missed_calls", "order_status_reached"), "is order_status: an order that is done looks like a new one"
    for index, phone in enumerate(missed.never_for):
        if to_e164(phone, document.region) is None:
            yield ("missed_calls", "never_for", index), f"is not a telephone number of {document.region}"


def _days(days: int | None) -> timedelta | None:
    return None if days is None else timedelta(days=days)


def _host(number: EnterpriseId, region: str, table: AsteriskTable, secret: Secret, password: Secret | None) -> AmiHost:
    return AmiHost(
        enterprise=number,
        name=HostName(table.name),
        host=table.host,
        port=table.port,
        username=table.username,
        secret=secret,
        numbering=Numbering(table.internal, tuple(table.trunks), region),
        originate_channel=table.originate_channel,
        originate_context=table.originate_context,
        originate_number=Dialling(table.originate_number),
        recordings=table.recordings,
        recordings_password=password,
    )


def _read_secrets(said: dict[str, Any], folder: Path) -> tuple[dict[KeyPath, Secret], list[tuple[KeyPath, str]]]:
    """The API key and the secrets of hosts and webhooks, from the document or from the file it names, and what is wrong
    there."""
    wanted: list[tuple[KeyPath, dict[str, Any], str, bool]] = [
        ((where, index), table, name, must_be)
        for where, names in (("asterisk", HOST_SECRETS), ("webhooks", WEBHOOK_SECRETS))
        for index, table in _tables(said, where)
        for name, must_be in names.items()
    ]
    if isinstance(crm := said.get("retailcrm"), dict):
        wanted.append((("retailcrm",), crm, "api_key", True))
    secrets: dict[KeyPath, Secret] = {}
    found: list[tuple[KeyPath, str]] = []
    for key, table, name, must_be in wanted:
        given, file = table.get(name), table.get(f"{name}_file")
        if given is None and file is None and not must_be:
            continue
        if given is None and file is None:
            found.append((key, f"{name} or {name}_file is missing"))
        elif given is not None and file is not None:
            found.append(((*key, f"{name}_file"), f"give either {name} or {name}_file, not both"))
        elif isinstance(given, str):
            secrets[*key, name] = Secret(given)
        elif isinstance(file, str) and file.isprintable():  # what is not, the document's shape complains of
            try:
                secrets[*key, name] = _secret_in(folder / Path(file).expanduser())
                if key[0] == "webhooks":
                    check_secret(secrets[*key, name])
            except ValueError as error:
                found.append(((*key, f"{name}_file"), f"what it holds {error}"))
            except ConfigError as error:
                found.extend(((*key, f"{name}_file"), problem) for problem in error.problems)
            except RuntimeError:
                pass  # a home that nobody has: the document's shape complains of it, too
    return secrets, found


def _secret_in(path: Path) -> Secret:
    """The one line that the file holds; the line break at its end is not part of the secret."""
    try:
        return Secret(is_given(one_line(read_text(path).removesuffix("\n").removesuffix("\r"))))
    except ValueError as error:
        raise ConfigError([f"{path}: {error}"]) from None


def _doubles(said: dict[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Two hosts or webhooks of one name, or one Asterisk given twice: each of its calls would be told twice."""
    names: set[object] = set()
    addresses: set[object] = set()
    for index, table in _tables(said, "asterisk"):
        name, address = table.get("name"), (str(table.get("host")).lower(), table.get("port", 5038))
        if name is not None and name in names:
            yield ("asterisk", index, "name"), "another [[asterisk]] has this name already"
        if "host" in table and address in addresses:
            yield ("asterisk", index, "host"), "another [[asterisk]] has this address and port already"
        names.add(name)
        addresses.add(address)
    called: set[object] = set()
    for index, table in _tables(said, "webhooks"):
        if (name := table.get("name")) is not None and name in called:
            yield ("webhooks", index, "name"), "another [[webhooks]] has this name already"
        called.add(name)


def _passwords_in_the_clear(said: dict[str, Any], secrets: dict[KeyPath, Secret]) -> Iterator[tuple[KeyPath, str]]:
    for index, table in _tables(said, "asterisk"):
        key, place = ("asterisk", index, "recordings"), table.get("recordings")
        password = secrets.get(("asterisk", index, "recordings_password"))
        if password is None:
            continue
        if not isinstance(place, str) or place.startswith("/"):
            yield ("asterisk", index), "recordings_password is for recordings at an https:// or sftp:// address"
        elif is_within_reach(place) and not is_within_reach(place, password):
            try:
                place_of(place, password)
            except ValueError as error:
                yield key, str(error)


def _tables(said: dict[str, Any], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The tables of a list that may be anything yet."""
    tables = said.get(name)
    for index, table in enumerate(tables if isinstance(tables, list) else []):
        if isinstance(table, dict):
            yield index, table
