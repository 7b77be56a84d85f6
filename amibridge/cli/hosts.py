"""Which host a person means: ``pbx1``, or ``0123/pbx1`` where several enterprises have one of that name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from amibridge.cli.enterprise_file import read_enterprise
from amibridge.cli.failure import CommandFailed
from amibridge.cli.stored import open_directory
from amibridge.config import ConfigError, Settings
from amibridge.config.documents import nearest
from amibridge.enterprises import AmiHost


def host_in_file(file: Path, wanted: str | None) -> AmiHost:
    """The host *wanted* of an enterprise file, or its only one. Raises ConfigError, CommandFailed."""
    return _chosen(read_enterprise(file).hosts, wanted)


async def host_in_store(settings: Settings, wanted: str) -> AmiHost:
    """The host *wanted* of the enterprises in the database. Raises CommandFailed and what a keyring raises."""
    async with open_directory(settings) as directory:
        enterprises = await directory.load()
    return _chosen([host for one in enterprises for host in one.hosts], wanted)


def split_host(wanted: str) -> tuple[str | None, str]:
    """Number of the enterprise, if it was said, and name of the host."""
    enterprise, slash, name = wanted.rpartition("/")
    return (enterprise if slash else None), name


def _chosen(hosts: Sequence[AmiHost], wanted: str | None) -> AmiHost:
    full = {f"{host.enterprise}/{host.name}": host for host in hosts}
    if wanted is None:
        if len(hosts) == 1:
            return hosts[0]
        raise ConfigError([f"say which host: {' or '.join(full) or 'there is none'}"])
    enterprise, name = split_host(wanted)
    fitting = [key for key, host in full.items() if host.name == name and enterprise in (None, host.enterprise)]
    match fitting:
        case [key]:
            return full[key]
        case []:
            meant = nearest(wanted, [*full, *(host.name for host in hosts)])
            hint = f"; did you mean {meant}?" if meant else "" if full else ": amibridge enterprise apply FILE"
            raise CommandFailed(f"there is no host {wanted!r}{hint}")
        case _:
            raise CommandFailed(several(name, [full[key].enterprise for key in fitting]))


def several(name: str, enterprises: Sequence[str]) -> str:
    """That *name* alone does not tell the host."""
    return f"{' and '.join(enterprises)} each have a host {name}: say {enterprises[0]}/{name}, for instance"
