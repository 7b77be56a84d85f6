"""The keyring: secrets at rest (AES-256-GCM) and signed, expiring links (HMAC-SHA-256).

Laws: the first key of the file seals and signs, all of them open and verify, so a key is replaced by putting a new
line first. *about* says what is sealed (``enterprise:column``) and is authenticated with it: a sealed value copied to
another place does not open. A keyring that others may read is refused.

    SecretsError
    ├── KeyringUnusable    the file must be put right by a person
    ├── SealBroken         the stored value must be given anew
    └── LinkRefused        answer the visitor with "no"
        └── LinkExpired    … or with "no longer"
"""

from __future__ import annotations

import hashlib
import hmac
import os
import pwd
import re
import stat
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from amibridge.redact import Secret

_FORMAT = b"\x01"
_NONCE_BYTES = 12
_KEY_BYTES = 32
_SIGNATURE_BYTES = 16  # 128 bits: nobody guesses that over HTTP, and the link stays short
_LARGEST_FILE = 65_536
_KEY_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_HEADER = """\
# amibridge keyring: whoever reads this file can read the API keys and AMI secrets in the database. Back it up apart.
# One key a line: name, then 32 random bytes in base64. The first one encrypts and signs, all of them decrypt.
# To replace a key put a new line above it (`openssl rand -base64 32`) and apply the enterprise files again.
"""


class SecretsError(Exception):
    pass


class KeyringUnusable(SecretsError):
    """The text says which file, what is wrong with it and what to do."""


class SealBroken(SecretsError):
    """Sealed with a key that is not in the keyring, sealed for another place, or damaged."""


class LinkRefused(SecretsError):
    """Not signed by us, or changed since."""


class LinkExpired(LinkRefused):
    """Ours, but its time is over."""


@dataclass(frozen=True, slots=True)
class Key:
    id: str
    material: bytes = field(repr=False)


class Keyring:
    """Seals, opens and signs with *keys*: the first for new things, all for old ones."""

    def __init__(self, keys: Sequence[Key]) -> None:
        if not keys:
            raise KeyringUnusable("the keyring holds no key")
        self._ciphers = {key.id: AESGCM(key.material) for key in keys}
        self._signing = {key.id: hmac.digest(key.material, b"amibridge signed links", hashlib.sha256) for key in keys}
        self._first = keys[0].id

    def seal(self, plain: str, *, about: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._first].encrypt(nonce, plain.encode(), about.encode())
        return b"".join((_FORMAT, bytes([len(self._first)]), self._first.encode("ascii"), nonce, sealed))

    def open(self, sealed: bytes, *, about: str) -> Secret:
        """The sealed text. Raises SealBroken."""
        key_id, nonce, body = _split_seal(sealed)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SealBroken(f"{about} was encrypted with the key {key_id!r}, which is not in the keyring")
        try:
            return Secret(cipher.decrypt(nonce, body, about.encode()).decode())
        except (InvalidTag, ValueError):
            raise SealBroken(f"{about} does not open: it was damaged, or encrypted for another place") from None

    def is_current(self, sealed: bytes) -> bool:
        """Whether *sealed* was made with the first key; if not, it should be sealed again."""
        return _split_seal(sealed)[0] == self._first

    def sign_link(self, payload: str, expires_at: datetime) -> str:
        """A token that holds *payload* readably; safe in a URL path without quoting."""
        body = urlsafe_b64encode(payload.encode()).rstrip(b"=").decode("ascii")
        signed = f"{body}.{int(expires_at.timestamp())}.{self._first}"
        return f"{signed}.{self._signature(self._first, signed)}"

    def read_link(self, token: str, now: datetime) -> str:
        """The payload of a token that is ours and still good at *now*. Raises LinkRefused, LinkExpired."""
        signed, _, signature = token.rpartition(".")
        parts = signed.split(".")
        if len(parts) != 3 or not token.isascii() or parts[2] not in self._signing:
            raise LinkRefused("the link is not one of ours")
        body, expires, key_id = parts
        if not hmac.compare_digest(signature, self._signature(key_id, signed)):
            raise LinkRefused("the link was changed, or is not one of ours")
        if now.timestamp() >= int(expires):
            raise LinkExpired("the link has expired")
        return urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()

    def _signature(self, key_id: str, signed: str) -> str:
        mac = hmac.digest(self._signing[key_id], signed.encode("ascii"), hashlib.sha256)
        return urlsafe_b64encode(mac[:_SIGNATURE_BYTES]).rstrip(b"=").decode("ascii")


def open_keyring(path: Path, *, guarded: bool = False) -> Keyring:
    """The keyring in *path*, created with one fresh key and mode 0600 if there is no file. Raises KeyringUnusable.

    *guarded*: systemd passed the file as a credential, keeps it to the service alone, and shows a group bit for that.
    """
    found = find_keyring(path, guarded=guarded)
    if found is not None:
        return found
    try:
        _create(path)
        return Keyring(_parse(_read_private(path, guarded=guarded), path))
    except OSError as error:
        raise _unopened(path, error) from error


def find_keyring(path: Path, *, guarded: bool = False) -> Keyring | None:
    """As `open_keyring`, but None if there is no file yet."""
    try:
        text = _read_private(path, guarded=guarded)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unopened(path, error) from error
    return Keyring(_parse(text, path))


def _unopened(path: Path, error: OSError) -> KeyringUnusable:
    why = error.strerror or str(error)
    if isinstance(error, PermissionError):
        why = _forbidden(next(one for one in (path, *path.parents) if _is_seen(one)))
    return KeyringUnusable(f"{path}: the keyring cannot be opened: {why}")


def _is_seen(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:  # before Python 3.12, when a folder above is closed to us
        return False


def _forbidden(seen: Path) -> str:
    """Whose *seen* is, the keyring or the nearest folder above it that we can see, and what to do about it."""
    owner, us = seen.stat().st_uid, os.geteuid()
    if owner == us:
        return f"its mode keeps you out: chmod u+rwX {seen}"
    theirs, ours = user_name(owner), user_name(us)
    return f"{seen} belongs to {theirs}, and you are {ours}: do this as {theirs}, or chown {ours} {seen}"


def _read_private(path: Path, *, guarded: bool) -> str:
    # A pipe in the file's place must not hold us up; the mode is asked of the file that was opened, not of its name.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise KeyringUnusable(f"{path}: the keyring must be a plain file")
        if status.st_mode & 0o077 and not guarded:
            mode = stat.S_IMODE(status.st_mode)
            raise KeyringUnusable(f"{path}: others may read or change the keyring (mode {mode:04o}): chmod 600 {path}")
        content = file.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise KeyringUnusable(f"{path}: too large for a keyring")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise KeyringUnusable(f"{path}: not a keyring: it is not text") from None


def _create(path: Path) -> None:
    """Put a whole new keyring under *path* in one step; if another process was first, its keyring stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    key_id, material = os.urandom(4).hex(), b64encode(os.urandom(_KEY_BYTES)).decode("ascii")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{_HEADER}{key_id} {material}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()


def _parse(text: str, path: Path) -> list[Key]:
    keys: dict[str, Key] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or _KEY_ID.fullmatch(words[0]) is None:
            raise KeyringUnusable(f"{path}, line {number}: expected a name of letters and digits, then a key in base64")
        key_id, encoded = words
        try:
            material = b64decode(encoded, validate=True)
        except ValueError:
            raise KeyringUnusable(f"{path}, line {number}: the key is not base64") from None
        if len(material) != _KEY_BYTES:
            raise KeyringUnusable(f"{path}, line {number}: the key has {len(material)} bytes instead of {_KEY_BYTES}")
        if key_id in keys:
            raise KeyringUnusable(f"{path}, line {number}: the name {key_id} is given twice")
        keys[key_id] = Key(key_id, material)
    if not keys:
        raise KeyringUnusable(f"{path}: the keyring holds no key; restore it from a backup, or remove it to begin anew")
    return list(keys.values())


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _split_seal(sealed: bytes) -> tuple[str, bytes, bytes]:
    length = sealed[1] if len(sealed) > 1 else 0
    start = 2 + length
    if sealed[:1] != _FORMAT or length == 0 or len(sealed) < start + _NONCE_BYTES:
        raise SealBroken("the stored value is not something the keyring sealed")
    try:
        key_id = sealed[2:start].decode("ascii")
    except UnicodeDecodeError:
        raise SealBroken("the stored value is not something the keyring sealed") from None
    return key_id, sealed[start : start + _NONCE_BYTES], sealed[start + _NONCE_BYTES :]
