"""Enterprises in the database: whole or not at all, sealed, and read by everyone who serves them."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.calls.record import Extension
from amibridge.enterprises import EnterpriseId, Line, MissedCalls, Operator
from amibridge.redact import Secret
from amibridge.secrets import Key, Keyring, SealBroken
from amibridge.store.directory import Directory, EnterpriseRefused
from amibridge.store.ledger import Ledger
from tests.delivery.rows import ended, record
from tests.store.enterprises import host, romashka
from tests.store.said import heard

pytestmark = pytest.mark.postgres

ONE, TWO = EnterpriseId("0123"), EnterpriseId("0456")
OLD_KEY, NEW_KEY = Key("old", b"o" * 32), Key("new", b"n" * 32)
SEALED = ("enterprises.crm_api_key", "enterprises.webhook_secret", "hosts.secret")


@pytest.fixture
def directory(pool: asyncpg.Pool) -> Directory:
    return Directory(pool, Keyring([OLD_KEY]))


async def stored(pool: asyncpg.Pool) -> list[str]:
    """Every row of the directory, byte for byte."""
    return [
        row[0]
        for table in ("enterprises", "hosts", "operators", "lines")
        for row in await pool.fetch(f"SELECT {table}::text FROM {table} ORDER BY 1")
    ]


async def test_what_is_applied_is_what_is_loaded(directory: Directory) -> None:
    said = await directory.apply(romashka())
    assert said[0] == "enterprise added"
    assert await directory.load() == (romashka(),)
    assert await directory.load_one(ONE) == romashka()


async def test_every_wish_about_missed_calls_is_kept(directory: Directory) -> None:
    wishes = MissedCalls(
        timedelta(minutes=5), ("+375291111111",), 40, "Не дозвонились", timedelta(days=2), "a", "b", "c", "d"
    )
    wanted = replace(romashka(), create_tasks=True, missed_calls=wishes)
    await directory.apply(wanted)
    assert await directory.load() == (wanted,)


async def test_applied_again_it_changes_nothing_and_says_nothing(directory: Directory, pool: asyncpg.Pool) -> None:
    await directory.apply(romashka())
    before = await stored(pool)
    assert await directory.apply(romashka()) == []
    assert await stored(pool) == before


async def test_enterprises_come_by_their_numbers_and_one_is_none_where_there_is_none(directory: Directory) -> None:
    for number in ("0456", "0123", "0099"):
        await directory.apply(romashka(number))
    assert await directory.numbers() == ("0099", "0123", "0456")
    assert [one.id for one in await directory.load()] == ["0099", "0123", "0456"]
    assert await directory.load_one(EnterpriseId("9999")) is None


async def test_a_change_is_said_made_and_touches_no_other(directory: Directory) -> None:
    await directory.apply(romashka("0456"))
    await directory.apply(romashka())
    changed = replace(
        romashka(),
        name="Ромашка и сыновья",
        time_zone=None,
        hosts=(
            replace(host(name="pbx2"), recordings="https://a@pbx2/", recordings_password=Secret("hush-recordings")),
            replace(host(name="pbx3", secret="hush-third"), recordings=None),
        ),
        recordings_keep=timedelta(days=365),
        links_valid=timedelta(days=90),
        supervisors=(Extension("100"), Extension("103")),
        operators={Extension("103"): Operator(Extension("103"), None, "Ольга")},
        lines={"74951110001": Line("74951110001", None, None), "74951110002": Line("74951110002", "shop", None)},
    )
    said = await directory.apply(changed)
    assert {"host pbx1 removed", "host pbx2 added", "operator 101 removed", "line 74951110002 added"} <= set(said)
    assert await directory.load() == (changed, romashka("0456"))
    bare = replace(changed, hosts=(), operators={}, lines={})
    await directory.apply(bare)
    assert await directory.load() == (bare, romashka("0456"))


async def test_a_client_id_and_a_webhook_secret_are_made_once_and_kept(directory: Directory) -> None:
    without = replace(romashka(), client_id="", webhook_secret=Secret(""))
    await directory.apply(without)
    made = await directory.load_one(ONE)
    assert made is not None
    assert len(made.client_id) >= 16
    assert len(made.webhook_secret) >= 16
    assert await directory.apply(without) == []
    assert await directory.load_one(ONE) == made
    assert await directory.apply(romashka()) == [
        f"client id changed from {made.client_id} to client-of-0123",
        "webhook secret changed",
    ]
    assert await directory.apply(replace(romashka(), webhook_secret=Secret(""), client_id="")) == []
    assert await directory.load_one(ONE) == romashka()


async def test_two_made_client_ids_differ(directory: Directory) -> None:
    for number in ("0123", "0456"):
        await directory.apply(replace(romashka(number), client_id="", webhook_secret=Secret("")))
    one, other = await directory.load()
    assert one.client_id != other.client_id
    assert one.webhook_secret != other.webhook_secret


async def test_a_client_id_of_another_enterprise_is_refused_and_nothing_is_applied(
    directory: Directory, pool: asyncpg.Pool
) -> None:
    await directory.apply(romashka())
    await directory.apply(romashka("0456"))
    before = await stored(pool)
    thief = replace(romashka("0456"), client_id="client-of-0123", name="Лютик", hosts=())
    with pytest.raises(EnterpriseRefused, match="0456: client_id is that of another enterprise already"):
        await directory.apply(thief)
    with pytest.raises(EnterpriseRefused):
        await directory.apply(replace(thief, id=EnterpriseId("0789")))
    assert await stored(pool) == before


async def test_two_applied_at_once_do_not_mix(directory: Directory) -> None:
    several = [
        replace(
            romashka(),
            name=f"name {number}",
            hosts=tuple(host(name=f"pbx{number}-{of}") for of in range(3)),
            operators={Extension(f"{number}{of}"): Operator(Extension(f"{number}{of}")) for of in range(3)},
        )
        for number in range(6)
    ]
    await asyncio.gather(*(directory.apply(one) for one in several))
    assert await directory.load_one(ONE) in several


async def test_of_the_same_file_applied_at_once_one_makes_what_all_the_others_keep(directory: Directory) -> None:
    without = replace(romashka(), client_id="", webhook_secret=Secret(""))
    said = await asyncio.gather(*(directory.apply(without) for _ in range(6)))
    assert sorted(len(words) > 0 for words in said) == [False] * 5 + [True]


async def test_who_is_removed_is_served_no_more_but_what_was_said_stays(
    directory: Directory, pool: asyncpg.Pool
) -> None:
    await directory.apply(romashka())
    await directory.apply(romashka("0456"))
    await Ledger(pool).record(heard(ended(record("pbx:1"))))
    assert await directory.remove(ONE)
    assert await directory.load() == (romashka("0456"),)
    assert await pool.fetchval("SELECT count(*) FROM hosts") == 1
    for table in ("facts", "calls", "deliveries"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table} WHERE enterprise_id = '0123'") > 0
    assert not await directory.remove(ONE)
    await directory.apply(romashka())
    assert await directory.load_one(ONE) == romashka()


async def test_secrets_are_sealed_where_they_lie(directory: Directory, pool: asyncpg.Pool) -> None:
    await directory.apply(romashka())
    for table in ("enterprises", "hosts"):
        for row in await pool.fetch(f"SELECT * FROM {table}"):
            for value in row.values():
                raw = value if isinstance(value, bytes) else str(value).encode()
                for form in (b"hush", b"hush".hex().encode(), b64encode(b"hush-")[:6]):
                    assert form not in raw
    sealed = [
        row[0] for row in await pool.fetch("SELECT secret FROM hosts UNION ALL SELECT crm_api_key FROM enterprises")
    ]
    assert all(len(one) > len("hush-key") + 28 for one in sealed)  # a nonce of 12 bytes and a tag of 16


@pytest.mark.parametrize("column", SEALED)
async def test_a_secret_copied_to_another_enterprise_does_not_open(
    directory: Directory, pool: asyncpg.Pool, column: str
) -> None:
    await directory.apply(romashka())
    await directory.apply(romashka("0456"))
    table, name = column.split(".")
    await pool.execute(
        f"UPDATE {table} SET {name} = (SELECT {name} FROM {table} WHERE enterprise_id = '0123')"
        " WHERE enterprise_id = '0456'"
    )
    with capture_logs():
        assert await directory.load() == (romashka(),)
    with pytest.raises(SealBroken, match=r"0456:.* does not open"):
        await directory.load_one(TWO)


async def test_a_secret_in_the_place_of_another_does_not_open(directory: Directory, pool: asyncpg.Pool) -> None:
    await directory.apply(romashka())
    await pool.execute("UPDATE enterprises SET webhook_secret = crm_api_key")
    with pytest.raises(SealBroken):
        await directory.load_one(ONE)


BREAKINGS = {
    "damaged": "UPDATE enterprises SET crm_api_key = set_byte(crm_api_key, 20, get_byte(crm_api_key, 20) # 1)",
    "empty": "UPDATE enterprises SET webhook_secret = ''",
    "garbage in a host": "UPDATE hosts SET secret = 'hush-ami'",
    "a time zone of another machine": "UPDATE enterprises SET time_zone = 'Europe/Atlantis'",
    "a time zone that is a path": "UPDATE enterprises SET time_zone = '../../etc/passwd'",
    "a time zone that is a folder": "UPDATE enterprises SET time_zone = 'Europe'",
    "a pattern that is none": "UPDATE hosts SET internal = '^(['",
}


@pytest.mark.parametrize("broken", BREAKINGS)
async def test_an_enterprise_that_cannot_be_read_does_not_stop_the_others_and_is_said_once(
    directory: Directory, pool: asyncpg.Pool, broken: str
) -> None:
    for number in ("0123", "0456", "0789"):
        await directory.apply(romashka(number))
    await pool.execute(f"{BREAKINGS[broken]} WHERE enterprise_id = '0456'")
    others = (romashka("0123"), romashka("0789"))
    with capture_logs() as logs:
        assert await directory.load() == others
        assert await directory.load() == others
    assert [(line["event"], line["enterprise"]) for line in logs] == [("enterprise_unreadable", "0456")]
    assert await directory.numbers() == ("0123", "0456", "0789")
    with pytest.raises(SealBroken):
        await directory.load_one(TWO)
    await directory.apply(romashka("0456"))
    assert await directory.load() == (others[0], romashka("0456"), others[1])
    await pool.execute(f"{BREAKINGS[broken]} WHERE enterprise_id = '0456'")
    with capture_logs() as logs:
        await directory.load()
    assert len(logs) == 1, "broken once more is said once more"


async def test_what_is_unreadable_is_told_without_a_secret(directory: Directory, pool: asyncpg.Pool) -> None:
    await directory.apply(romashka())
    with capture_logs() as logs:
        assert await Directory(pool, Keyring([NEW_KEY])).load() == ()
    assert "the key 'old', which is not in the keyring" in logs[0]["reason"]
    assert "hush" not in str(logs)


async def test_a_new_key_put_first_encrypts_at_the_next_apply(directory: Directory, pool: asyncpg.Pool) -> None:
    await directory.apply(romashka())
    both = Directory(pool, Keyring([NEW_KEY, OLD_KEY]))
    assert await both.load() == (romashka(),)
    assert await both.apply(romashka()) == ["secrets encrypted anew"]
    assert await both.apply(romashka()) == []
    assert await Directory(pool, Keyring([NEW_KEY])).load() == (romashka(),)


async def test_an_enterprise_whose_key_is_lost_is_mended_by_its_file(directory: Directory, pool: asyncpg.Pool) -> None:
    await directory.apply(romashka())
    without = Directory(pool, Keyring([NEW_KEY]))
    said = await without.apply(romashka())
    assert {"api key changed", "webhook secret changed", "secrets encrypted anew"} <= set(said)
    assert await without.load_one(ONE) == romashka()
