"""The keyring as its users meet it: what is sealed opens only where it belongs, and a loose file is refused."""

from __future__ import annotations

import os
import shutil
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.redact import Secret
from amibridge.secrets import (
    Key,
    Keyring,
    KeyringUnusable,
    LinkExpired,
    LinkRefused,
    SealBroken,
    find_keyring,
    open_keyring,
)

OLD, NEW = Key("old", b"o" * 32), Key("new", b"n" * 32)
NOBODY = 65534
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def keyring_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@given(st.text(), st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_sealed_opens_in_its_place(plain: str, about: str) -> None:
    plain = plain.encode("utf-8", "ignore").decode()
    keyring = Keyring([NEW])
    assert keyring.open(keyring.seal(plain, about=about), about=about) == plain


def test_a_sealed_value_shows_nothing_and_differs_each_time() -> None:
    keyring = Keyring([NEW])
    first, second = (keyring.seal("the api key", about="0123:crm_api_key") for _ in range(2))
    assert first != second
    assert b"api key" not in first
    assert "api key" not in repr(keyring.open(first, about="0123:crm_api_key"))


def test_a_sealed_value_does_not_open_in_another_place() -> None:
    keyring = Keyring([NEW])
    sealed = keyring.seal("k", about="0123:crm_api_key")
    with pytest.raises(SealBroken, match="0124:crm_api_key does not open"):
        keyring.open(sealed, about="0124:crm_api_key")


def test_every_changed_byte_is_noticed() -> None:
    keyring = Keyring([NEW])
    sealed = keyring.seal("k", about="x")
    for position in range(len(sealed)):
        broken = bytearray(sealed)
        broken[position] ^= 0x80
        with pytest.raises(SealBroken):
            keyring.open(bytes(broken), about="x")
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            keyring.open(sealed[:length], about="x")


def test_keys_are_replaced_by_putting_a_new_one_first() -> None:
    sealed = Keyring([OLD]).seal("k", about="x")
    rotated = Keyring([NEW, OLD])
    assert rotated.open(sealed, about="x") == "k"
    assert not rotated.is_current(sealed)
    assert rotated.is_current(rotated.seal("k", about="x"))
    with pytest.raises(SealBroken, match="'old', which is not in the keyring"):
        Keyring([NEW]).open(sealed, about="x")


def test_the_keys_do_not_show() -> None:
    assert "ooo" not in repr(OLD)
    assert repr(Secret("hush")) == "'******'"


def test_a_link_is_read_until_it_expires() -> None:
    keyring = Keyring([NEW])
    token = keyring.sign_link("0123/pbx1:1795.7", NOON + timedelta(minutes=1))
    assert all(char.isalnum() or char in "-_." for char in token)
    assert keyring.read_link(token, NOON) == "0123/pbx1:1795.7"
    with pytest.raises(LinkExpired):
        keyring.read_link(token, NOON + timedelta(minutes=1))


def test_links_survive_a_new_key() -> None:
    token = Keyring([OLD]).sign_link("x", NOON + timedelta(days=1))
    assert Keyring([NEW, OLD]).read_link(token, NOON) == "x"
    with pytest.raises(LinkRefused):
        Keyring([NEW]).read_link(token, NOON)


def test_a_changed_link_is_refused() -> None:
    keyring = Keyring([NEW])
    token = keyring.sign_link("0123/a", NOON + timedelta(minutes=1))
    body, expires, key, signature = token.split(".")
    other = keyring.sign_link("0123/b", NOON + timedelta(minutes=1)).split(".")[0]
    for forged in (
        "",
        ".",
        "...",
        "ж.1.new.x",
        f"{other}.{expires}.{key}.{signature}",
        f"{body}.{int(expires) + 9999}.{key}.{signature}",
        f"{body}.{expires}.{key}.",
        f"{body}.{expires}.{key}.{signature[:-2]}",
        f"{body}.{expires}.old.{signature}",
        f"{body}.{expires}.{key}.{signature}.{signature}",
        f"{body}.{expires}.{key}.ж{signature[1:]}",
        token + "=",
    ):
        with pytest.raises(LinkRefused):
            keyring.read_link(forged, NOON)


def test_the_first_start_makes_a_keyring_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "keyring"
    sealed = open_keyring(path).seal("k", about="x")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["keyring"]
    assert open_keyring(path).open(sealed, about="x") == "k"


def test_two_first_starts_agree_on_one_keyring(tmp_path: Path) -> None:
    path = tmp_path / "keyring"
    with ThreadPoolExecutor(8) as pool:
        keyrings = list(pool.map(lambda _: open_keyring(path), range(8)))
    sealed = keyrings[0].seal("k", about="x")
    assert [keyring.open(sealed, about="x") for keyring in keyrings] == ["k"] * 8


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666])
def test_a_keyring_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keyring"
    open_keyring(path)
    path.chmod(mode)
    with pytest.raises(KeyringUnusable, match=f"chmod 600 {path}"):
        open_keyring(path)


def test_the_mode_of_a_systemd_credential_is_systemds_affair(tmp_path: Path) -> None:
    path = tmp_path / "keyring"
    open_keyring(path)
    path.chmod(0o440)
    open_keyring(path, guarded=True)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "holds no key"),
        ("# only a comment\n", "holds no key"),
        ("one\n", "line 1: expected a name"),
        ("a b c\n", "line 1: expected a name"),
        ("k-1 AAAA\n", "line 1: expected a name"),
        ("\n\nk1 ***\n", "line 3: the key is not base64"),
        ("k1 AAAA\n", "the key has 3 bytes instead of 32"),
        (f"k1 {b64encode(b'a' * 32).decode()}\n" * 2, "line 2: the name k1 is given twice"),
    ],
)
def test_a_damaged_keyring_is_described_and_not_repeated(tmp_path: Path, text: str, complaint: str) -> None:
    path = keyring_file(tmp_path / "keyring", text)
    with pytest.raises(KeyringUnusable, match=complaint) as error:
        open_keyring(path)
    assert str(path) in str(error.value)
    assert "YWFh" not in str(error.value)


def test_what_is_no_keyring_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyringUnusable, match="Is a directory"):
        open_keyring(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyringUnusable, match="must be a plain file"):
        open_keyring(tmp_path / "pipe")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "binary").chmod(0o600)
    with pytest.raises(KeyringUnusable, match="not text"):
        open_keyring(tmp_path / "binary")
    (tmp_path / "huge").write_bytes(b"#" * 70_000)
    (tmp_path / "huge").chmod(0o600)
    with pytest.raises(KeyringUnusable, match="too large"):
        open_keyring(tmp_path / "huge")
    with pytest.raises(KeyringUnusable, match="cannot be opened"):
        open_keyring(tmp_path / "binary" / "keyring")


def test_a_keyring_needs_a_key() -> None:
    with pytest.raises(KeyringUnusable):
        Keyring([])


def test_nothing_is_made_by_looking_for_a_keyring(tmp_path: Path) -> None:
    assert find_keyring(tmp_path / "keyring") is None
    assert list(tmp_path.iterdir()) == []


if os.geteuid() == 0:

    @pytest.fixture
    def folder() -> Iterator[Path]:
        """Where everybody can go, unlike `tmp_path`."""
        made = Path(tempfile.mkdtemp(prefix="amibridge-test-", dir="/tmp"))
        made.chmod(0o755)
        yield made
        shutil.rmtree(made)

    def refused_to_nobody(path: Path) -> str:
        os.seteuid(NOBODY)
        try:
            with pytest.raises(KeyringUnusable) as refused:
                open_keyring(path)
        finally:
            os.seteuid(0)
        return str(refused.value).removeprefix(f"{path}: the keyring cannot be opened: ")

    def test_a_keyring_of_somebody_else_says_whose_it_is_and_what_to_do(folder: Path) -> None:
        path = folder / "keyring"
        open_keyring(path)
        theirs = "belongs to root, and you are nobody: do this as root, or chown nobody"
        assert refused_to_nobody(path) == f"{path} {theirs} {path}"
        path.unlink()
        assert refused_to_nobody(path) == f"{folder} {theirs} {folder}"
        (folder / "closed").mkdir(mode=0o700)
        closed = folder / "closed"
        assert refused_to_nobody(closed / "in" / "keyring") == f"{closed} {theirs} {closed}"

    def test_a_keyring_of_ours_that_is_closed_to_ourselves(folder: Path) -> None:
        path = folder / "keyring"
        open_keyring(path)
        path.chmod(0)
        os.chown(path, NOBODY, -1)
        assert refused_to_nobody(path) == f"its mode keeps you out: chmod u+rwX {path}"
