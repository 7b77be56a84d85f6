"""Settings, keyring and disk, each as it should be and with every fault that is named."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from amibridge.config import SecretsSettings, load
from amibridge.doctor import machine
from amibridge.doctor.findings import Level
from amibridge.secrets import open_keyring
from tests.doctor.looking import all_of, by_about, unwell

NOT_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


async def test_settings_are_told_without_the_secrets_in_them(tmp_path: Path) -> None:
    file = tmp_path / "amibridge.toml"
    file.write_text('[database]\ndsn = "postgresql://us:hush@db.example.com/calls"\n')
    [told] = await all_of(machine.settings_told(load(file, {"HOME": "/home/us"}), file))
    assert told.level is Level.OK
    assert told.found.startswith(f"{file}: data_dir ")
    assert "calls at db.example.com" in told.found
    assert "hush" not in told.found


@NOT_ROOT
async def test_settings_that_the_bridge_could_not_read(tmp_path: Path) -> None:
    file = tmp_path / "amibridge.toml"
    file.write_text("")
    settings = load(file, {"HOME": "/home/us"})
    file.chmod(0)
    assert [one[:2] for one in unwell(await all_of(machine.settings_told(settings, file)))] == [
        (Level.FAIL, "settings")
    ]


class TestKeyring:
    async def test_as_it_is_made(self, tmp_path: Path) -> None:
        open_keyring(tmp_path / "keyring")
        assert unwell(await all_of(machine.keyring(SecretsSettings(tmp_path / "keyring")))) == []

    async def test_none_is_not_made(self, tmp_path: Path) -> None:
        [(level, _, found)] = unwell(await all_of(machine.keyring(SecretsSettings(tmp_path / "keyring"))))
        assert (level, found) == (Level.WARN, f"there is none at {tmp_path / 'keyring'}")
        assert os.listdir(tmp_path) == []

    async def test_one_that_others_may_read(self, tmp_path: Path) -> None:
        open_keyring(tmp_path / "keyring")
        (tmp_path / "keyring").chmod(0o644)
        [(level, _, found)] = unwell(await all_of(machine.keyring(SecretsSettings(tmp_path / "keyring"))))
        assert (level, "mode 0644" in found) == (Level.FAIL, True)

    async def test_one_that_is_damaged(self, tmp_path: Path) -> None:
        (tmp_path / "keyring").touch(mode=0o600)
        assert by_about(await all_of(machine.keyring(SecretsSettings(tmp_path / "keyring")))) == {"keyring": Level.FAIL}


class TestDisk:
    async def test_with_room(self, tmp_path: Path) -> None:
        assert unwell(await all_of(machine.disk(tmp_path))) == []

    @pytest.mark.parametrize(
        ("threshold", "most", "level"),
        [
            ("SHORT", sys.maxsize, Level.WARN),
            ("TOO_SHORT", sys.maxsize, Level.FAIL),
        ],
    )
    async def test_with_little_room(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threshold: str, most: int, level: Level
    ) -> None:
        """The disk is this machine's: what is little is told otherwise."""
        monkeypatch.setattr(machine, threshold, most)
        assert by_about(await all_of(machine.disk(tmp_path)))["disk"] is level

    @pytest.mark.parametrize(("threshold", "level"), [("FEW_FILES", Level.WARN), ("TOO_FEW_FILES", Level.FAIL)])
    async def test_with_few_files_left(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threshold: str, level: Level
    ) -> None:
        if not os.statvfs(tmp_path).f_files:
            pytest.skip("this file system does not count files")
        monkeypatch.setattr(machine, threshold, 1.1)
        assert by_about(await all_of(machine.disk(tmp_path)))["inodes"] is level

    async def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        assert by_about(await all_of(machine.disk(tmp_path / "none"))) == {"disk": Level.WARN}

    @NOT_ROOT
    async def test_a_folder_that_is_closed_to_us(self, tmp_path: Path) -> None:
        (tmp_path / "state").mkdir(mode=0o500)
        assert by_about(await all_of(machine.disk(tmp_path / "state")))["disk"] is Level.FAIL
        (tmp_path / "state").chmod(0)
        assert by_about(await all_of(machine.disk(tmp_path / "state" / "deeper"))) == {"disk": Level.FAIL}


@pytest.mark.parametrize(
    ("count", "words"), [(999, "999 bytes"), (1_500_000, "2 MB"), (41 * 10**9, "41 GB"), (3 * 10**12, "3.0 TB")]
)
def test_sizes_for_people(count: int, words: str) -> None:
    assert machine.sized(count) == words
