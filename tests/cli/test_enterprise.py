"""`amibridge enterprise`: files into the database and back, and never a secret out of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from amibridge import log
from amibridge.cli.enterprise_file import read_enterprise
from amibridge.config import DatabaseSettings, LogSettings, SecretsSettings, Settings, WebSettings
from amibridge.daemon import serving
from amibridge.enterprises import Enterprise, EnterpriseId
from amibridge.secrets import open_keyring
from amibridge.store.directory import Directory
from tests.cli.commanding import Amibridge, Done
from tests.cli.enterprise_files import EXAMPLE, SMALLEST, written

SECRETS = ("hush-key", "hush-secret", "hush-hush-webhook")


@pytest.fixture
def example(tmp_path: Path) -> Path:
    return written(tmp_path, EXAMPLE, "0123.toml")


@pytest.fixture
def smallest(tmp_path: Path) -> Path:
    return written(tmp_path, SMALLEST, "7.toml")


@pytest.fixture
def directory(pool: asyncpg.Pool, tmp_path: Path) -> Directory:
    """What the commands wrote, read with their keyring."""
    (tmp_path / "data").mkdir(mode=0o700)
    return Directory(pool, open_keyring(tmp_path / "data" / "keyring"))


async def the_one(directory: Directory, number: str) -> Enterprise:
    found = await directory.load_one(EnterpriseId(number))
    assert found is not None
    return found


@pytest.mark.usefixtures("at_database")
class TestApply:
    async def test_files_are_put_into_the_database_and_what_changed_is_told_twice(
        self, amibridge: Amibridge, example: Path, smallest: Path, directory: Directory
    ) -> None:
        done = await amibridge.beside("enterprise", "apply", example, smallest)
        assert done.code == 0
        assert done.answers == [
            {
                "enterprise": "0123",
                "changes": [
                    "enterprise added",
                    "host pbx1 added",
                    "operator 101 added",
                    "operator 102 added",
                    "line 74951110001 added",
                ],
            },
            {"enterprise": "7", "changes": ["enterprise added", "host pbx added"]},
        ]
        assert done.sentences == [
            "0123 Ромашка: enterprise added; host pbx1 added; operator 101 added; operator 102 added; "
            "line 74951110001 added",
            "7 Семь: enterprise added; host pbx added",
        ]
        assert await the_one(directory, "0123") == read_enterprise(example)

    async def test_a_second_time_nothing_changes(
        self, amibridge: Amibridge, example: Path, smallest: Path, directory: Directory
    ) -> None:
        await amibridge.beside("enterprise", "apply", smallest)
        before = await the_one(directory, "7")
        assert before.client_id
        assert before.webhook_secret
        done = await amibridge.beside("enterprise", "apply", smallest)
        assert (done.code, done.answers) == (0, [{"enterprise": "7", "changes": []}])
        assert done.sentences == ["7 Семь: nothing to change"]
        assert await the_one(directory, "7") == before

    async def test_a_changed_file_changes_what_it_says_and_no_secret_is_shown(
        self, amibridge: Amibridge, example: Path, directory: Directory
    ) -> None:
        await amibridge.beside("enterprise", "apply", example)
        written(example.parent, EXAMPLE.replace("hush-secret", "hush-other").replace("Ромашка", "Роза"), "0123.toml")
        done = await amibridge.beside("enterprise", "apply", example)
        assert done.answers == [
            {"enterprise": "0123", "changes": ["name changed from Ромашка to Роза", "host pbx1: secret changed"]}
        ]
        assert "hush" not in done.out + done.err
        assert (await the_one(directory, "0123")).hosts[0].secret == "hush-other"

    async def test_all_files_are_right_or_none_is_applied_and_every_mistake_is_named(
        self, amibridge: Amibridge, tmp_path: Path, smallest: Path, directory: Directory
    ) -> None:
        wrong = written(tmp_path, EXAMPLE.replace("region", "regoin").replace("port = 5039", "port = 0"), "wrong.toml")
        broken = written(tmp_path, "number = \n", "broken.toml")
        again = written(tmp_path, SMALLEST, "again.toml")
        none = tmp_path / "none.toml"
        done = await amibridge.beside("enterprise", "apply", smallest, wrong, broken, again, none, tmp_path)
        assert (done.code, done.out) == (2, "")
        assert done.err.splitlines() == [
            f"amibridge: {wrong}, line 4: regoin: unknown key; did you mean 'region'?",
            f"amibridge: {wrong}, line 31: asterisk[1].port: must be greater than or equal to 1",
            f"amibridge: {broken}: not valid TOML: Invalid value (at line 1, column 10)",
            f"amibridge: {again}: number: 7 is described by {smallest} already",
            f"amibridge: {none}: cannot be read: No such file or directory",
            f"amibridge: {tmp_path}: cannot be read: Is a directory",
        ]
        assert await directory.numbers() == ()

    async def test_one_that_cannot_stand_beside_another_is_refused_and_the_rest_is_applied(
        self, amibridge: Amibridge, tmp_path: Path, example: Path, smallest: Path, directory: Directory
    ) -> None:
        await amibridge.beside("enterprise", "apply", example)
        rival = written(tmp_path, EXAMPLE.replace('number = "0123"', 'number = "0124"'), "rival.toml")
        done = await amibridge.beside("enterprise", "apply", rival, smallest)
        assert done.code == 1
        assert [answer["enterprise"] for answer in done.answers] == ["7"]
        assert "amibridge: 0124: client_id is that of another enterprise already" in done.sentences
        assert await directory.numbers() == ("0123", "7")

    async def test_a_running_daemon_hears_of_it(
        self, amibridge: Amibridge, example: Path, directory: Directory
    ) -> None:
        heard = asyncio.Event()

        async def listen() -> None:
            readings = 0
            async for _ in directory.changed():
                readings += 1
                if readings == 1:
                    listening.set()
                else:
                    heard.set()
                    return

        listening = asyncio.Event()
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            tasks.create_task(listen(), name="a daemon")
            await listening.wait()
            await amibridge.beside("enterprise", "apply", example)
            await heard.wait()


@pytest.mark.usefixtures("at_database")
class TestReading:
    async def test_list(self, amibridge: Amibridge, example: Path, smallest: Path) -> None:
        await amibridge.beside("enterprise", "apply", smallest, example)
        done = await amibridge.beside("enterprise", "list")
        assert (done.code, done.sentences) == (0, [])
        assert done.answers == [
            {
                "enterprise": "0123",
                "readable": True,
                "name": "Ромашка",
                "crm": "https://romashka.retailcrm.ru",
                "hosts": ["pbx1"],
                "operators": 2,
            },
            {
                "enterprise": "7",
                "readable": True,
                "name": "Семь",
                "crm": "https://seven.retailcrm.ru",
                "hosts": ["pbx"],
                "operators": 0,
            },
        ]

    async def test_show_tells_all_that_the_file_said_but_the_secrets(self, amibridge: Amibridge, example: Path) -> None:
        await amibridge.beside("enterprise", "apply", example)
        done = await amibridge.beside("enterprise", "show", "0123")
        assert done.code == 0
        assert done.answers == [
            {
                "number": "0123",
                "name": "Ромашка",
                "timezone": "Europe/Minsk",
                "region": "BY",
                "client_id": "d0c5-0123",
                "retailcrm": {
                    "url": "https://romashka.retailcrm.ru",
                    "api_key": "******",
                    "site": "romashka",
                    "create_customers": False,
                    "create_orders": True,
                    "create_tasks": True,
                    "credit": "last",
                    "webhook_secret": "******",
                    "module_code": None,
                },
                "missed_calls": {
                    "wait_minutes": 5,
                    "never_for": ["+375172222222", "+375291111111"],
                    "performer": 40,
                    "text": "Не дозвонились",
                    "task_minutes": 30,
                    "order_method": "missed-call",
                    "order_type": "eshop-individual",
                    "order_status": "new",
                    "order_status_reached": "client-confirmed",
                },
                "asterisk": [
                    {
                        "name": "pbx1",
                        "host": "10.0.0.5",
                        "port": 5039,
                        "username": "amibridge",
                        "secret": "******",
                        "internal": r"^1\d\d$",
                        "trunks": ["PJSIP/provider", "SIP/00013*"],
                        "originate_channel": "Local/{extension}@from-internal/n",
                        "originate_context": "from-inside",
                        "originate_number": "national",
                        "recordings": "/var/spool/asterisk/monitor",
                        "recordings_password": None,
                    }
                ],
                "recordings": {"keep_days": None, "links_valid_days": None},
                "responsible": {
                    "mode": "route",
                    "dialplan": "to-{extension}-on-{line}",
                    "fallback": "last_call",
                    "name": ["line", "customer"],
                },
                "supervision": {"extensions": ["100", "103"]},
                "webhooks": [],
                "operators": {"101": {"user": 27, "name": "Иван"}, "102": {"user": 31, "name": None}},
                "lines": {"74951110001": {"site": "romashka", "name": "Москва"}},
            }
        ]

    @pytest.mark.parametrize("level", ["debug", "info"])
    async def test_no_secret_is_ever_printed_or_logged(
        self,
        amibridge: Amibridge,
        example: Path,
        smallest: Path,
        directory: Directory,
        monkeypatch: pytest.MonkeyPatch,
        level: str,
    ) -> None:
        monkeypatch.setenv("AMIBRIDGE_LOG__LEVEL", level)
        done = [
            await amibridge.beside("enterprise", *words)
            for words in (
                ["apply", example, smallest],
                ["apply", example, smallest],
                ["list"],
                ["show", "0123"],
                ["show", "7"],
                ["remove", "0123"],
            )
        ]
        made = await the_one(directory, "7")
        for secret in (*SECRETS, str.__str__(made.webhook_secret)):
            assert len(secret) > 5
            assert secret not in "".join(one.out + one.err for one in done)

    async def test_what_another_keyring_sealed_is_listed_and_cannot_be_shown(
        self, amibridge: Amibridge, example: Path, smallest: Path, tmp_path: Path
    ) -> None:
        await amibridge.beside("enterprise", "apply", example)
        (tmp_path / "data" / "keyring").unlink()
        await amibridge.beside("enterprise", "apply", smallest)
        listed = await amibridge.beside("enterprise", "list")
        assert [(one["enterprise"], one["readable"]) for one in listed.answers] == [("0123", False), ("7", True)]
        done = await amibridge.beside("enterprise", "show", "0123")
        assert (done.code, done.out) == (1, "")
        [sentence] = done.sentences
        assert sentence.startswith("amibridge: 0123:")
        assert "not in the keyring" in sentence
        again = await amibridge.beside("enterprise", "apply", example)
        assert again.code == 0
        assert (await amibridge.beside("enterprise", "show", "0123")).code == 0


@pytest.mark.usefixtures("at_database")
class TestRemove:
    async def test_what_is_removed_is_gone_and_gone_once(
        self, amibridge: Amibridge, example: Path, smallest: Path, directory: Directory
    ) -> None:
        await amibridge.beside("enterprise", "apply", example, smallest)
        done = await amibridge.beside("enterprise", "remove", "0123")
        assert (done.code, done.answers) == (0, [{"enterprise": "0123", "removed": True}])
        assert done.sentences == ["0123: no longer served; its calls and deliveries stay in the database"]
        assert await directory.numbers() == ("7",)
        assert (await amibridge.beside("enterprise", "remove", "0123")).code == 1

    @pytest.mark.parametrize("word", ["show", "remove"])
    async def test_an_unknown_number_names_the_nearest(self, amibridge: Amibridge, example: Path, word: str) -> None:
        none = await amibridge.beside("enterprise", word, "0123")
        assert (none.code, none.out) == (1, "")
        assert none.sentences == ["amibridge: there are no enterprises yet: amibridge enterprise apply FILE"]
        await amibridge.beside("enterprise", "apply", example)
        near = await amibridge.beside("enterprise", word, "0132")
        assert (near.code, near.sentences) == (1, ["amibridge: there is no enterprise 0132; did you mean 0123?"])
        far = await amibridge.beside("enterprise", word, "x")
        assert (far.code, far.sentences) == (1, ["amibridge: there is no enterprise x"])


@pytest.mark.slow
async def test_without_a_dsn_the_private_database_of_the_running_daemon_is_used(
    amibridge: Amibridge, example: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    settings = Settings(
        data_dir=folder,
        instance="test",
        database=DatabaseSettings(),
        web=WebSettings("127.0.0.1", 0, "http://127.0.0.1"),
        secrets=SecretsSettings(folder / "keyring"),
        log=LogSettings(),
    )
    log.configure("json")
    async with serving(settings, asyncio.Event()) as running:
        done: Done = await amibridge.beside("enterprise", "apply", example)
        assert (done.code, [one["enterprise"] for one in done.answers]) == (0, ["0123"])
        assert await running.directory.load() == (read_enterprise(example),)
        assert (await amibridge.beside("enterprise", "show", "0123")).code == 0
        assert (await amibridge.beside("db", "upgrade")).code == 0
        assert (await amibridge.beside("enterprise", "remove", "0123")).code == 0
        assert await running.directory.load() == ()
    # The daemon has gone, and with it its server: the command starts one for itself.
    assert (await amibridge.beside("enterprise", "list")).code == 0
