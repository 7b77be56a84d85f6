"""`[[webhooks]]` of an enterprise file, and every way to get it wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from amibridge.cli.enterprise_file import read_enterprise
from amibridge.config import ConfigError
from amibridge.enterprises import Webhook
from amibridge.redact import Secret
from amibridge.store.webhooks import make_secret
from tests.cli.enterprise_files import SMALLEST, written

SECRET = make_secret()
WHOLE = f"""
[[webhooks]]
name = "erp"
url = "https://erp.example.com/calls?x=1"
secret = "{SECRET}"
previous_secret_file = "old"
events = ["call.missed", "call.finished", "call.missed"]

[[webhooks]]
name = "a-second.one"
url = "http://10.0.0.7:8080"
"""


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read_enterprise(path)
    assert "hush" not in str(error.value)
    assert SECRET not in str(error.value)
    return [problem.partition(": ")[2] for problem in error.value.problems]


def test_what_may_be_said(tmp_path: Path) -> None:
    old = make_secret()
    (tmp_path / "old").write_text(f"{old}\n", encoding="utf-8")
    found = read_enterprise(written(tmp_path, SMALLEST + WHOLE)).webhooks
    assert found == (
        Webhook("a-second.one", "http://10.0.0.7:8080", Secret("")),
        Webhook("erp", "https://erp.example.com/calls?x=1", SECRET, old, ("call.finished", "call.missed")),
    )
    assert read_enterprise(written(tmp_path, SMALLEST)).webhooks == ()


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ('url = "https://a/"', "webhooks[1].name: is missing"),
        ('name = "erp"', "webhooks[1].url: is missing"),
        ('name = "e rp"\nurl = "https://a/"', "webhooks[1].name: must be up to 64 letters"),
        ('name = "e\\nrp"\nurl = "https://a/"', "webhooks[1].name: must not contain line breaks"),
        ('name = ""\nurl = "https://a/"', "webhooks[1].name: must be up to 64 letters"),
        ('name = "erp"\nurl = "ftp://a/hush"', "webhooks[1].url: must begin with https:// or http://"),
        ('name = "erp"\nurl = "https://u:hush@a/"', "webhooks[1].url: must not hold a user or a password"),
        ('name = "erp"\nurl = "https://a/#hush"', "webhooks[1].url: must not hold a fragment"),
        ('name = "erp"\nurl = "https://a/\\r\\nHost: hush"', "webhooks[1].url: must not contain line breaks"),
        ('name = "erp"\nurl = 7', "webhooks[1].url: must be text in quotes"),
        ('name = "erp"\nurl = "https://a/"\nsecret = "hush-hush"', "webhooks[1].secret: must be whsec_ and 24 to 64"),
        ('name = "erp"\nurl = "https://a/"\nprevious_secret = "hush"', "webhooks[1].previous_secret: must be whsec_"),
        (
            'name = "erp"\nurl = "https://a/"\nsecret_file = "no"',
            "secret_file: what it holds must be whsec_",
        ),
        ('name = "erp"\nurl = "https://a/"\nsecret_file = "none"', "cannot be read: No such file"),
        (
            f'name = "erp"\nurl = "https://a/"\nsecret = "{SECRET}"\nsecret_file = "no"',
            "webhooks[1].secret_file: give either secret or secret_file, not both",
        ),
        (
            'name = "erp"\nurl = "https://a/"\nevents = ["call.mised"]',
            "webhooks[1].events[1]: unknown event; did you mean 'call.missed'?",
        ),
        ('name = "erp"\nurl = "https://a/"\nevents = ["hush"]', "webhooks[1].events[1]: unknown event"),
        ('name = "erp"\nurl = "https://a/"\nevents = []', "webhooks[1].events: must not be empty"),
        ('name = "erp"\nurl = "https://a/"\nevents = "call.missed"', "webhooks[1].events: must be a list"),
        (
            'name = "erp"\nurl = "https://a/"\nevent = ["call.missed"]',
            "event: unknown key; did you mean 'events'?",
        ),
        (
            'name = "erp"\nurl = "https://a/"\n[[webhooks]]\nname = "erp"\nurl = "https://b/"',
            "webhooks[2].name: another [[webhooks]] has this name already",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place_and_without_its_value(tmp_path: Path, lines: str, found: str) -> None:
    (tmp_path / "no").write_text("hush-hush\n", encoding="utf-8")
    [problem] = problems(written(tmp_path, f"{SMALLEST}\n[[webhooks]]\n{lines}\n"))
    assert found in problem


def test_nobody_has_hundreds(tmp_path: Path) -> None:
    many = "".join(f'\n[[webhooks]]\nname = "w{n}"\nurl = "https://a/{n}"\n' for n in range(21))
    [problem] = problems(written(tmp_path, SMALLEST + many))
    assert problem.startswith("webhooks: ")


def test_what_is_no_table_is_one_mistake(tmp_path: Path) -> None:
    [problem] = problems(written(tmp_path, "webhooks = [1]\n" + SMALLEST))
    assert problem == "webhooks[1]: must be a table: { key = value }"
