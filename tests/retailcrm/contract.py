"""The contract's OpenAPI: which verbs there are, what they take, and how their answers look.

`contract.json` is what of `contract.yaml` amibridge uses, without its prose. `tasks.json` is ours: the contract does
not know tasks, RetailCRM's own clients do (api-client-php `Model/Entity/Tasks/Task.php` and `TaskFilter.php`,
`tests/src/ResourceGroup/TasksTest.php`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jsonschema import Draft202012Validator

from amibridge.retailcrm.requests import Request

FOLDER = Path(__file__).parent
REFUSAL = {"$ref": "#/components/schemas/Error"}


def _contract() -> Mapping[str, Any]:
    contract, tasks = (json.loads((FOLDER / f"{name}.json").read_text("utf-8")) for name in ("contract", "tasks"))
    components = {
        kind: parts | tasks["components"].get(kind, {}) for kind, parts in contract["components"].items()
    }  # fmt: skip
    return {"paths": contract["paths"] | tasks["paths"], "components": components}


CONTRACT = _contract()


@dataclass(frozen=True)
class Verb:
    """*path* as the contract writes it, with names in braces."""

    method: str
    path: str
    promised: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def query(self) -> dict[str, Mapping[str, Any]]:
        """What may stand in the query, by name."""
        parameters = [_resolved(one) for one in self.promised.get("parameters", ())]
        return {one["name"]: one for one in parameters if one["in"] == "query"}

    @property
    def form(self) -> Mapping[str, Any] | None:
        """Schema of the form's fields."""
        body = self.promised.get("requestBody")
        return None if body is None else body["content"]["application/x-www-form-urlencoded"]["schema"]

    @property
    def scope(self) -> str | None:
        """The right that a key needs; None where the contract names none for sure."""
        scope = self.promised.get("x-required-scope")
        return scope if scope and scope.isidentifier() else None

    def is_at(self, method: str, path: str) -> bool:
        return method == self.method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", self.path), path) is not None

    def schema(self, status: int) -> Mapping[str, Any]:
        answer = self.promised["responses"].get(str(status))
        if answer is None:
            return REFUSAL
        schema: Mapping[str, Any] = _resolved(answer)["content"]["application/json"]["schema"]
        return schema


def verbs() -> Iterator[Verb]:
    for path, methods in CONTRACT["paths"].items():
        for method, promised in methods.items():
            yield Verb(method.upper(), path, promised)


VERBS = tuple(sorted(verbs(), key=lambda verb: ("{" in verb.path, verb.path)))
"""Paths without a name in them first: `customers/history` is no customer."""


def validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": CONTRACT["components"]})


def is_valid(kind: str, value: object) -> bool:
    """*kind*: name of one of the contract's schemas."""
    return bool(validator({"$ref": f"#/components/schemas/{kind}"}).is_valid(value))


def verb_of(method: str, path: str) -> Verb | None:
    return next((verb for verb in VERBS if verb.is_at(method, path)), None)


def assert_agreed(method: str, path: str, status: int, body: object) -> None:
    """An answer looks as the contract says; what it does not foresee is a refusal."""
    verb = verb_of(method, path)
    if verb is None or str(status) not in verb.promised["responses"]:
        assert status >= 400, f"{method} {path} promises no {status}"
    found = [error.message for error in validator(REFUSAL if verb is None else verb.schema(status)).iter_errors(body)]
    assert found == [], f"{method} {path} {status}: {body}"


def assert_allowed(request: Request[Any]) -> None:
    """The contract takes *request*: its path, every argument and every field, as they go over the wire."""
    address, body, _ = request.encoded()
    path = urlsplit(address).path
    verb = verb_of(request.method, path)
    assert verb is not None, f"{request.method} {path} is not in the contract"
    arguments = gathered(
        parse_qsl(urlsplit(address).query, keep_blank_values=True, strict_parsing=True) if "?" in address else []
    )
    assert not {name for name, one in verb.query.items() if one.get("required")} - arguments.keys()
    for name, value in arguments.items():
        assert name in verb.query, f"{path} has no {name}"
        schema = _resolved(verb.query[name]["schema"])
        assert validator(schema).is_valid(meant(value, schema)), f"{path} {name}={value}"
    fields = dict(parse_qsl((body or b"").decode("ascii"), keep_blank_values=True))
    if verb.form is None:
        assert not fields
        return
    read = {name: value if isinstance(request.form[name], str) else json.loads(value) for name, value in fields.items()}
    found = [error.message for error in validator(verb.form).iter_errors(read)]
    assert found == [], read


def gathered(arguments: list[tuple[str, str]]) -> dict[str, str | list[str]]:
    """A query as PHP reads it: ``ids[0]=1&ids[1]=2`` and ``ids[]=1&ids[]=2`` are the list ``ids[]``."""
    found: dict[str, Any] = {}
    for name, value in arguments:
        match = re.fullmatch(r"(.+)\[\d*\]", name)
        if match:
            found.setdefault(f"{match[1]}[]", []).append(value)
        else:
            assert name not in found
            found[name] = value
    return found


def meant(value: str | list[str], schema: Mapping[str, Any]) -> object:
    """A query is text; a number in the contract is one that is written as one, and that any server could count to."""
    if isinstance(value, list):
        return [meant(one, schema["items"]) for one in value] if "items" in schema else value
    return int(value) if schema.get("type") == "integer" and re.fullmatch(r"0|[1-9]\d{0,8}", value) else value


def _resolved(part: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in part:
        return part
    found = CONTRACT
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found
