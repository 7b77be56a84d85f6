"""Where recordings may be, as an administrator writes it, and which ends of a path are asked for there."""

from __future__ import annotations

import pytest

from amibridge.recordings.ends import DEEPEST, Habits, ends_of
from amibridge.recordings.places import Folder, Place, SftpFolder, Website, is_within_reach, place_of
from amibridge.redact import Secret

HUSH = Secret("hush")
DEEP = "a/" * DEEPEST + "a"


@pytest.mark.parametrize(
    ("text", "password", "place"),
    [
        ("/var/spool/asterisk/monitor", None, Folder("/var/spool/asterisk/monitor")),
        ("https://pbx.example/rec", None, Website("https://pbx.example/rec/")),
        ("https://bridge@pbx.example:8443/a%20b/", HUSH, Website("https://pbx.example:8443/a%20b/", "bridge", HUSH)),
        ("http://10.0.0.5/rec", None, Website("http://10.0.0.5/rec/")),
        ("http://me@127.0.0.1/rec", HUSH, Website("http://127.0.0.1/rec/", "me", HUSH)),
        ("sftp://pbx/monitor/", None, SftpFolder("pbx", 22, "amibridge", "/monitor")),
        ("sftp://rec@[::1]:2222/a%20b", HUSH, SftpFolder("::1", 2222, "rec", "/a b", HUSH)),
    ],
)
def test_a_place_is_read(text: str, password: Secret | None, place: Place) -> None:
    assert place_of(text, password) == place
    assert is_within_reach(text, password)
    assert "hush" not in f"{place} {place!r}"


@pytest.mark.parametrize(
    ("text", "password", "words"),
    [
        ("", None, "whole path"),
        ("monitor", None, "whole path"),
        ("ftp://pbx/rec", None, "whole path"),
        ("file:///etc", None, "whole path"),
        ("https://bridge:hush@pbx.example/rec", None, "must not hold a password"),
        ("sftp://bridge:hush@pbx/monitor", None, "must not hold a password"),
        ("https:///rec", None, "must be an address"),
        ("https://pbx.example:0/", None, "must be an address"),
        ("https://pbx.example:99999/", None, "understood"),
        ("https://[::1/", None, "understood"),
        ("https://pbx.example/rec?path=", None, "must be an address"),
        ("https://pbx.example/rec#top", None, "must be an address"),
        ("https://pbx.example/a b", None, "must be an address"),
        ("https://pbx.example/запись", None, "must be an address"),
        ("https://pbx.example/rec/../etc/", None, "upwards"),
        ("https://pbx.example/rec/%2e%2e/etc/", None, "upwards"),
        ("sftp://pbx/..", None, "upwards"),
        ("sftp://pbx", None, "folder"),
        ("sftp://pbx/", None, "folder"),
        ("http://bridge@pbx.example/", HUSH, "https://"),
        ("https://pbx.example/", HUSH, "name the user"),
    ],
)
def test_a_place_is_refused_with_what_is_wrong(text: str, password: Secret | None, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        place_of(text, password)
    assert "hush" not in str(refused.value)
    assert not is_within_reach(text, password)


def test_ends_are_the_longest_first() -> None:
    assert ends_of("//var/./rec/call.wav") == [("var", "rec", "call.wav"), ("rec", "call.wav"), ("call.wav",)]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        ".",
        "..",
        "a/../b",
        "../a",
        "a/..",
        "a\\..\\b",
        "a\0b",
        "a\nb",
        "a\x7f",
        "x" * 256,
        "я" * 128,
        "\ud800",
        DEEP,
    ],
)
def test_a_path_that_no_pbx_writes_has_none(path: str) -> None:
    assert ends_of(path) == []


def test_the_end_that_was_found_last_is_asked_for_first() -> None:
    habits = Habits()
    habits.found("here", "/a/b/c/1.wav", ("c", "1.wav"))
    assert habits.ends_of("here", "/a/b/c/2.wav") == [
        ("c", "2.wav"),
        ("a", "b", "c", "2.wav"),
        ("b", "c", "2.wav"),
        ("2.wav",),
    ]
    assert habits.ends_of("there", "/a/2.wav")[0] == ("a", "2.wav")
    assert habits.ends_of("here", "2.wav") == [("2.wav",)]
