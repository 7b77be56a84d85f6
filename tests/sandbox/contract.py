"""The contract's OpenAPI: which verbs there are, what they take, and how their answers look."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

CONTRACT: Mapping[str, Any] = json.loads(Path(__file__).with_name("contract.json").read_text("utf-8"))
REFUSAL = {"$ref": "#/components/schemas/Error"}


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
        """Schemas of what may stand in the query."""
        parameters = [_resolved(one) for one in self.promised.get("parameters", ())]
        return {one["name"]: one for one in parameters if one["in"] == "query"}

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


VERBS = tuple(verbs())


def validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": CONTRACT["components"]})


def assert_agreed(method: str, path: str, status: int, body: object) -> None:
    """An answer looks as the contract says; what it does not foresee is a refusal."""
    verb = next((verb for verb in VERBS if verb.is_at(method, path)), None)
    if verb is None or str(status) not in verb.promised["responses"]:
        assert status >= 400, f"{method} {path} promises no {status}"
    found = [error.message for error in validator(REFUSAL if verb is None else verb.schema(status)).iter_errors(body)]
    assert found == [], f"{method} {path} {status}: {body}"


def _resolved(part: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in part:
        return part
    found = CONTRACT
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found
