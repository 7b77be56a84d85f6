"""Where settings come from; later wins: the file, systemd credentials, the environment.

Laws: each source is checked by itself, so that a mistake is told with its own place, also when another source would
have covered it; only whole sources are merged.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from amibridge.config.documents import (
    ConfigError,
    KeyPath,
    Shape,
    mistakes,
    nearest,
    parse_toml,
    placed,
    read_text,
)
from amibridge.config.process_document import ProcessDocument, split_listen
from amibridge.config.settings import (
    AgiSettings,
    DatabaseSettings,
    KeepSettings,
    LogSettings,
    RecordingSettings,
    SecretsSettings,
    Settings,
    TraceSettings,
    WebSettings,
)
from amibridge.redact import Secret

DEFAULT_FILE = Path("/etc/amibridge/amibridge.toml")
PREFIX = "AMIBRIDGE_"
NOT_SETTINGS = frozenset({"AMIBRIDGE_TEST_DSN"})
"""Variables with our prefix that are no settings: the PostgreSQL that the tests may use."""

KEYRING_CREDENTIAL = "keyring"
"""A credential of this name is the keyring itself."""

KEYS: tuple[tuple[str, ...], ...] = tuple(
    key
    for name, field in ProcessDocument.model_fields.items()
    for key in (
        [(name, inner) for inner in field.annotation.model_fields]
        if isinstance(field.annotation, type) and issubclass(field.annotation, Shape)
        else [(name,)]
    )
)
"""Every setting there is, as ``(section, key)`` or ``(key,)``."""

_SECRETS = (("database", "dsn"), ("web", "metrics_token"))
_PATHS = frozenset(
    {
        ("data_dir",),
        ("secrets", "key_file"),
        ("recordings", "sftp_key_file"),
        ("recordings", "known_hosts_file"),
    }
)

Said: TypeAlias = dict[str, Any]
"""What one source says, as nested tables."""


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of this process. Raises ConfigError with every mistake of every source."""
    credentials = Path(environ["CREDENTIALS_DIRECTORY"]) if environ.get("CREDENTIALS_DIRECTORY") else None
    readers: list[Callable[[], Said]] = [lambda: _read_environment(environ)]
    if credentials is not None:
        readers.append(lambda: _read_credentials(credentials))
    if path is not None:
        readers.append(lambda: _read_file(path))
    said: list[Said] = []
    problems: list[str] = []
    for read in readers:
        try:
            said.append(read())
        except ConfigError as error:
            problems = [*error.problems, *problems]
    if problems:
        raise ConfigError(problems)
    return _settings(_merge(said), environ, credentials)


def _read_file(path: Path) -> Said:
    text = read_text(path)
    said = parse_toml(text, path)
    if found := _mistakes(said):
        raise ConfigError(placed(path, text, found))
    return _anchored(said, path.absolute().parent)


def _read_credentials(folder: Path) -> Said:
    """Files named like a setting: ``database.dsn``, ``database_dsn`` or ``database__dsn``. Others are not ours."""
    names = {joint.join(key): key for key in KEYS for joint in (".", "_", "__")}
    said: Said = {}
    files: dict[KeyPath, Path] = {}
    problems: list[str] = []
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise ConfigError([f"{folder}: the credentials cannot be read: {error.strerror or error}"]) from error
    for file in found:
        key = names.get(file.name)
        if key is None:
            # Units pass credentials for other purposes too: only what is surely a slip is one.
            if meant := nearest(file.name, (".".join(k) for k in KEYS), cutoff=0.85):
                problems.append(f"{file}: unknown credential; did you mean {meant!r}?")
            continue
        try:
            text = read_text(file)
        except ConfigError as error:
            problems.extend(error.problems)
            continue
        files[key] = file
        _put(said, key, _value(key, text.removesuffix("\n").removesuffix("\r")))
    problems += [f"{files[key[:2]]}: {words}" for key, words in _mistakes(said)]
    if problems:
        raise ConfigError(problems)
    return said


def _read_environment(environ: Mapping[str, str]) -> Said:
    names = {_variable(key): key for key in KEYS}
    said: Said = {}
    problems: list[str] = []
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS:
            continue
        key = names.get(variable)
        if key is None:
            meant = nearest(variable, names)
            problems.append(f"{variable}: unknown variable" + (f"; did you mean {meant}?" if meant else ""))
        elif not environ[variable].strip():
            problems.append(f"{variable}: is empty; give it a value or unset it")
        else:
            _put(said, key, _value(key, environ[variable]))
    problems += [f"{_variable(key[:2])}: {words}" for key, words in _mistakes(said)]
    if problems:
        raise ConfigError(problems)
    return said


def _variable(key: KeyPath) -> str:
    return PREFIX + "__".join(str(part) for part in key).upper()


def _mistakes(said: Said) -> list[tuple[KeyPath, str]]:
    try:
        ProcessDocument.model_validate(said)
    except ValidationError as error:
        return mistakes(error, ProcessDocument)
    return []


def _merge(trees: Sequence[Said]) -> ProcessDocument:
    """The trees in one, key by key; the first that says something wins."""
    for tree in trees:  # pydantic-settings can be told, by a variable, to log what it merges
        for table, key in _SECRETS:
            if secret := tree.get(table, {}).get(key):
                tree[table][key] = Secret(secret)

    class Merged(ProcessDocument, BaseSettings):
        model_config = SettingsConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(InitSettingsSource(settings_cls, tree) for tree in trees)

    return Merged()


def _settings(document: ProcessDocument, environ: Mapping[str, str], credentials: Path | None) -> Settings:
    web = document.web
    host, port = split_listen(web.listen)
    data_dir = Path(document.data_dir).expanduser() if document.data_dir else _default_data_dir(environ)
    return Settings(
        data_dir=data_dir.absolute(),
        instance=document.instance or socket.gethostname(),
        database=DatabaseSettings(Secret(document.database.dsn) if document.database.dsn else None),
        web=WebSettings(
            host,
            port,
            web.public_url or f"http://{web.listen}",
            tuple(web.trusted_proxies),
            Secret(web.metrics_token) if web.metrics_token else None,
        ),
        secrets=_secrets(document.secrets.key_file, data_dir.absolute(), credentials),
        log=LogSettings(document.log.format, document.log.level),
        traces=TraceSettings(timedelta(hours=document.traces.keep_hours), document.traces.max_megabytes * 1024 * 1024),
        recordings=RecordingSettings(
            document.recordings.cache_megabytes * 1024 * 1024,
            _path(document.recordings.sftp_key_file),
            _path(document.recordings.known_hosts_file),
        ),
        agi=AgiSettings(*split_listen(document.agi.listen)) if document.agi.listen else None,
        keep=KeepSettings(
            timedelta(days=document.keep.requests_days),
            timedelta(days=document.keep.deliveries_days),
            timedelta(days=document.keep.audit_days),
        ),
    )


def _path(given: str | None) -> Path | None:
    return Path(given).expanduser().absolute() if given else None


def _secrets(key_file: str | None, data_dir: Path, credentials: Path | None) -> SecretsSettings:
    """A file that is named wins over a credential called ``keyring``, that over a keyring of our own making."""
    if key_file is None and credentials is not None and (credentials / KEYRING_CREDENTIAL).exists():
        return SecretsSettings(credentials / KEYRING_CREDENTIAL, guarded=True)
    path = Path(key_file).expanduser().absolute() if key_file else data_dir / "keyring"
    return SecretsSettings(path, guarded=credentials is not None and path.parent == credentials.absolute())


def _default_data_dir(environ: Mapping[str, str]) -> Path:
    if folders := environ.get("STATE_DIRECTORY"):
        return Path(folders.split(":")[0])
    if os.geteuid() == 0:
        return Path("/var/lib/amibridge")
    try:
        home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    except RuntimeError:
        raise ConfigError(["data_dir is missing, and you have no home: set AMIBRIDGE_DATA_DIR"]) from None
    return Path(environ.get("XDG_STATE_HOME") or home / ".local/state") / "amibridge"


def _value(key: tuple[str, ...], text: str) -> Any:
    """What a source that knows only text says: lists are JSON or divided by commas, numbers are digits."""
    if key[0] in ("traces", "keep") or key == ("recordings", "cache_megabytes"):
        return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else text
    if key != ("web", "trusted_proxies"):
        return text
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return [part.strip() for part in text.split(",") if part.strip()]


def _put(said: Said, key: tuple[str, ...], value: Any) -> None:
    for part in key[:-1]:
        said = said.setdefault(part, {})
    said[key[-1]] = value


def _anchored(said: Said, folder: Path) -> Said:
    """The same, with paths that are relative in a file read as beside that file."""
    for key in _PATHS:
        table: Any = said
        for part in key[:-1]:
            table = table.get(part, {})
        if key[-1] in table:
            table[key[-1]] = str(folder / Path(table[key[-1]]).expanduser())
    return said
