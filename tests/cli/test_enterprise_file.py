"""An enterprise file: what it may say, what happens to what it does not, and every way to get it wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from amibridge.calls.clicks import Dialling
from amibridge.calls.numbering import Numbering
from amibridge.calls.record import Extension
from amibridge.cli.enterprise_file import read_enterprise
from amibridge.config import ConfigError
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
)
from amibridge.redact import Secret
from tests.cli.enterprise_files import EXAMPLE, SMALLEST, written


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read_enterprise(path)
    assert "hush" not in str(error.value)
    return [problem.removeprefix(str(path)) for problem in error.value.problems]


def test_the_published_example_is_read_to_the_last_key(tmp_path: Path) -> None:
    assert read_enterprise(written(tmp_path, EXAMPLE)) == Enterprise(
        id=EnterpriseId("0123"),
        name="Ромашка",
        account=Account("https://romashka.retailcrm.ru", Secret("hush-key"), "romashka"),
        hosts=(
            AmiHost(
                enterprise=EnterpriseId("0123"),
                name=HostName("pbx1"),
                host="10.0.0.5",
                port=5039,
                username="amibridge",
                secret=Secret("hush-secret"),
                numbering=Numbering(r"^1\d\d$", ("PJSIP/provider", "SIP/00013*"), "BY"),
                originate_channel="Local/{extension}@from-internal/n",
                originate_context="from-inside",
                originate_number=Dialling.NATIONAL,
                recordings="/var/spool/asterisk/monitor",
            ),
        ),
        client_id="d0c5-0123",
        webhook_secret=Secret("hush-hush-webhook"),
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
            ResponsibleMode.ROUTE,
            "to-{extension}-on-{line}",
            Fallback.LAST_CALL,
            (NamePart.LINE, NamePart.CUSTOMER),
        ),
        supervisors=(Extension("100"), Extension("103")),
        create_tasks=True,
        missed_calls=MissedCalls(
            wait=timedelta(minutes=5),
            never_for=("+375172222222", "+375291111111"),
            performer=40,
            text="Не дозвонились",
            task_within=timedelta(minutes=30),
            order_method="missed-call",
            order_type="eshop-individual",
            order_status="new",
            order_status_reached="client-confirmed",
        ),
    )


def test_what_is_not_said_has_the_defaults_of_an_enterprise(tmp_path: Path) -> None:
    enterprise = read_enterprise(written(tmp_path, SMALLEST))
    host = AmiHost(
        enterprise=EnterpriseId("7"),
        name=HostName("pbx"),
        host="pbx.example.com",
        port=5038,
        username="amibridge",
        secret=Secret("hush-secret"),
    )
    assert enterprise == Enterprise(
        id=EnterpriseId("7"),
        name="Семь",
        account=Account("https://seven.retailcrm.ru", Secret("hush-key")),
        hosts=(host,),
        client_id="",
        webhook_secret=Secret(""),
    )
    assert "hush" not in repr(enterprise)


def test_secrets_may_lie_in_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "crm.key").write_text("hush-key\n")
    (tmp_path / "ami.secret").write_text("hush secret\r\n")
    text = SMALLEST.replace('api_key = "hush-key"', 'api_key_file = "crm.key"')
    text = text.replace('secret = "hush-secret"', f'secret_file = "{tmp_path}/ami.secret"')
    enterprise = read_enterprise(written(tmp_path, text))
    assert enterprise.account.api_key == "hush-key"
    assert enterprise.hosts[0].secret == "hush secret"
    assert "hush" not in repr(enterprise)


@pytest.mark.parametrize("address", ["pbx.example.com", "10.0.0.5", "::1", "2001:db8::5", "fe80::1%eth0"])
def test_a_host_is_a_name_or_an_address_of_either_kind(tmp_path: Path, address: str) -> None:
    text = SMALLEST.replace("pbx.example.com", address)
    assert read_enterprise(written(tmp_path, text)).hosts[0].host == address


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost", "https://x.simla.io/"]
)
def test_an_account_is_reached_over_tls_or_on_this_machine(tmp_path: Path, url: str) -> None:
    text = SMALLEST.replace("https://seven.retailcrm.ru", url)
    assert read_enterprise(written(tmp_path, text)).account.url == url.rstrip("/")


def test_every_mistake_is_named_at_once_from_the_top_to_the_end(tmp_path: Path) -> None:
    text = """\
number = 123
name = ""
timezone = "Europe/Minks"
region = "by"
colour = 1

[retailcrm]
url = "http://romashka.retailcrm.ru"
api_kee = "hush"
credit = "frst"
create_orders = "yes"

[[asterisk]]
name = "pbx1"
host = "10.0.0.5"
port = 70000
username = "ami\\r\\nAction: Command"
secret = "hush"
secret_file = "hush.txt"
internal = '^(\\d'
trunks = ["provider"]
originate_channel = "PJSIP/{exten}"

[[asterisk]]
name = "pbx1"
host = "10.0.0.5"
port = 70000
username = "x"
secret_file = "absent.secret"

[operators]
101 = { usr = 27 }
102 = 27
103 = { user = "27" }
"10 4" = {}

[lines]
74951110001 = { site = 5 }
"""
    assert problems(written(tmp_path, text)) == [
        ", line 1: number: must be text in quotes",
        ", line 2: name: must not be empty",
        ", line 3: timezone: unknown time zone; did you mean 'Europe/Minsk'?",
        ", line 4: region: must be a country in two capital letters, like RU, BY or KZ",
        ", line 5: colour: unknown key",
        ", line 7: retailcrm: api_key or api_key_file is missing",
        ", line 8: retailcrm.url: http:// is allowed only towards this machine: write https://romashka.retailcrm.ru",
        ", line 9: retailcrm.api_kee: unknown key; did you mean 'api_key'?",
        ", line 10: retailcrm.credit: must be 'first' or 'last'",
        ", line 11: retailcrm.create_orders: must be true or false",
        ", line 16: asterisk[1].port: must be less than or equal to 65535",
        ", line 17: asterisk[1].username: must not contain line breaks or other control characters",
        ", line 19: asterisk[1].secret_file: give either secret or secret_file, not both",
        ", line 20: asterisk[1].internal: not a regular expression: missing ), unterminated subpattern at position 1",
        ", line 21: asterisk[1].trunks[1]: must name technology and endpoint, like PJSIP/provider or SIP/00013*",
        ", line 22: asterisk[1].originate_channel: must hold {extension} once and nothing else in braces, "
        "like PJSIP/{extension}",
        ", line 25: asterisk[2].name: another [[asterisk]] has this name already",
        ", line 26: asterisk[2].host: another [[asterisk]] has this address and port already",
        ", line 27: asterisk[2].port: must be less than or equal to 65535",
        f", line 29: asterisk[2].secret_file: {tmp_path}/absent.secret: cannot be read: No such file or directory",
        ", line 32: operators.101.usr: unknown key; did you mean 'user'?",
        ", line 33: operators.102: must be a table: { key = value }",
        ", line 34: operators.103.user: must be a whole number",
        ", line 35: operators.'10 4': is not an extension: up to 64 digits, letters and . * # + - _",
        ", line 38: lines.74951110001.site: must be text in quotes",
    ]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('number = "7"', "", ": number: is missing"),
        ('number = "7"', 'number = "../7"', "number: must be up to 32 letters"),
        ('number = "7"', 'number = "7\\u0000"', "number: must not contain line breaks"),
        ('name = "Семь"', 'name = "Семь"\nclient_id = "a b c d"', "client_id: must be 4 to 128"),
        ('name = "Семь"', 'name = "Семь"\ntimezone = "../../etc/passwd"', "timezone: unknown time zone"),
        ('name = "Семь"', 'name = "Семь"\ntimezone = "Europe"', "timezone: unknown time zone"),
        ('name = "Семь"', 'name = "Семь"\noperators = ["101"]', "operators: must be a table"),
        ("https://seven.retailcrm.ru", "https://seven.retailcrm.ru/?apiKey=hush", "retailcrm.url: "),
        ("https://seven.retailcrm.ru", "https://me:hush@seven.retailcrm.ru", "retailcrm.url: "),
        ("https://seven.retailcrm.ru", "ftp://seven.retailcrm.ru", "retailcrm.url: "),
        ("https://seven.retailcrm.ru", "http://localhost.evil.example", "retailcrm.url: "),
        ('api_key = "hush-key"', 'api_key = "hush-key\\r\\n"', "retailcrm.api_key: must not contain line breaks"),
        ('api_key = "hush-key"', 'api_key = ""', "retailcrm.api_key: must not be empty"),
        ('api_key = "hush-key"', "api_key_file = 5", "retailcrm.api_key_file: must be text"),
        ('api_key = "hush-key"', "api_key_file = '/dev/zero'", "cannot be the right file"),
        ('api_key = "hush-key"', 'api_key_file = "a\\u0000b"', "must not contain line breaks"),
        ('api_key = "hush-key"', 'api_key = "hush"\nwebhook_secret = "../x"', "webhook_secret: must be 16 to 128"),
        ('api_key = "hush-key"', 'api_key = "hush"\nmodule_code = "../x"', "module_code: must be up to 64 letters"),
        ('api_key = "hush-key"', 'api_key = "hush"\nmodule_code = ""', "module_code: must be up to 64 letters"),
        ("[[asterisk]]", "[asterisk]", "asterisk: must be a list"),
        ('name = "pbx"', 'name = "pbx:1"', "asterisk[1].name: must be up to 64 letters"),
        ("pbx.example.com", "pbx.example.com/x", "asterisk[1].host: must be a host name"),
        ("pbx.example.com", "", "asterisk[1].host: must be a host name"),
        ("pbx.example.com", "127.0.0.1:5038", "asterisk[1].host: must be a host name or an IP address, without a port"),
        ("pbx.example.com", "pbx.example.com:5038", "asterisk[1].host: must be a host name"),
        ("pbx.example.com", "[::1]:5038", "asterisk[1].host: must be a host name"),
        ("pbx.example.com", "::1%eth0%eth1", "asterisk[1].host: must be a host name"),
        ('username = "amibridge"', "", "asterisk[1].username: is missing"),
        (
            'secret = "hush-secret"',
            'secret = "hush\\nAction: Command"',
            "asterisk[1].secret: must not contain line breaks",
        ),
        ('secret = "hush-secret"', "", "asterisk[1]: secret or secret_file is missing"),
        ('secret = "hush-secret"', "secret = 7", "asterisk[1].secret: must be text"),
        ('username = "amibridge"', 'username = "a"\nport = true', "asterisk[1].port: must be a whole number"),
        ('username = "amibridge"', 'username = "a"\nport = 0', "asterisk[1].port: must be greater than or equal to 1"),
        ('username = "amibridge"', 'username = "a"\ninternal = ".*"', "asterisk[1].internal: matches every number"),
        (
            'username = "amibridge"',
            f'username = "a"\ninternal = "{"1" * 300}"',
            "asterisk[1].internal: is longer than 200 characters",
        ),
        (
            'username = "amibridge"',
            'username = "a"\noriginate_context = "a,b"',
            "asterisk[1].originate_context: must be the name of a dialplan context",
        ),
        (
            'username = "amibridge"',
            'username = "a"\noriginate_number = "{number}"',
            "asterisk[1].originate_number: ",
        ),
        (
            'username = "amibridge"',
            'username = "a"\noriginate_channel = "PJSIP/{extension.__class__}"',
            "asterisk[1].originate_channel: must hold {extension}",
        ),
        (
            'username = "amibridge"',
            'username = "a"\noriginate_channel = "PJSIP/{extension:>999999999}"',
            "asterisk[1].originate_channel: must hold {extension}",
        ),
        (
            'username = "amibridge"',
            'username = "a"\nrecordings = "monitor"',
            "asterisk[1].recordings: must be a whole path",
        ),
        (
            'username = "amibridge"',
            'username = "a"\nrecordings = "https://bridge:hush@pbx.example/rec"',
            "asterisk[1].recordings: must not hold a password",
        ),
        (
            'username = "amibridge"',
            'username = "a"\nrecordings = "http://bridge@pbx.example/rec"\nrecordings_password = "hush"',
            "asterisk[1].recordings: must begin with https://",
        ),
        (
            'username = "amibridge"',
            'username = "a"\nrecordings = "/monitor"\nrecordings_password = "hush"',
            "asterisk[1]: recordings_password is for recordings at",
        ),
        (
            'username = "amibridge"',
            'username = "a"\nrecordings_password = "hush"\nrecordings_password_file = "hush"',
            "asterisk[1].recordings_password_file: give either",
        ),
        ("[[asterisk]]", "[recordings]\nkeep_days = 0\n[[asterisk]]", "recordings.keep_days: must be greater"),
        ("[[asterisk]]", "[recordings]\nkeep_days = 1e3\n[[asterisk]]", "recordings.keep_days: must be"),
        ("[[asterisk]]", "[recordings]\nlinks_valid_days = 99999\n[[asterisk]]", "recordings.links_valid_days: must"),
        ("[[asterisk]]", "[recordings]\nkeep = 5\n[[asterisk]]", "recordings.keep: unknown key"),
        ("[[asterisk]]", "[supervision]\nextensions = '100'\n[[asterisk]]", "supervision.extensions: must be a list"),
        (
            "[[asterisk]]",
            "[supervision]\nextensions = ['1&2']\n[[asterisk]]",
            "supervision.extensions[1]: is not an ext",
        ),
        ("[[asterisk]]", "[supervision]\nextension = ['100']\n[[asterisk]]", "supervision.extension: unknown key"),
        *(
            ('secret = "hush-secret"', f'secret = "hush"\n[responsible]\n{line}', f"responsible.{complaint}")
            for line, complaint in (
                ("mode = true", "mode: must be 'off', 'name' or 'route'"),
                ('mode = "on"', "mode: must be 'off', 'name' or 'route'"),
                ('fallback = "first_call"', "fallback: must be 'none' or 'last_call'"),
                ('dialplan = "mngr_{line}_1"', "dialplan: must be the name of a context with {extension} once"),
                ('dialplan = "to{extension}"', "dialplan: must be the name of a context with {extension} once"),
                ('dialplan = "mngr{extension}{extension}"', "dialplan: must be the name of a context"),
                ('dialplan = "mngr{extension},1"', "dialplan: must be the name of a context"),
                ('dialplan = "mngr{extension.__class__}"', "dialplan: must be the name of a context"),
                ('dialplan = "mngr{extension}_${X}"', "dialplan: must be the name of a context"),
                (f'dialplan = "{"m" * 41}{{extension}}"', "dialplan: must be the name of a context"),
                ('name = "customer"', "name: must be a list"),
                ('name = ["client"]', "name[1]: must be 'line', 'customer' or 'shop'"),
                ('name = ["line", "line"]', "name: names a part twice"),
                ("algorithm = 1", "algorithm: unknown key"),
            )
        ),
        ('name = "Семь"', "name = Семь", ": not valid TOML"),
    ],
)
def test_a_mistake_is_told_in_words(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    text = SMALLEST.replace(old, new)
    assert text != SMALLEST
    [problem] = problems(written(tmp_path, text))
    assert complaint in problem


def test_recordings_of_another_machine_and_how_long_they_are_kept(tmp_path: Path) -> None:
    (tmp_path / "pbx.recordings").write_text("hush-recordings\n")
    where = 'recordings = "sftp://pbx.example/monitor"\nrecordings_password_file = "pbx.recordings"\n'
    kept = "[recordings]\nkeep_days = 365\nlinks_valid_days = 90\n"
    enterprise = read_enterprise(written(tmp_path, SMALLEST + where + kept))
    [host] = enterprise.hosts
    assert (host.recordings, host.recordings_password) == ("sftp://pbx.example/monitor", "hush-recordings")
    assert (enterprise.recordings_keep, enterprise.links_valid) == (timedelta(days=365), timedelta(days=90))
    assert "hush-recordings" not in repr(enterprise)


def test_an_empty_file_misses_everything(tmp_path: Path) -> None:
    assert problems(written(tmp_path, "")) == [
        ": asterisk: is missing",
        ": name: is missing",
        ": number: is missing",
        ": retailcrm: is missing",
    ]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "must not be empty"),
        (b"\n", "must not be empty"),
        (b"one\ntwo\n", "must not contain line breaks"),
        (b"a\0b", "must not contain line breaks"),
        (b"\xff\xfe", "not UTF-8 text"),
    ],
)
def test_a_secret_file_holds_one_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "crm.key").write_bytes(content)
    text = SMALLEST.replace('api_key = "hush-key"', 'api_key_file = "crm.key"')
    [problem] = problems(written(tmp_path, text))
    assert "retailcrm.api_key_file: " in problem
    assert complaint in problem


def test_a_secret_in_a_home_that_nobody_has_is_a_mistake_with_its_place(tmp_path: Path) -> None:
    text = SMALLEST.replace('api_key = "hush-key"', 'api_key_file = "~nosuchuser/key"')
    assert text != SMALLEST
    [problem] = problems(written(tmp_path, text))
    assert problem.endswith(": retailcrm.api_key_file: begins with a home that nobody has: write the whole path")
