"""Makes aioresponses 0.7.9 work with aiohttp 3.14, whose responses want one argument more."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses


class _Response(aiohttp.ClientResponse):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", SimpleNamespace(output_size=0))
        super().__init__(*args, **kwargs)


@pytest.fixture(name="scripted")
def scripted_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    """A CRM that answers without a socket: for statuses and failures; everything else needs a real server."""
    if "stream_writer" in inspect.signature(aiohttp.ClientResponse.__init__).parameters:
        monkeypatch.setattr("aioresponses.core.ClientResponse", _Response)
    with aioresponses() as script:
        yield script
