"""Webhooks as they stand in the database, and which facts they are owed."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
import pytest

from amibridge.calls.facts import AnyFact
from amibridge.enterprises import EnterpriseId, Webhook
from amibridge.redact import Secret
from amibridge.secrets import Key, Keyring, SealBroken
from amibridge.store.directory import Directory
from amibridge.store.ledger import Ledger
from amibridge.store.outbox import DeliveryStatus, Outbox
from amibridge.store.retention import Forgettable, Retention
from amibridge.store.webhooks import drop_ownerless
from tests.delivery.rows import ended, rang, record
from tests.store.enterprises import romashka
from tests.store.said import heard, started

pytestmark = pytest.mark.postgres

ONE, TWO = EnterpriseId("0123"), EnterpriseId("0456")
HUSH = Secret("whsec_" + b64encode(b"hush-hush-hush-hush-hush-hush").decode())
ERP = Webhook("erp", "https://erp.example.com/calls", HUSH, None, ("call.incoming", "call.missed"))
DWH = Webhook("dwh", "http://10.0.0.7/", HUSH, HUSH)


@pytest.fixture
def directory(pool: asyncpg.Pool) -> Directory:
    return Directory(pool, Keyring([Key("one", bytes(32))]))


async def test_what_is_applied_is_what_is_loaded_and_each_change_is_said(directory: Directory) -> None:
    whole = replace(romashka(), webhooks=(DWH, ERP))
    assert {"webhook dwh added", "webhook erp added"} <= set(await directory.apply(whole))
    await directory.apply(replace(romashka("0456"), webhooks=(replace(ERP, url="https://other/"),)))
    assert await directory.load_one(ONE) == whole
    assert await directory.apply(whole) == []
    changed = replace(ERP, url="https://new.example.com/", secret=Secret(HUSH[:-8] + "AAAAAAAA"), events=None)
    assert await directory.apply(replace(whole, webhooks=(changed,))) == [
        "webhook dwh removed",
        "webhook erp: url changed from https://erp.example.com/calls to https://new.example.com/",
        "webhook erp: events changed from call.incoming, call.missed to all",
        "webhook erp: secret changed",
    ]
    loaded = await directory.load()
    assert [[one.url for one in enterprise.webhooks] for enterprise in loaded] == [
        ["https://new.example.com/"],
        ["https://other/"],
    ]


async def test_a_secret_is_made_once_and_kept_until_another_is_given(directory: Directory) -> None:
    bare = replace(romashka(), webhooks=(replace(ERP, secret=Secret("")), replace(DWH, secret=Secret(""))))
    await directory.apply(bare)
    made = await directory.load_one(ONE)
    assert made is not None
    assert len({one.secret for one in made.webhooks}) == 2
    assert await directory.apply(bare) == []
    assert await directory.load_one(ONE) == made
    await directory.apply(replace(romashka(), webhooks=(ERP,)))
    assert await directory.load_one(ONE) == replace(romashka(), webhooks=(ERP,))


async def test_secrets_are_sealed_and_bound_to_their_webhook(directory: Directory, pool: asyncpg.Pool) -> None:
    await directory.apply(replace(romashka(), webhooks=(DWH, ERP)))
    for row in await pool.fetch("SELECT * FROM webhooks"):
        for value in row.values():
            raw = value if isinstance(value, bytes) else str(value).encode()
            assert b"hush" not in raw
            assert HUSH.removeprefix("whsec_").encode() not in raw
    for change in (
        "UPDATE webhooks SET secret = (SELECT secret FROM webhooks WHERE name = 'dwh') WHERE name = 'erp'",
        "UPDATE webhooks SET secret = previous_secret WHERE name = 'dwh'",
        "UPDATE webhooks SET secret = set_byte(secret, 20, get_byte(secret, 20) # 1) WHERE name = 'dwh'",
    ):
        await pool.execute(change)
        with pytest.raises(SealBroken, match="0123:webhooks:"):
            await directory.load_one(ONE)
        await directory.apply(replace(romashka(), webhooks=(DWH, ERP)))
        assert await directory.load_one(ONE) == replace(romashka(), webhooks=(DWH, ERP))


async def test_a_fact_owes_a_row_to_each_webhook_that_wants_it_and_to_no_other(
    directory: Directory, pool: asyncpg.Pool
) -> None:
    await directory.apply(replace(romashka(), webhooks=(DWH, ERP)))
    await directory.apply(replace(romashka("0456"), webhooks=()))
    facts: list[AnyFact] = [started("pbx:1"), rang("pbx:1", "101"), ended(record("pbx:1"))]
    ledger = Ledger(pool)
    rows = await ledger.record([*heard(*facts), *heard(*facts, enterprise="0456")])
    told = [(row.webhook, row.fact.word) for row in rows if row.webhook]
    assert [word for name, word in told if name == "dwh"] == ["call.incoming", "operator.rang", "call.finished"]
    assert [word for name, word in told if name == "erp"] == ["call.incoming"]
    assert {row.enterprise for row in rows if row.webhook} == {ONE}
    seqs = {
        row["key"]: row["seq"] for row in await pool.fetch("SELECT key, seq FROM facts WHERE enterprise_id = '0123'")
    }
    assert {row.fact.key: row.seq for row in rows if row.webhook} == seqs
    assert [row.id for row in rows] == sorted(row.id for row in rows)
    assert await ledger.record(heard(*facts)) == []
    assert {(row.id, row.seq, row.webhook) for row in await ledger.due_of(heard(*facts))} == {
        (row.id, row.seq, row.webhook) for row in rows if row.enterprise == ONE
    }


async def test_a_lane_reads_its_own_rows_and_nobody_elses(directory: Directory, pool: asyncpg.Pool) -> None:
    await directory.apply(replace(romashka(), webhooks=(DWH, ERP)))
    facts: list[AnyFact] = [started("pbx:1"), rang("pbx:1", "101"), ended(record("pbx:1"))]
    rows = await Ledger(pool).record(heard(*facts))
    outbox = Outbox(pool)
    for name in ("", "dwh", "erp"):
        assert await outbox.load_due(ONE, webhook=name) == [row for row in rows if row.webhook == name]
    assert await outbox.load_due(TWO, webhook="erp") == []
    backlogs = {(one.webhook, one.status): one.rows for one in await outbox.backlogs()}
    assert (backlogs["dwh", DeliveryStatus.DUE], backlogs["erp", DeliveryStatus.DUE]) == (3, 1)


async def test_what_is_owed_to_who_is_no_more_is_dropped_and_forgotten_as_others(
    directory: Directory, pool: asyncpg.Pool
) -> None:
    await directory.apply(replace(romashka(), webhooks=(DWH, ERP)))
    await directory.apply(replace(romashka("0456"), webhooks=(DWH,)))
    for number in (ONE, TWO):
        await Ledger(pool).record(heard(started("pbx:1"), ended(record("pbx:1")), enterprise=number))
    assert await drop_ownerless(pool) == {}
    await directory.apply(replace(romashka(), webhooks=(ERP,)))
    assert await drop_ownerless(pool) == {(ONE, "dwh"): 2}
    assert await drop_ownerless(pool) == {}
    await directory.remove(TWO)
    assert await drop_ownerless(pool) == {(TWO, "dwh"): 2}
    left = await pool.fetch("SELECT webhook, status::text, count(*) FROM deliveries WHERE webhook <> '' GROUP BY 1, 2")
    assert {tuple(row) for row in left} == {("dwh", "dropped", 4), ("erp", "due", 1)}
    piece = await Retention(pool).forget(Forgettable.DELIVERIES, ONE, before=datetime(2999, 1, 1, tzinfo=UTC))
    assert piece.gone == 2
