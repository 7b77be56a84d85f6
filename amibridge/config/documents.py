"""Files that people write: read with bounds, checked against a pydantic model, every mistake told with its line.

Laws: one sentence per mistake, beginning with where it stands; values are never repeated, they may be secrets.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

LARGEST_FILE = 1_048_576
"""Bytes. Thousands of operators fit; a core dump given by mistake does not."""

KeyPath: TypeAlias = tuple[str | int, ...]

_KEY = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')"""
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*\]")
_ASSIGNMENT = re.compile(rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*=")
_ONE_KEY = re.compile(_KEY)

_WORDS = {
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "list_type": "must be a list: […]",
    "tuple_type": "must be a list: […]",
    "dict_type": "must be a table: { key = value }",
    "model_type": "must be a table: { key = value }",
    "model_attributes_type": "must be a table: { key = value }",
    "missing": "is missing",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}


class ConfigError(Exception):
    """What was told cannot be used. *problems*: one sentence each, with its place."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


def one_line(text: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("must not contain line breaks or other control characters")
    return text


Text: TypeAlias = Annotated[str, AfterValidator(one_line)]
"""Text without control characters, so that it fits into a header, a path or a log line."""


def with_a_home(text: str) -> str:
    try:
        Path(text).expanduser()
    except RuntimeError:
        raise ValueError("begins with a home that nobody has: write the whole path") from None
    return text


class Shape(BaseModel):
    """The shape of a document: every key known, no value of another type taken for what it is not."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known word that was probably meant, if any."""
    by_lower = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), list(by_lower), n=1, cutoff=cutoff)
    return by_lower[close[0]] if close else None


def read_text(path: Path) -> str:
    """The whole of a UTF-8 file of at most `LARGEST_FILE` bytes. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    except ValueError:
        raise ConfigError([f"{str(path)!r}: not a file name"]) from None
    if len(content) > LARGEST_FILE:
        raise ConfigError([f"{path}: larger than {LARGEST_FILE // 1024} KiB, so it cannot be the right file"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}, line {line}: not UTF-8 text; save the file as UTF-8"]) from None


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:  # also a number too long to be one
        raise ConfigError([f"{path}: not valid TOML: {error}"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: not valid TOML: nested too deeply"]) from None


def mistakes(error: ValidationError, model: type[BaseModel]) -> list[tuple[KeyPath, str]]:
    """Each mistake of a document as its key and what is wrong there, in words, without the value."""
    found = []
    for detail in error.errors(include_url=False, include_input=False):
        key: KeyPath = tuple(part for part in detail["loc"] if part != "[key]")
        found.append((key, _in_words(detail["type"], detail["msg"], detail.get("ctx", {}), key, model)))
    return found


def placed(path: Path, text: str, found: Iterable[tuple[KeyPath, str]]) -> list[str]:
    """The mistakes of a file as sentences, from its top to its end."""
    lines = sorted((line_of(text, key) or 0, place(path, text, key), words) for key, words in found)
    return [f"{where}: {words}" for _, where, words in lines]


def place(path: Path, text: str, key: KeyPath) -> str:
    """``file, line 7: web.listen``: where *key*, or what is nearest around it, stands."""
    line = line_of(text, key)
    where = f"{path}, line {line}" if line else str(path)
    return f"{where}: {shown(key)}" if key else where


def shown(key: KeyPath) -> str:
    """A key as people write it; the tables of a list are counted from one."""
    words = ""
    for part in key:
        if isinstance(part, int):
            words += f"[{part + 1}]"
        else:
            quoted = part if re.fullmatch(r"[\w-]+", part) else repr(part)
            words += f".{quoted}" if words else quoted
    return words


def line_of(text: str, key: KeyPath) -> int | None:
    """The line, from 1, on which *key* is given, or else the nearest table around it that is written out."""
    best: tuple[int, int] | None = None  # how much of the key was found, and on which line
    table: KeyPath = ()
    counts: dict[KeyPath, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _split(header[2])
            if header[1] == "[[":
                index = counts[table] = counts.get(table, -1) + 1
                table = (*table, index)
            given = table
        elif assignment := _ASSIGNMENT.match(line):
            given = (*table, *_split(assignment[1]))
        else:
            continue
        if given == key[: len(given)] and (best is None or len(given) > best[0]):
            best = (len(given), number)
    return best[1] if best else None


def _split(dotted: str) -> KeyPath:
    return tuple(part.strip("\"'") for part in _ONE_KEY.findall(dotted))


def _in_words(kind: str, message: str, context: Mapping[str, Any], key: KeyPath, model: type[BaseModel]) -> str:
    match kind:
        case "extra_forbidden":
            meant = nearest(str(key[-1]), _known_keys(model, key[:-1]))
            return f"unknown key; did you mean {meant!r}?" if meant else "unknown key"
        case "value_error":
            return str(context["error"])
        case "literal_error" | "enum":
            return f"must be {context['expected']}"
        case "string_pattern_mismatch":
            return "is not of the right form"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            return message.removeprefix("Input should ").replace("be ", "must be ", 1)
        case _:
            return _WORDS.get(kind, message.removeprefix("Input should ").replace("be ", "must be ", 1))


def _known_keys(model: type[BaseModel], key: KeyPath) -> list[str]:
    """The keys that the table at *key* may have."""
    for part in key:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = _inner_model(field.annotation) if field else model
        if inner is None:
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside ``Model | None``, ``tuple[Model, ...]`` or ``dict[str, Model]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, Annotated, tuple, list, dict):
        return next((inner for part in get_args(annotation) if (inner := _inner_model(part))), None)
    return None
