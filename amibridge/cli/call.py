"""`amibridge call`: click-to-call from a shell. The running bridge places the call, by its own link to the PBX.

A second link of our own would not be the one by which the bridge follows the call; and nobody would follow it.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import aiohttp

from amibridge.cli.configured import begin, in_loop
from amibridge.cli.failure import CommandFailed
from amibridge.cli.stored import open_directory, show, unknown
from amibridge.config import ConfigError, Settings
from amibridge.doctor.bridge import address
from amibridge.doctor.over_http import why
from amibridge.enterprises import EnterpriseId

TIMEOUT = aiohttp.ClientTimeout(total=20, connect=3)
"""The bridge waits 10 s for the PBX."""


def call(args: argparse.Namespace) -> int:
    return in_loop(_call(begin(args), EnterpriseId(args.number), args.extension, args.phone))


async def _call(settings: Settings, number: EnterpriseId, extension: str, phone: str) -> int:
    async with open_directory(settings) as directory:
        enterprise = await directory.load_one(number)
        if enterprise is None:
            raise unknown(number, await directory.numbers())
    asked = {"code": extension, "phone": phone, "clientId": enterprise.client_id}
    status, body = await _ask(address(settings.web), asked)
    detail = body.get("detail")
    match status:
        case 200 if "call" in body:
            show({name: value for name, value in body.items() if name != "customer"})
            return 0
        case 400:
            raise ConfigError([f"{number}: {detail}"])
        case 401:
            raise CommandFailed(f"the bridge does not serve {number}: was it applied just now?")
        case 500 if isinstance(detail, str):
            raise CommandFailed(f"{number}: {detail}")
        case _:
            raise CommandFailed(f"what answers at {address(settings.web)} is no bridge that can call")


async def _ask(where: str, asked: dict[str, str]) -> tuple[int, dict[str, Any]]:
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as session,
            session.get(f"http://{where}/api/makecallexternal", params=asked, allow_redirects=False) as response,
        ):
            body = json.loads(await response.text())
            return response.status, body if isinstance(body, dict) else {}
    except (aiohttp.ClientConnectorError, ConnectionError) as error:
        raise CommandFailed(f"nobody answers at {where}: the bridge must run to place a call") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise CommandFailed(f"{where}: {why(error)[0]}") from error
    except (ValueError, RecursionError):
        return 0, {}
