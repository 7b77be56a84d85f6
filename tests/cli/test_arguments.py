"""The words of the command line: help that helps, mistakes that are named, exit codes that scripts can use."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from amibridge import __version__
from amibridge.cli import COMMANDS
from amibridge.cli.arguments import parser
from tests.cli.commanding import Amibridge
from tests.house.source import ROOT

PLACES = ["", *COMMANDS, "enterprise", "db"]
"""Everywhere that `--help` may be asked for."""


class TestHelp:
    @pytest.mark.parametrize("words", PLACES)
    def test_each_help_has_an_example_that_is_right(self, amibridge: Amibridge, words: str) -> None:
        done = amibridge(*words.split(), "--help")
        assert (done.code, done.err) == (0, "")
        assert f"usage: amibridge {words}".rstrip() in done.out
        examples = re.findall(r"^  (amibridge .+)$", done.out.partition("example:\n")[2], re.MULTILINE)
        assert examples
        for example in examples:
            assert example.startswith(f"amibridge {words}".rstrip())
            parser(COMMANDS).parse_args(shlex.split(example)[1:])

    @pytest.mark.parametrize("words", PLACES)
    def test_each_help_says_what_the_command_does(self, amibridge: Amibridge, words: str) -> None:
        text = amibridge(*words.split(), "--help").out
        assert re.search(r"^[A-Z][^\n]+\.$", text, re.MULTILINE)

    def test_every_command_is_in_the_help_of_its_group(self, amibridge: Amibridge) -> None:
        for words in COMMANDS:
            *group, last = words.split()
            assert re.search(rf"^    {last}\s+\S", amibridge(*group, "--help").out, re.MULTILINE), words

    def test_help_is_there_before_anything_heavy_is_loaded(self) -> None:
        program = (
            "import sys, amibridge.cli\n"
            "amibridge.cli.main(['replay', '--help'])\n"
            "heavy = {'asyncio', 'asyncpg', 'aiohttp', 'pydantic', 'structlog'}\n"
            "print(*sorted(heavy & set(sys.modules)), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, text=True)
        assert done.stderr.strip() == ""

    def test_the_version(self, amibridge: Amibridge) -> None:
        done = amibridge("--version")
        assert (done.code, done.out) == (0, f"amibridge {__version__}\n")


class TestMistakes:
    @pytest.mark.parametrize(
        ("words", "meant"),
        [
            ("rnu", "run"),
            ("Run", "run"),
            ("rePlay", "replay"),
            ("entreprise list", "enterprise"),
            ("delivery 0123", "deliveries"),
            ("enterprise aply x.toml", "apply"),
            ("enterprise remov 0123", "remove"),
            ("db upgrad", "upgrade"),
            ("deliveries 0123 --state parkd", "parked"),
        ],
    )
    def test_an_unknown_word_names_the_nearest(self, amibridge: Amibridge, words: str, meant: str) -> None:
        done = amibridge(*words.split())
        assert (done.code, done.out) == (2, "")
        assert re.search(rf"unknown word '\w+'; did you mean '{meant}'\?\n$", done.err)
        assert done.err.startswith("usage: amibridge")

    @pytest.mark.parametrize(
        ("words", "known"),
        [("xyzzy", ["run", "demo", "replay", "enterprise", "db", "deliveries"]), ("db xyzzy", ["upgrade"])],
    )
    def test_a_word_like_no_other_is_answered_by_those_there_are(
        self, amibridge: Amibridge, words: str, known: list[str]
    ) -> None:
        done = amibridge(*words.split())
        assert done.code == 2
        sentence = done.err.splitlines()[-1]
        assert "unknown word 'xyzzy'; there are " in sentence
        assert all(word in sentence for word in known)

    @pytest.mark.parametrize(
        "words",
        [
            "",
            "enterprise",
            "db",
            "replay",
            "enterprise apply",
            "enterprise show",
            "enterprise show 1 2",
            "deliveries",
            "deliveries 0123 --resend",
            "deliveries 0123 --resend x",
            "deliveries 0123 --resend 0x10",
            "deliveries 0123 --resend 99999999999999999999",
            "deliveries 0123 --resend -- -1",
            "replay --fact x.ami",
            "run --conf x.toml",
            "run extra",
            "demo --port 65536",
            "demo --port -1",
            "demo --port ²",
            "demo --speed 0",
            "demo --speed nan",
            "demo --speed -inf",
            "demo --speed 10001",
            "demo --speed fast",
        ],
    )
    def test_wrong_usage_is_said_with_the_usage_and_exit_code_2(self, amibridge: Amibridge, words: str) -> None:
        done = amibridge(*words.split())
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("usage: amibridge")
        assert done.err.splitlines()[-1].startswith("amibridge")

    @pytest.mark.parametrize("words", ["enterprise list", "enterprise show 1", "deliveries 1", "db upgrade", "run"])
    def test_a_settings_file_that_is_not_there_is_wrong_usage(self, amibridge: Amibridge, words: str) -> None:
        done = amibridge(*words.split(), "--config", "/nowhere/amibridge.toml")
        assert (done.code, done.out) == (2, "")
        assert done.err == "amibridge: /nowhere/amibridge.toml: cannot be read: No such file or directory\n"
