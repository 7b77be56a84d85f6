"""Who may hear a recording: whoever has a link that we signed, for as long as it is good and the recording is kept."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from amibridge.calls.record import CallId
from amibridge.config import WebSettings
from amibridge.daemon import record_urls
from amibridge.enterprises import Enterprise, EnterpriseId
from amibridge.redact import Secret
from amibridge.secrets import Key, Keyring, LinkExpired
from amibridge.web.recordings import record_url
from tests.delivery.rows import record
from tests.store.enterprises import host, romashka
from tests.web.recorded import CALL, NUMBER, ON_THE_PBX, Known, as_it_is, link, refused, sound
from tests.web.serving import KEYRING, PUBLIC_URL, Site


class TestLinks:
    def test_the_address_needs_no_quoting_and_is_where_people_were_told(self) -> None:
        address = record_url(PUBLIC_URL, KEYRING, NUMBER, CallId("pbx1:1/../?#%"), datetime.now(UTC))
        rest = address.removeprefix(f"{PUBLIC_URL}/recordings/")
        assert rest != address
        assert all(character.isascii() and (character.isalnum() or character in "-_.") for character in rest)

    async def test_a_link_ends(self, site: Site, known: Known, folder: Path) -> None:
        sound(folder / "call.wav")
        await known()
        assert (await site.ask(link(good_for=timedelta(seconds=60)))).status == 200
        assert refused(await site.ask(link(good_for=timedelta(seconds=-1))), 410, "link_expired")

    async def test_nobody_else_can_make_one(self, site: Site, known: Known, folder: Path) -> None:
        sound(folder / "call.wav")
        await known()
        other = Keyring([Key("web", bytes(32))])
        assert refused(await site.ask(link(keyring=other)), 404, "not_found")

    async def test_a_link_that_was_changed_opens_nothing(self, site: Site, known: Known, folder: Path) -> None:
        sound(folder / "call.wav")
        await known()
        good = link().removeprefix("/recordings/")
        assert (await site.ask(f"/recordings/{good}")).status == 200
        body, expires, key, signature = good.split(".")
        forged = [
            f"{body}.{int(expires) + 1}.{key}.{signature}",
            f"{body}.{expires}.{key}x.{signature}",
            f"{body}.{expires}.{key}.{signature[:-1]}",
            f"{body}.{expires}.{key}.",
            f"{body}.{expires}.{key}",
            f"{body}.{expires}",
            f"{body}=.{expires}.{key}.{signature}",
            f"{body}.{expires}.{key}.{signature}.{signature}",
            f".{expires}.{key}.{signature}",
            f"{body}.-1.{key}.{signature}",
            good.swapcase(),
            "...",
            ".",
            "x" * 4000,
            "%00",
            "%0d%0aX-Evil:1",
            "%D1%84.1.web.%D1%84",
            "..%2f..%2fetc%2fpasswd",
        ]
        for token in forged:
            assert refused(await site.ask(f"/recordings/{token}"), 404, "not_found"), token
        for place in range(len(good)):
            other = "A" if good[place] != "A" else "B"
            token = good[:place] + other + good[place + 1 :]
            assert (await site.ask(f"/recordings/{token}")).status in (404, 410), token

    async def test_the_name_of_another_call_or_enterprise_does_not_fit_the_signature(
        self, site: Site, known: Known, folder: Path
    ) -> None:
        sound(folder / "call.wav")
        await known()
        await known(call=CallId("pbx1:1.2"))
        await known(number=EnterpriseId("0124"))
        _, expires, key, signature = link().split(".")
        for payload in (f"{NUMBER}/pbx1:1.2", f"0124/{CALL}", f"{NUMBER}/{CALL}/", f"{NUMBER}"):
            body = urlsafe_b64encode(payload.encode()).rstrip(b"=").decode()
            assert refused(await site.ask(f"/recordings/{body}.{expires}.{key}.{signature}"), 404, "not_found"), payload

    async def test_calls_of_one_id_in_two_enterprises_are_two_recordings(
        self, site: Site, known: Known, tmp_path: Path
    ) -> None:
        theirs = EnterpriseId("0124")
        ours, others = sound(tmp_path / "one/call.wav"), sound(tmp_path / "two/call.wav", seconds=1.0)
        await known(recordings=str(tmp_path / "one"))
        await known(number=theirs, recordings=str(tmp_path / "two"))
        assert (await site.ask(as_it_is())).body == ours
        assert (await site.ask(as_it_is(number=theirs))).body == others
        assert ours != others

    async def test_equal_ids_and_equal_paths_in_one_folder_are_still_two(
        self, site: Site, known: Known, folder: Path
    ) -> None:
        """What one enterprise made ready to be heard is not played to the other, nor counted for it."""
        sound(folder / "call.wav")
        await known()
        await known(number=EnterpriseId("0124"))
        assert (await site.ask(link())).status == (await site.ask(link(number=EnterpriseId("0124")))).status == 200
        assert sorted(path.parent.name for path in site.cache.rglob("*.mp3")) == ["0123", "0124"]
        assert [one.enterprise for one in site.fetches] == ["0123", "0124"]


class TestKeeping:
    async def test_what_is_kept_no_longer_is_gone_whoever_has_a_link(
        self, site: Site, known: Known, folder: Path
    ) -> None:
        sound(folder / "call.wav")
        await known(over_for=timedelta(days=29), keep=timedelta(days=30))
        assert (await site.ask(link())).status == 200
        await known(call=CallId("pbx1:1.2"), over_for=timedelta(days=31), keep=timedelta(days=30))
        for more in ("", "/1", "?format=wav"):
            assert refused(await site.ask(link(CallId("pbx1:1.2")) + more), 410, "no_longer_kept")
        assert len(site.fetches) == 1
        await known(call=CallId("pbx1:1.2"), over_for=timedelta(days=31), keep=None)
        assert (await site.ask(link(CallId("pbx1:1.2")))).status == 200

    @pytest.mark.parametrize(
        ("keep", "links_valid", "days"), [(None, None, 3 * 365), (30, None, 30), (30, 7, 7), (None, 7, 7), (7, 30, 30)]
    )
    def test_a_link_is_good_for_as_long_as_the_enterprise_says(
        self, keep: int | None, links_valid: int | None, days: int
    ) -> None:
        enterprise = replace(
            romashka(),
            recordings_keep=None if keep is None else timedelta(days=keep),
            links_valid=None if links_valid is None else timedelta(days=links_valid),
        )
        address = url_of(enterprise)
        assert address is not None
        token, now = address.removeprefix(f"{PUBLIC_URL}/recordings/"), datetime.now(UTC)
        assert KEYRING.read_link(token, now + timedelta(days=days) - timedelta(minutes=1)) == f"{NUMBER}/pbx1:1.1"
        with pytest.raises(LinkExpired):
            KEYRING.read_link(token, now + timedelta(days=days))

    @pytest.mark.parametrize(
        ("place", "password", "reachable"),
        [
            ("/var/spool/asterisk/monitor", None, True),
            ("https://pbx.example/", None, True),
            ("sftp://pbx.example/monitor", "hush", True),
            (None, None, False),
            ("", None, False),
            ("ftp://pbx.example/", None, False),
            ("https://u:hush@pbx.example/", None, False),
            ("http://u@pbx.example/", "hush", False),
        ],
    )
    def test_the_crm_gets_no_link_that_could_never_be_played(
        self, place: str | None, password: str | None, reachable: bool
    ) -> None:
        kept = replace(host(), recordings=place, recordings_password=None if password is None else Secret(password))
        assert (url_of(replace(romashka(), hosts=(kept,))) is not None) == reachable


def url_of(enterprise: Enterprise) -> str | None:
    told = replace(record("pbx1:1.1"), recordings=(ON_THE_PBX,))
    return record_urls(WebSettings("127.0.0.1", 0, PUBLIC_URL), KEYRING)(enterprise, told)
