"""What is said in one FastAGI connection: Asterisk tells of the channel, we set variables, and that is all.

Laws: nothing is read without a bound; what we set cannot end a line or a quoted word; of a channel that has hung up
nothing more is asked. Source: Asterisk's `res_agi.c`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from amibridge.responsible.answer import Answer

SCRIPT = "responsible"

LONGEST_LINE = 2048
MOST_LINES = 100
"""Asterisk sends about 25, and one for each argument."""


class NotUnderstood(Exception):
    """Close the connection: this is not Asterisk, or it wants something else of us. The text says what."""


@dataclass(frozen=True, slots=True)
class Asked:
    """*client*: the enterprise's client id, as it was shown."""

    client: str
    phone: str
    line: str | None


async def read_environment(reader: asyncio.StreamReader) -> Mapping[str, str]:
    """``agi_*`` by name, until the empty line. Raises NotUnderstood."""
    found: dict[str, str] = {}
    for _ in range(MOST_LINES):
        line = await read_line(reader)
        if not line:
            return found
        name, colon, value = line.partition(": ")
        if not colon or not name.startswith("agi_"):
            raise NotUnderstood("a line that is none of an AGI environment")
        found[name] = value
    raise NotUnderstood("an environment without an end")


def asked(environment: Mapping[str, str]) -> Asked:
    """By the arguments of `AGI()`, client id, phone and line; else by the query; else by the channel itself.

    Raises NotUnderstood.
    """
    script, _, query = environment.get("agi_network_script", "").partition("?")
    if script.strip("/") != SCRIPT:
        raise NotUnderstood("another script")
    try:
        said = {name: values[-1] for name, values in parse_qs(query, max_num_fields=MOST_LINES).items()}
    except ValueError:
        raise NotUnderstood("a query without an end") from None
    caller = environment.get("agi_callerid", "")
    dialled = environment.get("agi_dnid", "unknown")
    if dialled == "unknown":
        dialled = environment.get("agi_extension", "")
    return Asked(
        environment.get("agi_arg_1") or said.get("client", ""),
        environment.get("agi_arg_2") or said.get("phone") or ("" if caller == "unknown" else caller),
        environment.get("agi_arg_3") or said.get("line") or dialled or None,
    )


def variables(answer: Answer) -> Mapping[str, str]:
    """Each is set, empty if there is nothing to say: one from an earlier question must not be taken for ours."""
    return {
        "AMIBRIDGE_EXTENSION": answer.extension or "",
        "AMIBRIDGE_NAME": answer.shown,
        "AMIBRIDGE_REASON": answer.reason,
    }


async def set_variables(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wanted: Mapping[str, str]) -> None:
    """One after the other: Asterisk need not read ahead. Raises NotUnderstood, and what a broken connection does."""
    for name, value in wanted.items():
        writer.write(f'SET VARIABLE {name} "{_quoted(value)}"\n'.encode())
        await writer.drain()
        for _ in range(MOST_LINES):
            said = await read_line(reader)
            if said.startswith("200 "):
                break
            if not said.startswith(("100 ", "HANGUP")):
                raise NotUnderstood("a variable was not set")
        else:
            raise NotUnderstood("an answer without an end")


async def read_line(reader: asyncio.StreamReader) -> str:
    """Without its end. Raises NotUnderstood when there is none within `LONGEST_LINE` bytes."""
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        raise NotUnderstood("the connection ended") from None
    except asyncio.LimitOverrunError:
        raise NotUnderstood("a line without an end") from None
    return line.decode("utf-8", "replace").rstrip("\r\n")


def _quoted(value: str) -> str:
    printable = "".join(char if char.isprintable() else " " for char in value)
    return printable.replace("\\", "\\\\").replace('"', '\\"')
